//! The statistics of a column that was encoded without any.
//!
//! The library holds each value against the least and the greatest so far, and asks the column each time what its order
//! is: a quarter of the time that encoding takes (measured). Here the places of both are found page by page
//! ([`super::extremes`]). The library is given nothing but these rows, as a column of their own with as many pages, and
//! what it says of that column (how bounds are shortened, which are exact, whether pages ascend) holds for the whole one.
//! What is left is counting: nulls, and the bytes of text.

use std::ops::Range;

use arrow_array::{Array, ArrayRef};
use arrow_select::interleave::interleave;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnIndexBuilder, LevelHistogram};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::{Statistics, ValueStatistics};

use super::extremes::{self, ends};

/// Rows of one array.
type Stretch<'a> = (usize, &'a ArrayRef, Range<usize>);

/// The pages of one column.
#[derive(Debug)]
pub(super) struct Pages(Vec<Page>);

#[derive(Debug)]
struct Page {
    rows: usize,
    nulls: usize,
    /// Arrays and rows of them: the least and the greatest value are among these. Not empty; nulls only if there is nothing else.
    extremes: Vec<(usize, usize)>,
}

impl Pages {
    /// The pages of the column with the values of `arrays` that was `closed` so.
    ///
    /// # Errors
    /// When it has no index of its pages.
    pub(super) fn of(arrays: &[&ArrayRef], closed: &ColumnCloseResult) -> Result<Pages> {
        let index = closed.offset_index.as_ref();
        let index = index.ok_or_else(|| unfit("no index"))?;
        let firsts = index.page_locations.iter().map(|page| page.first_row_index);
        let ends = firsts.clone().skip(1).chain([closed.rows_written as i64]);
        let mut stretches = Stretches::of(arrays);
        let pages = firsts
            .zip(ends)
            .map(|(first, end)| Page::of(&stretches.next((end - first) as usize)));
        Ok(Pages(pages.collect()))
    }

    /// How many extremes there are of each page, the last one counted again where there are fewer.
    pub(super) fn extremes_of_each(&self) -> usize {
        let lengths = self.0.iter().map(|page| page.extremes.len());
        lengths.max().unwrap_or(1)
    }

    /// The extremes of one page after the other.
    ///
    /// # Errors
    /// When `arrays` are not those of before.
    pub(super) fn extremes(&self, arrays: &[&ArrayRef]) -> Result<ArrayRef> {
        let each = self.extremes_of_each();
        let places = self.0.iter().flat_map(|page| {
            let again = page.extremes.iter().rev().take(1).cycle();
            page.extremes.iter().chain(again).take(each).copied()
        });
        let arrays: Vec<&dyn Array> = arrays.iter().map(|array| array.as_ref()).collect();
        Ok(interleave(&arrays, &places.collect::<Vec<_>>())?)
    }

    /// Says of the column that was `closed` what the library said of its extremes, of which each page was one of theirs.
    ///
    /// # Errors
    /// When that column has other pages.
    pub(super) fn describe(
        &self,
        closed: &mut ColumnCloseResult,
        extremes: &ColumnCloseResult,
    ) -> Result<()> {
        let levels = closed.metadata.column_descr().max_def_level();
        let nulls = self.0.iter().map(|page| page.nulls).sum();
        let rows = self.0.iter().map(|page| page.rows).sum();
        let mut metadata = closed.metadata.clone().into_builder();
        if let Some(statistics) = extremes.metadata.statistics() {
            metadata = metadata.set_statistics(with_nulls(statistics, nulls)?);
        }
        let text_bytes = closed.offset_index.as_ref().and_then(|index| {
            let pages = index.unencoded_byte_array_data_bytes.as_ref()?;
            Some(pages.iter().sum())
        });
        closed.metadata = metadata
            .set_unencoded_byte_array_data_bytes(text_bytes)
            .set_definition_level_histogram(histogram(levels, rows, nulls))
            .build()?;
        closed.column_index = match &extremes.column_index {
            Some(index) => Some(with_counts(index, closed, &self.0)?),
            None => None,
        };
        Ok(())
    }
}

impl Page {
    fn of(stretches: &[Stretch<'_>]) -> Page {
        let mut page = Page {
            rows: 0,
            nulls: 0,
            extremes: Vec::new(),
        };
        for (at, array, rows) in stretches {
            page.rows += rows.len();
            page.nulls += extremes::nulls(array, rows.clone());
            if let Some((least, greatest)) = ends(array, rows.clone()) {
                page.extremes.extend([(*at, least), (*at, greatest)]);
            }
        }
        if page.extremes.is_empty() {
            page.extremes.extend(any(stretches));
        }
        page
    }
}

/// Some value, be it not a number; a null if there is nothing else.
fn any(stretches: &[Stretch<'_>]) -> Option<(usize, usize)> {
    let all = stretches
        .iter()
        .flat_map(|(at, array, rows)| rows.clone().map(move |row| (*at, *array, row)));
    let value = all.clone().find(|(_, array, row)| array.is_valid(*row));
    let any = value.or_else(|| all.clone().next());
    any.map(|(at, _, row)| (at, row))
}

/// `index` of the extremes of `pages` as that of all their rows.
fn with_counts(
    index: &ColumnIndexMetaData,
    closed: &ColumnCloseResult,
    pages: &[Page],
) -> Result<ColumnIndexMetaData> {
    let column = closed.metadata.column_descr();
    let mut whole = ColumnIndexBuilder::new(column.physical_type());
    for (at, page) in pages.iter().enumerate() {
        let nulls = page.nulls as i64;
        match page.nulls == page.rows {
            true => whole.append(true, Vec::new(), Vec::new(), nulls),
            false => {
                let (least, greatest) = bounds(index, at).ok_or_else(|| unfit("too few"))?;
                whole.append(false, least, greatest, nulls);
            }
        }
        let levels = histogram(column.max_def_level(), page.rows, page.nulls);
        whole.append_histograms(&None, &levels);
    }
    if let Some(order) = index.get_boundary_order() {
        whole.set_boundary_order(order);
    }
    whole.build()
}

/// How many values are null, and how many are there; none of a column that has no nulls.
fn histogram(levels: i16, rows: usize, nulls: usize) -> Option<LevelHistogram> {
    let mut histogram = LevelHistogram::try_new(levels)?;
    histogram.increment_by(0, nulls as i64);
    histogram.increment_by(levels, (rows - nulls) as i64);
    Some(histogram)
}

fn bounds(index: &ColumnIndexMetaData, page: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    macro_rules! numbers {
        ($index:expr) => {{
            let (least, greatest) = ($index.min_value(page)?, $index.max_value(page)?);
            (least.to_le_bytes().into(), greatest.to_le_bytes().into())
        }};
    }
    use ColumnIndexMetaData as I;
    Some(match index {
        I::INT32(index) => numbers!(index),
        I::INT64(index) => numbers!(index),
        I::FLOAT(index) => numbers!(index),
        I::DOUBLE(index) => numbers!(index),
        I::BYTE_ARRAY(index) | I::FIXED_LEN_BYTE_ARRAY(index) => {
            (index.min_value(page)?.into(), index.max_value(page)?.into())
        }
        I::NONE | I::BOOLEAN(_) | I::INT96(_) => return None,
    })
}

/// The same bounds with another number of nulls.
fn with_nulls(statistics: &Statistics, nulls: usize) -> Result<Statistics> {
    fn of<T: Clone>(statistics: &ValueStatistics<T>, nulls: usize) -> ValueStatistics<T> {
        ValueStatistics::new(
            statistics.min_opt().cloned(),
            statistics.max_opt().cloned(),
            statistics.distinct_count(),
            Some(nulls as u64),
            false,
        )
        .with_min_is_exact(statistics.min_is_exact())
        .with_max_is_exact(statistics.max_is_exact())
        .with_backwards_compatible_min_max(statistics.is_min_max_backwards_compatible())
    }
    use Statistics as S;
    Ok(match statistics {
        S::Int32(own) => S::Int32(of(own, nulls)),
        S::Int64(own) => S::Int64(of(own, nulls)),
        S::Float(own) => S::Float(of(own, nulls)),
        S::Double(own) => S::Double(of(own, nulls)),
        S::ByteArray(own) => S::ByteArray(of(own, nulls)),
        S::FixedLenByteArray(own) => S::FixedLenByteArray(of(own, nulls)),
        S::Boolean(_) | S::Int96(_) => return Err(unfit("of another type")),
    })
}

fn unfit(what: &str) -> ParquetError {
    ParquetError::General(format!("statistics of pages: {what}"))
}

/// Arrays that lie one behind the other, from front to back.
struct Stretches<'a> {
    left: Vec<Stretch<'a>>,
}

impl<'a> Stretches<'a> {
    fn of(arrays: &[&'a ArrayRef]) -> Stretches<'a> {
        let all = arrays.iter().enumerate();
        let all = all.map(|(at, array)| (at, *array, 0..array.len()));
        Stretches {
            left: all.rev().collect(),
        }
    }

    /// The next `rows` rows, or what is left.
    fn next(&mut self, mut rows: usize) -> Vec<Stretch<'a>> {
        let mut taken = Vec::new();
        while rows > 0
            && let Some((at, array, within)) = self.left.pop()
        {
            let middle = within.end.min(within.start + rows);
            rows -= middle - within.start;
            taken.push((at, array, within.start..middle));
            if middle < within.end {
                self.left.push((at, array, middle..within.end));
            }
        }
        taken
    }
}
