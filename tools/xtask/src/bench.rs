//! The end-to-end benchmarks: the stock program and what measures it, both in release.

use crate::step::Step;

/// Builds both, and has the second run the first.
pub(crate) fn run(more: &[&str]) -> Result<(), String> {
    let program = [
        "--package",
        "blacksmith-stream",
        "--bin",
        "blacksmith-stream",
    ];
    let bench = ["--package", "blacksmith-bench", "--bin", "scenarios"];
    Step::cargo(&["build", "--release"])
        .arguments(&program)
        .run()?;
    Step::cargo(&["run", "--release", "--quiet"])
        .arguments(&bench)
        .arguments(&["--"])
        .arguments(more)
        .env("BLACKSMITH_STREAM_BIN", &binary()?)
        .run()
}

/// Where the release build puts the stock program: beside the folder that this one is in.
fn binary() -> Result<String, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = own
        .ancestors()
        .nth(2)
        .ok_or("this program is in no target folder")?;
    let binary = target.join("release/blacksmith-stream");
    Ok(binary.to_string_lossy().into_owned())
}
