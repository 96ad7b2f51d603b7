//! JSON from outside: what we accept, and what our own walk over it finds, held against serde_json's tree.

use bytes::Bytes;
use serde_json::Value;

use crate::json::{self, Json, Pointer, Pointers};

/// A document behind the pointers of its first line.
pub(super) fn run(input: &[u8]) {
    let mut halves = input.splitn(2, |byte| *byte == b'\n');
    let (line, document) = (
        halves.next().unwrap_or_default(),
        halves.next().unwrap_or_default(),
    );
    let pointers = std::str::from_utf8(line).unwrap_or_default().split(' ');
    let pointers: Vec<Pointer> = pointers
        .filter_map(|text| Pointer::parse(text).ok())
        .collect();
    for pointer in &pointers {
        assert_eq!(
            Pointer::parse(&pointer.to_string()).ok().as_ref(),
            Some(pointer)
        );
    }
    let tree = serde_json::from_slice::<Value>(document);
    let Ok(json) = Json::parse(Bytes::copy_from_slice(document)) else {
        assert!(tree.is_err(), "serde_json reads what we refuse");
        return;
    };
    let found = Pointers::of(&pointers).find(&json);
    let items: Option<Vec<&str>> = json::items(json.as_str()).map(Iterator::collect);
    let Ok(tree) = tree else {
        return; // deeper than its tree may be
    };
    for (pointer, found) in pointers.iter().zip(found) {
        let found = found.map(value);
        assert_eq!(
            found.as_ref(),
            tree.pointer(&pointer.to_string()),
            "{pointer}"
        );
    }
    let items = items.map(|items| items.into_iter().map(value).collect());
    assert_eq!(items, tree.as_array().cloned());
    let read: Value = json.read().expect("the tree was read before");
    assert_eq!(read, tree);
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).expect("a part of a document is one")
}
