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
use crate::pages::{Page, Pages};
use crate::protocol::CopyFormat;
use crate::value::{RowChange, RowMeta, Sheet, TableBuilder, TableSchema, Taken};

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
            staged_values: 0,
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
    /// Values on all pages of the block at hand.
    staged_values: usize,
}

/// One version of a table, and its rows so far.
struct Table {
    oid: u32,
    trigger: Arc<str>,
    builder: TableBuilder,
    span: Option<Span>,
    /// What the builder held at the last look, and rows since then.
    bytes: usize,
    unseen_rows: usize,
}

impl Table {
    /// Takes what is on its page.
    fn take(&mut self, page: &mut Page<'_>) -> Taken {
        let before = self.builder.rows();
        let taken = self.builder.take(&mut page.sheet);
        if let Some((first, last)) = taken.seqs {
            self.reach(Position(first), Position(last));
        }
        self.unseen_rows += self.builder.rows() - before;
        taken
    }

    /// Notes that it has rows of these positions, behind those that it has.
    fn reach(&mut self, first: Position, last: Position) {
        let first = self.span.map_or(first, |span| span.first);
        self.span = Some(Span { first, last });
    }
}

/// Builders are asked for their size after this many rows, or bytes of blocks.
const ROWS_PER_LOOK: usize = 1_024;
const BYTES_PER_LOOK: usize = 1 << 20;
/// Values that wait on pages together, at most, about: a NULL is one byte of a block, and 24 on a page.
const STAGED_VALUES_MAX: usize = 1 << 18;
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
        let mut pages = self.pages_of(block, wanted)?;
        let last = self.walk(block, envelope, wanted, &mut pages, out)?;
        self.decode_all(&mut pages, out)?;
        // Only the truncate that begins a snapshot has a moment and no transaction.
        let is_snapshots = envelope.moment.is_some() && block.transaction.is_none();
        if let (Some(last), false) = (last, is_snapshots) {
            self.complete_block(block, last, wanted.span);
        }
        Ok(())
    }

    /// Puts the rows of a block on their pages. Returns the last of them, if the walk came to the block's end.
    fn walk<'a>(
        &mut self,
        block: &'a Block,
        envelope: Envelope,
        wanted: &Wanted<'_>,
        pages: &mut Pages<'a>,
        out: &mut Vec<Decoded>,
    ) -> Result<Option<(Transaction, Position)>> {
        let transaction = envelope.moment.map(transaction);
        let mut next = block.first;
        let mut last_seen: Option<(Transaction, Position)> = None;
        for step in Changes::new(&block.body, transaction, envelope.streamed) {
            let Step::Row(row) = step? else { continue };
            let page = pages
                .of(row.relation)
                .ok_or_else(|| unknown_table(row.relation))?;
            if block.excluded.covers(page.schema, row.group) {
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
                return Ok(None);
            }
            last_seen = Some((row.transaction, position));
            if page.is_wanted && wanted.has(position) {
                self.row(page, position, block, &row, out)?;
            }
            if self.staged_values >= STAGED_VALUES_MAX {
                self.decode_all(pages, out)?;
            }
        }
        Ok(last_seen)
    }

    /// Whether the last transaction of the block ends with it.
    fn complete_block(&mut self, block: &Block, last: (Transaction, Position), span: Span) {
        let (transaction, position) = last;
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

    fn row<'a>(
        &mut self,
        page: &mut Page<'a>,
        position: Position,
        block: &Block,
        row: &StreamRow<'a>,
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
            Ok(change) => self.change(page, block, &meta, change, out),
            Err(error) => {
                self.park(page.schema, position, error, out);
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
        let mut pages = self.pages_of(block, wanted)?;
        let oid = self.table(tally.schema)?.oid;
        let page = pages.of(oid).ok_or_else(|| unknown_table(oid))?;
        if !page.is_wanted {
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
                self.change(page, block, &meta, &change, out)?;
            }
        }
        self.decode(page, out)
    }

    fn event_id(&self, position: Position, received_at: Timestamp) -> Option<String> {
        let store = self.event_ids?;
        Some(Id::of_event(store, position, received_at).to_string())
    }

    /// Puts a change on its page; full pages are decoded.
    fn change<'a>(
        &mut self,
        page: &mut Page<'a>,
        block: &Block,
        meta: &RowMeta<'_>,
        change: &RowChange<'a>,
        out: &mut Vec<Decoded>,
    ) -> Result<()> {
        // Only a block that is large itself has large rows.
        if block.body.len() >= LARGE_ROW_BYTES && change.len_bytes() >= LARGE_ROW_BYTES {
            return self.large_change(page, block, meta, change, out);
        }
        let Some(table) = self.tables.get(&page.schema) else {
            return Ok(());
        };
        let before = page.sheet.values();
        if let Err(error) = table.builder.stage(&mut page.sheet, meta, change) {
            self.park(page.schema, Position(meta.seq), &error, out);
            return Ok(());
        }
        self.staged_values += page.sheet.values() - before;
        let rows = table.builder.rows() + page.sheet.rows();
        match page.sheet.is_full() || rows >= self.limits.batch_rows {
            true => self.decode(page, out),
            false => Ok(()),
        }
    }

    /// A change that is a batch of its own, and whose values are not copied out of the block.
    fn large_change(
        &mut self,
        page: &mut Page<'_>,
        block: &Block,
        meta: &RowMeta<'_>,
        change: &RowChange<'_>,
        out: &mut Vec<Decoded>,
    ) -> Result<()> {
        self.decode(page, out)?;
        self.hand_out(page.schema, out)?;
        let Some(table) = self.tables.get_mut(&page.schema) else {
            return Ok(());
        };
        let position = Position(meta.seq);
        match table.builder.push_lent(meta, change, &block.body) {
            Ok(()) => table.reach(position, position),
            Err(error) => self.park(page.schema, position, &error, out),
        }
        self.hand_out(page.schema, out)
    }

    fn decode_all(&mut self, pages: &mut Pages<'_>, out: &mut Vec<Decoded>) -> Result<()> {
        pages.iter_mut().try_for_each(|page| self.decode(page, out))
    }

    /// Decodes what is on a page. Batches that are large enough then are handed out.
    fn decode(&mut self, page: &mut Page<'_>, out: &mut Vec<Decoded>) -> Result<()> {
        let Some(table) = self.tables.get_mut(&page.schema) else {
            return Ok(());
        };
        self.staged_values -= page.sheet.values();
        let taken = table.take(page);
        let is_full = table.builder.rows() >= self.limits.batch_rows || table.builder.is_full();
        let is_unseen = table.unseen_rows >= ROWS_PER_LOOK;
        for refused in taken.refused {
            self.park(page.schema, Position(refused.seq), &refused.error, out);
        }
        if is_full {
            return self.hand_out(page.schema, out);
        }
        if is_unseen {
            self.look(page.schema);
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
            table.unseen_rows = 0;
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
        table.unseen_rows = 0;
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

    /// A page for each table of the block.
    fn pages_of<'a>(&mut self, block: &Block, wanted: &Wanted<'_>) -> Result<Pages<'a>> {
        self.staged_values = 0;
        let mut pages = Vec::with_capacity(block.tally.len());
        for tally in block.tally.iter() {
            pages.push(Page {
                oid: self.table(tally.schema)?.oid,
                schema: tally.schema,
                is_wanted: (wanted.schema)(tally.schema),
                sheet: Sheet::default(),
            });
        }
        Ok(Pages::new(pages))
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
                    unseen_rows: 0,
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

#[cfg(test)]
mod tests;
