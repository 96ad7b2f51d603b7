//! A column whose values are so large that they are written from where they lie.
//!
//! The library's column writer holds such a value up to five times: among the encoded values, with its levels as a
//! page, compressed, and as lower and upper bound. Here pages are planned first, and their bytes are made while they
//! are written, so that nothing grows with the value. A page is all nulls, or small values, or one large value;
//! its values are plain, and there are no statistics.
//!
//! A page's header, which comes first, says how long the page is when it is compressed. So a large value is compressed
//! twice: once for its length, once into the file. Only zstd can do that; Snappy and LZ4 need all of a page at
//! once, and a column with large values is left uncompressed where they were asked for.

use std::io::{self, Read};

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use bytes::Bytes;
use parquet::basic::{Compression as Codec, Encoding};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::ColumnDescPtr;

use super::encoding::codec;
use super::options::Compression;

/// A value from this size on has a page of its own, and makes its column one of these.
const LARGE_VALUE_BYTES: usize = 8 << 20;
/// Smaller values make a page of this size.
const PAGE_BYTES: usize = 1 << 20;

/// Whether any of these values is large.
pub(super) fn are_large(arrays: &[&ArrayRef]) -> bool {
    let any_large = |offsets: &[i32]| {
        let lengths = offsets.windows(2).map(|pair| pair[1] - pair[0]);
        lengths.max().unwrap_or(0) as usize >= LARGE_VALUE_BYTES
    };
    arrays.iter().any(|array| match array.data_type() {
        DataType::Utf8 => any_large(array.as_string::<i32>().value_offsets()),
        DataType::Binary => any_large(array.as_binary::<i32>().value_offsets()),
        _ => false,
    })
}

/// The pages of one column, planned.
#[derive(Debug)]
pub(super) struct LargeColumn<'a> {
    column: ColumnDescPtr,
    codec: Codec,
    pages: Vec<Page<'a>>,
}

#[derive(Debug)]
struct Page<'a> {
    rows: usize,
    header: Vec<u8>,
    /// Everything behind the header, or what comes before `value`.
    start: Vec<u8>,
    /// The one large value, or nothing.
    value: &'a [u8],
    /// How hard `start` and `value` are compressed while they are written.
    level: Option<i32>,
    /// Behind the header, before and after compression.
    plain_bytes: usize,
    written_bytes: usize,
    /// Of the values alone.
    value_bytes: usize,
}

impl<'a> LargeColumn<'a> {
    /// Plans the pages of `column` with the values of `arrays`, which are text or bytes.
    ///
    /// # Errors
    /// When a value cannot be compressed, or is 2 GiB long.
    pub(super) fn new(
        column: ColumnDescPtr,
        arrays: &[&'a ArrayRef],
        compression: Compression,
    ) -> Result<LargeColumn<'a>> {
        let level = match compression {
            Compression::Zstd(level) => Some(i32::from(level)),
            Compression::Snappy | Compression::Lz4 | Compression::None => None,
        };
        let mut planned = Planned {
            nullable: column.max_def_level() > 0,
            level,
            pages: Vec::new(),
            nulls: 0,
            small: Vec::new(),
            small_values: 0,
        };
        for array in arrays {
            for at in 0..array.len() {
                planned.add(value_at(array, at))?;
            }
        }
        planned.end_nulls()?;
        planned.end_small()?;
        Ok(LargeColumn {
            column,
            codec: level.map_or(Codec::UNCOMPRESSED, |_| codec(compression)),
            pages: planned.pages,
        })
    }

    /// Writes them as the next column of `group`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write<W: io::Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<()> {
        let chunk = Chunk(&self.pages);
        let closed = self.closed(chunk.len())?;
        group.append_column(&chunk, closed)
    }

    /// What is to be known of the column behind its last page.
    fn closed(&self, bytes_written: u64) -> Result<ColumnCloseResult> {
        let mut index = OffsetIndexBuilder::new();
        let (mut offset, mut rows, mut plain_bytes, mut value_bytes) = (0, 0, 0, 0);
        for page in &self.pages {
            index.append_row_count(page.rows as i64);
            index.append_offset_and_size(offset, int(page.bytes())?);
            index.append_unencoded_byte_array_data_bytes(Some(page.value_bytes as i64));
            offset += page.bytes() as i64;
            rows += page.rows as u64;
            plain_bytes += (page.header.len() + page.plain_bytes) as i64;
            value_bytes += page.value_bytes as i64;
        }
        let metadata = ColumnChunkMetaData::builder(ColumnDescPtr::clone(&self.column))
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE])
            .set_compression(self.codec)
            .set_num_values(rows as i64)
            .set_data_page_offset(0)
            .set_total_compressed_size(bytes_written as i64)
            .set_total_uncompressed_size(plain_bytes)
            .set_unencoded_byte_array_data_bytes(Some(value_bytes))
            .build()?;
        Ok(ColumnCloseResult {
            bytes_written,
            rows_written: rows,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: Some(index.build()),
        })
    }
}

fn value_at(array: &ArrayRef, at: usize) -> Option<&[u8]> {
    if array.is_null(at) {
        return None;
    }
    match array.data_type() {
        DataType::Utf8 => Some(array.as_string::<i32>().value(at).as_bytes()),
        _ => Some(array.as_binary::<i32>().value(at)),
    }
}

/// Pages so far, and what makes the next one.
struct Planned<'a> {
    nullable: bool,
    level: Option<i32>,
    pages: Vec<Page<'a>>,
    nulls: usize,
    small: Vec<u8>,
    small_values: usize,
}

impl<'a> Planned<'a> {
    fn add(&mut self, value: Option<&'a [u8]>) -> Result<()> {
        let Some(value) = value else {
            self.end_small()?;
            self.nulls += 1;
            return Ok(());
        };
        self.end_nulls()?;
        if value.len() >= LARGE_VALUE_BYTES {
            self.end_small()?;
            let mut start = self.levels(1, true)?;
            start.extend_from_slice(&int(value.len())?.to_le_bytes());
            return self.add_large(start, value);
        }
        self.small
            .extend_from_slice(&int(value.len())?.to_le_bytes());
        self.small.extend_from_slice(value);
        self.small_values += 1;
        match self.small.len() >= PAGE_BYTES {
            true => self.end_small(),
            false => Ok(()),
        }
    }

    fn end_nulls(&mut self) -> Result<()> {
        match std::mem::take(&mut self.nulls) {
            0 => Ok(()),
            nulls => {
                let levels = self.levels(nulls, false)?;
                self.add_small(nulls, 0, levels)
            }
        }
    }

    fn end_small(&mut self) -> Result<()> {
        match std::mem::take(&mut self.small_values) {
            0 => Ok(()),
            values => {
                let mut plain = self.levels(values, true)?;
                let value_bytes = self.small.len() - values * size_of::<i32>();
                plain.append(&mut self.small);
                self.add_small(values, value_bytes, plain)
            }
        }
    }

    /// The levels of `count` values that are all there, or all null: one run, behind the length of all runs.
    fn levels(&self, count: usize, are_there: bool) -> Result<Vec<u8>> {
        if !self.nullable {
            return Ok(Vec::new());
        }
        let mut run = Vec::new();
        push_varint(&mut run, (count as u64) << 1);
        run.push(u8::from(are_there));
        let mut levels = int(run.len())?.to_le_bytes().to_vec();
        levels.append(&mut run);
        Ok(levels)
    }

    fn add_small(&mut self, rows: usize, value_bytes: usize, plain: Vec<u8>) -> Result<()> {
        let plain_bytes = plain.len();
        let start = match self.level {
            Some(level) => zstd::bulk::compress(&plain, level)?,
            None => plain,
        };
        self.pages.push(Page {
            rows,
            header: header(plain_bytes, start.len(), rows)?,
            written_bytes: start.len(),
            start,
            value: &[],
            level: None,
            plain_bytes,
            value_bytes,
        });
        Ok(())
    }

    fn add_large(&mut self, start: Vec<u8>, value: &'a [u8]) -> Result<()> {
        let plain_bytes = start.len() + value.len();
        let mut page = Page {
            rows: 1,
            header: Vec::new(),
            start,
            value,
            level: self.level,
            plain_bytes,
            written_bytes: plain_bytes,
            value_bytes: value.len(),
        };
        if page.level.is_some() {
            let written = io::copy(&mut page.body()?, &mut io::sink())?;
            page.written_bytes = usize::try_from(written).unwrap_or(usize::MAX);
        }
        page.header = header(plain_bytes, page.written_bytes, 1)?;
        self.pages.push(page);
        Ok(())
    }
}

impl Page<'_> {
    fn bytes(&self) -> usize {
        self.header.len() + self.written_bytes
    }

    /// What stands behind the header.
    fn body(&self) -> io::Result<Box<dyn Read + '_>> {
        let plain = self.start.as_slice().chain(self.value);
        Ok(match self.level {
            Some(level) => {
                let mut compressed = zstd::stream::read::Encoder::new(plain, level)?;
                compressed.set_pledged_src_size(Some(self.plain_bytes as u64))?;
                Box::new(compressed)
            }
            None => Box::new(plain),
        })
    }
}

/// The bytes of all pages, from front to back.
struct Chunk<'a>(&'a [Page<'a>]);

impl Length for Chunk<'_> {
    fn len(&self) -> u64 {
        self.0.iter().map(|page| page.bytes() as u64).sum()
    }
}

impl<'a> ChunkReader for Chunk<'a> {
    type T = PageReader<'a>;

    fn get_read(&self, start: u64) -> Result<PageReader<'a>> {
        match start {
            0 => Ok(PageReader {
                left: self.0,
                page: Box::new(io::empty()),
            }),
            _ => Err(only_forward()),
        }
    }

    fn get_bytes(&self, _start: u64, _length: usize) -> Result<Bytes> {
        Err(only_forward())
    }
}

fn only_forward() -> ParquetError {
    ParquetError::General("pages that are being made are read from their beginning only".into())
}

/// Reads page after page.
struct PageReader<'a> {
    left: &'a [Page<'a>],
    page: Box<dyn Read + 'a>,
}

impl Read for PageReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.page.read(out)?;
            if read > 0 || out.is_empty() {
                return Ok(read);
            }
            let Some((page, left)) = self.left.split_first() else {
                return Ok(0);
            };
            self.left = left;
            self.page = Box::new(page.header.as_slice().chain(page.body()?));
        }
    }
}

/// The header of a data page, version 1, as Thrift's compact protocol writes it:
/// <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>.
fn header(plain_bytes: usize, written_bytes: usize, values: usize) -> Result<Vec<u8>> {
    const INT: u8 = 5;
    const STRUCT: u8 = 12;
    // PageType.DATA_PAGE, Encoding.PLAIN and Encoding.RLE.
    const DATA_PAGE: i32 = 0;
    const PLAIN: i32 = 0;
    const RLE: i32 = 3;
    let mut out = Vec::with_capacity(32);
    let ints = |out: &mut Vec<u8>, ints: &[i32]| {
        for int in ints {
            out.push(1 << 4 | INT); // the field that follows the one before
            push_varint(out, u64::from(((int << 1) ^ (int >> 31)).cast_unsigned()));
        }
    };
    ints(
        &mut out,
        &[DATA_PAGE, int(plain_bytes)?, int(written_bytes)?],
    );
    out.push(2 << 4 | STRUCT); // field 5: the checksum, field 4, is left out
    ints(&mut out, &[int(values)?, PLAIN, RLE, RLE]);
    out.extend_from_slice(&[0, 0]); // the ends of both structs
    Ok(out)
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn int(value: usize) -> Result<i32> {
    i32::try_from(value)
        .map_err(|_| ParquetError::General(format!("a page of {value} bytes or values")))
}
