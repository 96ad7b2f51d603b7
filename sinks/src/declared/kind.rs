//! The types that a column may be declared with.

use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, Field, TimeUnit};
use blacksmith_core::settings::suggestion;

/// Digits of a decimal, at most.
const DIGITS_MAX: u8 = 38;
/// Words for types that take no numbers.
const WORDS: [(&str, Kind); 10] = [
    ("text", Kind::Text),
    ("bool", Kind::Bool),
    ("int", Kind::Int),
    ("bigint", Kind::BigInt),
    ("double", Kind::Double),
    ("date", Kind::Date),
    ("timestamp", Kind::Timestamp),
    ("timestamptz", Kind::TimestampTz),
    ("json", Kind::Json),
    ("decimal", Kind::Decimal(DIGITS_MAX, 9)),
];

/// The type of a declared column. What fits each is said in `docs/destinations.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Text: what a JSON string says, and of everything else its JSON.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 64 bits.
    BigInt,
    /// A floating-point number of 64 bits.
    Double,
    /// A decimal with so many digits, of which so many behind the point. 1 to 38; `decimal` alone is `decimal(38,9)`.
    Decimal(u8, u8),
    /// A day.
    Date,
    /// Day and time without a zone, in microseconds.
    Timestamp,
    /// A moment, in microseconds, UTC.
    TimestampTz,
    /// Any JSON, as it is written.
    Json,
    /// A list of a type that is no list.
    List(Box<Kind>),
}

impl Kind {
    /// Reads a type.
    ///
    /// # Errors
    /// What is wrong, and what to do about it.
    pub(super) fn parse(text: &str) -> Result<Kind, (String, String)> {
        if let Some(item) = text.strip_suffix("[]") {
            return match Kind::parse(item)? {
                Kind::List(_) => Err((
                    "a list of lists is not a type".into(),
                    "declare it as json".into(),
                )),
                item => Ok(Kind::List(Box::new(item))),
            };
        }
        if let Some((_, kind)) = WORDS.iter().find(|(word, _)| *word == text) {
            return Ok(kind.clone());
        }
        match text
            .strip_prefix("decimal(")
            .and_then(|rest| rest.strip_suffix(')'))
        {
            Some(numbers) => decimal(numbers),
            None => {
                let words = WORDS.map(|(word, _)| word);
                Err(("not a type".into(), suggestion(text, &words)))
            }
        }
    }

    /// The Arrow type of its column.
    pub(super) fn data_type(&self) -> DataType {
        match self {
            Kind::Text | Kind::Json => DataType::Utf8,
            Kind::Bool => DataType::Boolean,
            Kind::Int => DataType::Int32,
            Kind::BigInt => DataType::Int64,
            Kind::Double => DataType::Float64,
            Kind::Decimal(digits, scale) => DataType::Decimal128(*digits, scale.cast_signed()),
            Kind::Date => DataType::Date32,
            Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Kind::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::List(item) => DataType::List(item.list_field()),
        }
    }

    /// The field of the items in a list of this type.
    pub(super) fn list_field(&self) -> Arc<Field> {
        Arc::new(Field::new_list_field(self.data_type(), true))
    }
}

fn decimal(numbers: &str) -> Result<Kind, (String, String)> {
    let (digits, scale) = numbers.split_once(',').unwrap_or((numbers, "0"));
    let (digits, scale): (Option<u8>, Option<u8>) =
        (digits.trim().parse().ok(), scale.trim().parse().ok());
    match (digits, scale) {
        (Some(digits @ 1..=DIGITS_MAX), Some(scale)) if scale <= digits => {
            Ok(Kind::Decimal(digits, scale))
        }
        _ => Err((
            "not a decimal".into(),
            format!(
                "write decimal(digits,scale): 1 to {DIGITS_MAX} digits, of which scale are behind the point"
            ),
        )),
    }
}

/// As it is read.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Decimal(digits, scale) => write!(f, "decimal({digits},{scale})"),
            Kind::List(item) => write!(f, "{item}[]"),
            plain => {
                let word = WORDS.iter().find(|(_, kind)| kind == plain);
                f.write_str(word.map_or("", |(word, _)| word))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_written_as_it_is_read() {
        for text in [
            "text",
            "bool",
            "int",
            "bigint",
            "double",
            "date",
            "timestamp",
            "timestamptz",
            "json",
            "text[]",
            "decimal(12,2)",
            "decimal(38,38)",
            "decimal(1,0)[]",
        ] {
            assert_eq!(Kind::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Kind::parse("decimal"), Ok(Kind::Decimal(38, 9)));
        assert_eq!(Kind::parse("decimal( 5 )"), Ok(Kind::Decimal(5, 0)));
    }

    #[test]
    fn what_is_no_type_is_told_with_the_nearest_one() {
        let told = |text| {
            let (what, fix) = Kind::parse(text).unwrap_err();
            format!("{what} ({fix})")
        };
        assert_eq!(told("bigit"), "not a type (did you mean \"bigint\"?)");
        assert!(
            told("varchar").contains("known: text, bool"),
            "{}",
            told("varchar")
        );
        for text in [
            "decimal(39,0)",
            "decimal(0,0)",
            "decimal(2,3)",
            "decimal(x)",
            "decimal(2,-1)",
        ] {
            assert!(told(text).contains("1 to 38 digits"), "{text}");
        }
        assert!(told("int[][]").contains("json"));
    }
}
