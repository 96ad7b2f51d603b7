//! DuckDB, as a stranger's eye on the lake: installed by pip below `target/`, once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::db::Row;
use crate::server::binaries::lock;

/// The version that tests run.
const PACKAGE: &str = "duckdb==2.0.0";

/// Set to 1 where there is no Python with pip, to leave out what only DuckDB can prove.
pub const NONE: &str = "BLACKSMITH_NO_DUCKDB";

/// Runs the statements given on stdin; prints the rows of the last as JSON, every value as text. DuckDB itself would
/// print how far it is, after two seconds.
const SCRIPT: &str = "
import duckdb, json, sys
duck = duckdb.connect()
duck.execute('set enable_progress_bar = false')
rows = duck.execute(sys.stdin.read()).fetchall()
print(json.dumps([[None if value is None else str(value) for value in row] for row in rows]))
";

/// Whether the environment says that there is no DuckDB here.
#[must_use]
pub fn left_out() -> bool {
    std::env::var(NONE).is_ok_and(|value| value == "1")
}

/// The rows of the last of `statements`, run in `folder`.
///
/// # Panics
/// When DuckDB cannot be installed, or refuses the statements.
#[must_use]
pub fn rows(folder: &Path, statements: &str) -> Vec<Row> {
    static PACKAGES: OnceLock<PathBuf> = OnceLock::new();
    let packages = PACKAGES.get_or_init(|| install().unwrap_or_else(|why| panic!("{why}")));
    let sql = folder.join("statements.sql");
    std::fs::write(&sql, statements).expect("the folder of a test is writable");
    let output = Command::new("python3")
        .args(["-c", SCRIPT])
        .env("PYTHONPATH", packages)
        .current_dir(folder)
        .stdin(std::fs::File::open(&sql).expect("just written"))
        .output()
        .expect("python3 ran a moment ago");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "DuckDB: {said}\nin: {statements}");
    serde_json::from_slice(&output.stdout).expect("the script prints JSON")
}

fn install() -> Result<PathBuf, String> {
    let home = crate::target_dir().join("duckdb");
    std::fs::create_dir_all(&home).map_err(|error| error.to_string())?;
    let _locked = lock(&home.join(".lock"))?;
    let packages = home.join(PACKAGE);
    if packages.join("duckdb").exists() {
        return Ok(packages);
    }
    let output = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--target"])
        .args([packages.as_os_str(), PACKAGE.as_ref()])
        .output();
    let hint = format!("set {NONE}=1 to go without");
    match output {
        Ok(output) if output.status.success() => Ok(packages),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("pip cannot install {PACKAGE}: {said}; {hint}"))
        }
        Err(error) => Err(format!("python3 cannot be run: {error}; {hint}")),
    }
}
