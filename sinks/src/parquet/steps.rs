//! Whether the values of a number column are near their neighbours.
//!
//! The format's differences are packed in blocks of 32, each value in as many bits as the block's
//! largest difference needs above its smallest. We look at some such blocks, and at how many bits the
//! values themselves would need.

use arrow_array::{Array, ArrayRef};

/// Neighbours whose differences are packed together.
const BLOCK_VALUES: usize = 32;
/// Blocks looked at per column and row group, about.
const BLOCKS: usize = 64;

/// Whether differences take at most half the bits of the values.
pub(super) fn are_small(arrays: &[&ArrayRef]) -> bool {
    let values: usize = arrays.iter().map(|array| array.len()).sum();
    let stride = (values / BLOCKS).max(BLOCK_VALUES);
    let mut range = Range::default();
    let (mut blocks, mut difference_bits) = (0, 0);
    for array in arrays {
        for start in (0..array.len()).step_by(stride) {
            let Some(numbers) = block(array, start) else {
                return false;
            };
            if let Some(bits) = range.take(numbers.into_iter()) {
                blocks += 1;
                difference_bits += bits;
            }
        }
    }
    range.bits() > 0 && difference_bits * 2 <= blocks * range.bits()
}

/// What the numbers seen so far span.
#[derive(Default)]
struct Range {
    ends: Option<(i64, i64)>,
}

impl Range {
    /// Takes a block of neighbours; gives back the bits that each of their differences needs.
    fn take(&mut self, block: impl Iterator<Item = i64>) -> Option<u32> {
        let (mut before, mut differences) = (None, None);
        for number in block {
            let (low, high) = self.ends.unwrap_or((number, number));
            self.ends = Some((low.min(number), high.max(number)));
            if let Some(before) = before {
                let difference = number.wrapping_sub(before);
                let (low, high) = differences.unwrap_or((difference, difference));
                differences = Some((difference.min(low), difference.max(high)));
            }
            before = Some(number);
        }
        differences.map(width)
    }

    fn bits(&self) -> u32 {
        self.ends.map_or(0, width)
    }
}

fn width((low, high): (i64, i64)) -> u32 {
    u64::BITS - high.abs_diff(low).leading_zeros()
}

/// The numbers of `array` from `start`, at most a block of them; none when it holds no numbers.
fn block(array: &ArrayRef, start: usize) -> Option<Vec<i64>> {
    let length = BLOCK_VALUES.min(array.len() - start);
    let block = array.slice(start, length);
    let (data, width) = (block.to_data(), array.data_type().primitive_width()?);
    let bytes = data.buffers().first()?.get(data.offset() * width..)?;
    let numbers = bytes.chunks_exact(width).take(length).enumerate();
    let valid = numbers.filter(|(at, _)| block.is_valid(*at));
    Some(valid.map(|(_, bytes)| number(bytes)).collect())
}

/// A little-endian number of up to 8 bytes. Taken as signed; it is only compared to its neighbours.
fn number(bytes: &[u8]) -> i64 {
    let mut whole = [0; 8];
    let used = bytes.len().min(8);
    whole[8 - used..].copy_from_slice(&bytes[..used]);
    i64::from_le_bytes(whole) >> (8 * (8 - used))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Date32Array, Int16Array, Int32Array, Int64Array, StringArray};

    use super::*;

    fn small(array: impl Array + 'static) -> bool {
        are_small(&[&(Arc::new(array) as ArrayRef)])
    }

    #[test]
    fn keys_and_times_that_grow_have_small_steps() {
        assert!(small(Int64Array::from_iter_values(1..10_000)));
        assert!(small(Int32Array::from_iter_values(
            (-5_000..5_000).map(|n| n * 3)
        )));
        assert!(small(Date32Array::from_iter_values(
            (0..10_000).map(|n| n / 10)
        )));
        let times = (0..10_000i64).map(|n| 1_700_000_000_000_000 + n * 1_000 + n * n % 997);
        assert!(small(Int64Array::from_iter_values(times)));
        let with_gaps = (0..10_000).map(|n| (n % 3 != 0).then_some(n));
        assert!(small(with_gaps.collect::<Int64Array>()));
    }

    #[test]
    fn scattered_values_have_not() {
        let scattered = |n: i64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64) >> 20;
        assert!(!small(Int64Array::from_iter_values(
            (0..10_000).map(scattered)
        )));
        assert!(!small(Int16Array::from_iter_values(
            (0..10_000).map(|n| scattered(n) as i16)
        )));
        assert!(!small(Int64Array::from(vec![None; 100])));
        assert!(
            !small(Int64Array::from(vec![7; 100])),
            "a dictionary holds it better"
        );
        assert!(!small(StringArray::from(vec!["a"; 100])));
    }

    #[test]
    fn short_numbers_keep_their_sign() {
        assert_eq!(number(&(-7i16).to_le_bytes()), -7);
        assert_eq!(number(&(1_000_000i32).to_le_bytes()), 1_000_000);
        assert_eq!(number(&i64::MIN.to_le_bytes()), i64::MIN);
    }
}
