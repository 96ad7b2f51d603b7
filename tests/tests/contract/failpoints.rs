//! Failpoints: each that is listed is a place in the code, each place in the code is listed, and the stock program has none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use blacksmith_tests::failpoints::{self, listed};
use blacksmith_tests::stream;

/// Where the product's code is.
const CRATES: [&str; 4] = ["core/src", "cdc/src", "sinks/src", "tools/src"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What stands between the brackets of each `failpoint!(…)` and `planted!(…)` of the product, and how often.
fn places() -> BTreeMap<(&'static str, String), usize> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for one in CRATES {
        sources(&root.join(one), &mut files);
    }
    let mut places = BTreeMap::new();
    for file in files {
        if file.ends_with("failpoint/mod.rs") {
            continue; // where the macros are made
        }
        let text = std::fs::read_to_string(&file).unwrap();
        for name in ["failpoint", "planted"] {
            for part in text.split(&format!("{name}!(")).skip(1) {
                let inside = part.split([')', ',']).next().unwrap().to_owned();
                *places.entry((name, inside)).or_default() += 1;
            }
        }
    }
    places
}

#[test]
fn every_failpoint_that_is_listed_is_in_the_code_and_every_one_in_the_code_is_listed() {
    let list = listed();
    assert!(list.len() > 20, "{list:?}");
    let expected: BTreeMap<(&str, String), ()> = list
        .iter()
        .map(|one| {
            let (name, mark) = match (one.bug, one.fails) {
                (true, _) => ("planted", ""),
                (false, true) => ("failpoint", "?"),
                (false, false) => ("failpoint", ""),
            };
            ((name, format!("{}{mark}", one.identifier)), ())
        })
        .collect();
    let places = places();
    let missing: Vec<_> = expected
        .keys()
        .filter(|one| !places.contains_key(*one))
        .collect();
    assert!(
        missing.is_empty(),
        "listed, and nowhere in the code: {missing:?}"
    );
    let unlisted: Vec<_> = places
        .keys()
        .filter(|one| !expected.contains_key(*one))
        .collect();
    assert!(
        unlisted.is_empty(),
        "in the code, and not listed so: {unlisted:?}"
    );
}

#[test]
fn the_stock_program_has_no_failpoint() {
    let read = |program: &Path| {
        let bytes = std::fs::read(program).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (stock, other) = (read(stream::program()), read(failpoints::program()));
    let names = listed()
        .into_iter()
        .map(|one| one.name)
        .chain([failpoints::VARIABLE]);
    for name in names {
        assert!(!stock.contains(name), "the stock program knows {name}");
        assert!(other.contains(name), "the other one does not know {name}");
    }
}

#[test]
fn a_name_that_is_mistyped_ends_the_program_and_lists_all_names() {
    let output = std::process::Command::new(failpoints::program())
        .args(["run"])
        .env(failpoints::VARIABLE, "log.sinced=kill")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{said}");
    for one in listed() {
        assert!(said.contains(one.name), "{said}");
    }
}
