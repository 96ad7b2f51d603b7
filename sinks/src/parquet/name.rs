//! Names of directories and files.
//!
//! A table's directory is its trigger's name (`schema.table`) with every byte outside
//! `A-Z a-z 0-9 _ . - $` written as `%` and two hex digits, and so a leading `.` or `_`, which readers
//! take for "hidden": no name leads out of the folder, none meets `_commits`, and different
//! triggers have different directories. So are a last `.` and the first letter of what Windows takes for a device
//! (`con.t`), for lakes that are copied. Names that differ only in case do so on the disk too: a file system
//! that does not tell them apart is no place for both. A name that becomes longer than 200 bytes is cut to 160
//! and ends in `~` and 32 hex digits of a hash of the whole.
//!
//! A data file is `<first position>-<last position>.parquet`, each in 20 digits.

use std::fmt::Write;

use blacksmith_core::position::{Position, Span};

/// The directory of the commit records.
pub(super) const COMMITS: &str = "_commits";
/// What a commit record's name ends in.
pub(super) const RECORD_SUFFIX: &str = ".json";
/// The record of the files that are about to be published.
pub(super) const PENDING: &str = "_commits/.pending";

const FILE_SUFFIX: &str = ".parquet";
const DIRECTORY_BYTES_MAX: usize = 200;
const CUT_BYTES: usize = 160;

/// The directory for `trigger`.
pub(super) fn directory(trigger: &str) -> String {
    let mut name = String::with_capacity(trigger.len());
    for (at, byte) in trigger.bytes().enumerate() {
        let hidden = at == 0 && (matches!(byte, b'.' | b'_') || is_device(trigger));
        let lost = at + 1 == trigger.len() && byte == b'.'; // Windows drops it
        if !hidden && !lost && (byte.is_ascii_alphanumeric() || b"_.-$".contains(&byte)) {
            name.push(char::from(byte));
        } else {
            push_escaped(&mut name, byte);
        }
    }
    match name.len() {
        // No trigger has an empty name; if one had, it would still have a directory.
        0 => "%".into(),
        length if length <= DIRECTORY_BYTES_MAX => name,
        _ => cut(&name),
    }
}

/// Whether Windows would open a device under this name, whatever follows its first dot.
fn is_device(name: &str) -> bool {
    let first = name
        .split('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    match first.strip_suffix(|c: char| c.is_ascii_digit() && c != '0') {
        Some(numbered) => matches!(numbered, "com" | "lpt"),
        None => matches!(first.as_str(), "con" | "prn" | "aux" | "nul"),
    }
}

fn push_escaped(name: &mut String, byte: u8) {
    write!(name, "%{byte:02X}").expect("a string takes whatever is written");
}

fn cut(name: &str) -> String {
    // All ASCII by now. An escape that is cut in two is still only a name.
    let kept = name.get(..CUT_BYTES).unwrap_or(name);
    format!("{kept}~{:032x}", fnv1a(name.as_bytes()))
}

/// FNV-1a with 128 bits, <http://www.isthe.com/chongo/tech/comp/fnv/>.
fn fnv1a(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(PRIME)
    })
}

/// The name of the file that holds the rows of `span`.
pub(super) fn data_file(span: Span) -> String {
    format!(
        "{}-{}{FILE_SUFFIX}",
        span.first.padded(),
        span.last.padded()
    )
}

/// The span in a data file's name; none when it is not one.
pub(super) fn span_of(name: &str) -> Option<Span> {
    let (first, last) = name.strip_suffix(FILE_SUFFIX)?.split_once('-')?;
    let position = |digits| super::folder::numbered(digits, "").map(Position);
    Some(Span::new(position(first)?, position(last)?))
}

/// The path of the commit record of a load that ended with `last`.
pub(super) fn record(last: Position) -> String {
    format!("{COMMITS}/{}{RECORD_SUFFIX}", last.padded())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_names_stay_as_they_are() {
        assert_eq!(directory("public.orders"), "public.orders");
        assert_eq!(directory("public.Order_2$x-y"), "public.Order_2$x-y");
    }

    #[test]
    fn no_name_leads_out_of_the_folder_or_hides() {
        assert_eq!(directory("../../etc.passwd"), "%2E.%2F..%2Fetc.passwd");
        assert_eq!(directory(".."), "%2E%2E");
        assert_eq!(directory("_commits"), "%5Fcommits");
        assert_eq!(directory("a\\b.c d\0"), "a%5Cb.c%20d%00");
        assert_eq!(
            directory("public.zażółć"),
            "public.za%C5%BC%C3%B3%C5%82%C4%87"
        );
        assert_eq!(directory(""), "%");
        assert_eq!(directory("a.b."), "a.b%2E");
        assert_eq!(directory("Con.t"), "%43on.t");
        assert_eq!(directory("lpt9"), "%6Cpt9");
        assert_eq!(directory("com0.contents"), "com0.contents");
    }

    proptest! {
        /// Whatever a schema and a table are called, their directory is one plain component of a path.
        #[test]
        fn the_directory_of_any_name_is_one_component_below_the_folder(name in any_name()) {
            let made = directory(&name);
            prop_assert!(made.len() <= DIRECTORY_BYTES_MAX && !made.is_empty());
            prop_assert!(made.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-$%~".contains(&byte)));
            prop_assert!(!made.starts_with(['.', '_']) && !made.ends_with('.') && !is_device(&made));
            let path = std::path::Path::new("/lake").join(&made);
            prop_assert_eq!(path.parent(), Some(std::path::Path::new("/lake")));
            prop_assert_eq!(path.file_name(), Some(std::ffi::OsStr::new(&made)));
        }

        /// Names that differ have directories that do, also near each other.
        #[test]
        fn different_names_have_different_directories(name in any_name(), other in any_name(), at in 0_usize..80) {
            let mut near: Vec<char> = name.chars().collect();
            if !near.is_empty() {
                let at = at % near.len();
                near[at] = if near[at] == 'x' { 'X' } else { 'x' };
            }
            for other in [other, near.iter().collect(), directory(&name), format!("{name}.")] {
                prop_assert_eq!(directory(&name) == directory(&other), name == other, "{:?} {:?}", name, other);
            }
        }
    }

    /// Names as people and attackers choose them.
    fn any_name() -> impl Strategy<Value = String> {
        const PIECES: [&str; 18] = [
            "..", "/", "\\", ".", "%", "%2F", "%00", ":", "~", "con", "NUL", "_commits", "a", "A",
            "\0", "\n", "ż", "\"",
        ];
        let woven = proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..40);
        prop_oneof![
            woven.prop_map(|pieces| pieces.concat()),
            ".{0,130}",
            "[a-zA-Z_.]{0,130}"
        ]
    }

    #[test]
    fn an_escape_in_a_name_is_not_taken_for_one() {
        assert_ne!(directory("a.%2F"), directory("a./"));
        assert_eq!(directory("a.%2F"), "a.%252F");
    }

    #[test]
    fn long_names_are_cut_and_still_differ() {
        let long = |end: &str| directory(&format!("{}.{end}", "ж".repeat(63)));
        assert!(long("a").len() <= DIRECTORY_BYTES_MAX, "{}", long("a"));
        assert_ne!(long("a"), long("b"));
    }

    #[test]
    fn the_hash_is_the_published_one() {
        // Test vectors of the authors: FNV-1a 128 of "" and of "a".
        assert_eq!(fnv1a(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fnv1a(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }

    #[test]
    fn a_file_name_holds_its_span() {
        let span = Span::new(Position(7), Position(u64::MAX));
        let name = data_file(span);
        assert_eq!(name, "00000000000000000007-18446744073709551615.parquet");
        assert_eq!(span_of(&name), Some(span));
        for other in [
            "",
            "x.parquet",
            "7-8.parquet",
            "00000000000000000007.parquet",
        ] {
            assert_eq!(span_of(other), None, "{other}");
        }
        assert_eq!(
            span_of(&name.replace("18446744073709551615", "99999999999999999999")),
            None
        );
    }
}
