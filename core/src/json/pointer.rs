//! Places inside documents: JSON pointers (RFC 6901), and finding what lies at several of them in one pass.

use std::fmt;

use super::Json;
use super::walk::{Member, Members, past_space};
use crate::error::{Error, Result};

/// Parts of a pointer, at most.
pub const POINTER_PARTS_MAX: usize = 32;

/// A place inside a document, such as `/order/lines/0/price`. The empty one is the document itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Reads a pointer: empty, or parts that begin with `/` each, with `~1` for a `/` in a key and `~0` for a `~`.
    ///
    /// # Errors
    /// `Invalid` when it does not begin with `/`, holds another `~`, or has more than [`POINTER_PARTS_MAX`] parts.
    pub fn parse(text: &str) -> Result<Pointer> {
        if text.is_empty() {
            return Ok(Pointer::default());
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(Error::invalid("a pointer begins with /").help("such as /order/amount"));
        };
        let parts: Vec<String> = rest.split('/').map(unescape).collect::<Result<_>>()?;
        match parts.len() <= POINTER_PARTS_MAX {
            true => Ok(Pointer(parts)),
            false => Err(Error::invalid(format!(
                "a pointer has at most {POINTER_PARTS_MAX} parts"
            ))),
        }
    }

    /// The field `name` of the document itself.
    #[must_use]
    pub fn field(name: impl Into<String>) -> Pointer {
        Pointer(vec![name.into()])
    }

    /// Its parts, from the outside in.
    #[must_use]
    pub fn parts(&self) -> &[String] {
        &self.0
    }
}

fn unescape(part: &str) -> Result<String> {
    let wrong = || Error::invalid("a ~ stands alone").help("write ~0 for ~, and ~1 for / in a key");
    let mut pieces = part.split('~');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (mark, rest) = piece.split_at_checked(1).ok_or_else(wrong)?;
        text.push(match mark {
            "0" => '~',
            "1" => '/',
            _ => return Err(wrong()),
        });
        text.push_str(rest);
    }
    Ok(text)
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = |part: &String| part.replace('~', "~0").replace('/', "~1");
        self.0
            .iter()
            .try_for_each(|part| write!(f, "/{}", escaped(part)))
    }
}

/// Several pointers, looked up together: a document is walked over once, whatever their number.
#[derive(Debug, Clone, Default)]
pub struct Pointers {
    count: usize,
    root: Place,
}

/// One place, and those below it.
#[derive(Debug, Clone, Default)]
struct Place {
    /// The pointers that end here.
    wanted_by: Vec<usize>,
    below: Vec<(String, Place)>,
}

impl Pointers {
    /// These pointers; their order is that of what is found.
    pub fn of<'a>(pointers: impl IntoIterator<Item = &'a Pointer>) -> Pointers {
        let mut all = Pointers::default();
        for pointer in pointers {
            let mut place = &mut all.root;
            for part in pointer.parts() {
                place = place.below(part);
            }
            place.wanted_by.push(all.count);
            all.count += 1;
        }
        all
    }

    /// What lies at each pointer, as it is written there; none where there is nothing. Of fields that are there several times
    /// the last one counts.
    #[must_use]
    pub fn find<'a>(&self, document: &'a Json) -> Vec<Option<&'a str>> {
        self.find_in(document.as_str())
    }

    /// As [`Pointers::find`], in a text that is known to be JSON.
    #[must_use]
    pub fn find_in<'a>(&self, text: &'a str) -> Vec<Option<&'a str>> {
        let mut found = vec![None; self.count];
        let start = past_space(text.as_bytes(), 0);
        self.root
            .find(text, start, text.trim_ascii_end().len(), &mut found);
        found
    }
}

impl Place {
    fn below(&mut self, part: &str) -> &mut Place {
        let at = match self.below.iter().position(|(own, _)| own == part) {
            Some(at) => at,
            None => {
                self.below.push((part.to_owned(), Place::default()));
                self.below.len() - 1
            }
        };
        &mut self.below[at].1
    }

    /// Finds what is wanted of the value from `start` to `end`. Recurses as deep as pointers go.
    fn find<'a>(&self, text: &'a str, start: usize, end: usize, found: &mut [Option<&'a str>]) {
        for wanted in &self.wanted_by {
            found[*wanted] = text.get(start..end);
        }
        if self.below.is_empty() {
            return;
        }
        for Member { name, value } in Members::of(text.as_bytes(), start).into_iter().flatten() {
            if let Some((_, place)) = self.below.iter().find(|(own, _)| name.is(own)) {
                place.forget(found);
                place.find(text, value.start, value.end, found);
            }
        }
    }

    /// Takes back what an earlier field of the same name had.
    fn forget(&self, found: &mut [Option<&str>]) {
        for wanted in &self.wanted_by {
            found[*wanted] = None;
        }
        self.below.iter().for_each(|(_, place)| place.forget(found));
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn find(document: &str, pointers: &[&str]) -> Vec<Option<String>> {
        let pointers: Vec<Pointer> = pointers
            .iter()
            .map(|text| Pointer::parse(text).unwrap())
            .collect();
        let document = Json::parse(document.to_owned().into()).unwrap();
        let found = Pointers::of(&pointers).find(&document);
        found
            .into_iter()
            .map(|found| found.map(str::to_owned))
            .collect()
    }

    #[test]
    fn what_lies_at_a_pointer_is_found_as_it_is_written() {
        let document = " {\"a\": {\"b\": [10, {\"c\": 1.50}]}, \"x/y\": 1, \"~\": 2, \"\\u0062\": 3, \"\": 4} ";
        let found = find(
            document,
            &[
                "/a/b/1/c", "/a/b/0", "/a/b/01", "/x~1y", "/~0", "/b", "/", "/a/b/2", "/q/r",
            ],
        );
        let expected = [
            Some("1.50"),
            Some("10"),
            None,
            Some("1"),
            Some("2"),
            Some("3"),
            Some("4"),
            None,
            None,
        ];
        assert_eq!(found, expected.map(|text| text.map(str::to_owned)));
        assert_eq!(find(" [1] ", &[""]), [Some("[1]".to_owned())]);
        assert_eq!(find("7", &["/a", ""]), [None, Some("7".to_owned())]);
    }

    #[test]
    fn of_fields_with_one_name_the_last_one_counts_whole() {
        let found = find(
            "{\"a\":{\"x\":1,\"y\":2},\"a\":{\"x\":3}}",
            &["/a/x", "/a/y"],
        );
        assert_eq!(found, [Some("3".to_owned()), None]);
    }

    #[test]
    fn half_a_surrogate_pair_in_a_key_hides_only_that_field() {
        let found = find("{\"\\ud800\":1,\"a\":2}", &["/a"]);
        assert_eq!(found, [Some("2".to_owned())]);
    }

    #[test]
    fn a_pointer_is_written_as_it_is_read_and_refused_when_it_is_none() {
        for text in ["", "/", "/a/0", "/a~1b/~0"] {
            assert_eq!(Pointer::parse(text).unwrap().to_string(), text);
        }
        for text in ["a", "/~", "/~2", "/a~", "/é~é", &"/a".repeat(33)] {
            assert!(Pointer::parse(text).is_err(), "{text}");
        }
    }

    /// Any document of a few levels, with keys that meet.
    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let key = prop_oneof!["[ab0~/]{0,2}", any::<String>()];
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::from),
                vec((key, inner), 0..4).prop_map(|fields| fields.into_iter().collect()),
            ]
        })
    }

    proptest! {
        /// However it is written, and wherever one looks.
        #[test]
        fn a_pointer_finds_what_a_parser_finds(
            document in document(),
            parts in vec("[ab0~/]{0,2}", 0..4),
            is_pretty in any::<bool>(),
        ) {
            let text = match is_pretty {
                true => serde_json::to_string_pretty(&document),
                false => serde_json::to_string(&document),
            };
            let (text, pointer) = (text.unwrap(), Pointer(parts));
            let found = Pointers::of([&pointer]).find_in(&text).pop().unwrap();
            let found: Option<Value> = found.map(|raw| serde_json::from_str(raw).unwrap());
            prop_assert_eq!(found.as_ref(), document.pointer(&pointer.to_string()));
        }
    }
}
