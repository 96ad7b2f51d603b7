//! Whether a value fits the type of its column, and what it is there.

use std::borrow::Cow;

use blacksmith_core::json::items;

use super::exact::Exact;
use super::kind::Kind;
use super::moment::{date, local, moment};

/// A value in the form of its column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fitted<'a> {
    Null,
    Text(Cow<'a, str>),
    Bool(bool),
    /// Also days, and microseconds.
    Whole(i64),
    Double(f64),
    Decimal(i128),
    List(Vec<Fitted<'a>>),
}

/// The value `raw`, as it is written in JSON, in a column of `kind`; none when it does not fit without losing something.
pub(super) fn fit<'a>(kind: &Kind, raw: &'a str) -> Option<Fitted<'a>> {
    if raw == "null" {
        return Some(Fitted::Null);
    }
    if let Kind::Json = kind {
        return Some(Fitted::Text(raw.into()));
    }
    if let Kind::List(item) = kind {
        let items = items(raw)?;
        let items: Option<Vec<_>> = items.into_iter().map(|raw| fit(item, raw)).collect();
        return items.map(Fitted::List);
    }
    let (text, is_text) = match said(raw) {
        Some(text) => (text, true),
        // Half a surrogate pair is no text.
        None if raw.starts_with('"') => return None,
        None => (Cow::Borrowed(raw), false),
    };
    match kind {
        Kind::Text => Some(Fitted::Text(text)),
        Kind::Bool => text.parse().ok().map(Fitted::Bool),
        Kind::Int => {
            let number = i32::try_from(whole(&text)?).ok()?;
            Some(Fitted::Whole(number.into()))
        }
        Kind::BigInt => whole(&text).map(Fitted::Whole),
        Kind::Double => Exact::double(&text).map(Fitted::Double),
        Kind::Decimal(digits, scale) => Exact::parse(&text)?
            .scaled(*scale, *digits)
            .map(Fitted::Decimal),
        Kind::Date if is_text => date(&text).map(|days| Fitted::Whole(days.into())),
        Kind::Timestamp if is_text => local(&text).map(Fitted::Whole),
        Kind::TimestampTz if is_text => moment(&text).map(Fitted::Whole),
        Kind::Date | Kind::Timestamp | Kind::TimestampTz => None,
        Kind::Json | Kind::List(_) => None,
    }
}

/// A value as text, for one that does not fit: what a string says, and of everything else its JSON.
pub(super) fn as_text(raw: &str) -> Cow<'_, str> {
    said(raw).unwrap_or(Cow::Borrowed(raw))
}

/// What a JSON string says; none for anything else, and for what no text can say.
fn said(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    match inner.contains('\\') {
        false => Some(Cow::Borrowed(inner)),
        true => serde_json::from_str(raw).ok().map(Cow::Owned),
    }
}

fn whole(text: &str) -> Option<i64> {
    let number = Exact::parse(text)?.scaled(0, 19)?;
    i64::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of `raw` in each of some types: its form, or `-` when it does not fit.
    fn fits(raw: &str, kinds: &[&str]) -> Vec<String> {
        let fitted = |kind: &&str| match fit(&Kind::parse(kind).unwrap(), raw) {
            None => "-".to_owned(),
            Some(fitted) => shown(&fitted),
        };
        kinds.iter().map(fitted).collect()
    }

    fn shown(fitted: &Fitted<'_>) -> String {
        match fitted {
            Fitted::Null => "null".into(),
            Fitted::Text(text) => format!("{text:?}"),
            Fitted::Bool(value) => value.to_string(),
            Fitted::Whole(number) => number.to_string(),
            Fitted::Double(number) => format!("{number:?}"),
            Fitted::Decimal(number) => number.to_string(),
            Fitted::List(items) => format!("{:?}", items.iter().map(shown).collect::<Vec<_>>()),
        }
    }

    #[test]
    fn numbers_fit_where_nothing_of_them_is_lost() {
        let kinds = ["int", "bigint", "double", "decimal(12,2)", "text", "bool"];
        for (raw, expected) in [
            ("7", ["7", "7", "7.0", "700", "\"7\"", "-"]),
            ("\"7\"", ["7", "7", "7.0", "700", "\"7\"", "-"]),
            ("7.00", ["7", "7", "7.0", "700", "\"7.00\"", "-"]),
            ("1.5", ["-", "-", "1.5", "150", "\"1.5\"", "-"]),
            ("0.001", ["-", "-", "0.001", "-", "\"0.001\"", "-"]),
            ("-0", ["0", "0", "-0.0", "0", "\"-0\"", "-"]),
            ("1e400", ["-", "-", "-", "-", "\"1e400\"", "-"]),
            ("1e-400", ["-", "-", "-", "-", "\"1e-400\"", "-"]),
            (
                "2147483648",
                [
                    "-",
                    "2147483648",
                    "2147483648.0",
                    "214748364800",
                    "\"2147483648\"",
                    "-",
                ],
            ),
            (
                "9007199254740993",
                [
                    "-",
                    "9007199254740993",
                    "-",
                    "-",
                    "\"9007199254740993\"",
                    "-",
                ],
            ),
            (
                "-9223372036854775808",
                [
                    "-",
                    "-9223372036854775808",
                    "-9.223372036854776e18",
                    "-",
                    "\"-9223372036854775808\"",
                    "-",
                ],
            ),
            (
                "9223372036854775808",
                [
                    "-",
                    "-",
                    "9.223372036854776e18",
                    "-",
                    "\"9223372036854775808\"",
                    "-",
                ],
            ),
            ("\"007\"", ["-", "-", "-", "-", "\"007\"", "-"]),
            ("\"NaN\"", ["-", "-", "-", "-", "\"NaN\"", "-"]),
            ("\"\"", ["-", "-", "-", "-", "\"\"", "-"]),
            ("true", ["-", "-", "-", "-", "\"true\"", "true"]),
            ("\"false\"", ["-", "-", "-", "-", "\"false\"", "false"]),
            ("[1]", ["-", "-", "-", "-", "\"[1]\"", "-"]),
            ("{}", ["-", "-", "-", "-", "\"{}\"", "-"]),
            ("null", ["null"; 6]),
        ] {
            assert_eq!(fits(raw, &kinds), expected, "{raw}");
        }
    }

    #[test]
    fn times_fit_as_text_only() {
        let kinds = ["date", "timestamp", "timestamptz"];
        for (raw, expected) in [
            ("\"1970-01-02\"", ["1", "-", "-"]),
            ("\"1970-01-01T00:00:01\"", ["-", "1000000", "-"]),
            ("\"1970-01-01T01:00:00+01:00\"", ["-", "-", "0"]),
            ("\"9999-99-99\"", ["-", "-", "-"]),
            ("1700000000", ["-", "-", "-"]),
            ("19700102", ["-", "-", "-"]),
        ] {
            assert_eq!(fits(raw, &kinds), expected, "{raw}");
        }
    }

    #[test]
    fn text_that_no_text_can_say_does_not_fit_and_is_kept_as_json() {
        let half = r#""a\ud800""#;
        assert_eq!(
            fits(half, &["text", "json", "int", "text[]"]),
            ["-", "\"\\\"a\\\\ud800\\\"\"", "-", "-"]
        );
        assert_eq!(as_text(half), half);
        assert_eq!(as_text(r#""a\u00e9\n""#), "aé\n");
        assert_eq!(as_text(r#"{"a": 1}"#), r#"{"a": 1}"#);
        assert_eq!(fits(r#""\u0000😀""#, &["text"]), ["\"\\0😀\""]);
    }

    #[test]
    fn a_list_fits_when_all_of_it_does() {
        let kinds = ["int[]", "text[]", "json[]"];
        for (raw, expected) in [
            (
                "[ 1, null ,3 ]",
                [
                    r#"["1", "null", "3"]"#,
                    r#"["\"1\"", "null", "\"3\""]"#,
                    r#"["\"1\"", "null", "\"3\""]"#,
                ],
            ),
            ("[]", ["[]", "[]", "[]"]),
            (
                "[1,\"x\"]",
                [
                    "-",
                    r#"["\"1\"", "\"x\""]"#,
                    r#"["\"1\"", "\"\\\"x\\\"\""]"#,
                ],
            ),
            ("7", ["-", "-", "-"]),
            ("{\"0\":1}", ["-", "-", "-"]),
        ] {
            assert_eq!(fits(raw, &kinds), expected, "{raw}");
        }
    }
}
