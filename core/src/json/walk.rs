//! Where the values of a document begin and end, found without reading it into anything.
//!
//! Documents are known to be valid here; of others the answers make no sense, and nothing worse happens. Nothing
//! recurses: how deep a document goes costs no stack.

use std::ops::Range;

/// How deep `document` goes: 0 for a value alone, 1 for `[]`.
pub(super) fn depth(document: &[u8]) -> usize {
    let (mut deepest, mut depth, mut at) = (0, 0_usize, 0);
    while let Some(byte) = document.get(at) {
        match byte {
            b'"' => {
                at = end_of_text(document, at);
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    deepest
}

/// The first place at or behind `at` that is not white space.
pub(super) fn past_space(document: &[u8], at: usize) -> usize {
    let rest = document.get(at..).unwrap_or_default();
    let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace());
    at + space.count()
}

/// Where the value that begins at `start` is over.
pub(super) fn end_of(document: &[u8], start: usize) -> usize {
    match document.get(start) {
        Some(b'"') => end_of_text(document, start),
        Some(b'{' | b'[') => end_of_container(document, start),
        _ => {
            let rest = document.get(start..).unwrap_or_default();
            let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace();
            start + rest.iter().position(ends).unwrap_or(rest.len())
        }
    }
}

fn end_of_text(document: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = document.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    document.len()
}

fn end_of_container(document: &[u8], start: usize) -> usize {
    let (mut depth, mut at) = (0_usize, start);
    while let Some(byte) = document.get(at) {
        match byte {
            b'"' => {
                at = end_of_text(document, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return at + 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    document.len()
}

/// What is in an object or a list, one after the other.
pub(super) struct Members<'a> {
    document: &'a [u8],
    at: usize,
    /// The number of the next item; none in an object.
    next: Option<usize>,
}

/// One of them.
pub(super) struct Member<'a> {
    pub(super) name: Name<'a>,
    /// Where its value lies.
    pub(super) value: Range<usize>,
}

/// By what it is known.
pub(super) enum Name<'a> {
    /// The key as it is written, without its quotes.
    Key(&'a [u8]),
    /// Its place in the list, from 0.
    Item(usize),
}

impl<'a> Members<'a> {
    /// Of the value that begins at `start`; none when it is neither object nor list.
    pub(super) fn of(document: &'a [u8], start: usize) -> Option<Members<'a>> {
        let next = match document.get(start)? {
            b'{' => None,
            b'[' => Some(0),
            _ => return None,
        };
        let at = start + 1;
        Some(Members { document, at, next })
    }

    /// The key at the present place, behind which the value follows.
    fn key(&mut self) -> &'a [u8] {
        let end = end_of_text(self.document, self.at);
        let key = self.document.get(self.at + 1..end.saturating_sub(1));
        // Over the colon.
        self.at = past_space(self.document, past_space(self.document, end) + 1);
        key.unwrap_or_default()
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        self.at = past_space(self.document, self.at);
        if matches!(self.document.get(self.at)?, b'}' | b']') {
            return None;
        }
        let name = match &mut self.next {
            Some(next) => {
                *next += 1;
                Name::Item(*next - 1)
            }
            None => Name::Key(self.key()),
        };
        let value = self.at..end_of(self.document, self.at);
        let behind = past_space(self.document, value.end);
        self.at = behind + usize::from(self.document.get(behind) == Some(&b','));
        Some(Member { name, value })
    }
}

impl Name<'_> {
    /// Whether it is the one that is called `name`: in a list, its number without zeros before it.
    pub(super) fn is(&self, name: &str) -> bool {
        match self {
            Name::Item(number) => number.to_string() == name,
            Name::Key(key) if !key.contains(&b'\\') => *key == name.as_bytes(),
            Name::Key(_) => self.text().is_some_and(|own| own == name),
        }
    }

    /// As text; none when it is a key that no text can be, because of half a surrogate pair.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Name::Item(number) => Some(number.to_string()),
            Name::Key(key) => {
                let quoted = [b"\"", *key, b"\""].concat();
                serde_json::from_slice(&quoted).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(document: &str) -> Vec<(String, &str)> {
        let start = past_space(document.as_bytes(), 0);
        let members = Members::of(document.as_bytes(), start).unwrap();
        let text = |member: Member<'_>| (member.name.text().unwrap(), &document[member.value]);
        members.map(text).collect()
    }

    #[test]
    fn members_are_found_whatever_stands_between_them() {
        let object = " { \"a\" : 1 ,\n\"b\\n\":[2,{\"}\":\"]\\\"\"}] , \"\":\"\" }";
        let expected = [("a", "1"), ("b\n", "[2,{\"}\":\"]\\\"\"}]"), ("", "\"\"")];
        assert_eq!(
            members(object),
            expected.map(|(name, value)| (name.to_owned(), value))
        );
        let list = "[ -1.5e3,null , [] ]";
        let expected = [("0", "-1.5e3"), ("1", "null"), ("2", "[]")];
        assert_eq!(
            members(list),
            expected.map(|(name, value)| (name.to_owned(), value))
        );
        assert!(members("{}").is_empty() && members("[ ]").is_empty());
    }

    #[test]
    fn depth_counts_containers_and_not_what_only_looks_like_them() {
        for (document, expected) in [
            ("1", 0),
            ("[]", 1),
            ("\"[[\\\"[\"", 0),
            ("{\"[\":[[1],{}]}", 3),
        ] {
            assert_eq!(depth(document.as_bytes()), expected, "{document}");
        }
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        assert_eq!(depth(deep.as_bytes()), 1_000_000);
        assert_eq!(end_of(deep.as_bytes(), 0), deep.len());
    }

    #[test]
    fn what_is_no_document_ends_somewhere() {
        for broken in [
            "", "\"", "\"\\", "{", "{\"", "{\"a", "{\"a\"", "{\"a\":", "[1", "[,]", "}",
        ] {
            assert!(end_of(broken.as_bytes(), 0) <= broken.len() + 1, "{broken}");
            let members = Members::of(broken.as_bytes(), 0);
            assert!(members.into_iter().flatten().count() < 4, "{broken}");
        }
    }
}
