//! Which pages are copied by which statement. Pure.

use blacksmith_core::event::SchemaId;

use crate::catalog::{Identity, TableInfo};
use crate::connection::quote;
use crate::protocol::CopyFormat;
use crate::state::{Copying, Range};
use crate::value::{TableSchema, binary_ok};

use super::cut::Cut;

/// Pages of one range: 32 MiB, so that little is copied again after a crash.
const RANGE_PAGES: u32 = 4_096;
/// One statement to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    /// The published table.
    pub(super) oid: u32,
    pub(super) schema: SchemaId,
    /// Which of its ranges is done with it; none for a search for moved rows.
    pub(super) range: Option<usize>,
    pub(super) format: CopyFormat,
    pub(super) sql: String,
    /// The relation that is copied, and its pages as the snapshot knows them.
    pub(super) relation: u32,
    pub(super) filenode: u32,
}

/// The ranges of a table as it is now. The last of each part is open: a table may have grown.
pub(super) fn ranges(table: &TableInfo) -> Vec<Range> {
    let mut ranges = Vec::new();
    for part in table.parts.iter().filter(|part| !part.foreign) {
        let blocks = u32::try_from(part.blocks).unwrap_or(u32::MAX);
        let mut from = 0_u32;
        loop {
            let upto = from.saturating_add(RANGE_PAGES);
            let last = upto >= blocks;
            let upto = (!last).then_some(upto);
            ranges.push(Range {
                relation: part.oid,
                filenode: part.filenode,
                from,
                upto,
            });
            match upto {
                Some(upto) => from = upto,
                None => break,
            }
        }
    }
    ranges
}

/// Whether its rows can be copied in binary, which costs the server about what text costs it, and us half as much to read.
pub(super) fn is_read_in_binary(table: &TableSchema) -> bool {
    table.columns.iter().all(|column| binary_ok(&column.kind))
}

/// How one table is copied under one wave.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) table: &'a TableInfo,
    pub(super) schema: SchemaId,
    pub(super) binary: bool,
    pub(super) copying: &'a Copying,
    /// What the first wave of this copy saw.
    pub(super) first: Cut,
    /// What this wave sees.
    pub(super) sees: &'a Cut,
}

impl Plan<'_> {
    /// What is to be run for the ranges that are not in `done`.
    pub(super) fn tasks(&self, done: &[usize]) -> Vec<Task> {
        let again = &self.first != self.sees;
        let mut tasks = Vec::new();
        for (index, range) in self.copying.ranges.iter().enumerate() {
            if !done.contains(&index) {
                let seen = (again && !self.has_key()).then(|| self.seen_by_the_first());
                tasks.extend(self.task(Some(index), range, seen));
            } else if again && self.may_miss_values() {
                let written = self.written_since_the_first();
                tasks.extend(self.task(None, range, Some(written)));
            }
        }
        tasks
    }

    fn task(&self, index: Option<usize>, range: &Range, more: Option<String>) -> Option<Task> {
        let part = self
            .table
            .parts
            .iter()
            .find(|part| part.oid == range.relation)?;
        let columns = self.table.columns.iter().filter(|column| column.published);
        let columns: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
        let mut conditions = vec![format!("ctid >= '({},0)'::tid", range.from)];
        conditions.extend(range.upto.map(|upto| format!("ctid < '({upto},0)'::tid")));
        conditions.extend(
            self.table
                .row_filter
                .as_ref()
                .map(|filter| format!("({filter})")),
        );
        conditions.extend(more);
        let (format, option) = match self.binary {
            true => (CopyFormat::Binary, "binary"),
            false => (CopyFormat::Text, "text"),
        };
        let sql = format!(
            "COPY (SELECT {} FROM ONLY {} WHERE {}) TO STDOUT (FORMAT {option})",
            quote::identifier_list(&columns),
            part.quoted(),
            conditions.join(" AND ")
        );
        Some(Task {
            oid: self.table.oid,
            schema: self.schema,
            range: index,
            format,
            sql,
            relation: part.oid,
            filenode: part.filenode,
        })
    }

    fn has_key(&self) -> bool {
        !self.table.key().is_empty() && self.table.identity != Identity::Nothing
    }

    /// Whether an update may have left a value alone that the stream then did not send.
    fn may_miss_values(&self) -> bool {
        let out_of_line = self
            .table
            .columns
            .iter()
            .any(|column| column.published && column.storage != 'p');
        self.has_key() && self.table.identity != Identity::Full && out_of_line
    }

    /// Rows written by transactions that the first snapshot may not have seen.
    fn written_since_the_first(&self) -> String {
        let xmin = self.first.first_unseen() & 0xffff_ffff;
        format!("age(xmin) <= age('{xmin}'::xid)")
    }

    /// Rows that the first snapshot saw. `xmin` has 32 bits; the rest comes from the newest
    /// transaction, which is at most 2^31 ahead of any row.
    fn seen_by_the_first(&self) -> String {
        let newest = self.sees.next();
        let (epoch, low) = (newest & !0xffff_ffff, newest & 0xffff_ffff);
        let xid = "xmin::text::bigint";
        let whole = format!(
            "greatest({epoch} + {xid} - case when {xid} > {low} then 4294967296 else 0 end, 3)::text::xid8"
        );
        let first = quote::literal(&self.first.to_string());
        format!("pg_visible_in_snapshot({whole}, {first}::pg_snapshot)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{ColumnInfo, Part, TableKind};

    fn table(blocks: u64) -> TableInfo {
        let column = |number, name: &str, storage| ColumnInfo {
            number,
            name: name.to_owned(),
            type_oid: 25,
            typmod: -1,
            type_name: "text".to_owned(),
            not_null: false,
            generated: false,
            published: number != 3,
            storage,
        };
        TableInfo {
            oid: 9,
            namespace: "public".to_owned(),
            name: "Weird \"Name\"".to_owned(),
            kind: TableKind::Ordinary,
            logged: true,
            is_partition: false,
            identity: Identity::Default,
            identity_usable: true,
            identity_key: vec![1],
            primary_key: vec![1],
            row_filter: Some("(id > 5)".to_owned()),
            columns: vec![
                column(1, "id", 'p'),
                column(2, "big", 'x'),
                column(3, "hidden", 'x'),
            ],
            parts: vec![Part {
                oid: 9,
                namespace: "public".to_owned(),
                name: "Weird \"Name\"".to_owned(),
                foreign: false,
                filenode: 77,
                blocks,
            }],
        }
    }

    fn tasks(table: &TableInfo, sees: &str, done: &[usize]) -> Vec<Task> {
        let copying = Copying {
            from_lsn: 100,
            snapshot: "50:60:55".into(),
            ranges: ranges(table),
        };
        let schema = SchemaId(1);
        Plan {
            table,
            schema,
            binary: false,
            copying: &copying,
            first: copying.snapshot.parse().unwrap(),
            sees: &sees.parse().unwrap(),
        }
        .tasks(done)
    }

    #[test]
    fn ranges_cover_every_page_and_the_last_has_no_end() {
        let ranges = ranges(&table(10_000));
        let pages: Vec<_> = ranges
            .iter()
            .map(|range| (range.from, range.upto))
            .collect();
        assert_eq!(
            pages,
            [(0, Some(4_096)), (4_096, Some(8_192)), (8_192, None)]
        );
        assert_eq!(
            super::ranges(&table(0)).len(),
            1,
            "a table believed empty is copied all the same"
        );
    }

    #[test]
    fn a_copy_quotes_names_and_honours_row_filter_and_column_list() {
        let tasks = tasks(&table(1), "50:60:55", &[]);
        assert_eq!(
            tasks[0].sql,
            "COPY (SELECT \"id\",\"big\" FROM ONLY \"public\".\"Weird \"\"Name\"\"\" \
             WHERE ctid >= '(0,0)'::tid AND ((id > 5))) TO STDOUT (FORMAT text)"
        );
    }

    #[test]
    fn under_a_second_snapshot_finished_ranges_are_searched_for_rows_that_moved() {
        let tasks = tasks(&table(5_000), "90:95:", &[0]);
        assert_eq!(tasks.len(), 2);
        assert_eq!(tasks[0].range, None);
        assert!(
            tasks[0].sql.contains("ctid < '(4096,0)'::tid")
                && tasks[0].sql.contains("age('50'::xid)")
        );
        assert_eq!(tasks[1].range, Some(1));
        assert!(!tasks[1].sql.contains("age("));
    }

    #[test]
    fn without_a_key_a_second_snapshot_takes_only_what_the_first_saw() {
        let mut table = table(5_000);
        table.identity_key.clear();
        table.primary_key.clear();
        let tasks = tasks(&table, "90:95:", &[0]);
        assert_eq!(tasks.len(), 1);
        assert!(
            tasks[0].sql.contains("pg_visible_in_snapshot"),
            "{}",
            tasks[0].sql
        );
        assert!(tasks[0].sql.contains("'50:60:55'::pg_snapshot"));
    }
}
