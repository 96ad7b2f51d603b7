//! Which encoding a column gets, decided from its values.
//!
//! A dictionary makes a column of few distinct values small and one of many slow (measured: 1.6 to 2.4
//! times, for nothing). How many there are is estimated from a sample of n values, of which d repeat
//! an earlier one: a column with D distinct values has about n²/2D such repeats. Numbers whose
//! neighbours are alike (positions, LSNs, serial keys, times of inserts) are written as differences.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field};
use parquet::basic::{Compression as Codec, Encoding, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterPropertiesPtr};
use twox_hash::XxHash3_64;

use super::options::Compression;
use super::steps;

/// Values looked at per column and row group.
const SAMPLE_VALUES: usize = 4096;
/// A dictionary is worth it while it stays below this; the format gives it up at 1 MiB.
const DICTIONARY_BYTES_MAX: usize = 512 << 10;
/// And while each value appears this often, on average.
const REPEATS_MIN: usize = 4;

/// The column properties to choose from.
#[derive(Debug)]
pub(super) struct Encodings {
    compression: Compression,
    dictionary: WriterPropertiesPtr,
    plain: WriterPropertiesPtr,
    differences: WriterPropertiesPtr,
}

impl Encodings {
    /// With pages compressed so.
    pub(super) fn new(compression: Compression) -> Encodings {
        let plain = || properties(compression).set_dictionary_enabled(false);
        Encodings {
            compression,
            dictionary: Arc::new(properties(compression).build()),
            plain: Arc::new(plain().build()),
            differences: Arc::new(plain().set_encoding(Encoding::DELTA_BINARY_PACKED).build()),
        }
    }

    /// How pages are compressed.
    pub(super) fn compression(&self) -> Compression {
        self.compression
    }

    /// The properties for the column `field` with these values.
    pub(super) fn choose(&self, field: &Field, arrays: &[&ArrayRef]) -> WriterPropertiesPtr {
        let data_type = field.data_type();
        let chosen = match () {
            () if data_type.is_nested() => &self.dictionary,
            () if takes_differences(data_type) && steps::are_small(arrays) => &self.differences,
            () if repeats(arrays) => &self.dictionary,
            () => &self.plain,
        };
        Arc::clone(chosen)
    }
}

/// The library's word for it.
pub(super) fn codec(compression: Compression) -> Codec {
    match compression {
        Compression::Zstd(level) => {
            Codec::ZSTD(ZstdLevel::try_new(i32::from(level)).unwrap_or_default())
        }
        Compression::Snappy => Codec::SNAPPY,
        Compression::Lz4 => Codec::LZ4_RAW,
        Compression::None => Codec::UNCOMPRESSED,
    }
}

/// What all files and columns share.
pub(super) fn properties(compression: Compression) -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(codec(compression))
        .set_created_by(concat!("blacksmith-stream ", env!("CARGO_PKG_VERSION")).into())
}

/// Whether the format can hold values of this type as differences, and we can look at them.
fn takes_differences(data_type: &DataType) -> bool {
    use DataType as T;
    matches!(
        data_type,
        T::Int16
            | T::Int32
            | T::Int64
            | T::UInt32
            | T::UInt64
            | T::Date32
            | T::Time64(_)
            | T::Timestamp(..)
    )
}

/// Whether a dictionary is worth it for these values, judged by a sample.
fn repeats(arrays: &[&ArrayRef]) -> bool {
    let values: usize = arrays.iter().map(|array| array.len()).sum();
    let stride = values.div_ceil(SAMPLE_VALUES).max(1);
    let mut sample = Sample::default();
    for array in arrays {
        sample.take(array, stride);
    }
    sample.is_worth_a_dictionary(values)
}

/// Hashes have no seed: a retry encodes as the first attempt did.
#[derive(Default)]
struct Sample {
    seen: HashSet<u64, BuildHasherDefault<AsItIs>>,
    values: usize,
    bytes: usize,
}

/// The hash of what is a hash already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = XxHash3_64::oneshot(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Sample {
    /// Looks at one value in every `stride`.
    fn take(&mut self, array: &ArrayRef, stride: usize) {
        let places = (0..array.len()).step_by(stride).map(|start| {
            // Anywhere in its stretch: values that take turns would otherwise all look alike, or none.
            let within = XxHash3_64::oneshot(&start.to_le_bytes()) as usize % stride;
            (start + within).min(array.len() - 1)
        });
        let valid: Vec<_> = places.filter(|at| array.is_valid(*at)).collect();
        let valid = valid.into_iter();
        match array.data_type() {
            DataType::Utf8 => {
                let values = array.as_string::<i32>();
                valid.for_each(|at| self.add(values.value(at).as_bytes()));
            }
            DataType::Binary => {
                let values = array.as_binary::<i32>();
                valid.for_each(|at| self.add(values.value(at)));
            }
            DataType::FixedSizeBinary(_) => {
                let values = array.as_fixed_size_binary();
                valid.for_each(|at| self.add(values.value(at)));
            }
            other => {
                let data = array.to_data();
                let (Some(width), Some(buffer)) = (other.primitive_width(), data.buffers().first())
                else {
                    return;
                };
                let value = |at: usize| buffer.get((data.offset() + at) * width..)?.get(..width);
                valid.filter_map(value).for_each(|bytes| self.add(bytes));
            }
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.seen.insert(XxHash3_64::oneshot(bytes));
        self.values += 1;
        self.bytes += bytes.len();
    }

    fn is_worth_a_dictionary(&self, column_values: usize) -> bool {
        if self.values == 0 {
            // Nothing but nulls (or booleans): no dictionary is built either way.
            return false;
        }
        let repeated = self.values - self.seen.len();
        let distinct = match self.values == column_values {
            true => self.seen.len(),
            false => self.values * self.values / (2 * repeated.max(1)),
        };
        let distinct = distinct.max(self.seen.len());
        let value_bytes = self.bytes / self.values + 4;
        distinct * value_bytes <= DICTIONARY_BYTES_MAX && distinct * REPEATS_MIN <= column_values
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray};

    use super::*;

    const CHOICES: [&str; 3] = ["dictionary", "plain", "differences"];

    fn chosen(array: impl Array + 'static) -> &'static str {
        let encodings = Encodings::new(Compression::None);
        let array: ArrayRef = Arc::new(array);
        let field = Field::new("c", array.data_type().clone(), true);
        let chosen = encodings.choose(&field, &[&array]);
        let all = [
            &encodings.dictionary,
            &encodings.plain,
            &encodings.differences,
        ];
        let at = all
            .iter()
            .position(|properties| Arc::ptr_eq(properties, &chosen));
        CHOICES[at.unwrap()]
    }

    #[test]
    fn few_values_get_a_dictionary() {
        let kinds = ["view", "click", "purchase"];
        let few = (0..100_000).map(|n| Some(kinds[n % 3]));
        assert_eq!(chosen(few.collect::<StringArray>()), "dictionary");
        assert_eq!(chosen(Int64Array::from(vec![7; 100_000])), "dictionary");
        let prices = (0..100_000i128).map(|n| Some(n * 7919 % 500));
        assert_eq!(chosen(prices.collect::<Decimal128Array>()), "dictionary");
        // More distinct values than the sample sees, each of them 50 times.
        let many = (0..500_000u64).map(|n| Some(format!("{:x}", n * 7919 % 10_000)));
        assert_eq!(chosen(many.collect::<StringArray>()), "dictionary");
    }

    #[test]
    fn many_values_are_written_plainly() {
        let unique =
            (0..100_000u64).map(|n| Some(format!("{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))));
        assert_eq!(chosen(unique.collect::<StringArray>()), "plain");
        assert_eq!(
            chosen(
                (0..100_000)
                    .map(|n| Some(f64::from(n).sin()))
                    .collect::<Float64Array>()
            ),
            "plain"
        );
        assert_eq!(chosen(BooleanArray::from(vec![true; 1000])), "plain");
        assert_eq!(chosen(StringArray::from(vec![None::<&str>; 1000])), "plain");
    }

    #[test]
    fn growing_numbers_are_written_as_differences() {
        assert_eq!(
            chosen(Int64Array::from_iter_values(1..100_000)),
            "differences"
        );
    }
}
