//! The published tables of one source: how far each is, and what its rows look like now.
//!
//! Shared by the stream, which asks about every relation and every transaction, and by the
//! snapshots, which move tables from one phase to the next.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use blacksmith_core::door::Door;
use blacksmith_core::error::{Error, Result};
use blacksmith_core::event::{About, Refusal, SchemaId, StateChange};
use blacksmith_core::failpoint;
use blacksmith_core::log::Receipt;
use bytes::Bytes;
use tokio::sync::Notify;

use crate::catalog::{Patterns, TableInfo, TypeInfo};
use crate::connection::ConnectOptions;
use crate::enquiry::Enquiry;
use crate::protocol::Relation;
use crate::schemas::{from_relation, from_table, is_same_relation};
use crate::state::{self, Phase, TableState};
use crate::stream::Relations;
use crate::value::{TableSchema, binary_ok};

/// How long a small record waits for room in the store at a time.
const ROOM_WAIT: Duration = Duration::from_millis(200);

/// The book of tables.
#[derive(Debug)]
pub(crate) struct Tables {
    door: Door,
    enquiry: Enquiry,
    patterns: Patterns,
    /// Whether a table that appears gets a snapshot.
    snapshots: bool,
    book: Mutex<Book>,
    /// The stream that runs now asked for binary values.
    binary: AtomicBool,
    /// A table appeared that needs a snapshot.
    pub(crate) appeared: Notify,
}

#[derive(Debug, Default)]
struct Book {
    states: HashMap<u32, TableState>,
    /// Tables whose snapshot is being opened: changes are kept, its LSN is not known yet.
    opening: HashSet<u32>,
    schemas: HashMap<u32, (SchemaId, Arc<TableSchema>)>,
}

impl Tables {
    /// The book as the store remembers it.
    ///
    /// # Errors
    /// When the store holds something that cannot be read.
    pub(crate) fn open(
        door: Door,
        options: ConnectOptions,
        patterns: Patterns,
        snapshots: bool,
    ) -> Result<Tables> {
        let mut book = Book {
            states: state::tables(&door)?.into_iter().collect(),
            ..Book::default()
        };
        for schema in door.schemas() {
            let table = TableSchema::from_bytes(schema.body())?;
            book.schemas.insert(table.oid, (schema.id, Arc::new(table)));
        }
        Ok(Tables {
            door,
            enquiry: Enquiry::new(options),
            patterns,
            snapshots,
            book: Mutex::new(book),
            binary: AtomicBool::new(false),
            appeared: Notify::new(),
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the configuration wants this table.
    pub(crate) fn wants(&self, namespace: &str, name: &str) -> bool {
        self.patterns.matches(namespace, name)
    }

    /// Tables and where they stand.
    pub(crate) fn states(&self) -> Vec<(u32, TableState)> {
        self.book()
            .states
            .iter()
            .map(|(oid, state)| (*oid, state.clone()))
            .collect()
    }

    /// Where one table stands.
    pub(crate) fn state(&self, oid: u32) -> Option<TableState> {
        self.book().states.get(&oid).cloned()
    }

    /// Whether a table waits for a snapshot, or for the rest of one.
    pub(crate) fn are_waiting(&self) -> bool {
        let waits = |state: &TableState| matches!(state.phase, Phase::Pending | Phase::Copying(_));
        self.book().states.values().any(waits)
    }

    /// Takes note of where tables stand, before the store has it.
    pub(crate) fn enter(&self, tables: &[(u32, TableState)]) {
        let mut book = self.book();
        for (oid, state) in tables {
            book.opening.remove(oid);
            book.states.insert(*oid, state.clone());
        }
    }

    /// Moves tables to another phase, and has the store remember it.
    ///
    /// # Errors
    /// When the store failed.
    pub(crate) fn set(
        &self,
        tables: &[(u32, TableState)],
        more: Vec<StateChange>,
    ) -> Result<Receipt> {
        let mut changes: Vec<_> = tables
            .iter()
            .map(|(oid, state)| state::set_table(*oid, state))
            .collect();
        changes.extend(more);
        self.enter(tables);
        remember(&self.door, changes)
    }

    /// From now on changes of these tables are kept, though their snapshot has no LSN yet.
    pub(crate) fn open_snapshot(&self, oids: &[u32]) {
        self.book().opening.extend(oids);
    }

    /// The snapshot could not be opened: back to waiting for it.
    pub(crate) fn abandon_snapshot(&self, oids: &[u32]) {
        let mut book = self.book();
        for oid in oids {
            book.opening.remove(oid);
        }
    }

    /// Whether every table known can be read in binary.
    pub(crate) fn are_binary(&self) -> bool {
        let book = self.book();
        book.schemas.values().all(|(_, table)| is_binary(table))
    }

    /// Says how the stream that begins now is read.
    pub(crate) fn set_binary(&self, binary: bool) {
        self.binary.store(binary, Ordering::Relaxed);
    }

    /// The schema of a table as the catalog describes it, defined in the store when it is new.
    ///
    /// # Errors
    /// When the store failed.
    pub(crate) fn define(
        &self,
        info: &TableInfo,
        types: &HashMap<u32, TypeInfo>,
    ) -> Result<(SchemaId, Arc<TableSchema>)> {
        self.define_schema(from_table(info, types))
    }

    fn define_schema(&self, mut table: TableSchema) -> Result<(SchemaId, Arc<TableSchema>)> {
        let known = self.book().schemas.get(&table.oid).cloned();
        if let Some((id, known)) = known {
            table.version = known.version;
            if table == *known {
                return Ok((id, known));
            }
            table.version += 1;
        }
        let body = Bytes::from(table.to_bytes()?);
        let id = self.door.define(About::trigger(table.full_name(), body))?;
        failpoint!(RelationRecorded?);
        let table = Arc::new(table);
        self.book()
            .schemas
            .insert(table.oid, (id, Arc::clone(&table)));
        tracing::info!(table = %table.full_name(), version = table.version, columns = table.columns.len(), "table described");
        Ok((id, table))
    }

    fn resolve_new(&self, relation: &Relation<'_>) -> Result<(SchemaId, Arc<TableSchema>)> {
        let oids: Vec<u32> = relation.columns().map(|column| column.type_oid).collect();
        let answer = self.enquiry.ask(relation.oid, &oids)?;
        self.define_schema(from_relation(relation, &answer.types, &answer.columns))
    }

    /// Notes a table that the stream mentions and nobody knew.
    fn appear(&self, relation: &Relation<'_>) -> Result<()> {
        if self.book().states.contains_key(&relation.oid) {
            return Ok(());
        }
        let phase = if self.snapshots {
            Phase::Pending
        } else {
            Phase::Live { from_lsn: 0 }
        };
        let state = TableState {
            namespace: relation.namespace.to_owned(),
            name: relation.name.to_owned(),
            phase,
            publication_row: None,
        };
        self.set(&[(relation.oid, state)], Vec::new())?;
        self.appeared.notify_one();
        Ok(())
    }
}

fn is_binary(table: &TableSchema) -> bool {
    table.columns.iter().all(|column| binary_ok(&column.kind))
}

/// Has the store remember `changes`, waiting for room.
///
/// # Errors
/// When the store failed.
pub(crate) fn remember(door: &Door, mut changes: Vec<StateChange>) -> Result<Receipt> {
    loop {
        match door.remember(changes) {
            Ok(receipt) => return Ok(receipt),
            Err(Refusal::Failed(error)) => return Err(error),
            Err(Refusal::Full(back)) => changes = *back,
        }
        door.wait_for_room(ROOM_WAIT)?;
    }
}

impl Relations for &Tables {
    fn resolve(&mut self, relation: &Relation<'_>) -> Result<Option<SchemaId>> {
        if !self.wants(relation.namespace, relation.name) {
            return Ok(None);
        }
        self.appear(relation)?;
        let known = self.book().schemas.get(&relation.oid).cloned();
        let (id, table) = match known {
            Some((id, table)) if is_same_relation(&table, relation) => (id, table),
            _ => self.resolve_new(relation)?,
        };
        if self.binary.load(Ordering::Relaxed) && !is_binary(&table) {
            let what = format!(
                "table {} has types that are read as text only",
                table.full_name()
            );
            return Err(Error::unavailable(what).help("the stream goes over to text by itself"));
        }
        Ok(Some(id))
    }

    fn admits(&self, oid: u32, lsn: u64) -> bool {
        let book = self.book();
        if book.opening.contains(&oid) {
            return true;
        }
        let kept_from = book
            .states
            .get(&oid)
            .and_then(|state| state.phase.kept_from());
        kept_from.is_some_and(|from_lsn| lsn >= from_lsn)
    }
}
