//! What is said of a column is what the library says of it, value for value.

use arrow_array::types::{Date32Type, Float64Type, Int16Type, Int32Type, Int64Type, UInt64Type};
use arrow_array::{
    Array, ArrowPrimitiveType, BinaryArray, Decimal128Array, Decimal256Array, FixedSizeBinaryArray,
    Float32Array, PrimitiveArray, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow_buffer::i256;
use twox_hash::XxHash3_64;

use super::*;
use crate::parquet::options::Compression;

/// Rows, enough for pages of every encoding to end.
const ROWS: usize = 70_000;

/// Which values a column has.
#[derive(Debug, Clone, Copy)]
enum Values {
    One,
    Few,
    Any,
    Rising,
    Falling,
}

const VALUES: [Values; 5] = [
    Values::One,
    Values::Few,
    Values::Any,
    Values::Rising,
    Values::Falling,
];

impl Values {
    fn at(self, row: usize) -> u64 {
        let any = |row: usize| XxHash3_64::oneshot(&row.to_le_bytes());
        match self {
            Values::One => 7,
            Values::Few => any(row % 11),
            Values::Any => any(row),
            Values::Rising => row as u64,
            Values::Falling => (ROWS - row) as u64,
        }
    }
}

/// Which rows are null.
#[derive(Debug, Clone, Copy)]
enum Nulls {
    None,
    Some,
    Pages,
    All,
}

const NULLS: [Nulls; 4] = [Nulls::None, Nulls::Some, Nulls::Pages, Nulls::All];

impl Nulls {
    fn has(self, row: usize) -> bool {
        match self {
            Nulls::None => false,
            Nulls::Some => row % 3 == 1,
            Nulls::Pages => !(25_000..45_000).contains(&row),
            Nulls::All => true,
        }
    }
}

/// A column of such values, in arrays of several lengths.
fn arrays<T: Array + FromIterator<Option<V>> + 'static, V>(
    values: Values,
    nulls: Nulls,
    value: impl Fn(u64) -> V,
) -> Vec<ArrayRef> {
    let whole = (0..ROWS).map(|row| (!nulls.has(row)).then(|| value(values.at(row))));
    cut(Arc::new(whole.collect::<T>()))
}

fn cut(whole: ArrayRef) -> Vec<ArrayRef> {
    let ends = [0, 1, 1_000, 1_000, 21_000, 20_001 + 21_000, ROWS];
    let pairs = ends.windows(2);
    pairs
        .map(|pair| whole.slice(pair[0], pair[1] - pair[0]))
        .collect()
}

/// What is said of the column by us, and what by the library.
fn assert_same(what: &str, arrays: &[ArrayRef], is_nullable: bool) {
    let field = Field::new("c", arrays[0].data_type().clone(), is_nullable);
    let schema = Arc::new(Schema::new(vec![field]));
    let batches: Vec<RecordBatch> = arrays
        .iter()
        .map(|array| RecordBatch::try_new(SchemaRef::clone(&schema), vec![Arc::clone(array)]))
        .collect::<std::result::Result<_, _>>()
        .unwrap();
    let columns = Columns::new(&schema).unwrap();
    let column = &columns.columns[0];
    let encodings = Encodings::new(Compression::Zstd(1));
    let Encoded::Chunks(ours) = column.encode(0, &batches, &encodings).unwrap() else {
        panic!("{what} is large");
    };
    let arrays: Vec<&ArrayRef> = arrays.iter().collect();
    let properties = encodings.choose(&column.field, &arrays);
    let theirs = column.chunks(arrays, properties).unwrap();
    let [ours, theirs] = [&ours[0], &theirs[0]].map(ArrowColumnChunk::close);
    assert!(ours.metadata.statistics().is_some(), "{what}");
    assert_eq!(ours.metadata, theirs.metadata, "{what}");
    assert_eq!(ours.column_index, theirs.column_index, "{what}");
    assert_eq!(ours.offset_index, theirs.offset_index, "{what}");
}

fn assert_all_same<T: Array + FromIterator<Option<V>> + 'static, V>(value: impl Fn(u64) -> V) {
    for values in VALUES {
        for nulls in NULLS {
            let arrays = arrays::<T, V>(values, nulls, &value);
            let what = format!("{}, {values:?}, nulls: {nulls:?}", arrays[0].data_type());
            assert_same(&what, &arrays, true);
            if matches!(nulls, Nulls::None) {
                assert_same(&format!("{what}, not null"), &arrays, false);
            }
        }
    }
}

fn assert_primitive<T: ArrowPrimitiveType>(value: impl Fn(u64) -> T::Native)
where
    PrimitiveArray<T>: FromIterator<Option<T::Native>>,
{
    assert_all_same::<PrimitiveArray<T>, T::Native>(value);
}

#[test]
fn numbers_are_told_as_by_the_library() {
    assert_primitive::<Int16Type>(|value| value as i16);
    assert_primitive::<Int32Type>(|value| value as i32);
    assert_primitive::<Int64Type>(|value| value.cast_signed());
    assert_primitive::<UInt64Type>(|value| value);
    assert_primitive::<Date32Type>(|value| value as i32);
    assert_all_same::<UInt32Array, u32>(|value| value as u32);
}

#[test]
fn what_is_not_a_number_and_zeros_of_either_sign_are_told_as_by_the_library() {
    let double = |value: u64| match value % 7 {
        0 => f64::NAN,
        1 => -0.0,
        2 => f64::NEG_INFINITY,
        _ => value.cast_signed() as f64 / 3.0,
    };
    assert_primitive::<Float64Type>(double);
    assert_primitive::<Float64Type>(|_| f64::NAN);
    assert_primitive::<Float64Type>(|value| if value % 2 == 0 { 0.0 } else { -0.0 });
    assert_all_same::<Float32Array, f32>(|value| f32::from_bits(value as u32));
}

#[test]
fn times_and_decimals_are_told_as_by_the_library() {
    assert_all_same::<Time64MicrosecondArray, i64>(|value| (value % 86_400_000_000) as i64);
    assert_all_same::<TimestampMicrosecondArray, i64>(u64::cast_signed);
    for (precision, scale) in [(9, 2), (18, 4), (38, 10)] {
        for values in VALUES {
            for nulls in NULLS {
                let most = 10i128.pow(u32::from(precision)) - 1;
                let value = |value: u64| i128::from(value.cast_signed()) * 987_654_321 % most;
                let whole = (0..ROWS).map(|row| (!nulls.has(row)).then(|| value(values.at(row))));
                let whole: Decimal128Array = whole.collect();
                let whole = whole.with_precision_and_scale(precision, scale).unwrap();
                let what = format!("decimal({precision}), {values:?}, nulls: {nulls:?}");
                assert_same(&what, &cut(Arc::new(whole)), true);
            }
        }
    }
    assert_all_same::<Decimal256Array, i256>(|value| {
        i256::from_i128(i128::from(value.cast_signed())) * i256::from_i128(i128::from(i64::MAX))
    });
}

#[test]
fn bytes_are_told_as_by_the_library() {
    assert_all_same::<BinaryArray, Vec<u8>>(|value| {
        // As long as its number says, with bytes that cannot be raised.
        let bytes = value.to_be_bytes().into_iter().cycle();
        let filler = bytes.map(|byte| if byte > 0x60 { 0xff } else { byte });
        filler.take((value % 150) as usize).collect()
    });
    for values in VALUES {
        for nulls in NULLS {
            let rows = (0..ROWS).map(|row| (!nulls.has(row)).then(|| values.at(row).to_be_bytes()));
            let whole = FixedSizeBinaryArray::try_from_sparse_iter_with_size(rows, 8).unwrap();
            let what = format!("fixed, {values:?}, nulls: {nulls:?}");
            assert_same(&what, &cut(Arc::new(whole)), true);
        }
    }
}

#[test]
fn text_is_told_as_by_the_library() {
    assert_all_same::<StringArray, String>(|value| format!("{value:x}"));
    // Shortened in the middle of a letter, and with letters that cannot be raised.
    let letters = ['a', 'ß', '€', '😀', '\u{10ffff}', '\0'];
    assert_all_same::<StringArray, String>(|value| {
        let digits = (0..value % 90).map(|digit| (value >> (digit % 60)) as usize % letters.len());
        digits.map(|digit| letters[digit]).collect()
    });
    assert_all_same::<StringArray, String>(|_| String::new());
    assert_all_same::<StringArray, String>(|_| "\u{10ffff}".repeat(20));
}

#[test]
fn long_values_are_told_by_the_library_itself() {
    let long = DESCRIBED_BYTES_MAX + 1;
    let texts = [Some("x".repeat(long)), None, Some("y".to_owned())];
    let whole = StringArray::from_iter(texts.iter().cycle().take(1_000));
    assert_same("long text", &[Arc::new(whole)], true);
}
