//! `cargo x deny`: what our dependencies may be, as `deny.toml` says, held by cargo-deny.
//!
//! The tool takes minutes to build, so nothing installs it by the way: `cargo install --locked cargo-deny` does, once. What matters
//! most, sources and licences, a test holds without it (`tests/tests/contract/supply.rs`).

use std::process::{Command, Stdio};

use super::step::Step;

/// Whether the tool is there.
pub(crate) fn is_installed() -> bool {
    let mut asked = Command::new("cargo-deny");
    asked
        .args(["deny", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    asked.status().is_ok_and(|status| status.success())
}

pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let advisories: &[&str] = match words {
        [] => &[],
        // Their database comes by git, from where not every machine can reach it.
        ["--advisories"] => &["advisories"],
        _ => return Err("deny knows --advisories only".into()),
    };
    if !is_installed() {
        return Err("cargo-deny is missing: cargo install --locked cargo-deny".into());
    }
    Step::cargo(&["deny", "--all-features", "check"])
        .arguments(&["bans", "licenses", "sources"])
        .arguments(advisories)
        .run()
}
