//! Where our dependencies come from and under which licences: the gist of `deny.toml`, held without a tool of its own.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// All packages that are built here, as cargo knows them.
fn packages() -> Vec<Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().clone();
    assert!(packages.len() > 100);
    packages
}

/// The licences that `deny.toml` allows everybody.
fn allowed() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deny.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once("[licenses]").unwrap();
    let (_, rest) = rest.split_once("allow = [").unwrap();
    let (list, _) = rest.split_once(']').unwrap();
    let names: Vec<String> = list
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    assert!(names.contains(&"MIT".to_owned()));
    names
}

/// Whether an expression such as `(MIT OR Apache-2.0) AND Unicode-3.0` can be met with the licences allowed.
fn met(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let met = any(&mut rest, allowed);
    met && rest.is_empty()
}

fn any(words: &mut &[&str], allowed: &[String]) -> bool {
    let mut met = all(words, allowed);
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        met |= all(words, allowed);
    }
    met
}

fn all(words: &mut &[&str], allowed: &[String]) -> bool {
    let mut met = one(words, allowed);
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut &[&str], allowed: &[String]) -> bool {
    let (name, rest) = match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let met = any(words, allowed);
            let [")", rest @ ..] = *words else {
                return false;
            };
            *words = rest;
            return met;
        }
        [name, "WITH", exception, rest @ ..] => (format!("{name} WITH {exception}"), rest),
        [name, rest @ ..] => ((*name).to_owned(), rest),
        [] => return false,
    };
    *words = rest;
    allowed.contains(&name)
}

#[test]
fn every_dependency_is_of_the_registry_and_may_be_used_by_anybody() {
    let allowed = allowed();
    for package in packages() {
        let (name, source) = (&package["name"], &package["source"]);
        let own = source.is_null() && package["license"] == "Apache-2.0";
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(own || source == REGISTRY, "{name} comes from {source}");
        assert!(
            met(licence, &allowed),
            "{name} is under {licence}: see deny.toml"
        );
    }
}

#[test]
fn no_dependency_of_ours_takes_any_version() {
    for package in packages()
        .iter()
        .filter(|package| package["source"].is_null())
    {
        for dependency in package["dependencies"].as_array().unwrap() {
            let any = dependency["req"] == "*" && dependency["path"].is_null();
            assert!(!any, "{} takes any {}", package["name"], dependency["name"]);
        }
    }
}

#[test]
fn expressions_of_licences_are_met_as_they_say() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
    for met_by_these in [
        "MIT",
        "GPL-3.0 OR MIT",
        "GPL-3.0/MIT",
        "(GPL-3.0 OR ISC) AND MIT",
        "Apache-2.0 WITH LLVM-exception OR X",
    ] {
        assert!(met(met_by_these, &allowed), "{met_by_these}");
    }
    for not in [
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "Apache-2.0",
        "(MIT",
        "",
        "MIT ISC",
        "GPL-3.0 AND (MIT OR ISC)",
    ] {
        assert!(!met(not, &allowed), "{not}");
    }
}
