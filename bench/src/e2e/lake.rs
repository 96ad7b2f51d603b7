//! The lake, held against what was written: the oracle of the test bench counts.

use std::path::Path;

use blacksmith_tests::lake::Lake;

use super::Result;

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
