//! Arrow values as the text that Postgres's output functions write.
//!
//! The settings are those of [`crate::db::Session`]: UTC, ISO dates, shortest exact floats, hex
//! bytea. Written from the Postgres manual and checked against a live server; it shares nothing
//! with Blacksmith's decoder, whose work it judges.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// The value of `array` at `row`, which is not null, as Postgres text for a column of `pg_type`.
///
/// # Panics
/// When the Arrow type is none that the mapping of Postgres types uses.
#[must_use]
pub(super) fn text(array: &ArrayRef, pg_type: &str, row: usize) -> String {
    match array.data_type() {
        DataType::Boolean => if array.as_boolean().value(row) {
            "t"
        } else {
            "f"
        }
        .into(),
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).to_string(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(row).to_string(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).to_string(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).to_string(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::Float32 => float4(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => float8(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value_as_string(row),
        DataType::Decimal256(..) => array.as_primitive::<Decimal256Type>().value_as_string(row),
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).into(),
        DataType::Binary => bytea(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => bytea(array.as_binary::<i64>().value(row)),
        DataType::FixedSizeBinary(16) => uuid(array.as_fixed_size_binary().value(row)),
        DataType::Date32 => date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Time64(TimeUnit::Microsecond) => {
            time(array.as_primitive::<Time64MicrosecondType>().value(row))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            timestamp(micros, zone.is_some())
        }
        DataType::List(_) => list(&array.as_list::<i32>().value(row), pg_type),
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(row), pg_type),
        other => panic!("no Postgres type arrives as {other}, yet {pg_type} did"),
    }
}

fn list(elements: &ArrayRef, pg_type: &str) -> String {
    if is_vector(pg_type) {
        let numbers = (0..elements.len()).map(|row| text(elements, "real", row));
        return format!("[{}]", numbers.collect::<Vec<_>>().join(","));
    }
    let element_type = pg_type.strip_suffix("[]").unwrap_or(pg_type);
    let nested = matches!(
        elements.data_type(),
        DataType::List(_) | DataType::LargeList(_)
    );
    let delimiter = if element_type == "box" { ";" } else { "," };
    let elements = (0..elements.len()).map(|row| match elements.is_null(row) {
        true => "NULL".into(),
        false if nested => text(elements, element_type, row),
        false => element(text(elements, element_type, row), delimiter),
    });
    format!("{{{}}}", elements.collect::<Vec<_>>().join(delimiter))
}

/// The vector type of pgvector, in whatever schema it was installed.
fn is_vector(pg_type: &str) -> bool {
    let name = pg_type.rsplit('.').next().unwrap_or_default();
    name == "vector" || name.starts_with("vector(")
}

/// An element of an array, quoted when it has to be.
fn element(text: String, delimiter: &str) -> String {
    let special = |c: char| matches!(c, '{' | '}' | '"' | '\\') || delimiter.contains(c);
    let space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c');
    let plain = !text.is_empty()
        && !text.eq_ignore_ascii_case("null")
        && !text.contains(|c| special(c) || space(c));
    if plain {
        return text;
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

fn bytea(bytes: &[u8]) -> String {
    let mut text = String::from("\\x");
    push_hex(&mut text, bytes);
    text
}

fn uuid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (index, part) in [0..4, 4..6, 6..8, 8..10, 10..16].into_iter().enumerate() {
        if index > 0 {
            text.push('-');
        }
        push_hex(&mut text, &bytes[part]);
    }
    text
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

pub(super) fn float4(value: f32) -> String {
    float(f64::from(value), format!("{value:e}"), 6)
}

pub(super) fn float8(value: f64) -> String {
    float(value, format!("{value:e}"), 15)
}

/// A float as Postgres writes it, from its shortest digits in scientific form: positional while
/// the exponent is at least -4 and below `exponent_end`.
fn float(value: f64, scientific: String, exponent_end: i32) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    let (mantissa, exponent) = scientific.split_once('e').expect("{:e} writes an exponent");
    let exponent: i32 = exponent.parse().expect("{:e} writes a decimal exponent");
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    if exponent < -4 || exponent >= exponent_end {
        let minus = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{mantissa}e{minus}{:02}", exponent.abs());
    }
    format!("{sign}{}", positional(&mantissa.replace('.', ""), exponent))
}

fn positional(digits: &str, exponent: i32) -> String {
    let Ok(before_point) = usize::try_from(exponent + 1) else {
        let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
        return format!("0.{zeros}{digits}");
    };
    if before_point == 0 {
        return format!("0.{digits}");
    }
    if digits.len() <= before_point {
        return format!("{digits:0<before_point$}");
    }
    let (whole, fraction) = digits.split_at(before_point);
    format!("{whole}.{fraction}")
}

fn date(days: i32) -> String {
    let (date, before_christ) = civil(i64::from(days));
    date + before_christ
}

fn timestamp(micros: i64, zoned: bool) -> String {
    let (date, before_christ) = civil(micros.div_euclid(MICROS_PER_DAY));
    let time = time(micros.rem_euclid(MICROS_PER_DAY));
    let zone = if zoned { "+00" } else { "" };
    format!("{date} {time}{zone}{before_christ}")
}

fn time(micros: i64) -> String {
    let (seconds, fraction) = (micros / MICROS_PER_SECOND, micros % MICROS_PER_SECOND);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let whole = format!("{hours:02}:{minutes:02}:{:02}", seconds % 60);
    if fraction == 0 {
        return whole;
    }
    let fraction = format!("{fraction:06}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

/// Date and era of a day counted from 1970, in the proleptic Gregorian calendar that Postgres
/// uses. Eras of 400 years have 146,097 days; years begin in March, so that the leap day is last.
fn civil(days: i64) -> (String, &'static str) {
    let days = days + 719_468; // from 0000-03-01
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    match year {
        1.. => (format!("{year:04}-{month:02}-{day:02}"), ""),
        _ => (format!("{:04}-{month:02}-{day:02}", 1 - year), " BC"),
    }
}
