//! From blocks of the log to record batches: the [`Format`] of everything a Postgres source stores.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use blacksmith_core::clock::Timestamp;
use blacksmith_core::error::{Error, Result};
use blacksmith_core::event::{Block, FormatId, SchemaId, StoreId};
use blacksmith_core::id::Id;
use blacksmith_core::position::{Position, Span};
use blacksmith_core::source::{
    Asked, Completed, Decoded, Decoding, Format, Limits, Parked, Schemas, Wanted,
};

use crate::changes::{Changes, CopyChanges, Step, StreamRow, Transaction};
use crate::envelope::{Envelope, Moment};
use crate::protocol::CopyFormat;
use crate::value::{RowChange, RowMeta, TableBuilder, TableSchema};

/// Reads pgoutput messages and copied rows.
#[derive(Debug, Default)]
pub struct PostgresFormat;

impl Format for PostgresFormat {
    fn ids(&self) -> &'static [FormatId] {
        &[
            FormatId::PGOUTPUT,
            FormatId::PGCOPY_TEXT,
            FormatId::PGCOPY_BINARY,
        ]
    }

    fn name(&self) -> &'static str {
        "postgres"
    }

    fn only_rows(&self) -> bool {
        true
    }

    fn decoding(&self, asked: Asked) -> Box<dyn Decoding> {
        let Asked {
            schemas,
            limits,
            store,
            event_ids,
            ..
        } = asked;
        Box::new(Decoder {
            schemas,
            limits,
            event_ids: event_ids.then_some(store),
            tables: HashMap::new(),
            completed: None,
            held_bytes: 0,
            unseen_bytes: 0,
        })
    }
}

struct Decoder {
    schemas: Arc<dyn Schemas>,
    limits: Limits,
    /// The store, when rows are to carry the ids of their events.
    event_ids: Option<StoreId>,
    tables: HashMap<SchemaId, Table>,
    completed: Option<Completed>,
    /// Bytes in all builders, as of the last look.
    held_bytes: usize,
    /// Bytes of blocks since then.
    unseen_bytes: usize,
}

/// One version of a table, and its rows so far.
struct Table {
    oid: u32,
    trigger: Arc<str>,
    builder: TableBuilder,
    span: Option<Span>,
    bytes: usize,
}

/// Builders are asked for their size after this many rows, or bytes of blocks.
const ROWS_PER_LOOK: usize = 1_024;
const BYTES_PER_LOOK: usize = 1 << 20;
/// A row from this size on is a batch of its own, and its values are not copied out of the block.
const LARGE_ROW_BYTES: usize = 8 << 20;

impl Decoding for Decoder {
    fn push(&mut self, block: &Block, wanted: &Wanted<'_>, out: &mut Vec<Decoded>) -> Result<()> {
        let envelope = Envelope::decode(&block.envelope)?;
        match block.format {
            FormatId::PGCOPY_TEXT => self.copied(block, envelope, CopyFormat::Text, wanted, out),
            FormatId::PGCOPY_BINARY => {
                self.copied(block, envelope, CopyFormat::Binary, wanted, out)
            }
            _ => self.streamed(block, envelope, wanted, out),
        }
        .and_then(|()| self.look_after(block, out))
        .map_err(|error| error.at(format!("block at position {}", block.first)))
    }

    fn finish(&mut self, out: &mut Vec<Decoded>) -> Result<()> {
        let mut left: Vec<SchemaId> = self.tables.keys().copied().collect();
        left.sort_unstable();
        left.into_iter()
            .try_for_each(|schema| self.hand_out(schema, out))
    }

    fn completed(&self) -> Option<Completed> {
        self.completed
    }
}

impl Decoder {
    fn streamed(
        &mut self,
        block: &Block,
        envelope: Envelope,
        wanted: &Wanted<'_>,
        out: &mut Vec<Decoded>,
    ) -> Result<()> {
        let schemas = self.tables_of(block)?;
        let transaction = envelope.moment.map(transaction);
        let mut next = block.first;
        let mut last_seen: Option<(Transaction, Position)> = None;
        for step in Changes::new(&block.body, transaction, envelope.streamed) {
            let Step::Row(row) = step? else { continue };
            let schema = *schemas
                .get(&row.relation)
                .ok_or_else(|| unknown_table(row.relation))?;
            if block.excluded.covers(schema, row.group) {
                continue;
            }
            let position = next;
            next = next.next();
            if let Some((before, _)) = last_seen
                && before != row.transaction
            {
                self.complete(before);
            }
            if position > wanted.span.last {
                return Ok(());
            }
            last_seen = Some((row.transaction, position));
            if wanted.has(position) && (wanted.schema)(schema) {
                self.row(schema, position, block, &row, out)?;
            }
        }
        // Only the truncate that begins a snapshot has a moment and no transaction.
        let is_snapshots = envelope.moment.is_some() && block.transaction.is_none();
        if !is_snapshots {
            self.complete_block(block, last_seen, wanted.span);
        }
        Ok(())
    }

    /// Whether the last transaction of the block ends with it.
    fn complete_block(&mut self, block: &Block, last: Option<(Transaction, Position)>, span: Span) {
        let Some((transaction, position)) = last else {
            return;
        };
        let whole = block.transaction.map_or(position, |whole| whole.last);
        if position >= whole && whole <= span.last {
            self.complete(transaction);
        }
    }

    fn complete(&mut self, transaction: Transaction) {
        let at = Timestamp(transaction.committed_at_us);
        self.completed = Some(Completed {
            lsn: transaction.commit_lsn,
            at,
        });
    }

    fn row(
        &mut self,
        schema: SchemaId,
        position: Position,
        block: &Block,
        row: &StreamRow<'_>,
        out: &mut Vec<Decoded>,
    ) -> Result<()> {
        let event_id = self.event_id(position, block.received_at);
        let meta = RowMeta {
            lsn: row.transaction.commit_lsn,
            seq: position.0,
            committed_at_us: Some(row.transaction.committed_at_us),
            event_id: event_id.as_deref(),
        };
        match &row.change {
            Ok(change) => self.change(schema, position, block, &meta, change, out),
            Err(error) => {
                self.park(schema, position, error, out);
                Ok(())
            }
        }
    }

    fn copied(
        &mut self,
        block: &Block,
        envelope: Envelope,
        format: CopyFormat,
        wanted: &Wanted<'_>,
        out: &mut Vec<Decoded>,
    ) -> Result<()> {
        let (Some(moment), Some(tally)) = (envelope.moment, block.tally.first()) else {
            return Err(Error::damaged("copied rows without their snapshot"));
        };
        self.tables_of(block)?;
        if !(wanted.schema)(tally.schema) {
            return Ok(());
        }
        for row in CopyChanges::new(&block.body, format) {
            let (ordinal, change) = row?;
            let position = block.first.plus(ordinal);
            if wanted.has(position) {
                let event_id = self.event_id(position, block.received_at);
                let meta = RowMeta {
                    lsn: moment.lsn,
                    seq: position.0,
                    committed_at_us: Some(moment.at_us),
                    event_id: event_id.as_deref(),
                };
                self.change(tally.schema, position, block, &meta, &change, out)?;
            }
        }
        Ok(())
    }

    fn event_id(&self, position: Position, received_at: Timestamp) -> Option<String> {
        let store = self.event_ids?;
        Some(Id::of_event(store, position, received_at).to_string())
    }

    fn change(
        &mut self,
        schema: SchemaId,
        position: Position,
        block: &Block,
        meta: &RowMeta<'_>,
        change: &RowChange<'_>,
        out: &mut Vec<Decoded>,
    ) -> Result<()> {
        // Only a block that is large itself has large rows.
        let large = block.body.len() >= LARGE_ROW_BYTES && change.len_bytes() >= LARGE_ROW_BYTES;
        if large {
            self.hand_out(schema, out)?;
        }
        let Some(table) = self.tables.get_mut(&schema) else {
            return Ok(());
        };
        let pushed = match large {
            true => table.builder.push_lent(meta, change, &block.body),
            false => table.builder.push(meta, change),
        };
        if let Err(error) = pushed {
            self.park(schema, position, &error, out);
            return Ok(());
        }
        let first = table.span.map_or(position, |span| span.first);
        table.span = Some(Span {
            first,
            last: position,
        });
        let rows = table.builder.rows();
        if large || rows >= self.limits.batch_rows || table.builder.is_full() {
            return self.hand_out(schema, out);
        }
        if rows % ROWS_PER_LOOK == 0 {
            self.look(schema);
            if self.held_bytes > self.limits.held_bytes {
                return self.hand_out_largest(out);
            }
        }
        Ok(())
    }

    fn park(&self, schema: SchemaId, position: Position, error: &Error, out: &mut Vec<Decoded>) {
        let Some(table) = self.tables.get(&schema) else {
            return;
        };
        let trigger = Arc::clone(&table.trigger);
        out.push(Decoded::Parked(Parked {
            position,
            trigger,
            reason: error.report(),
        }));
    }

    /// Brings the size of one table's builder up to date.
    fn look(&mut self, schema: SchemaId) {
        if let Some(table) = self.tables.get_mut(&schema) {
            let bytes = table.builder.bytes();
            self.held_bytes = self.held_bytes + bytes - table.bytes;
            table.bytes = bytes;
        }
    }

    /// Looks at the tables of a block when much was decoded since the last look: rows may be few and long.
    fn look_after(&mut self, block: &Block, out: &mut Vec<Decoded>) -> Result<()> {
        self.unseen_bytes += block.body.len();
        if self.unseen_bytes < BYTES_PER_LOOK {
            return Ok(());
        }
        self.unseen_bytes = 0;
        for tally in block.tally.iter() {
            self.look(tally.schema);
        }
        if self.held_bytes > self.limits.held_bytes {
            self.hand_out_largest(out)?;
        }
        Ok(())
    }

    fn hand_out_largest(&mut self, out: &mut Vec<Decoded>) -> Result<()> {
        let largest = self.tables.iter().max_by_key(|(_, table)| table.bytes);
        match largest.map(|(schema, _)| *schema) {
            Some(schema) => self.hand_out(schema, out),
            None => Ok(()),
        }
    }

    fn hand_out(&mut self, schema: SchemaId, out: &mut Vec<Decoded>) -> Result<()> {
        let Some(table) = self.tables.get_mut(&schema) else {
            return Ok(());
        };
        self.held_bytes -= table.bytes;
        table.bytes = 0;
        let Some(span) = table.span.take() else {
            return Ok(());
        };
        let rows: RecordBatch = table.builder.finish()?;
        let trigger = Arc::clone(&table.trigger);
        out.push(Decoded::Rows {
            schema,
            trigger,
            rows,
            span,
        });
        Ok(())
    }

    /// Which schema each table of the block has, by oid. A block holds one version of each.
    fn tables_of(&mut self, block: &Block) -> Result<HashMap<u32, SchemaId>> {
        let mut by_oid = HashMap::with_capacity(block.tally.len());
        for tally in block.tally.iter() {
            let table = self.table(tally.schema)?;
            by_oid.insert(table.oid, tally.schema);
        }
        Ok(by_oid)
    }

    fn table(&mut self, id: SchemaId) -> Result<&Table> {
        if !self.tables.contains_key(&id) {
            let schema = self.schemas.schema(id).ok_or_else(|| {
                Error::damaged(format!("the store does not know schema {}", id.0))
            })?;
            let table = TableSchema::from_bytes(schema.body())?;
            let oid = table.oid;
            let builder = TableBuilder::new(Arc::new(table), self.event_ids.is_some());
            let trigger = Arc::clone(schema.trigger());
            self.tables.insert(
                id,
                Table {
                    oid,
                    trigger,
                    builder,
                    span: None,
                    bytes: 0,
                },
            );
        }
        self.tables.get(&id).ok_or_else(|| unknown_table(id.0))
    }
}

fn transaction(moment: Moment) -> Transaction {
    Transaction {
        commit_lsn: moment.lsn,
        committed_at_us: moment.at_us,
    }
}

fn unknown_table(oid: u32) -> Error {
    Error::damaged(format!(
        "a block holds rows of table {oid}, which it does not announce"
    ))
}
