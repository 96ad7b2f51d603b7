//! Where the least and the greatest value of a stretch of rows are.
//!
//! One loop over values as they lie in memory, chosen once per stretch. The order is that of Parquet's statistics: numbers
//! by their value, whatever is not a number left out, and bytes one by one without a sign.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type,
    Int16Type, Int32Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, TimeUnit};

/// The rows of the least and of the greatest value.
pub(super) type Ends = (usize, usize);

/// Whether we know the order of such values.
pub(super) fn are_ordered(data_type: &DataType) -> bool {
    use DataType as T;
    matches!(
        data_type,
        T::Int16
            | T::Int32
            | T::Int64
            | T::UInt32
            | T::UInt64
            | T::Float32
            | T::Float64
            | T::Date32
            | T::Time64(TimeUnit::Microsecond)
            | T::Timestamp(TimeUnit::Microsecond, _)
            | T::Decimal128(..)
            | T::Decimal256(..)
            | T::Utf8
            | T::Binary
            | T::FixedSizeBinary(_)
    )
}

/// The rows of the least and of the greatest value among `rows` of `array`; none when all are null, or not numbers, or
/// of a type whose order we do not know.
pub(super) fn ends(array: &ArrayRef, rows: Range<usize>) -> Option<Ends> {
    use DataType as T;
    match array.data_type() {
        T::Int16 => numbers::<Int16Type>(array, rows),
        T::Int32 => numbers::<Int32Type>(array, rows),
        T::Int64 => numbers::<Int64Type>(array, rows),
        T::UInt32 => numbers::<UInt32Type>(array, rows),
        T::UInt64 => numbers::<UInt64Type>(array, rows),
        T::Float32 => numbers::<Float32Type>(array, rows),
        T::Float64 => numbers::<Float64Type>(array, rows),
        T::Date32 => numbers::<Date32Type>(array, rows),
        T::Time64(TimeUnit::Microsecond) => numbers::<Time64MicrosecondType>(array, rows),
        T::Timestamp(TimeUnit::Microsecond, _) => numbers::<TimestampMicrosecondType>(array, rows),
        T::Decimal128(..) => numbers::<Decimal128Type>(array, rows),
        T::Decimal256(..) => numbers::<Decimal256Type>(array, rows),
        T::Utf8 => {
            let values = array.as_string::<i32>();
            bytes(array.nulls(), rows, |row| values.value(row).as_bytes())
        }
        T::Binary => {
            let values = array.as_binary::<i32>();
            bytes(array.nulls(), rows, |row| values.value(row))
        }
        T::FixedSizeBinary(_) => {
            let values = array.as_fixed_size_binary();
            bytes(array.nulls(), rows, |row| values.value(row))
        }
        _ => None,
    }
}

/// How many of `rows` are null.
pub(super) fn nulls(array: &ArrayRef, rows: Range<usize>) -> usize {
    let some = some_null(array.nulls(), &rows);
    some.map_or(0, |nulls| nulls.null_count())
}

fn numbers<T>(array: &ArrayRef, rows: Range<usize>) -> Option<Ends>
where
    T: ArrowPrimitiveType<Native: PartialOrd>,
{
    let values = array.as_primitive::<T>().values();
    let (least, greatest) = match some_null(array.nulls(), &rows) {
        Some(nulls) => sparse(&values[rows.clone()], &nulls),
        None => dense(&values[rows.clone()]),
    }?;
    Some((rows.start + least, rows.start + greatest))
}

/// Which of `rows` are null, if any is.
fn some_null(nulls: Option<&NullBuffer>, rows: &Range<usize>) -> Option<NullBuffer> {
    let nulls = nulls?.slice(rows.start, rows.len());
    (nulls.null_count() > 0).then_some(nulls)
}

/// What is not a number is neither less nor greater than anything.
fn dense<N: Copy + PartialOrd>(values: &[N]) -> Option<Ends> {
    let first = *values.iter().find(|value| is_number(*value))?;
    let (mut least, mut greatest) = (first, first);
    for value in values {
        least = if *value < least { *value } else { least };
        greatest = if *value > greatest { *value } else { greatest };
    }
    let place = |of: N| values.iter().position(|value| *value == of);
    Some((place(least)?, place(greatest)?))
}

fn sparse<N: Copy + PartialOrd>(values: &[N], nulls: &NullBuffer) -> Option<Ends> {
    let mut rows = nulls.valid_indices().filter(|row| is_number(&values[*row]));
    let first = rows.next()?;
    Some(rows.fold((first, first), |(least, greatest), row| {
        let value = values[row];
        (
            if value < values[least] { row } else { least },
            if value > values[greatest] {
                row
            } else {
                greatest
            },
        )
    }))
}

fn is_number<N: PartialOrd>(value: &N) -> bool {
    value.partial_cmp(value).is_some()
}

fn bytes<'a>(
    nulls: Option<&NullBuffer>,
    rows: Range<usize>,
    value: impl Fn(usize) -> &'a [u8],
) -> Option<Ends> {
    let Some(nulls) = some_null(nulls, &rows) else {
        return bytes_of(rows, value);
    };
    bytes_of(nulls.valid_indices().map(|row| rows.start + row), value)
}

fn bytes_of<'a>(
    mut rows: impl Iterator<Item = usize>,
    value: impl Fn(usize) -> &'a [u8],
) -> Option<Ends> {
    let first = rows.next()?;
    let (mut least, mut greatest) = (first, first);
    let (mut low, mut high) = (beginning(value(first)), beginning(value(first)));
    for row in rows {
        let own = value(row);
        let begins = beginning(own);
        if begins < low || begins == low && own < value(least) {
            (least, low) = (row, begins);
        }
        if begins > high || begins == high && own > value(greatest) {
            (greatest, high) = (row, begins);
        }
    }
    Some((least, greatest))
}

/// The first eight bytes as a number, which compares as they do; what is missing counts as zero.
fn beginning(value: &[u8]) -> u64 {
    match value.first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => {
            let bytes = value.iter().zip([56, 48, 40, 32, 24, 16, 8]);
            bytes.fold(0, |all, (byte, shift)| all | u64::from(*byte) << shift)
        }
    }
}
