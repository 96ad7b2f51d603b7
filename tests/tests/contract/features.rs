//! FEATURES.md: each feature of the model, where it is, and the tests that hold it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The features that the table has to name: the groups that are built, less what the design drops.
const FEATURES: &[(&str, u32)] = &[
    ("CON", 16),
    ("FLO", 5),
    ("SRC", 3),
    ("TRG", 11),
    ("DST", 6),
    ("OPT", 6),
    ("ACT", 8),
    ("JOB", 5),
    ("SCH", 7),
    ("THN", 9),
    ("STA", 8),
    ("TKT", 4),
    ("SVC", 4),
];
/// Features outside of unbroken runs of numbers.
const FURTHER: &[&str] = &[
    "DST-05b", "HOK-00", "HOK-01", "HOK-02", "HOK-03", "HOK-04", "HOK-06", "SVC-10", "STO-01",
    "STO-02", "STO-04", "STO-05", "STO-06", "STO-08", "STO-09",
];

/// One row: the feature, the files it is in, and its tests as file and name.
struct Row {
    id: String,
    modules: Vec<String>,
    tests: Vec<(String, String)>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rows() -> Vec<Row> {
    let table = std::fs::read_to_string(root().join("FEATURES.md")).unwrap();
    table.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let [_, id, _, modules, tests, _] = cells[..] else {
        return None;
    };
    id.contains('-').then_some(())?;
    if id.starts_with('-') {
        return None;
    }
    let quoted = |cell: &str| -> Vec<String> {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    let named = quoted(tests).into_iter().map(|test| {
        let (file, name) = test.split_once("::").unwrap_or_else(|| panic!("{test}"));
        (file.to_owned(), name.to_owned())
    });
    Some(Row {
        id: id.to_owned(),
        modules: quoted(modules),
        tests: named.collect(),
    })
}

/// The documentation directly above `fn name` in `source`; none when there is no such test.
fn documentation(source: &str, name: &str) -> Option<String> {
    let at = source.find(&format!("fn {name}("))?;
    let (above, _) = source[..at].rsplit_once('\n')?;
    let attached = above.lines().rev().take_while(|line| {
        let line = line.trim_start();
        line.starts_with("///") || line.starts_with("#[") || line.starts_with(')')
    });
    let lines: Vec<&str> = attached.collect();
    let is_test = lines.iter().any(|line| line.contains("test"));
    is_test.then(|| lines.join("\n"))
}

#[test]
fn every_feature_has_a_module_that_exists_and_a_test_that_names_it() {
    let rows = rows();
    for row in &rows {
        assert!(!row.modules.is_empty(), "{} names no module", row.id);
        assert!(!row.tests.is_empty(), "{} names no test", row.id);
        for module in &row.modules {
            assert!(
                root().join(module).exists(),
                "{}: there is no {module}",
                row.id
            );
        }
        for (file, name) in &row.tests {
            let source = std::fs::read_to_string(root().join(file));
            let source = source.unwrap_or_else(|error| panic!("{}: {file}: {error}", row.id));
            let documentation = documentation(&source, name);
            let documentation =
                documentation.unwrap_or_else(|| panic!("{}: {file} has no test {name}", row.id));
            let words = documentation.split_whitespace();
            assert!(
                words.clone().any(|word| word == row.id),
                "{}: the test {name} does not name it",
                row.id
            );
        }
    }
}

#[test]
fn the_table_of_features_leaves_none_out_and_names_none_twice() {
    let rows = rows();
    let named: BTreeSet<&str> = rows.iter().map(|row| &*row.id).collect();
    assert_eq!(named.len(), rows.len(), "a feature is named twice");
    let runs = FEATURES
        .iter()
        .flat_map(|(group, last)| (1..=*last).map(move |number| format!("{group}-{number:02}")));
    let wanted = runs.chain(FURTHER.iter().map(|id| (*id).to_owned()));
    let missing: Vec<String> = wanted.filter(|id| !named.contains(&**id)).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
}
