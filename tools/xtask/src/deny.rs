//! `cargo x deny`: what our dependencies may be, as `deny.toml` says, held by cargo-deny.
//!
//! One that is installed is used; else it is built once, below `target/tools`, with the least features and unoptimized: about
//! 100 s of processor time. What matters most, sources and licences, a test holds without it (`tests/tests/contract/supply.rs`).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::step::Step;

/// The version that is built here.
const VERSION: &str = "0.20.2";
const FOLDER: &str = "target/tools";

pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let advisories: &[&str] = match words {
        [] => &[],
        // Their database comes by git, from where not every machine can reach it.
        ["--advisories"] => &["advisories"],
        _ => return Err("deny knows --advisories only".into()),
    };
    Step::cargo(&["deny", "--all-features", "check"])
        .arguments(&["bans", "licenses", "sources"])
        .arguments(advisories)
        .env("PATH", &path_with_tools()?)
        .run()
}

/// Makes sure that the tool is there.
pub(crate) fn install() -> Result<(), String> {
    if is_installed()? {
        return Ok(());
    }
    Step::cargo(&[
        "install",
        "--quiet",
        "cargo-deny",
        "--version",
        VERSION,
        "--locked",
    ])
    .arguments(&["--debug", "--no-default-features", "--root", FOLDER])
    .run()
    .map_err(|why| {
        format!("{why}\ncargo-deny is missing: see what cargo says above, or install it yourself")
    })
}

fn is_installed() -> Result<bool, String> {
    let mut asked = Command::new("cargo-deny");
    asked
        .args(["deny", "--version"])
        .env("PATH", path_with_tools()?);
    asked.stdout(Stdio::null()).stderr(Stdio::null());
    Ok(asked.status().is_ok_and(|status| status.success()))
}

/// Where programs are looked up: the folder of our tools comes last, so that an installed one goes first.
fn path_with_tools() -> Result<String, String> {
    let own = std::env::current_dir().map_err(|error| error.to_string())?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push(own.join(Path::new(FOLDER).join("bin")));
    let joined = std::env::join_paths(folders).map_err(|error| error.to_string())?;
    Ok(joined.to_string_lossy().into_owned())
}
