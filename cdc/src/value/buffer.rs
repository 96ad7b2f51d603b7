//! What columns are filled into: values of a fixed size, and values of any size.
//!
//! Unlike Arrow's own builders these can be cut back, so a row that fails in its last column takes
//! its first ones with it.

use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{BinaryArray, PrimitiveArray, StringArray};
use arrow_buffer::{Buffer, NullBuffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;

use super::misfit::{Fit, wrong};
use super::odd::{Odd, Plain};
use crate::protocol::Value;

/// Columns are given no more room than this before they need it.
const ROOM_BYTES_MAX: usize = 16 << 20;

/// Takes what is in `values`. The next are given as much room when they begin: memory that grows is copied, and touched
/// anew. What has much more room than it needs gives it back, since others count it.
fn hand_out<T>(values: &mut Vec<T>, room: &mut usize) -> Vec<T> {
    let mut taken = std::mem::take(values);
    *room = taken.len().min(ROOM_BYTES_MAX / size_of::<T>());
    if taken.len() < taken.capacity() / 2 {
        taken.shrink_to_fit();
    }
    taken
}

/// Gives `values` its room when the first of `more` comes.
#[inline]
fn make_room<T>(values: &mut Vec<T>, room: usize, more: usize) {
    if values.capacity() == 0 {
        values.reserve(room.max(more));
    }
}

/// Values of a fixed size.
#[derive(Debug)]
pub(crate) struct Fixed<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    /// How many the last batch had.
    room: usize,
    nulls: NullBufferBuilder,
}

impl<T: ArrowPrimitiveType> Fixed<T> {
    pub(crate) fn new() -> Self {
        Fixed {
            values: Vec::new(),
            room: 0,
            nulls: NullBufferBuilder::new(0),
        }
    }

    /// Makes room for so many values, and if they are the first, for as many as the last batch had.
    pub(crate) fn reserve(&mut self, more: usize) {
        make_room(&mut self.values, self.room, more);
    }

    #[inline]
    pub(crate) fn push(&mut self, value: T::Native) {
        self.values.push(value);
        self.nulls.append_non_null();
    }

    pub(crate) fn push_null(&mut self) {
        self.values.push(T::Native::default());
        self.nulls.append_null();
    }

    /// Adds the values of a column, each read by the one function or the other.
    #[inline]
    pub(crate) fn extend<'a>(
        &mut self,
        column: impl Iterator<Item = Value<'a>>,
        odd: &mut Odd,
        text: impl Fn(&[u8]) -> Fit<T::Native>,
        binary: impl Fn(&[u8]) -> Fit<T::Native>,
    ) {
        self.reserve(column.size_hint().0);
        for (row, value) in column.enumerate() {
            let read = match odd.plain(row, value) {
                Some(Plain::Binary(sent)) => binary(sent),
                Some(Plain::Text(sent)) => text(sent),
                None => {
                    self.push_null();
                    continue;
                }
            };
            match read {
                Ok(value) => self.push(value),
                Err(misfit) => {
                    self.push_null();
                    odd.note(row, misfit);
                }
            }
        }
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.nulls.truncate(len);
    }

    pub(crate) fn finish(&mut self) -> Result<PrimitiveArray<T>, ArrowError> {
        let values = ScalarBuffer::from(hand_out(&mut self.values, &mut self.room));
        PrimitiveArray::try_new(values, self.nulls.finish())
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.values.as_slice())
    }
}

/// Values of any size, behind 32-bit offsets.
#[derive(Debug)]
pub(crate) struct Bytes {
    offsets: Vec<i32>,
    data: Vec<u8>,
    /// The only value so far that is not null, where it lies already; then `data` is empty.
    kept: Option<bytes::Bytes>,
    /// How many offsets the last batch had, and bytes.
    room: (usize, usize),
    nulls: NullBufferBuilder,
}

impl Bytes {
    pub(crate) fn new() -> Self {
        Bytes {
            offsets: vec![0],
            data: Vec::new(),
            kept: None,
            room: (0, 0),
            nulls: NullBufferBuilder::new(0),
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, value: &[u8]) -> Fit<()> {
        self.gather().extend_from_slice(value);
        self.close()
    }

    /// Adds a value without a copy, as long as it is the only one that is not null.
    pub(crate) fn keep(&mut self, value: bytes::Bytes) -> Fit<()> {
        if self.end() > 0 {
            return self.push(&value);
        }
        let Ok(end) = i32::try_from(value.len()) else {
            return wrong("is longer than 2 GiB");
        };
        self.kept = Some(value);
        self.offsets.push(end);
        self.nulls.append_non_null();
        Ok(())
    }

    /// What values are added to; one that was kept apart becomes its beginning.
    #[inline]
    fn gather(&mut self) -> &mut Vec<u8> {
        if let Some(kept) = self.kept.take() {
            self.data.extend_from_slice(&kept);
        }
        &mut self.data
    }

    fn end(&self) -> usize {
        self.offsets.last().map_or(0, |end| *end as usize)
    }

    /// Adds what `write` appends, or nothing when it fails.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Fit<()>) -> Fit<()> {
        let start = self.gather().len();
        write(&mut self.data).inspect_err(|_| self.data.truncate(start))?;
        self.close()
    }

    /// Adds the values of a column, each as the one function or the other appends it.
    #[inline]
    pub(crate) fn extend<'a>(
        &mut self,
        column: impl Iterator<Item = Value<'a>>,
        odd: &mut Odd,
        text: impl Fn(&[u8], &mut Vec<u8>) -> Fit<()>,
        binary: impl Fn(&[u8], &mut Vec<u8>) -> Fit<()>,
    ) {
        if self.len() == 0 {
            self.offsets.reserve(self.room.0.max(column.size_hint().0));
        }
        make_room(&mut self.data, self.room.1, 0);
        for (row, value) in column.enumerate() {
            let Some(sent) = odd.plain(row, value) else {
                self.push_null();
                continue;
            };
            let data = self.gather();
            let start = data.len();
            let written = match sent {
                Plain::Binary(sent) => binary(sent, data),
                Plain::Text(sent) => text(sent, data),
            };
            if let Err(misfit) = written.and_then(|()| self.close()) {
                self.data.truncate(start);
                self.push_null();
                odd.note(row, misfit);
            }
        }
    }

    /// As [`Bytes::extend`], of values that must be UTF-8 when they are written.
    #[inline]
    pub(crate) fn extend_text<'a>(
        &mut self,
        column: impl Iterator<Item = Value<'a>>,
        odd: &mut Odd,
        text: impl Fn(&[u8], &mut Vec<u8>) -> Fit<()>,
        binary: impl Fn(&[u8], &mut Vec<u8>) -> Fit<()>,
    ) {
        let (rows, start) = (self.len(), self.end());
        self.extend(column, odd, text, binary);
        // Most text is ASCII, and of all of it at once that is found out in a quarter of the time.
        if !self.data.get(start..).is_none_or(<[u8]>::is_ascii) {
            self.check_rows(rows, odd);
        }
    }

    /// Looks at each value from the row `first` on by itself.
    fn check_rows(&mut self, first: usize, odd: &mut Odd) {
        for (row, ends) in self.offsets.windows(2).skip(first).enumerate() {
            let value = self.data.get(ends[0] as usize..ends[1] as usize);
            if let Err(misfit) = check_utf8(value.unwrap_or_default()) {
                odd.note(row, misfit);
            }
        }
    }

    #[inline]
    fn close(&mut self) -> Fit<()> {
        let Ok(end) = i32::try_from(self.data.len()) else {
            self.data.truncate(self.end());
            return wrong("makes its column exceed 2 GiB in one batch");
        };
        self.offsets.push(end);
        self.nulls.append_non_null();
        Ok(())
    }

    pub(crate) fn push_null(&mut self) {
        let end = self.offsets.last().copied().unwrap_or(0);
        self.offsets.push(end);
        self.nulls.append_null();
    }

    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        if self.end() == 0 {
            self.kept = None;
        }
        if self.kept.is_none() {
            self.data.truncate(self.end());
        }
        self.nulls.truncate(len);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.end() + size_of_val(self.offsets.as_slice())
    }

    fn parts(&mut self) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        let offsets = hand_out(&mut self.offsets, &mut self.room.0);
        self.offsets.push(0);
        let data = match self.kept.take() {
            Some(kept) => Buffer::from(kept),
            None => Buffer::from_vec(hand_out(&mut self.data, &mut self.room.1)),
        };
        (OffsetBuffer::new(offsets.into()), data, self.nulls.finish())
    }

    pub(crate) fn finish_text(&mut self) -> Result<StringArray, ArrowError> {
        let (offsets, data, nulls) = self.parts();
        StringArray::try_new(offsets, data, nulls)
    }

    pub(crate) fn finish_binary(&mut self) -> Result<BinaryArray, ArrowError> {
        let (offsets, data, nulls) = self.parts();
        BinaryArray::try_new(offsets, data, nulls)
    }
}

pub(crate) fn check_utf8(bytes: &[u8]) -> Fit<()> {
    match std::str::from_utf8(bytes).is_ok() {
        true => Ok(()),
        false => wrong("is not UTF-8"),
    }
}
