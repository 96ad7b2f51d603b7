//! Sizes as people write them: `128MiB`, `1.5 GB`, `1_000_000`.

/// Reads a number of bytes. `KiB MiB GiB TiB` are powers of 1024, `kB MB GB TB` powers of 1000, `B` or
/// nothing is bytes; case does not matter, nor do spaces and underscores.
///
/// # Errors
/// A sentence saying what is wrong, without the text itself.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let plain: String = text.chars().filter(|c| !matches!(c, ' ' | '_')).collect();
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let (number, unit) = plain.split_at(plain.find(|c| !is_number(c)).unwrap_or(plain.len()));
    let unit_bytes: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err("the unit is not one of B, kB, KiB, MB, MiB, GB, GiB, TB, TiB".into()),
    };
    let too_large = || "the size is too large".to_owned();
    if let Ok(count) = number.parse::<u64>() {
        return count.checked_mul(unit_bytes).ok_or_else(too_large);
    }
    let count: f64 = number
        .parse()
        .map_err(|_| "a size is a number and a unit".to_owned())?;
    let bytes = (count * unit_bytes as f64).round();
    match bytes < u64::MAX as f64 {
        true => Ok(bytes as u64),
        false => Err(too_large()),
    }
}

/// Writes `bytes` for people: the largest binary unit that gives at least 1, one decimal where needed.
#[must_use]
pub fn write_size(bytes: u64) -> String {
    let units = [
        ("TiB", 1_u64 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        None => format!("{bytes} B"),
        Some((name, unit)) if bytes.is_multiple_of(unit) => format!("{} {name}", bytes / unit),
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_binary_and_decimal_units() {
        for (text, bytes) in [
            ("128MiB", 128 << 20),
            ("10 GiB", 10 << 30),
            ("1_000_000", 1_000_000),
            ("64mb", 64_000_000),
            ("1.5KiB", 1_536),
            ("0", 0),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "a number and a unit"),
            ("MiB", "a number and a unit"),
            ("-1", "unit is not one of"),
            ("12 bananas", "unit is not one of"),
            ("99999999999TiB", "too large"),
            ("1.2.3MiB", "a number and a unit"),
        ] {
            let error = parse_size(text).unwrap_err();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_written_size_uses_the_largest_unit_that_fits() {
        let written = [0, 1_023, 1_024, 128 << 20, 1_610_612_736].map(write_size);
        assert_eq!(written, ["0 B", "1023 B", "1 KiB", "128 MiB", "1.5 GiB"]);
    }
}
