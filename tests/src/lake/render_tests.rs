//! The renderer, checked value by value against what a live server writes.

use std::sync::Arc;

use arrow_array::builder::{
    Float32Builder, Int32Builder, ListBuilder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray,
    Float32Array, Float64Array, Int64Array, Time64MicrosecondArray, TimestampMicrosecondArray,
};

use super::canon::canonical;
use super::render::text;
use crate::dice::Dice;
use crate::server::Server;

/// Renders every row and compares it with the text of the SQL expression for the same row.
#[track_caller]
fn same(array: ArrayRef, pg_type: &str, expressions: &[String]) {
    assert_eq!(array.len(), expressions.len());
    let mut session = Server::shared().existing("postgres").session();
    let casts = expressions
        .iter()
        .map(|sql| format!("(({sql})::{pg_type})"));
    let selects: Vec<String> = casts.map(|cast| format!("select {cast}")).collect();
    let said = session.rows(&selects.join(" union all "));
    for (row, said) in said.into_iter().enumerate() {
        let said = said
            .into_iter()
            .next()
            .flatten()
            .map(|said| canonical(pg_type, said));
        let rendered = text(&array, pg_type, row);
        assert_eq!(Some(rendered), said, "{pg_type}: {}", expressions[row]);
    }
}

fn literals<T: std::fmt::Display>(values: &[T]) -> Vec<String> {
    values.iter().map(|value| format!("'{value}'")).collect()
}

#[test]
fn floats_are_rendered_as_the_server_does() {
    let mut dice = Dice::new(1);
    let mut doubles = vec![
        0.0,
        -0.0,
        1.0,
        0.1,
        1e15,
        1e14,
        123_456_789_012_345.0,
        1e-4,
        1e-5,
    ];
    doubles.extend([
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN_POSITIVE,
        f64::MAX,
    ]);
    doubles.extend([5e-324, -1.5e-7, 1234.5678, 100.0, 0.00012]);
    doubles.extend((0..400).map(|_| f64::from_bits(dice.bits())));
    doubles.extend((0..400).map(|_| dice.below(1 << 40) as f64 / 1024.0));
    same(
        Arc::new(Float64Array::from(doubles.clone())),
        "float8",
        &literals(&doubles),
    );

    let mut floats = vec![
        0.0_f32,
        -0.0,
        1e6,
        1e5,
        123_456.0,
        1_234_567.0,
        1e-4,
        1e-5,
        3.5,
    ];
    floats.extend([f32::NAN, f32::INFINITY, f32::MAX, 1e-45]);
    floats.extend((0..400).map(|_| f32::from_bits(dice.bits() as u32)));
    same(
        Arc::new(Float32Array::from(floats.clone())),
        "float4",
        &literals(&floats),
    );
}

#[test]
fn dates_and_times_are_rendered_as_the_server_does() {
    let mut dice = Dice::new(2);
    // From 4713 BC to 5874897 AD, the whole range of a date.
    let mut days = vec![
        -2_440_588,
        2_145_031_948,
        0,
        -719_528,
        -719_529,
        -719_163,
        -719_162,
        59,
    ];
    days.extend((0..300).map(|_| dice.below(4_000_000) as i32 - 2_400_000));
    let sql: Vec<_> = days
        .iter()
        .map(|days| format!("date '1970-01-01' + ({days})"))
        .collect();
    same(Arc::new(Date32Array::from(days)), "date", &sql);

    let mut micros = vec![
        0,
        -1,
        1,
        999_999,
        -62_135_596_800_000_000,
        -62_135_596_800_000_001,
    ];
    micros.push(-210_866_803_200_000_000); // 4713 BC
    micros.extend((0..300).map(|_| dice.below(1 << 57) as i64 - (1 << 56)));
    let since = "timestamp '1970-01-01' + interval";
    let sql: Vec<_> = micros
        .iter()
        .map(|us| format!("{since} '{us} microseconds'"))
        .collect();
    let array = TimestampMicrosecondArray::from(micros);
    same(Arc::new(array.clone()), "timestamp", &sql);
    let zoned: Vec<_> = sql
        .iter()
        .map(|sql| format!("({sql}) at time zone 'UTC'"))
        .collect();
    same(Arc::new(array.with_timezone("UTC")), "timestamptz", &zoned);

    let times = vec![0, 1, 1_000_000, 86_399_999_999, 45_296_120_000];
    let sql: Vec<_> = times
        .iter()
        .map(|us| format!("time '00:00' + interval '{us} microseconds'"))
        .collect();
    same(Arc::new(Time64MicrosecondArray::from(times)), "time", &sql);
}

#[test]
fn exact_and_opaque_values_are_rendered_as_the_server_does() {
    let numbers = [0_i128, 1, -1, 12_345, -99_999_999_999];
    let array = Decimal128Array::from(numbers.to_vec());
    let array = array.with_precision_and_scale(14, 3).unwrap();
    let sql = numbers.map(|number| format!("{number}::numeric / 1000"));
    same(Arc::new(array), "numeric(14,3)", &sql);
    let array = Decimal128Array::from(numbers.to_vec());
    let array = array.with_precision_and_scale(14, 0).unwrap();
    same(
        Arc::new(array),
        "numeric(14,0)",
        &numbers.map(|number| number.to_string()),
    );

    let integers = [i64::MIN, 0, i64::MAX];
    same(
        Arc::new(Int64Array::from(integers.to_vec())),
        "int8",
        &literals(&integers),
    );
    let booleans = BooleanArray::from(vec![true, false]);
    same(Arc::new(booleans), "bool", &["true".into(), "false".into()]);
    let bytes = BinaryArray::from(vec![b"\x00\xff\x10" as &[u8], b""]);
    same(
        Arc::new(bytes),
        "bytea",
        &["decode('00ff10', 'hex')".into(), "''".into()],
    );
    let id = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    let bytes = u128::from_str_radix(&id.replace('-', ""), 16)
        .unwrap()
        .to_be_bytes();
    let array = FixedSizeBinaryArray::try_from_iter([bytes].iter()).unwrap();
    same(Arc::new(array), "uuid", &literals(&[id]));
}

#[test]
fn arrays_are_rendered_and_quoted_as_the_server_does() {
    let words = [
        "", "a", "a b", "NULL", "null", "a,b", "{}", "\"", "\\", "tab\t", "ä", "a;b",
    ];
    let mut lists = ListBuilder::new(StringBuilder::new());
    for word in words {
        lists.values().append_value(word);
    }
    lists.values().append_null();
    lists.append(true);
    lists.append(true);
    let sql = words.map(|word| format!("$q${word}$q$")).join(", ");
    same(
        Arc::new(lists.finish()),
        "text[]",
        &[format!("array[{sql}, null]"), "'{}'".into()],
    );

    let mut numbers = ListBuilder::new(Int32Builder::new());
    numbers.values().append_slice(&[1, -2]);
    numbers.append(true);
    same(
        Arc::new(numbers.finish()),
        "int4[]",
        &["array[1, -2]".into()],
    );

    let mut times = ListBuilder::new(TimestampMicrosecondBuilder::new());
    times.values().append_value(1_500_000);
    times.append(true);
    same(
        Arc::new(times.finish()),
        "timestamp[]",
        &["array[timestamp '1970-01-01 00:00:01.5']".into()],
    );
}

#[test]
fn a_vector_is_rendered_in_square_brackets() {
    let mut vectors = ListBuilder::new(Float32Builder::new());
    vectors.values().append_slice(&[1.0, -0.5, 3e10]);
    vectors.append(true);
    let vectors: ArrayRef = Arc::new(vectors.finish());
    assert_eq!(text(&vectors, "public.vector(3)", 0), "[1,-0.5,3e+10]");
    assert_eq!(text(&vectors, "real[]", 0), "{1,-0.5,3e+10}");
}
