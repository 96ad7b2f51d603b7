//! Numbers that may have been written as text because JSON's readers would round them.
//!
//! For fields of types that actions are written for:
//! ```
//! # use blacksmith_core::rows::number;
//! #[derive(serde::Deserialize)]
//! struct Order {
//!     #[serde(deserialize_with = "number::read")]
//!     id: i64,
//! }
//! let order: Order = serde_json::from_str(r#"{"id": "9223372036854775807"}"#)?;
//! assert_eq!(order.id, i64::MAX);
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::fmt::Display;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};

/// Reads a number, or text that is one.
///
/// # Errors
/// When it is neither, or does not fit the type.
pub fn read<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + FromStr<Err: Display>,
{
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Form<T> {
        Number(T),
        Text(String),
    }
    match Form::deserialize(input)? {
        Form::Number(number) => Ok(number),
        Form::Text(text) => text.parse().map_err(D::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Row {
        #[serde(deserialize_with = "super::read")]
        id: u64,
    }

    #[test]
    fn a_number_is_read_from_either_form_and_nothing_else() {
        let read = |json: &str| serde_json::from_str::<Row>(json).map(|row| row.id);
        assert_eq!(read(r#"{"id": 7}"#).unwrap(), 7);
        assert_eq!(read(r#"{"id": "18446744073709551615"}"#).unwrap(), u64::MAX);
        for wrong in [r#"{"id": "x"}"#, r#"{"id": -1}"#, r#"{"id": null}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
