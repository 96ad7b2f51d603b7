//! `unsafe` stands in few files, which are named here with what they need it for, and each use has its proof beside it.

use std::path::{Path, PathBuf};

/// Where `unsafe` may stand, and how often (blocks and implementations).
const PLACES: &[(&str, usize)] = &[
    ("cdc/src/connection/low_mark.rs", 1), // a socket option that nothing safe offers
    ("core/src/ring.rs", 4), // the lanes' lock-free ring; loom tries its interleavings
    ("fuzz/src/allowance.rs", 5), // an allocator that counts, in the fuzzer alone
];
/// How far above its use a proof may begin: lines.
const PROOF_LINES: usize = 8;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files below `folder` with this ending, by their path from the root, but for what is built.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files(&path, ending, found);
        } else if name.ends_with(ending) {
            found.push(path.strip_prefix(root()).unwrap().to_owned());
        }
    }
}

fn all(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root(), ending, &mut found);
    found.sort();
    assert!(found.len() > 5);
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Numbers of the lines, from 0, on which an unsafe block or implementation begins.
fn uses(source: &str) -> Vec<usize> {
    let lines = source.lines().enumerate();
    let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
    let begins = |line: &str| {
        ["{", "impl"]
            .map(|next| format!("{} {next}", "unsafe"))
            .iter()
            .any(|own| line.contains(own))
    };
    code.filter(|(_, line)| begins(line))
        .map(|(number, _)| number)
        .collect()
}

#[test]
fn unsafe_stands_in_named_files_only_each_time_under_its_proof() {
    let mut found = Vec::new();
    for path in all(".rs") {
        let source = read(&path);
        let lines: Vec<&str> = source.lines().collect();
        let uses = uses(&source);
        for own in &uses {
            let above = &lines[own.saturating_sub(PROOF_LINES)..*own];
            let proven = above
                .iter()
                .any(|line| line.trim_start().starts_with("// SAFETY: "));
            assert!(
                proven,
                "{}:{} has no proof above it",
                path.display(),
                own + 1
            );
        }
        if !uses.is_empty() {
            found.push((path.to_string_lossy().into_owned(), uses.len()));
        }
    }
    let named: Vec<(String, usize)> = PLACES
        .iter()
        .map(|(path, uses)| ((*path).to_owned(), *uses))
        .collect();
    assert_eq!(found, named, "say in PLACES why, or do without");
}

#[test]
fn every_package_denies_unsafe_code_unless_it_is_expected() {
    let workspace = read(Path::new("Cargo.toml"));
    for law in [
        "unsafe_code = \"deny\"",
        "undocumented_unsafe_blocks = \"deny\"",
    ] {
        assert!(workspace.contains(law), "{law}");
    }
    for manifest in all("Cargo.toml") {
        let text = read(&manifest);
        let obeys = text.contains("[lints]\nworkspace = true") || text.starts_with("[workspace]");
        assert!(obeys, "{} has lints of its own", manifest.display());
    }
    for path in all(".rs") {
        let allowed = format!("allow({}", "unsafe_code");
        assert!(
            !read(&path).contains(&allowed),
            "{}: write expect, with the reason",
            path.display()
        );
    }
}
