//! One value as JSON text.

use std::io::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrowPrimitiveType, BinaryArray, BooleanArray, FixedSizeBinaryArray, LargeBinaryArray,
    LargeStringArray, ListArray, PrimitiveArray, StringArray,
};
use arrow_schema::{DataType, TimeUnit};
use jiff::civil::{Date, Time};
use serde::Serialize;

/// The largest whole number that every reader of JSON reads exactly.
const EXACT_MAX: u64 = 1 << 53;

/// The values of one array, with its type looked at once.
pub(super) enum Cells<'a> {
    Bool(&'a BooleanArray),
    Int8(&'a PrimitiveArray<Int8Type>),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    UInt8(&'a PrimitiveArray<UInt8Type>),
    UInt16(&'a PrimitiveArray<UInt16Type>),
    UInt32(&'a PrimitiveArray<UInt32Type>),
    UInt64(&'a PrimitiveArray<UInt64Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Decimal128(&'a PrimitiveArray<Decimal128Type>),
    Decimal256(&'a PrimitiveArray<Decimal256Type>),
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    Bytes(&'a BinaryArray),
    LargeBytes(&'a LargeBinaryArray),
    Fixed(&'a FixedSizeBinaryArray),
    Date(&'a PrimitiveArray<Date32Type>),
    Time(&'a PrimitiveArray<Time64MicrosecondType>),
    Moment(&'a PrimitiveArray<TimestampMicrosecondType>, bool),
    List(&'a ListArray, Box<Cells<'a>>),
    Struct(&'a dyn Array, Vec<(Vec<u8>, Cells<'a>)>),
    /// A type that no decoder of ours makes: its name stands for each value.
    Foreign(&'a dyn Array),
}

impl<'a> Cells<'a> {
    pub(super) fn of(array: &'a dyn Array) -> Cells<'a> {
        match array.data_type() {
            DataType::Boolean => Cells::Bool(array.as_boolean()),
            DataType::Int8 => Cells::Int8(array.as_primitive()),
            DataType::Int16 => Cells::Int16(array.as_primitive()),
            DataType::Int32 => Cells::Int32(array.as_primitive()),
            DataType::Int64 => Cells::Int64(array.as_primitive()),
            DataType::UInt8 => Cells::UInt8(array.as_primitive()),
            DataType::UInt16 => Cells::UInt16(array.as_primitive()),
            DataType::UInt32 => Cells::UInt32(array.as_primitive()),
            DataType::UInt64 => Cells::UInt64(array.as_primitive()),
            DataType::Float32 => Cells::Float32(array.as_primitive()),
            DataType::Float64 => Cells::Float64(array.as_primitive()),
            DataType::Decimal128(..) => Cells::Decimal128(array.as_primitive()),
            DataType::Decimal256(..) => Cells::Decimal256(array.as_primitive()),
            DataType::Utf8 => Cells::Text(array.as_string()),
            DataType::LargeUtf8 => Cells::LargeText(array.as_string()),
            DataType::Binary => Cells::Bytes(array.as_binary()),
            DataType::LargeBinary => Cells::LargeBytes(array.as_binary()),
            DataType::FixedSizeBinary(_) => Cells::Fixed(array.as_fixed_size_binary()),
            DataType::Date32 => Cells::Date(array.as_primitive()),
            DataType::Time64(TimeUnit::Microsecond) => Cells::Time(array.as_primitive()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                Cells::Moment(array.as_primitive(), zone.is_some())
            }
            DataType::List(_) => {
                let list: &ListArray = array.as_list();
                Cells::List(list, Box::new(Cells::of(list.values().as_ref())))
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns();
                let named = fields.iter().zip(columns);
                let named =
                    named.map(|(field, column)| (label(field.name()), Cells::of(column.as_ref())));
                Cells::Struct(array, named.collect())
            }
            _ => Cells::Foreign(array),
        }
    }

    /// Writes value `at`.
    pub(super) fn write(&self, at: usize, out: &mut Vec<u8>) {
        match self {
            Cells::Bool(array) => match array.is_null(at) {
                true => null(out),
                false => put(&array.value(at), out),
            },
            Cells::Int8(array) => plain(array, at, out),
            Cells::Int16(array) => plain(array, at, out),
            Cells::Int32(array) => plain(array, at, out),
            Cells::UInt8(array) => plain(array, at, out),
            Cells::UInt16(array) => plain(array, at, out),
            Cells::UInt32(array) => plain(array, at, out),
            Cells::Int64(array) => each(array, at, out, |number, out| {
                whole(&number, number.unsigned_abs(), out);
            }),
            Cells::UInt64(array) => each(array, at, out, |number, out| whole(&number, number, out)),
            Cells::Float32(array) => each(array, at, out, |number, out| {
                float(&number, f64::from(number), out);
            }),
            Cells::Float64(array) => {
                each(array, at, out, |number, out| float(&number, number, out))
            }
            Cells::Decimal128(array) => match array.is_null(at) {
                true => null(out),
                false => quoted(array.value_as_string(at), out),
            },
            Cells::Decimal256(array) => match array.is_null(at) {
                true => null(out),
                false => quoted(array.value_as_string(at), out),
            },
            Cells::Text(array) => match array.is_null(at) {
                true => null(out),
                false => put(array.value(at), out),
            },
            Cells::LargeText(array) => match array.is_null(at) {
                true => null(out),
                false => put(array.value(at), out),
            },
            Cells::Bytes(array) => match array.is_null(at) {
                true => null(out),
                false => hex(array.value(at), out),
            },
            Cells::LargeBytes(array) => match array.is_null(at) {
                true => null(out),
                false => hex(array.value(at), out),
            },
            Cells::Fixed(array) => match (array.is_null(at), array.value_length()) {
                (true, _) => null(out),
                (false, 16) => uuid(array.value(at), out),
                (false, _) => hex(array.value(at), out),
            },
            Cells::Date(array) => each(array, at, out, date),
            Cells::Time(array) => each(array, at, out, time),
            Cells::Moment(array, zoned) => {
                each(array, at, out, |micros, out| moment(micros, *zoned, out));
            }
            Cells::List(array, items) => match array.is_null(at) {
                true => null(out),
                false => list(array, items, at, out),
            },
            Cells::Struct(array, fields) => match array.is_null(at) {
                true => null(out),
                false => fields_of(fields, at, out),
            },
            Cells::Foreign(array) => match array.is_null(at) {
                true => null(out),
                false => quoted(format_args!("({})", array.data_type()), out),
            },
        }
    }
}

/// `"name":`, ready to stand before a value.
pub(super) fn label(name: &str) -> Vec<u8> {
    let mut label = Vec::with_capacity(name.len() + 3);
    put(name, &mut label);
    label.push(b':');
    label
}

/// Writes what serde writes of `value`. Only for what cannot fail: numbers, text, truth.
pub(super) fn put<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    // Memory takes whatever is written, and these types have no way to refuse.
    serde_json::to_writer(out, value).ok();
}

pub(super) fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"null");
}

/// Writes text that needs no escapes.
pub(super) fn quoted(text: impl std::fmt::Display, out: &mut Vec<u8>) {
    out.push(b'"');
    // Memory takes whatever is written.
    write!(out, "{text}").ok();
    out.push(b'"');
}

fn each<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    at: usize,
    out: &mut Vec<u8>,
    write: impl FnOnce(T::Native, &mut Vec<u8>),
) {
    match array.is_null(at) {
        true => null(out),
        false => write(array.value(at), out),
    }
}

fn plain<T: ArrowPrimitiveType<Native: Serialize>>(
    array: &PrimitiveArray<T>,
    at: usize,
    out: &mut Vec<u8>,
) {
    each(array, at, out, |number, out| put(&number, out));
}

/// A whole number of this size, regardless of its sign.
fn whole(number: &(impl Serialize + std::fmt::Display), size: u64, out: &mut Vec<u8>) {
    match size <= EXACT_MAX {
        true => put(number, out),
        false => quoted(number, out),
    }
}

pub(super) fn unsigned(number: u64, out: &mut Vec<u8>) {
    whole(&number, number, out);
}

/// A float in its own width, so that its shortest text is written; `wide` is the same value.
fn float(number: &impl Serialize, wide: f64, out: &mut Vec<u8>) {
    match wide {
        _ if wide.is_finite() => put(number, out),
        _ if wide.is_nan() => quoted("NaN", out),
        _ if wide > 0.0 => quoted("Infinity", out),
        _ => quoted("-Infinity", out),
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn hex_digits(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"\\\\x");
    hex_digits(bytes, out);
    out.push(b'"');
}

fn uuid(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for (at, pair) in bytes.chunks(2).enumerate() {
        if matches!(at, 2..=5) {
            out.push(b'-');
        }
        hex_digits(pair, out);
    }
    out.push(b'"');
}

fn date(days: i32, out: &mut Vec<u8>) {
    let epoch = Date::constant(1970, 1, 1);
    let span = jiff::Span::new().try_days(days);
    match span.and_then(|span| epoch.checked_add(span)) {
        Ok(date) => quoted(date, out),
        Err(_) => quoted(format_args!("{days} days since 1970-01-01"), out),
    }
}

fn time(micros: i64, out: &mut Vec<u8>) {
    let midnight = Time::midnight();
    match midnight.checked_add(jiff::SignedDuration::from_micros(micros)) {
        Ok(time) => quoted(time, out),
        Err(_) => quoted(format_args!("{micros} us since midnight"), out),
    }
}

pub(super) fn moment(micros: i64, zoned: bool, out: &mut Vec<u8>) {
    match (jiff::Timestamp::from_microsecond(micros), zoned) {
        (Ok(at), true) => quoted(at, out),
        (Ok(at), false) => quoted(jiff::tz::Offset::UTC.to_datetime(at), out),
        (Err(_), _) => quoted(format_args!("{micros} us since 1970-01-01"), out),
    }
}

fn list(array: &ListArray, items: &Cells<'_>, at: usize, out: &mut Vec<u8>) {
    let offsets = array.value_offsets();
    // Arrow checked its offsets when the array was built.
    let (first, end) = (offsets[at] as usize, offsets[at + 1] as usize);
    out.push(b'[');
    for item in first..end {
        if item > first {
            out.push(b',');
        }
        items.write(item, out);
    }
    out.push(b']');
}

fn fields_of(fields: &[(Vec<u8>, Cells<'_>)], at: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (label, cells)) in fields.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(label);
        cells.write(at, out);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    use arrow_array::builder::{Int32Builder, ListBuilder};
    use arrow_array::{
        Date32Array, Decimal128Array, Float32Array, Float64Array, Int64Array,
        Time64MicrosecondArray, TimestampMicrosecondArray, UInt64Array,
    };

    fn first(array: &dyn Array) -> String {
        let mut out = Vec::new();
        Cells::of(array).write(0, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_value_has_a_json_form_that_loses_nothing() {
        let mut list = ListBuilder::new(Int32Builder::new());
        list.append_value([Some(1), None]);
        let uuid = FixedSizeBinaryArray::try_from_iter([[0x1f; 16]].into_iter()).unwrap();
        let decimal = Decimal128Array::from(vec![-12_345])
            .with_precision_and_scale(10, 4)
            .unwrap();
        let moment = TimestampMicrosecondArray::from(vec![1_700_000_000_123_456]);
        let cases: [(&dyn Array, &str); 24] = [
            (&BooleanArray::from(vec![true]), "true"),
            (&Int64Array::from(vec![Some(-5)]), "-5"),
            (&Int64Array::from(vec![1 << 53]), "9007199254740992"),
            (&Int64Array::from(vec![i64::MAX]), "\"9223372036854775807\""),
            (
                &Int64Array::from(vec![i64::MIN]),
                "\"-9223372036854775808\"",
            ),
            (
                &UInt64Array::from(vec![u64::MAX]),
                "\"18446744073709551615\"",
            ),
            (&Int64Array::from(vec![None]), "null"),
            (&Float32Array::from(vec![0.1]), "0.1"),
            (&Float64Array::from(vec![-0.0]), "-0.0"),
            (&Float64Array::from(vec![f64::NAN]), "\"NaN\""),
            (
                &Float64Array::from(vec![f64::NEG_INFINITY]),
                "\"-Infinity\"",
            ),
            (&Float32Array::from(vec![f32::INFINITY]), "\"Infinity\""),
            (
                &StringArray::from(vec!["é \"\n\u{1}"]),
                "\"é \\\"\\n\\u0001\"",
            ),
            (&BinaryArray::from(vec![&[0_u8, 255][..]]), "\"\\\\x00ff\""),
            (&uuid, "\"1f1f1f1f-1f1f-1f1f-1f1f-1f1f1f1f1f1f\""),
            (&decimal, "\"-1.2345\""),
            (&Date32Array::from(vec![-1]), "\"1969-12-31\""),
            (
                &Date32Array::from(vec![i32::MAX]),
                "\"2147483647 days since 1970-01-01\"",
            ),
            (
                &Time64MicrosecondArray::from(vec![3_600_000_001]),
                "\"01:00:00.000001\"",
            ),
            (&moment, "\"2023-11-14T22:13:20.123456\""),
            (
                &moment.clone().with_timezone("UTC"),
                "\"2023-11-14T22:13:20.123456Z\"",
            ),
            (
                &TimestampMicrosecondArray::from(vec![i64::MAX]),
                "\"9223372036854775807 us since 1970-01-01\"",
            ),
            (&list.finish(), "[1,null]"),
            (&arrow_array::NullArray::new(1), "\"(Null)\""),
        ];
        for (array, expected) in cases {
            assert_eq!(first(array), expected);
        }
    }
}
