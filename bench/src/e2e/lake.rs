//! The lake, held against what was written: the oracle of the test bench counts, in ours and in those of peers.

use std::path::Path;

use blacksmith_tests::lake::{self, Lake};

use super::{Result, folder};

/// Reads a lake's files and counts.
///
/// # Errors
/// When there are more rows or fewer than `expected`.
pub fn expect_rows(lake: &Path, expected: u64) -> Result<()> {
    let lake = Lake::open(lake)?;
    let mut rows = 0;
    for table in lake.tables() {
        lake.each_batch(&table, &mut |batch| rows += batch.num_rows() as u64)?;
    }
    match rows == expected && lake.rows() == expected {
        true => Ok(()),
        false => Err(format!(
            "the lake is wrong: {rows} rows in its files, {} in its commit records, expected {expected}",
            lake.rows()
        )),
    }
}

/// Reads every Parquet file below a folder, whoever wrote it, and counts.
///
/// # Errors
/// When there are more rows or fewer than `expected`.
pub fn expect_rows_in_files(folder: &Path, expected: u64) -> Result<()> {
    let mut rows = 0;
    for file in folder::files(folder) {
        if file.extension().is_some_and(|own| own == "parquet") {
            lake::each_batch(&file, &mut |batch| rows += batch.num_rows() as u64)
                .map_err(|why| format!("{}: {why}", file.display()))?;
        }
    }
    match rows == expected {
        true => Ok(()),
        false => Err(format!("its files have {rows} rows, expected {expected}")),
    }
}
