//! One text per value, where Postgres and Arrow have several for the same one.
//!
//! Only floats need it. The shortest digits that stand for a float are sometimes two: Postgres
//! writes 560912058.1757812 where Rust writes 560912058.1757813, both meaning the same bits. And
//! Postgres never ends on the edge of a rounding interval, where Rust may. So floats are parsed
//! and rendered again, alone or inside arrays; everything else is left exactly as it is.

use super::render::{float4, float8};

/// The one text of a value of `pg_type` (a base type's name by `format_type`).
pub(super) fn canonical(pg_type: &str, text: String) -> String {
    let element = pg_type.trim_end_matches("[]");
    let render: fn(&str) -> Option<String> = match element {
        "real" | "float4" | "vector" => |word| word.parse().ok().map(float4),
        "double precision" | "float8" => |word| word.parse().ok().map(float8),
        _ => return text,
    };
    // The punctuation of arrays and vectors; an element NULL parses as no number and stays.
    let mut canonical = String::with_capacity(text.len());
    for piece in text.split_inclusive(['{', '}', '[', ']', ',', '=', ':']) {
        let word = piece.trim_end_matches(['{', '}', '[', ']', ',', '=', ':']);
        canonical.push_str(&render(word).unwrap_or_else(|| word.into()));
        canonical.push_str(&piece[word.len()..]);
    }
    canonical
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn two_texts_of_one_float_become_one() {
        let pair = ["560912058.1757812", "560912058.1757813"];
        let [one, two] = pair.map(|text| canonical("double precision", text.into()));
        assert_eq!(one, two);
        let [one, two] = pair.map(|text| format!("{{NULL,{text},1}}"));
        let [one, two] = [one, two].map(|text| canonical("double precision[]", text));
        assert_eq!(one, two);
        assert!(one.starts_with("{NULL,5") && one.ends_with(",1}"), "{one}");
    }

    #[test]
    fn other_types_are_left_alone() {
        assert_eq!(canonical("text", "1.50".into()), "1.50");
        assert_eq!(canonical("numeric", "1.50".into()), "1.50");
    }
}
