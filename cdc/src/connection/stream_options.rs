//! What to stream, and how: the options of the output plugin.

use super::quote::{identifier_list, literal};

/// What to stream, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptions {
    /// pgoutput's protocol: 1 to 4.
    pub protocol: u8,
    /// The publications.
    pub publications: Vec<String>,
    /// Values in binary where types can.
    pub binary: bool,
    /// `pg_logical_emit_message` messages too.
    pub messages: bool,
    /// Transactions in progress.
    pub streaming: Streaming,
    /// Only changes that did not come to the server by replication; version 16 and later.
    pub local_origin_only: bool,
}

/// Whether transactions are sent before they commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streaming {
    /// Only committed ones.
    Off,
    /// Large ones as they go; protocol 2 and later.
    On,
    /// The same, with the position of each abort; protocol 4, version 16 and later.
    Parallel,
}

impl StreamOptions {
    /// What we ask of every server: protocol 2, transactions in progress, text. Of the later protocols, 3 adds
    /// prepared transactions, and 4 matters only to a parallel apply.
    #[must_use]
    pub fn new(publications: Vec<String>) -> Self {
        StreamOptions {
            protocol: 2,
            publications,
            binary: false,
            messages: false,
            streaming: Streaming::On,
            local_origin_only: false,
        }
    }

    /// As `START_REPLICATION` takes them.
    pub(super) fn clause(&self) -> String {
        let words = self.pairs();
        let words = words.iter().map(|(key, value)| format!("{key} {value}"));
        words.collect::<Vec<_>>().join(", ")
    }

    /// As the SQL functions that read a slot take them.
    pub(super) fn arguments(&self) -> String {
        let words = self.pairs();
        let words = words.iter().map(|(key, value)| format!("'{key}', {value}"));
        words.collect::<Vec<_>>().join(", ")
    }

    /// Each option and its value, quoted.
    fn pairs(&self) -> Vec<(&'static str, String)> {
        let publications = literal(&identifier_list(&self.publications));
        let mut pairs = vec![
            ("proto_version", literal(&self.protocol.to_string())),
            ("publication_names", publications),
        ];
        let mut set = |key, value| pairs.push((key, literal(value)));
        if self.binary {
            set("binary", "true");
        }
        if self.messages {
            set("messages", "true");
        }
        match self.streaming {
            Streaming::Off => {}
            Streaming::On => set("streaming", "on"),
            Streaming::Parallel => set("streaming", "parallel"),
        }
        if self.local_origin_only {
            set("origin", "none");
        }
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_publications_are_quoted_twice() {
        let mut options = StreamOptions::new(vec!["a".into(), "it's \"b\"".into()]);
        options.binary = true;
        assert_eq!(
            options.clause(),
            r#"proto_version '2', publication_names '"a","it''s ""b"""', binary 'true', streaming 'on'"#
        );
        assert_eq!(
            options.arguments(),
            r#"'proto_version', '2', 'publication_names', '"a","it''s ""b"""', 'binary', 'true', 'streaming', 'on'"#
        );
    }
}
