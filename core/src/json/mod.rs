//! JSON documents as bytes: checked once, carried as they are, parsed where somebody reads them.

mod mismatch;
mod pointer;
mod walk;

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::error::{Error, Result};

pub use pointer::{POINTER_PARTS_MAX, Pointer, Pointers};

/// Objects and lists inside one another, at most, in what comes from outside.
pub const DEPTH_MAX: usize = 1_000;

/// One valid JSON document. Cheap to clone: clones share the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Bytes);

impl Json {
    /// The document `null`.
    #[must_use]
    pub const fn null() -> Json {
        Json(Bytes::from_static(b"null"))
    }

    /// Takes bytes that came from outside.
    ///
    /// # Errors
    /// `Invalid`, with line and column, when they are not one JSON document in UTF-8, or go deeper than [`DEPTH_MAX`].
    /// What is in them is not told.
    pub fn parse(bytes: Bytes) -> Result<Json> {
        let wrong = |error: &dyn fmt::Display| Error::invalid(format!("not JSON: {error}"));
        std::str::from_utf8(&bytes).map_err(|error| wrong(&error))?;
        serde_json::from_slice::<IgnoredAny>(&bytes).map_err(|error| wrong(&error))?;
        // What is shorter than its brackets would be is not that deep.
        if bytes.len() > DEPTH_MAX * 2 && walk::depth(&bytes) > DEPTH_MAX {
            return Err(
                Error::invalid(format!("the JSON goes deeper than {DEPTH_MAX} levels"))
                    .help("send it flatter, or the deep part as text"),
            );
        }
        Ok(Json(bytes))
    }

    /// The document that `value` is written as.
    ///
    /// # Errors
    /// `Invalid` when the type cannot be written as JSON, such as a map with keys that are not text.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Json> {
        let written = serde_json::to_vec(value);
        let written = written.map_err(|error| {
            Error::invalid("the value cannot be written as JSON").because(error)
        })?;
        Ok(Json(Bytes::from(written)))
    }

    /// Bytes that are known to be JSON: this process checked them before it stored them.
    #[must_use]
    pub(crate) fn trusted(bytes: Bytes) -> Json {
        Json(bytes)
    }

    /// Reads the document as a `T`.
    ///
    /// # Errors
    /// `Invalid` when it has another shape: says where (path, line and column) and what kind of value is there, never the
    /// value. The path is among the error's [validations](Error::validations) too.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.0).map_err(|error| mismatch::told(&error, &self.0))
    }

    /// The document's bytes, in UTF-8.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The document as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Checked when it was made.
        std::str::from_utf8(&self.0).unwrap_or("null")
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        &self.0[..] == b"null"
    }
}

impl Default for Json {
    fn default() -> Json {
        Json::null()
    }
}

/// The items of the list that `text` is, one by one and as they are written; none when it is no list. The text is valid JSON, such as that
/// of a [`Json`] or a piece of it.
#[must_use]
pub fn items(text: &str) -> Option<impl Iterator<Item = &str>> {
    let start = walk::past_space(text.as_bytes(), 0);
    let members = walk::Members::of(text.as_bytes(), start)?;
    let items = members.filter_map(|item| text.get(item.value));
    (text.as_bytes().get(start) == Some(&b'[')).then_some(items)
}

/// Says how long it is; what is in it may be anybody's secret.
impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_one_document_is_refused_with_its_place() {
        for bytes in ["", "{", "{} {}", "nul", "\u{1}"] {
            assert!(Json::parse(Bytes::from(bytes)).is_err(), "{bytes}");
        }
        assert!(Json::parse(Bytes::from_static(b"\"\xff\"")).is_err());
        let error = Json::parse(Bytes::from("{\n\"a\" 1}")).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    #[test]
    fn a_document_may_be_as_deep_as_the_limit_and_no_deeper() {
        let deep = |levels: usize| Bytes::from("[".repeat(levels) + &"]".repeat(levels));
        Json::parse(deep(DEPTH_MAX)).unwrap();
        for levels in [DEPTH_MAX + 1, 1_000_000] {
            let error = Json::parse(deep(levels)).unwrap_err();
            assert!(error.to_string().contains("1000 levels"), "{error}");
        }
    }

    #[test]
    fn items_of_a_list_are_handed_out_as_they_are_written() {
        let all = |text| items(text).map(|items| items.collect::<Vec<_>>());
        assert_eq!(
            all(" [1.0 , [2, 3],\"]\"]"),
            Some(vec!["1.0", "[2, 3]", "\"]\""])
        );
        assert_eq!(all("[]"), Some(vec![]));
        for text in ["{\"0\":1}", "7", "null", ""] {
            assert_eq!(all(text), None, "{text}");
        }
    }

    #[test]
    fn a_document_keeps_its_bytes_and_never_shows_them_in_debug_output() {
        let text = r#"{ "card" : 4111.00 }"#;
        let json = Json::parse(Bytes::from(text)).unwrap();
        assert_eq!(json.as_str(), text);
        assert_eq!(format!("{json:?}"), "Json(20 bytes)");
        assert_eq!(Json::of(&("a", 1)).unwrap().as_str(), r#"["a",1]"#);
        assert_eq!(
            json.read::<std::collections::HashMap<String, f64>>()
                .unwrap()["card"],
            4111.0
        );
    }
}
