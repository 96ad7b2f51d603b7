//! Which tables are meant: `public.*`, `sales.order_*`, `orders`.

use blacksmith_core::error::{Error, Result};

/// Patterns `schema.table`, with `*` for any characters on either side of the first dot.
///
/// A pattern without a dot means the schema `public`. Letters count as they are stored: `Orders` is not
/// `orders`. The system's own schemas are never meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patterns(Vec<(String, String)>);

impl Patterns {
    /// Reads patterns.
    ///
    /// # Errors
    /// [`blacksmith_core::error::Kind::Config`] when there is none, or one has an empty side.
    pub fn parse<S: AsRef<str>>(patterns: &[S]) -> Result<Self> {
        if patterns.is_empty() {
            return Err(
                Error::config("no tables are asked for").help("set tables = [\"public.*\"]")
            );
        }
        let parse = |pattern: &S| {
            let pattern = pattern.as_ref();
            let (namespace, name) = pattern.split_once('.').unwrap_or(("public", pattern));
            if namespace.is_empty() || name.is_empty() {
                return Err(
                    Error::config(format!("{pattern:?} is not a pattern for tables"))
                        .help("write schema.table, with * for any characters"),
                );
            }
            Ok((namespace.to_owned(), name.to_owned()))
        };
        patterns
            .iter()
            .map(parse)
            .collect::<Result<_>>()
            .map(Patterns)
    }

    /// Whether a table is meant.
    #[must_use]
    pub fn matches(&self, namespace: &str, name: &str) -> bool {
        !is_system(namespace)
            && self
                .0
                .iter()
                .any(|(schemas, tables)| fits(schemas, namespace) && fits(tables, name))
    }

    /// The patterns under which no table was found, as they were written.
    #[must_use]
    pub fn without_match<'a>(
        &self,
        found: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Vec<String> {
        let unmatched = self.0.iter().filter(|(schemas, tables)| {
            !found
                .clone()
                .any(|(namespace, name)| fits(schemas, namespace) && fits(tables, name))
        });
        unmatched
            .map(|(schemas, tables)| format!("{schemas}.{tables}"))
            .collect()
    }
}

fn is_system(namespace: &str) -> bool {
    namespace == "information_schema" || namespace.starts_with("pg_")
}

/// Whether `text` fits `pattern`; `*` is any run of characters, everything else is itself.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(found) = rest.find(part) else {
            return false;
        };
        rest = &rest[found + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run_of_characters_and_nothing_else_is_special() {
        for (pattern, text, fit) in [
            ("*", "", true),
            ("*", "orders", true),
            ("orders", "orders", true),
            ("orders", "orders2", false),
            ("order_*", "order_lines", true),
            ("order_*", "orderXlines", false), // an underscore is an underscore
            ("a*b*c", "abc", true),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "acb", false),
            ("*ab", "aab", true),
            ("a*a", "a", false),
            ("%", "orders", false),
            ("Orders", "orders", false),
        ] {
            assert_eq!(fits(pattern, text), fit, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_without_a_dot_means_public_and_system_schemas_are_never_meant() {
        let patterns = Patterns::parse(&["orders", "sales.*", "*.log"]).unwrap();
        assert!(patterns.matches("public", "orders"));
        assert!(!patterns.matches("sales2", "orders"));
        assert!(patterns.matches("any", "log"));
        let all = Patterns::parse(&["*.*"]).unwrap();
        assert!(all.matches("a", "b"));
        assert!(!all.matches("pg_catalog", "pg_class"));
        assert!(!all.matches("information_schema", "tables"));
        assert_eq!(
            patterns.without_match([("public", "orders")].into_iter()),
            ["sales.*", "*.log"]
        );
        assert!(Patterns::parse::<&str>(&[]).is_err());
        assert!(Patterns::parse(&["a."]).is_err());
    }
}
