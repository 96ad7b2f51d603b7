//! The promises that hold for every lake at rest, whatever was loaded into it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::log::{ChangeLog, Entry, Op};
use super::{Commit, Lake, Published};

/// How many violations of one kind are told.
const TOLD_MAX: usize = 5;

pub(super) fn violations(lake: &Lake) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    check_files(lake, &mut found)?;
    check_commits(lake, &mut found);
    let mut positions = BTreeMap::new();
    for (number, table) in lake.tables().iter().enumerate() {
        let log = lake.change_log(table)?;
        let entries = log.entries()?;
        check_table(lake, &log, &entries, &mut found);
        check_positions((number, table), &entries, &mut positions, &mut found);
    }
    Ok(found)
}

/// Every file is in exactly one commit record, and has the size the record says.
fn check_files(lake: &Lake, found: &mut Vec<String>) -> Result<(), String> {
    let on_disk: BTreeSet<PathBuf> = lake.files_on_disk()?.into_iter().collect();
    let mut recorded = BTreeSet::new();
    for file in lake.published() {
        let path = file.path.display();
        if !recorded.insert(file.path.clone()) {
            found.push(format!("{path} is in two commit records"));
        }
        match std::fs::metadata(lake.root.join(&file.path)) {
            Err(error) => found.push(format!("{path} is recorded, but: {error}")),
            Ok(data) if data.len() != file.bytes => {
                found.push(format!(
                    "{path} has {} bytes, recorded {}",
                    data.len(),
                    file.bytes
                ));
            }
            Ok(_) => {}
        }
    }
    for orphan in on_disk.difference(&recorded) {
        found.push(format!("{} is in no commit record", orphan.display()));
    }
    Ok(())
}

/// Records follow each other without overlap, and add up.
fn check_commits(lake: &Lake, found: &mut Vec<String>) {
    let mut before: Option<&Commit> = None;
    for commit in lake.commits() {
        let (first, last) = (commit.first_position, commit.last_position);
        let rows: u64 = commit.files.iter().map(|file| file.rows).sum();
        if rows != commit.rows {
            found.push(format!(
                "commit {last} says {} rows, its files {rows}",
                commit.rows
            ));
        }
        if first > last {
            found.push(format!("commit {last} begins at {first}"));
        }
        if before.is_some_and(|before| before.last_position >= first) {
            found.push(format!(
                "commit {last} begins at {first}, inside the one before"
            ));
        }
        if before.is_some_and(|before| before.commit_lsn > commit.commit_lsn) {
            found.push(format!(
                "commit {last} has an older commit_lsn than the one before"
            ));
        }
        for file in &commit.files {
            if file.first_position < first || file.last_position > last {
                let path = file.path.display();
                found.push(format!("{path} is not inside its commit {first}..{last}"));
            }
        }
        before = Some(commit);
    }
}

/// The rows of a table are the rows of its files, each inside the span that is recorded of its own.
fn check_table(lake: &Lake, log: &ChangeLog, entries: &[Entry], found: &mut Vec<String>) {
    let table = &log.table;
    let files: Vec<&Published> = lake
        .published()
        .filter(|file| file.table == *table)
        .collect();
    let recorded: u64 = files.iter().map(|file| file.rows).sum();
    if recorded != entries.len() as u64 {
        found.push(format!(
            "{table} has {} rows, recorded {recorded}",
            entries.len()
        ));
    }
    let outside = entries.iter().filter_map(|entry| {
        let file = files[log.file(entry.at)];
        let (first, last) = (file.first_position, file.last_position);
        (!(first..=last).contains(&entry.seq)).then_some((entry, file))
    });
    for (entry, file) in outside.take(TOLD_MAX) {
        found.push(format!(
            "{table}: row {} of {}, {:?} at position {} of LSN {}, is not inside the span recorded of its file: {file:?}",
            entry.at.row,
            file.path.display(),
            entry.op,
            entry.seq,
            entry.lsn
        ));
    }
    // As they lie in their files, one behind the other.
    let mut lying: Vec<&Entry> = entries.iter().collect();
    lying.sort_by_key(|entry| (entry.at.batch, entry.at.row));
    let falls = |pair: &&[&Entry]| {
        log.file(pair[0].at) == log.file(pair[1].at) && pair[0].seq > pair[1].seq
    };
    for pair in lying.windows(2).filter(falls).take(TOLD_MAX) {
        let (path, row) = (&files[log.file(pair[1].at)].path, pair[1].at.row);
        let (before, seq) = (pair[0].seq, pair[1].seq);
        found.push(format!(
            "{table}: row {row} of {} is at position {seq}, and the one before it at {before}",
            path.display()
        ));
    }
}

/// No position twice, over all tables, except the delete and insert of a changed key; and the
/// order of positions is the order of commits.
fn check_positions(
    (number, table): (usize, &str),
    entries: &[Entry],
    positions: &mut BTreeMap<u64, (usize, Op)>,
    found: &mut Vec<String>,
) {
    let mut told = 0;
    let mut tell = |violation: String| {
        told += 1;
        if told <= TOLD_MAX {
            found.push(violation);
        }
    };
    for entry in entries {
        if let Some((other, op)) = positions.insert(entry.seq, (number, entry.op)) {
            let pair = [op, entry.op] == [Op::Delete, Op::Insert];
            if !pair || other != number {
                tell(format!(
                    "{table}: position {} twice: {op:?}, {:?}",
                    entry.seq, entry.op
                ));
            }
        }
    }
    // In order of (_lsn, _seq).
    let changes: Vec<&Entry> = entries
        .iter()
        .filter(|entry| !is_snapshots(entry))
        .collect();
    for pair in changes.windows(2) {
        if pair[0].seq > pair[1].seq {
            let (earlier, later) = (pair[0].seq, pair[1].seq);
            tell(format!(
                "{table}: position {later} has a later commit than {earlier}"
            ));
        }
    }
}

/// Whether a row belongs to a snapshot: one that was read, or the truncate that begins the second
/// snapshot of a table. Both carry one less than the LSN of the snapshot, which no commit can have,
/// and may be in the log before changes that are older.
fn is_snapshots(entry: &Entry) -> bool {
    entry.op == Op::Read || (entry.op == Op::Truncate && entry.lsn % 8 == 7)
}
