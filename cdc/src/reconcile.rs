//! The publication compared with the book of tables: what came, what went, what was put back. Pure.

use std::collections::HashMap;

use crate::catalog::PublishedTable;
use crate::options::Snapshot;
use crate::state::{Phase, TableState};

/// What the publication holds now.
#[derive(Debug)]
pub(crate) struct Published<'a> {
    /// The tables that the configuration wants.
    pub(crate) tables: Vec<&'a PublishedTable>,
    /// Their rows in `pg_publication_rel`, by oid; none for a table that is in by its schema.
    pub(crate) rows: &'a HashMap<u32, u32>,
    /// Whether tables that come are copied first.
    pub(crate) snapshot: Snapshot,
}

impl Published<'_> {
    /// The tables whose state has to change, and their new state.
    pub(crate) fn changes(&self, known: &HashMap<u32, TableState>) -> Vec<(u32, TableState)> {
        let came = self.tables.iter().filter_map(|table| {
            let state = self.came(table, known.get(&table.oid))?;
            Some((table.oid, state))
        });
        let went = known.iter().filter_map(|(oid, state)| {
            let is_there = self.tables.iter().any(|table| table.oid == *oid);
            (!is_there && !state.phase.is_gone()).then(|| (*oid, gone(state)))
        });
        came.chain(went).collect()
    }

    /// The state of a table that is published, unless it is as before.
    fn came(&self, table: &PublishedTable, known: Option<&TableState>) -> Option<TableState> {
        let row = self.rows.get(&table.oid).copied();
        match known {
            Some(state) if !state.phase.is_gone() && !is_put_back(state, row) => {
                let row_is_new = state.publication_row.is_none() && row.is_some();
                row_is_new.then(|| TableState {
                    publication_row: row,
                    ..state.clone()
                })
            }
            _ => {
                let name = format!("{}.{}", table.namespace, table.name);
                tracing::info!(table = %name, "table found in the publication");
                Some(self.beginning(table, row))
            }
        }
    }

    /// The state in which a table is taken up.
    fn beginning(&self, table: &PublishedTable, row: Option<u32>) -> TableState {
        TableState {
            namespace: table.namespace.clone(),
            name: table.name.clone(),
            phase: match self.snapshot {
                Snapshot::Initial => Phase::Pending,
                Snapshot::Never => Phase::Live { from_lsn: 0 },
            },
            publication_row: row,
        }
    }
}

/// Taken out and put back between two looks: changes in between are missing.
fn is_put_back(state: &TableState, row: Option<u32>) -> bool {
    state.publication_row.is_some() && row.is_some() && state.publication_row != row
}

/// Its last changes may still be on their way: they are kept as before.
fn gone(state: &TableState) -> TableState {
    let name = format!("{}.{}", state.namespace, state.name);
    tracing::warn!(table = %name, "table left the publication; its changes are followed no more");
    let from_lsn = state.phase.kept_from().unwrap_or(u64::MAX);
    TableState {
        phase: Phase::Gone { from_lsn },
        ..state.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(oid: u32) -> PublishedTable {
        PublishedTable {
            oid,
            namespace: "public".into(),
            name: format!("t{oid}"),
        }
    }

    fn state(phase: Phase, publication_row: Option<u32>) -> TableState {
        TableState {
            namespace: "public".into(),
            name: "t1".into(),
            phase,
            publication_row,
        }
    }

    fn changes(
        tables: &[PublishedTable],
        row: Option<u32>,
        known: Option<TableState>,
    ) -> Vec<Phase> {
        let rows: HashMap<u32, u32> = row.map(|row| (1, row)).into_iter().collect();
        let tables = tables.iter().collect();
        let published = Published {
            tables,
            rows: &rows,
            snapshot: Snapshot::Initial,
        };
        let known = known.map(|state| (1, state)).into_iter().collect();
        published
            .changes(&known)
            .into_iter()
            .map(|(_, state)| state.phase)
            .collect()
    }

    #[test]
    fn a_table_that_comes_waits_for_its_snapshot() {
        assert_eq!(changes(&[table(1)], Some(7), None), [Phase::Pending]);
        let gone = state(Phase::Gone { from_lsn: 5 }, Some(7));
        assert_eq!(changes(&[table(1)], Some(8), Some(gone)), [Phase::Pending]);
    }

    #[test]
    fn a_table_that_is_there_stays_as_it_is() {
        let live = state(Phase::Live { from_lsn: 5 }, Some(7));
        assert_eq!(changes(&[table(1)], Some(7), Some(live)), []);
    }

    /// T15: another row in the publication's list means that changes are missing.
    #[test]
    fn t15_a_table_taken_out_and_put_back_between_two_looks_is_copied_anew() {
        let live = state(Phase::Live { from_lsn: 5 }, Some(7));
        assert_eq!(changes(&[table(1)], Some(8), Some(live)), [Phase::Pending]);
    }

    #[test]
    fn the_last_changes_of_a_table_that_went_are_kept() {
        let live = state(Phase::Live { from_lsn: 5 }, None);
        let went = changes(&[], None, Some(live));
        assert_eq!(went, [Phase::Gone { from_lsn: 5 }]);
        assert_eq!(went[0].kept_from(), Some(5));
    }
}
