//! A row of a record batch as JSON.
//!
//! Numbers that JSON cannot hold exactly (decimals, 64-bit integers beyond 2^53, NaN) are written as text, bytes as
//! `\x…`, uuids and times in their usual text form, in UTC.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use jiff::civil::{Date, Time};
use serde_json::{Map, Value, json};

/// The largest whole number that every reader of JSON reads exactly.
const EXACT_MAX: u64 = 1 << 53;

/// Row `index` of `rows` as an object.
pub(super) fn object(rows: &RecordBatch, index: usize) -> Value {
    let schema = rows.schema();
    let fields = schema.fields().iter().zip(rows.columns());
    let values =
        fields.map(|(field, column)| (field.name().clone(), value(column.as_ref(), index)));
    Value::Object(values.collect::<Map<_, _>>())
}

/// Value `index` of `array`.
pub(super) fn value(array: &dyn Array, index: usize) -> Value {
    if array.is_null(index) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => json!(array.as_boolean().value(index)),
        DataType::Int8 => json!(array.as_primitive::<Int8Type>().value(index)),
        DataType::Int16 => json!(array.as_primitive::<Int16Type>().value(index)),
        DataType::Int32 => json!(array.as_primitive::<Int32Type>().value(index)),
        DataType::Int64 => signed(array.as_primitive::<Int64Type>().value(index)),
        DataType::UInt8 => json!(array.as_primitive::<UInt8Type>().value(index)),
        DataType::UInt16 => json!(array.as_primitive::<UInt16Type>().value(index)),
        DataType::UInt32 => json!(array.as_primitive::<UInt32Type>().value(index)),
        DataType::UInt64 => unsigned(array.as_primitive::<UInt64Type>().value(index)),
        DataType::Float32 => float32(array.as_primitive::<Float32Type>().value(index)),
        DataType::Float64 => float64(array.as_primitive::<Float64Type>().value(index)),
        DataType::Decimal128(..) => json!(
            array
                .as_primitive::<Decimal128Type>()
                .value_as_string(index)
        ),
        DataType::Decimal256(..) => json!(
            array
                .as_primitive::<Decimal256Type>()
                .value_as_string(index)
        ),
        DataType::Utf8 => json!(array.as_string::<i32>().value(index)),
        DataType::LargeUtf8 => json!(array.as_string::<i64>().value(index)),
        DataType::Binary => bytes(array.as_binary::<i32>().value(index)),
        DataType::LargeBinary => bytes(array.as_binary::<i64>().value(index)),
        DataType::FixedSizeBinary(16) => uuid(array.as_fixed_size_binary().value(index)),
        DataType::FixedSizeBinary(_) => bytes(array.as_fixed_size_binary().value(index)),
        DataType::Date32 => date(array.as_primitive::<Date32Type>().value(index)),
        DataType::Time64(TimeUnit::Microsecond) => {
            time(array.as_primitive::<Time64MicrosecondType>().value(index))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => timestamp(
            array
                .as_primitive::<TimestampMicrosecondType>()
                .value(index),
            zone.is_some(),
        ),
        DataType::List(_) => list(array.as_list::<i32>().value(index).as_ref()),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter();
            let values = fields.iter().zip(columns);
            values
                .map(|(field, column)| (field.name().clone(), value(column.as_ref(), index)))
                .collect()
        }
        other => json!(format!("({other})")),
    }
}

fn list(items: &dyn Array) -> Value {
    (0..items.len()).map(|index| value(items, index)).collect()
}

fn signed(number: i64) -> Value {
    match number.unsigned_abs() <= EXACT_MAX {
        true => json!(number),
        false => json!(number.to_string()),
    }
}

fn unsigned(number: u64) -> Value {
    match number <= EXACT_MAX {
        true => json!(number),
        false => json!(number.to_string()),
    }
}

fn float32(number: f32) -> Value {
    // The shortest text that reads as the same float, not that of the nearest double.
    let text = number.to_string();
    let shortest: f64 = text.parse().unwrap_or(f64::NAN);
    match shortest.is_finite() {
        true => json!(shortest),
        false => json!(text),
    }
}

fn float64(number: f64) -> Value {
    match number.is_finite() {
        true => json!(number),
        false => json!(number.to_string()),
    }
}

fn bytes(bytes: &[u8]) -> Value {
    json!(format!("\\x{}", hex(bytes)))
}

fn uuid(bytes: &[u8]) -> Value {
    let hex = hex(bytes);
    let parts =
        [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| hex.get(range).unwrap_or_default());
    json!(parts.join("-"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn date(days: i32) -> Value {
    let epoch = Date::constant(1970, 1, 1);
    let span = jiff::Span::new().try_days(days);
    match span.and_then(|span| epoch.checked_add(span)) {
        Ok(date) => json!(date.to_string()),
        Err(_) => json!(format!("{days} days since 1970-01-01")),
    }
}

fn time(micros: i64) -> Value {
    let midnight = Time::midnight();
    match midnight.checked_add(jiff::SignedDuration::from_micros(micros)) {
        Ok(time) => json!(time.to_string()),
        Err(_) => json!(format!("{micros} us since midnight")),
    }
}

fn timestamp(micros: i64, has_zone: bool) -> Value {
    let Ok(timestamp) = jiff::Timestamp::from_microsecond(micros) else {
        return json!(format!("{micros} us since 1970-01-01"));
    };
    match has_zone {
        true => json!(timestamp.to_string()),
        false => json!(
            timestamp
                .to_zoned(jiff::tz::TimeZone::UTC)
                .datetime()
                .to_string()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow_array::builder::{Int32Builder, ListBuilder};
    use arrow_array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray,
        Float32Array, Float64Array, Int64Array, StringArray, Time64MicrosecondArray,
        TimestampMicrosecondArray,
    };

    fn first(array: impl Array) -> Value {
        value(&array, 0)
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
        for (found, expected) in [
            (first(BooleanArray::from(vec![true])), json!(true)),
            (first(Int64Array::from(vec![Some(-5)])), json!(-5)),
            (
                first(Int64Array::from(vec![Some(i64::MAX)])),
                json!("9223372036854775807"),
            ),
            (first(Int64Array::from(vec![None])), Value::Null),
            (first(Float32Array::from(vec![0.1])), json!(0.1)),
            (first(Float64Array::from(vec![f64::NAN])), json!("NaN")),
            (
                first(Float64Array::from(vec![f64::NEG_INFINITY])),
                json!("-inf"),
            ),
            (first(StringArray::from(vec!["é"])), json!("é")),
            (
                first(BinaryArray::from(vec![&[0_u8, 255][..]])),
                json!("\\x00ff"),
            ),
            (first(uuid), json!("1f1f1f1f-1f1f-1f1f-1f1f-1f1f1f1f1f1f")),
            (first(decimal), json!("-1.2345")),
            (first(Date32Array::from(vec![-1])), json!("1969-12-31")),
            (
                first(Date32Array::from(vec![i32::MAX])),
                json!("2147483647 days since 1970-01-01"),
            ),
            (
                first(Time64MicrosecondArray::from(vec![3_600_000_001])),
                json!("01:00:00.000001"),
            ),
            (first(moment.clone()), json!("2023-11-14T22:13:20.123456")),
            (
                first(moment.with_timezone("UTC")),
                json!("2023-11-14T22:13:20.123456Z"),
            ),
            (
                first(TimestampMicrosecondArray::from(vec![i64::MAX])),
                json!("9223372036854775807 us since 1970-01-01"),
            ),
            (first(list.finish()), json!([1, null])),
        ] {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_row_is_an_object_by_column() {
        let columns: [(&str, ArrayRef); 2] = [
            ("id", Arc::new(Int64Array::from(vec![7, 8]))),
            ("name", Arc::new(StringArray::from(vec![Some("a"), None]))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        assert_eq!(object(&rows, 1), json!({"id": 8, "name": null}));
    }
}
