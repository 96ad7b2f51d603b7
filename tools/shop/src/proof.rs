//! The proof: each table of Postgres beside the same table folded from its Parquet change log.

use std::io::Write;
use std::path::Path;

use blacksmith_tests::db::Session;
use blacksmith_tests::lake::{Lake, compare};

use crate::shop::TABLES;

/// Prints rows and checksums of both sides; whether all are equal and the lake keeps its promises.
pub(crate) fn print(session: &mut Session, lake: &Path) -> Result<bool, String> {
    let lake = Lake::open(lake)?;
    let mut equal = true;
    let mut text = format!(
        "\n{:<18} {:>12}  {:<16}  {:>12}  {:<16}\n",
        "table", "rows", "Postgres", "rows", "folded Parquet"
    );
    let mut reports = String::new();
    for table in TABLES {
        let sides = compare::sides(session, &lake, table)?;
        let (postgres, parquet) = sides.digests();
        text.push_str(&format!(
            "{table:<18} {:>12}  {:016x}  {:>12}  {:016x}  {}\n",
            postgres.rows,
            postgres.checksum,
            parquet.rows,
            parquet.checksum,
            if postgres == parquet {
                "equal"
            } else {
                "DIFFERENT"
            }
        ));
        if let Some(report) = compare::differences(&sides.folded, &sides.truth) {
            equal = false;
            reports.push_str(&format!("{table}: {report}\n"));
        }
    }
    for violation in lake.violations()? {
        equal = false;
        reports.push_str(&format!("{violation}\n"));
    }
    text.push_str(&format!(
        "\n{} change rows in {} loads, each row in exactly one.\n",
        lake.rows(),
        lake.commits().len()
    ));
    text.push_str(&reports);
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .map_err(|error| error.to_string())?;
    Ok(equal)
}
