//! Names and texts as they go into SQL and replication commands: the one place that quotes.
//!
//! Everything that is not our own constant is quoted, always, also when it looks harmless. Sessions pin
//! `standard_conforming_strings = on` (see `session`), so that a backslash in a literal is a backslash;
//! the walsender's own grammar knows no other way.

/// An identifier: `weird"name` becomes `"weird""name"`.
#[must_use]
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table with its schema: `"public"."orders"`.
#[must_use]
pub fn qualified(namespace: &str, name: &str) -> String {
    format!("{}.{}", identifier(namespace), identifier(name))
}

/// A text literal: `it's` becomes `'it''s'`.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A comma-separated list of identifiers, itself for use inside a literal.
#[must_use]
pub fn identifier_list<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| identifier(name.as_ref())).collect();
    quoted.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_doubles_its_own_quote_and_leaves_the_rest() {
        assert_eq!(identifier(r#"Weird "Name""#), r#""Weird ""Name""""#);
        assert_eq!(literal(r"it's a \ path"), r"'it''s a \ path'");
        assert_eq!(qualified("a.b", "c"), r#""a.b"."c""#);
        assert_eq!(identifier_list(&["a", "b\"c"]), r#""a","b""c""#);
    }
}
