use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float32Type};
use proptest::prelude::*;

use super::super::mapping::{Form, Plan};
use super::super::misfit::{Fit, Misfit};
use super::super::number::{float, write_float};
use super::super::odd::Odd;
use super::super::scalar::ScalarBuilder;
use super::super::{TypeKind, binary_ok, column, text};
use super::{NUMERIC, typmod};
use crate::protocol::Value;

#[test]
fn numeric_takes_the_decimal_that_its_typmod_needs() {
    let form = |typmod| Plan::of(&TypeKind::Base(NUMERIC), typmod);
    let decimal = |precision, scale| Plan::One(Form::Decimal128 { precision, scale });
    assert_eq!(form(-1), Plan::One(Form::Numeric));
    assert_eq!(form(typmod(10, 2)), decimal(10, 2));
    assert_eq!(form(typmod(38, 38)), decimal(38, 38));
    assert_eq!(
        form(typmod(39, 0)),
        Plan::One(Form::Decimal256 {
            precision: 39,
            scale: 0
        })
    );
    assert_eq!(form(typmod(77, 0)), Plan::One(Form::Numeric));
    assert_eq!(form(typmod(3, -2)), decimal(5, 0));
    assert_eq!(form(typmod(2, 4)), decimal(4, 4));
    assert_eq!(form(typmod(1000, 1000)), Plan::One(Form::Numeric));
}

#[test]
fn a_domain_over_a_domain_has_the_type_and_modifier_of_the_innermost() {
    let inner = TypeKind::Domain {
        base: Box::new(TypeKind::Base(NUMERIC)),
        typmod: typmod(9, 3),
    };
    let outer = TypeKind::Domain {
        base: Box::new(inner),
        typmod: -1,
    };
    assert_eq!(
        Plan::of(&outer, -1),
        Plan::One(Form::Decimal128 {
            precision: 9,
            scale: 3
        })
    );
    assert!(binary_ok(&outer));
    assert!(!binary_ok(&TypeKind::Composite) && !binary_ok(&TypeKind::Unknown));
}

/// Adds a value as a row does: one that does not go in leaves nothing behind.
fn push(column: &mut column::ColumnBuilder, value: Value<'_>) -> Fit<()> {
    let (before, mut odd) = (column.len(), Odd::default());
    column.extend(std::iter::once(value), &mut odd);
    assert_eq!(column.len(), before + 1);
    match odd.first() {
        None => Ok(()),
        Some(misfit) => {
            column.truncate(before);
            Err(misfit)
        }
    }
}

fn beyond(form: Form, text: &str) -> bool {
    ScalarBuilder::new(form).push(Value::Text(text.as_bytes())) == Err(Misfit::Beyond)
}

fn wrong(form: Form, text: &str) -> bool {
    matches!(
        ScalarBuilder::new(form).push(Value::Text(text.as_bytes())),
        Err(Misfit::Wrong(_))
    )
}

#[test]
fn what_an_arrow_type_cannot_hold_is_beyond_and_nonsense_is_wrong() {
    let decimal = Form::Decimal128 {
        precision: 4,
        scale: 2,
    };
    for (form, text) in [
        (decimal, "NaN"),
        (decimal, "-Infinity"),
        (decimal, "100.00"),
        (decimal, "1.001"),
        (Form::Date, "infinity"),
        (Form::Time, "24:00:00"),
        (Form::Timestamp, "-infinity"),
        (Form::Timestamp, "294276-12-31 23:59:59.999999"),
    ] {
        assert!(beyond(form, text), "{form:?} {text}");
    }
    for (form, text) in [
        (decimal, ""),
        (decimal, "1."),
        (decimal, ".5"),
        (decimal, "1e3"),
        (decimal, "1.2.3"),
        (Form::Int2, "32768"),
        (Form::Int8, "9223372036854775808"),
        (Form::Int8, "99999999999999999999"),
        (Form::Oid, "-1"),
        (Form::Int4, "-"),
        (Form::Bool, "true"),
        (Form::Date, "2024-13-01"),
        (Form::Date, "2024-01-01x"),
        (Form::Date, "24-01-01"),
        (Form::Time, "24:00:01"),
        (Form::Time, "10:61:00"),
        (Form::Timestamp, "2024-01-01"),
        (Form::Timestamp, "2024-01-01 00:00:00.1234567"),
        (Form::Uuid, "00000000-0000-0000-0000-00000000000g"),
        (Form::Bytea, "\\x0"),
        (Form::Bytea, "\\9"),
    ] {
        assert!(wrong(form, text), "{form:?} {text}");
    }
}

/// What `text` becomes in a column of `form`, as Arrow counts it.
fn counted<T: ArrowPrimitiveType>(form: Form, text: &str) -> T::Native {
    let mut builder = ScalarBuilder::new(form);
    builder.push(Value::Text(text.as_bytes())).unwrap();
    builder.finish().unwrap().as_primitive::<T>().value(0)
}

#[test]
fn dates_and_times_count_from_1970_over_the_whole_range() {
    use arrow_array::types::{Date32Type, Time64MicrosecondType, TimestampMicrosecondType};
    let date = |text| counted::<Date32Type>(Form::Date, text);
    assert_eq!(date("1970-01-01"), 0);
    assert_eq!(date("1969-12-31"), -1);
    assert_eq!(date("2000-03-01"), 11_017);
    assert_eq!(date("4713-01-01 BC"), -2_440_550);
    assert_eq!(date("5874897-12-31"), 2_145_042_905);
    assert_eq!(date("0001-12-31 BC") + 1, date("0001-01-01"));
    let time = |text| counted::<Time64MicrosecondType>(Form::Time, text);
    assert_eq!(time("23:59:59.999999"), 86_399_999_999);
    assert_eq!(time("00:00:00.5"), 500_000);
    let at = |text| counted::<TimestampMicrosecondType>(Form::TimestampTz, text);
    assert_eq!(at("1970-01-01 00:00:01+00"), 1_000_000);
    assert_eq!(at("1970-01-01 00:00:00+05:30"), -19_800_000_000);
    assert_eq!(at("1970-01-01 00:00:00-00:00:01"), 1_000_000);
    assert_eq!(at("294247-01-10 04:00:54.775807+00"), i64::MAX);
    assert_eq!(at("1969-12-31 23:59:59.999999+00"), -1);
}

fn float8(value: f64) -> String {
    let mut out = Vec::new();
    write_float(value, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn floats_are_written_as_postgres_writes_them() {
    for (value, text) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (0.1, "0.1"),
        (123_456.75, "123456.75"),
        (1e15, "1e+15"),
        (123_456_789_012_345.0, "123456789012345"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1.5e300, "1.5e+300"),
        (5e-324, "5e-324"),
        (f64::NEG_INFINITY, "-Infinity"),
        (f64::NAN, "NaN"),
        // Of two equally near the even one.
        (560_912_058.175_781_3, "560912058.1757812"),
        // Halfway between two floats, which Rust accepts and Postgres does not.
        (1e23, "9.999999999999999e+22"),
    ] {
        assert_eq!(float8(value), text);
    }
}

#[test]
fn a_vector_is_a_list_of_floats_and_an_array_over_it_is_text() {
    let kind = TypeKind::Extension("vector".into());
    let mut builder = column::ColumnBuilder::new(Plan::of(&kind, 3));
    push(&mut builder, Value::Text(b"[1,2.5,-3]")).unwrap();
    assert!(push(&mut builder, Value::Text(b"[1,x]")).is_err());
    push(&mut builder, Value::Text(b"[]")).unwrap();
    let lists = builder.finish().unwrap();
    let lists = lists.as_list::<i32>();
    assert_eq!(
        lists.value(0).as_primitive::<Float32Type>().values(),
        &[1.0, 2.5, -3.0]
    );
    assert_eq!((lists.len(), lists.value(1).len()), (2, 0));
    assert!(!binary_ok(&kind));
    let array = TypeKind::Array {
        element: Box::new(kind),
        delimiter: ',',
    };
    assert_eq!(
        Plan::of(&array, -1),
        Plan::List {
            element: Form::Opaque,
            delimiter: b','
        }
    );
}

#[test]
fn an_array_that_fails_in_an_element_takes_back_those_before_it() {
    let plan = Plan::List {
        element: Form::Date,
        delimiter: b',',
    };
    let mut builder = column::ColumnBuilder::new(plan);
    assert_eq!(
        push(&mut builder, Value::Text(b"{2020-01-01,infinity}")),
        Err(Misfit::Beyond)
    );
    assert!(matches!(
        push(&mut builder, Value::Text(b"{2020-01-01,x}")),
        Err(Misfit::Wrong(_))
    ));
    assert!(matches!(
        push(&mut builder, Value::Text(b"{2020-01-01")),
        Err(Misfit::Wrong(_))
    ));
    push(&mut builder, Value::Text(b"{1970-01-02,NULL}")).unwrap();
    let lists = builder.finish().unwrap();
    let elements = lists.as_list::<i32>().value(0);
    assert_eq!(
        (lists.len(), elements.len(), elements.is_null(1)),
        (1, 2, true)
    );
    assert_eq!(
        elements
            .as_primitive::<arrow_array::types::Date32Type>()
            .value(0),
        1
    );
}

#[test]
fn a_char_above_ascii_is_octal_and_a_jsonb_of_another_version_is_wrong() {
    let mut builder = ScalarBuilder::new(Form::Char);
    builder.push(Value::Text(&[0xe4])).unwrap(); // as versions before 16 send it
    builder.push(Value::Binary(&[0xe4])).unwrap();
    builder.push(Value::Text(b"\\344")).unwrap(); // as later ones do
    builder.push(Value::Binary(&[0])).unwrap();
    builder.push(Value::Text(b"")).unwrap();
    let texts = builder.finish().unwrap();
    let texts: Vec<_> = texts.as_string::<i32>().iter().flatten().collect();
    assert_eq!(texts, ["\\344", "\\344", "\\344", "", ""]);
    let mut builder = column::ColumnBuilder::new(Plan::One(Form::Jsonb));
    assert!(matches!(
        push(&mut builder, Value::Binary(b"\x02{}")),
        Err(Misfit::Wrong(_))
    ));
    push(&mut builder, Value::Binary(b"\x01{}")).unwrap();
    assert_eq!(builder.finish().unwrap().as_string::<i32>().value(0), "{}");
}

const FORMS: [Form; 25] = [
    Form::Bool,
    Form::Int2,
    Form::Int4,
    Form::Int8,
    Form::Oid,
    Form::Float4,
    Form::Float8,
    Form::Decimal128 {
        precision: 10,
        scale: 2,
    },
    Form::Decimal128 {
        precision: 38,
        scale: 0,
    },
    Form::Decimal128 {
        precision: 38,
        scale: 38,
    },
    Form::Decimal256 {
        precision: 50,
        scale: 20,
    },
    Form::Decimal256 {
        precision: 76,
        scale: 76,
    },
    Form::Bytea,
    Form::Uuid,
    Form::Date,
    Form::Time,
    Form::Timestamp,
    Form::TimestampTz,
    Form::Text,
    Form::Char,
    Form::Jsonb,
    Form::Numeric,
    Form::TimeTz,
    Form::Interval,
    Form::Opaque,
];

fn any_plan() -> impl Strategy<Value = Plan> {
    let form = prop::sample::select(FORMS.to_vec());
    prop_oneof![
        form.clone().prop_map(Plan::One),
        form.prop_map(|element| Plan::List {
            element,
            delimiter: b','
        }),
        Just(Plan::Vector),
    ]
}

/// Bytes that get past the first checks of some form: lengths, headers, punctuation.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let random = prop::collection::vec(any::<u8>(), 0..40);
    let punctuation = prop::sample::select(b"{}[]\",\\:-. +0189NULLx=".to_vec());
    let text = prop::collection::vec(punctuation, 0..24);
    let numeric = (
        0u16..6,
        -10i16..10,
        prop::sample::select(vec![0u16, 0x4000, 0xC000, 0xD000]),
    )
        .prop_flat_map(|(count, weight, sign)| {
            let digits = prop::collection::vec(0u16..10_000, usize::from(count));
            (digits, 0u16..50).prop_map(move |(digits, scale)| {
                let head = [count, weight as u16, sign, scale];
                head.into_iter()
                    .chain(digits)
                    .flat_map(u16::to_be_bytes)
                    .collect::<Vec<u8>>()
            })
        });
    let array = (0u32..3, prop::collection::vec(0u32..4, 0..12)).prop_map(|(dimensions, rest)| {
        let head = [dimensions, 0, 23];
        head.into_iter()
            .chain(rest)
            .flat_map(u32::to_be_bytes)
            .collect::<Vec<u8>>()
    });
    prop_oneof![random, text, numeric, array]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6000))]

    #[test]
    fn random_bytes_become_one_value_or_none_and_the_column_stays_whole(
        plan in any_plan(),
        values in prop::collection::vec((any_bytes(), any::<bool>()), 1..6),
    ) {
        let mut builder = column::ColumnBuilder::new(plan);
        let mut held = 0;
        for (bytes, binary) in &values {
            let pushed = if *binary { push(&mut builder, Value::Binary(bytes)) } else { push(&mut builder, Value::Text(bytes)) };
            held += usize::from(pushed.is_ok());
            if *binary && pushed == Err(Misfit::Beyond) {
                // What is beyond can be told as text, or turns out to be wrong.
                let mut out = Vec::new();
                let told = text::write(plan, bytes, &mut out);
                prop_assert!(matches!(told, Ok(()) | Err(Misfit::Wrong(_))));
            }
        }
        push(&mut builder, Value::Null).unwrap();
        builder.truncate(held + 1);
        let array = builder.finish().unwrap();
        prop_assert_eq!(array.len(), held + 1);
        prop_assert!(array.is_null(held));
    }

    #[test]
    fn a_float_is_read_back_from_what_is_written(bits: u64) {
        let value = f64::from_bits(bits);
        let mut out = Vec::new();
        write_float(value, &mut out);
        let back: f64 = float(&out).unwrap();
        prop_assert!(back.to_bits() == value.to_bits() || value.is_nan());
        let value = f32::from_bits(bits as u32);
        out.clear();
        write_float(value, &mut out);
        let back: f32 = float(&out).unwrap();
        prop_assert!(back.to_bits() == value.to_bits() || value.is_nan());
    }
}
