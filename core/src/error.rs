//! The one error of Blacksmith: what happened, what to do next, and why.
//!
//! There are six kinds, because there are few things a caller can do: try again, give up on this
//! input, or stop. Whatever is known (which file, position, action) goes into the message; the
//! cause stays attached as [`std::error::Error::source`] and is printed by [`Error::report`].
//! Secrets never enter an error: messages are built from names and codes.

use std::fmt;

/// Result with the error of Blacksmith.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, seen from the caller's choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The configuration is wrong; nothing was started. Exit code 78.
    Config,
    /// A server, disk or network does not answer now, and may later.
    Unavailable,
    /// The other side answered no (permission, password, missing slot); a person has to act.
    Refused,
    /// Data that was acknowledged is damaged or missing; nothing is skipped.
    Damaged,
    /// This input cannot be processed, now or later; other input can.
    Invalid,
    /// This component was stopped or fenced and does no more work.
    Stopped,
}

/// What a caller should do with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Advice {
    /// Try the same again, later.
    Retry,
    /// Put this input aside and go on.
    Discard,
    /// Stop and tell a person.
    Stop,
}

impl Kind {
    /// What to do with an error of this kind.
    #[must_use]
    pub fn advice(self) -> Advice {
        match self {
            Kind::Unavailable => Advice::Retry,
            Kind::Invalid => Advice::Discard,
            Kind::Config | Kind::Refused | Kind::Damaged | Kind::Stopped => Advice::Stop,
        }
    }
}

/// Things that are wrong with one input, at most: a reply stays small whatever was sent.
const VALIDATIONS_MAX: usize = 100;

/// An error with its kind, a sentence of what happened, and a sentence of what to do.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    what: String,
    help: Option<String>,
    status: Option<u16>,
    validations: Vec<Validation>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// One thing that is wrong with an input, and where.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Validation {
    /// What is wrong.
    pub message: String,
    /// Where: the names or numbers that lead there from the outside in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
}

impl Error {
    /// An error of `kind`; `what` says what happened and where.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            what: what.into(),
            help: None,
            status: None,
            validations: Vec::new(),
            source: None,
        }))
    }

    /// [`Kind::Config`].
    pub fn config(what: impl Into<String>) -> Self {
        Error::new(Kind::Config, what)
    }

    /// [`Kind::Unavailable`].
    pub fn unavailable(what: impl Into<String>) -> Self {
        Error::new(Kind::Unavailable, what)
    }

    /// [`Kind::Refused`].
    pub fn refused(what: impl Into<String>) -> Self {
        Error::new(Kind::Refused, what)
    }

    /// [`Kind::Damaged`].
    pub fn damaged(what: impl Into<String>) -> Self {
        Error::new(Kind::Damaged, what)
    }

    /// [`Kind::Invalid`].
    pub fn invalid(what: impl Into<String>) -> Self {
        Error::new(Kind::Invalid, what)
    }

    /// [`Kind::Stopped`].
    pub fn stopped(what: impl Into<String>) -> Self {
        Error::new(Kind::Stopped, what)
    }

    /// Adds what the reader should do next, as a full sentence or a command to run.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Attaches the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds one thing that is wrong with the input, and where. At most 100 are kept.
    #[must_use]
    pub fn validation<P: Into<String>>(
        mut self,
        message: impl Into<String>,
        path: impl IntoIterator<Item = P>,
    ) -> Self {
        if self.0.validations.len() < VALIDATIONS_MAX {
            self.0.validations.push(Validation {
                message: message.into(),
                path: path.into_iter().map(Into::into).collect(),
            });
        }
        self
    }

    /// Sets the HTTP status that whoever sent the input is answered with, in place of its kind's. From 400 to 599; others
    /// count as 500.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// The HTTP status that was set with [`Error::status`].
    #[must_use]
    pub fn status_code(&self) -> Option<u16> {
        self.0.status
    }

    /// What is wrong with the input, one by one.
    #[must_use]
    pub fn validations(&self) -> &[Validation] {
        &self.0.validations
    }

    /// Puts "`place`: " before the message: the file, table, source or action concerned.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.0.what = format!("{place}: {}", self.0.what);
        self
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What to do with it: the advice of its kind.
    #[must_use]
    pub fn advice(&self) -> Advice {
        self.0.kind.advice()
    }

    /// What the reader should do next, when known.
    #[must_use]
    pub fn advised(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// The whole story on one line: message, causes, and what to do.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = self.0.what.clone();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        if let Some(help) = &self.0.help {
            text.push_str(&format!(" ({help})"));
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.report())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_place_cause_and_next_step() {
        let cause = std::io::Error::other("no space left");
        let error = Error::unavailable("cannot write")
            .at("lake")
            .because(cause)
            .help("free space");
        assert_eq!(
            error.report(),
            "lake: cannot write: no space left (free space)"
        );
        assert_eq!(error.advice(), Advice::Retry);
    }
}
