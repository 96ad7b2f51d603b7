//! From pgoutput messages to steps for the store: whole transactions, in commit order.
//!
//! A small transaction is gathered in memory until its commit and shares a block with its
//! neighbours. A large one, and every one that the server streams while it is in progress, is
//! staged in chunks and gets its positions at its commit. So the store never holds half a
//! transaction, and after a crash the stream resumes at a commit, never inside one.
//!
//! Pure: messages in, [`Step`]s out. What the tables are and which of them are wanted is asked of
//! [`Relations`]; carrying the steps out is the shipment's business.

use std::collections::{HashMap, VecDeque};

use blacksmith_core::error::{Error, Result};
use blacksmith_core::event::{Excluded, SchemaId, Tally};
use bytes::Bytes;

use super::chunk::{Arrived, Chunk};
use crate::envelope::{Envelope, Moment};
use crate::protocol::{Frame, Message, Relation, Tag};

/// A block of whole transactions is cut at this size.
const BLOCK_BYTES: usize = 1 << 20;
/// A chunk of a staged transaction is cut at this size.
const CHUNK_BYTES: usize = 1 << 20;
/// A transaction larger than this is staged.
const STAGE_BYTES: usize = 4 << 20;
/// Chunks of all streamed transactions together are cut above this.
const CHUNKS_BYTES_MAX: usize = 16 << 20;

/// What the assembly asks about tables.
pub(crate) trait Relations {
    /// A relation as it is from now on. `None` when its rows are not wanted at all.
    fn resolve(&mut self, relation: &Relation<'_>) -> Result<Option<SchemaId>>;

    /// Whether rows of the table committed at `lsn` are to be kept: not those before its snapshot,
    /// which holds them.
    fn admits(&self, oid: u32, lsn: u64) -> bool;
}

/// What is to be done with the store, in this order.
#[derive(Debug)]
pub(super) enum Step {
    /// Append whole transactions; everything committed up to `lsn` is in it or before it.
    Append {
        tally: Vec<Tally>,
        body: Bytes,
        lsn: u64,
    },
    /// Add a chunk to the staged transaction `xid`, which begins with its first.
    Stage {
        xid: u32,
        tally: Vec<Tally>,
        /// In parts, one behind the other.
        body: Vec<Bytes>,
    },
    /// Commit the staged transaction `xid`.
    Commit {
        xid: u32,
        envelope: Envelope,
        excluded: Excluded,
        lsn: u64,
    },
    /// Drop the staged transaction `xid`: it was rolled back, or nothing of it is wanted.
    Drop { xid: u32 },
}

/// The state of one connection's stream.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    /// Whole transactions, not yet shipped.
    block: Chunk,
    /// The end of the last transaction in `block`.
    block_lsn: u64,
    /// The transaction between `B` and `C`.
    open: Option<Open>,
    /// Transactions in progress that the server streams.
    streamed: HashMap<u32, Streamed>,
    /// The one between `S` and `E`.
    current: Option<u32>,
    /// Tables by their oid, as last described outside of streamed transactions, or inside of one that
    /// was committed since.
    tables: HashMap<u32, Described>,
    /// Descriptions of tables received.
    descriptions: u64,
    steps: VecDeque<Step>,
    /// End of the last transaction that ended, whether anything of it was wanted or not.
    ended_lsn: u64,
    /// Commit time of that transaction, microseconds since 1970.
    ended_at_us: i64,
    /// Events handed on since the beginning.
    events: u64,
}

/// What the server said a table is.
#[derive(Debug, Clone, Copy)]
struct Described {
    /// `None` when its rows are not wanted.
    schema: Option<SchemaId>,
    /// How many descriptions came before, of any table.
    number: u64,
}

/// A transaction that is being received after its commit.
#[derive(Debug)]
struct Open {
    xid: u32,
    moment: Moment,
    chunk: Chunk,
    begin: Bytes,
    staged: bool,
}

/// A transaction that is being received before its commit.
#[derive(Debug, Default)]
struct Streamed {
    chunk: Chunk,
    staged: bool,
    /// Tables as described inside this transaction.
    tables: HashMap<u32, Described>,
    /// Which schemas it has rows of, and the table of each.
    schemas: HashMap<SchemaId, u32>,
    aborted: Vec<u32>,
    /// Its rows by schema and subtransaction, chunk after chunk: 12 bytes for each that a chunk
    /// has, which is little even for a savepoint around every row.
    tally: Vec<Tally>,
}

impl Assembly {
    /// Takes one message.
    ///
    /// # Errors
    /// When the stream makes no sense: the connection has to be made anew.
    pub(super) fn push(&mut self, message: &[u8], relations: &mut dyn Relations) -> Result<()> {
        let frame = Frame::peek(message, self.current.is_some())?;
        match frame.tag {
            Tag::Insert | Tag::Update | Tag::Delete => {
                self.row(Arrived::Whole(message), &frame, relations)
            }
            Tag::Truncate => self.truncate(message, &frame, relations),
            Tag::Begin => self.begin(message),
            Tag::Relation => self.relation(message, relations),
            Tag::Commit
            | Tag::StreamStart
            | Tag::StreamStop
            | Tag::StreamCommit
            | Tag::StreamAbort => self.boundary(message, relations),
            Tag::Origin | Tag::Type | Tag::Message => Ok(()),
            tag => Err(Error::unavailable(format!(
                "the server sent {tag:?}, which was not asked for"
            ))),
        }
    }

    /// Takes one message of many MiB in pieces, the first of which has everything before the values. It is kept in
    /// them, and staged at once.
    ///
    /// # Errors
    /// As [`Assembly::push`].
    pub(super) fn push_large(
        &mut self,
        pieces: &[Bytes],
        relations: &mut dyn Relations,
    ) -> Result<()> {
        let head = pieces
            .first()
            .ok_or_else(|| unexpected("an empty message"))?;
        let frame = Frame::peek(head, self.current.is_some())?;
        match frame.tag {
            Tag::Insert | Tag::Update | Tag::Delete => {
                self.row(Arrived::Pieces(pieces), &frame, relations)
            }
            Tag::Origin | Tag::Type | Tag::Message => Ok(()),
            // Descriptions of tables, and all of a truncate's, have far less.
            _ => self.push(&pieces.concat(), relations),
        }
    }

    /// The next step to carry out.
    pub(super) fn next_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// Gives a step back that the store had no room for.
    pub(super) fn put_back(&mut self, step: Step) {
        self.steps.push_front(step);
    }

    /// Ships the whole transactions that were gathered: nothing more has arrived for now.
    pub(super) fn flush(&mut self) {
        if self.block.has_events() {
            let (tally, body) = self.block.take_whole();
            self.steps.push_back(Step::Append {
                tally,
                body,
                lsn: self.block_lsn,
            });
        }
    }

    /// Whether everything received belongs to transactions that have ended and were shipped, but
    /// for streamed ones, which the server will send again.
    pub(super) fn is_between_transactions(&self) -> bool {
        self.open.is_none() && !self.block.has_events() && self.steps.is_empty()
    }

    /// Whether the server has streamed parts of transactions that have not ended.
    pub(super) fn holds_streamed(&self) -> bool {
        !self.streamed.is_empty()
    }

    /// End of the last transaction that ended, and its commit time.
    pub(super) fn ended(&self) -> (u64, i64) {
        (self.ended_lsn, self.ended_at_us)
    }

    /// Events handed on since the beginning.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    fn begin(&mut self, message: &[u8]) -> Result<()> {
        let (_, parsed) = Message::parse(message, false)?;
        let Message::Begin(begin) = parsed else {
            return Err(unexpected("a begin"));
        };
        self.open = Some(Open {
            xid: begin.xid,
            moment: Moment {
                lsn: begin.commit_lsn,
                at_us: begin.committed_at_us,
            },
            chunk: Chunk::default(),
            begin: Bytes::copy_from_slice(message),
            staged: false,
        });
        Ok(())
    }

    fn relation(&mut self, message: &[u8], relations: &mut dyn Relations) -> Result<()> {
        let (_, parsed) = Message::parse(message, self.current.is_some())?;
        let Message::Relation(relation) = parsed else {
            return Err(unexpected("a relation"));
        };
        let schema = relations.resolve(&relation)?;
        let before = self.schema_of(relation.oid);
        if let Some(before) = before.flatten().filter(|before| Some(*before) != schema) {
            self.cut_before_change(before);
        }
        let number = self.descriptions;
        self.descriptions += 1;
        let tables = match self.current.and_then(|xid| self.streamed.get_mut(&xid)) {
            Some(streamed) => &mut streamed.tables,
            None => &mut self.tables,
        };
        tables.insert(relation.oid, Described { schema, number });
        Ok(())
    }

    /// A chunk holds rows of one version of a table only: what was gathered under `before` is cut.
    fn cut_before_change(&mut self, before: SchemaId) {
        if let Some(xid) = self.current {
            if self
                .streamed
                .get(&xid)
                .is_some_and(|streamed| streamed.chunk.holds(before))
            {
                self.cut_streamed(xid);
            }
        } else if self
            .open
            .as_ref()
            .is_some_and(|open| open.chunk.holds(before))
        {
            self.cut_open();
        } else if self.block.holds(before) {
            self.flush();
        }
    }

    /// Takes over what a streamed transaction was told of a table, unless others were told newer things
    /// since: the server does not repeat those when it commits.
    fn learn(&mut self, oid: u32, described: Described) {
        let known = self.tables.entry(oid).or_insert(described);
        if described.number > known.number {
            *known = described;
        }
    }

    /// The schema that rows of `oid` have now; `None` when the table was never described.
    fn schema_of(&self, oid: u32) -> Option<Option<SchemaId>> {
        let streamed = self.current.and_then(|xid| self.streamed.get(&xid));
        let own = streamed.and_then(|streamed| streamed.tables.get(&oid));
        own.or_else(|| self.tables.get(&oid))
            .map(|described| described.schema)
    }

    fn described(&self, oid: u32) -> Result<Option<SchemaId>> {
        self.schema_of(oid).ok_or_else(|| {
            Error::unavailable(format!(
                "the server sent a row of table {oid} without describing it"
            ))
        })
    }

    fn row(
        &mut self,
        message: Arrived<'_>,
        frame: &Frame,
        relations: &dyn Relations,
    ) -> Result<()> {
        let oid = frame.relation.ok_or_else(|| unexpected("a row"))?;
        let Some(schema) = self.described(oid)? else {
            return Ok(());
        };
        if let Some(xid) = self.current {
            let group = frame.xid.unwrap_or(xid);
            let streamed = self
                .streamed
                .get_mut(&xid)
                .ok_or_else(|| unexpected("a streamed row"))?;
            streamed.push(message, oid, schema, group);
            if streamed.chunk.len() >= CHUNK_BYTES {
                self.cut_streamed(xid);
            }
            return Ok(());
        }
        let open = self.open.as_mut().ok_or_else(|| unexpected("a row"))?;
        if relations.admits(oid, open.moment.lsn) {
            open.begin_once();
            open.chunk.push(message, schema, 0);
            if open.is_large() {
                self.cut_open();
            }
        }
        Ok(())
    }

    /// A truncate is kept with those of its tables that are wanted.
    fn truncate(&mut self, message: &[u8], frame: &Frame, relations: &dyn Relations) -> Result<()> {
        let (_, parsed) = Message::parse(message, self.current.is_some())?;
        let Message::Truncate(truncate) = parsed else {
            return Err(unexpected("a truncate"));
        };
        let mut wanted = Vec::new();
        for oid in truncate.relations() {
            let admitted = match &self.open {
                Some(open) if self.current.is_none() => relations.admits(oid, open.moment.lsn),
                _ => true,
            };
            if let Some(schema) = self.described(oid)?.filter(|_| admitted) {
                wanted.push((oid, schema));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let head = message.len() - 4 * frame.rows as usize;
        let kept = rewrite_truncate(&message[..head], &wanted);
        if let Some(xid) = self.current {
            let group = frame.xid.unwrap_or(xid);
            let streamed = self
                .streamed
                .get_mut(&xid)
                .ok_or_else(|| unexpected("a truncate"))?;
            streamed.chunk.note(&kept);
            for (oid, schema) in wanted {
                streamed.count(oid, schema, group);
            }
        } else {
            let open = self.open.as_mut().ok_or_else(|| unexpected("a truncate"))?;
            open.begin_once();
            open.chunk.note(&kept);
            for (_, schema) in wanted {
                open.chunk.count(schema, 0);
            }
        }
        Ok(())
    }

    fn boundary(&mut self, message: &[u8], relations: &dyn Relations) -> Result<()> {
        match Message::parse(message, false)?.1 {
            Message::Commit(commit) => self.commit(commit.end_lsn, commit.committed_at_us),
            Message::StreamStart { xid, .. } => {
                self.streamed.entry(xid).or_default();
                self.current = Some(xid);
                Ok(())
            }
            Message::StreamStop => {
                self.current = None;
                self.cut_if_many();
                Ok(())
            }
            Message::StreamCommit { xid, commit } => {
                let moment = Moment {
                    lsn: commit.commit_lsn,
                    at_us: commit.committed_at_us,
                };
                self.stream_commit(xid, moment, commit.end_lsn, relations)
            }
            Message::StreamAbort { xid, subxid, .. } => {
                self.stream_abort(xid, subxid);
                Ok(())
            }
            _ => Err(unexpected("a boundary")),
        }
    }

    fn commit(&mut self, end_lsn: u64, at_us: i64) -> Result<()> {
        let mut open = self.open.take().ok_or_else(|| unexpected("a commit"))?;
        (self.ended_lsn, self.ended_at_us) = (end_lsn, at_us);
        if !open.staged {
            if open.chunk.has_events() {
                self.events += open.chunk.events();
                self.block.append(&mut open.chunk);
                self.block_lsn = end_lsn;
                if self.block.len() >= BLOCK_BYTES {
                    self.flush();
                }
            }
            return Ok(());
        }
        self.open = Some(open);
        self.cut_open();
        let Some(open) = self.open.take() else {
            return Err(unexpected("a commit"));
        };
        let envelope = Envelope {
            streamed: false,
            moment: Some(open.moment),
        };
        let excluded = Excluded::default();
        self.steps.push_back(Step::Commit {
            xid: open.xid,
            envelope,
            excluded,
            lsn: end_lsn,
        });
        Ok(())
    }

    fn stream_commit(
        &mut self,
        xid: u32,
        moment: Moment,
        end_lsn: u64,
        relations: &dyn Relations,
    ) -> Result<()> {
        self.cut_streamed(xid);
        self.flush();
        let mut streamed = self
            .streamed
            .remove(&xid)
            .ok_or_else(|| unexpected("a stream commit"))?;
        (self.ended_lsn, self.ended_at_us) = (end_lsn, moment.at_us);
        for (oid, described) in streamed.tables.drain() {
            self.learn(oid, described);
        }
        if !streamed.staged {
            return Ok(());
        }
        let excluded = streamed.excluded(moment.lsn, relations);
        let left = excluded.remaining(&streamed.tally);
        if left == 0 {
            self.steps.push_back(Step::Drop { xid });
            return Ok(());
        }
        self.events += left;
        let envelope = Envelope {
            streamed: true,
            moment: Some(moment),
        };
        self.steps.push_back(Step::Commit {
            xid,
            envelope,
            excluded,
            lsn: end_lsn,
        });
        Ok(())
    }

    /// An abort that belongs to nothing we saw is ignored: PostgreSQL 18 sends such.
    fn stream_abort(&mut self, xid: u32, subxid: u32) {
        if xid != subxid {
            if let Some(streamed) = self.streamed.get_mut(&xid) {
                streamed.aborted.push(subxid);
            }
        } else if let Some(streamed) = self.streamed.remove(&xid)
            && streamed.staged
        {
            self.steps.push_back(Step::Drop { xid });
        }
    }

    /// Moves what the open transaction has gathered into its staging.
    fn cut_open(&mut self) {
        // Blocks before it come first: positions are given in commit order.
        self.flush();
        let Some(open) = &mut self.open else { return };
        if open.chunk.len() == 0 {
            return;
        }
        if open.chunk.has_events() {
            self.events += open.chunk.events();
            open.staged = true;
            let (tally, body) = open.chunk.take();
            self.steps.push_back(Step::Stage {
                xid: open.xid,
                tally,
                body,
            });
        }
    }

    fn cut_streamed(&mut self, xid: u32) {
        let Some(streamed) = self.streamed.get_mut(&xid) else {
            return;
        };
        if streamed.chunk.has_events() {
            streamed.staged = true;
            let (tally, body) = streamed.chunk.take();
            streamed.tally.extend_from_slice(&tally);
            self.steps.push_back(Step::Stage { xid, tally, body });
        }
    }

    fn cut_if_many(&mut self) {
        let held: usize = self
            .streamed
            .values()
            .map(|streamed| streamed.chunk.len())
            .sum();
        if held > CHUNKS_BYTES_MAX {
            let xids: Vec<u32> = self.streamed.keys().copied().collect();
            for xid in xids {
                self.cut_streamed(xid);
            }
        }
    }
}

impl Open {
    /// A transaction in a block begins with its `B`; a staged one has its moment in the envelope.
    fn begin_once(&mut self) {
        if self.chunk.len() == 0 && !self.staged {
            self.chunk.note(&self.begin);
        }
    }

    fn is_large(&self) -> bool {
        self.chunk.len()
            >= if self.staged {
                CHUNK_BYTES
            } else {
                STAGE_BYTES
            }
    }
}

impl Streamed {
    fn push(&mut self, message: Arrived<'_>, oid: u32, schema: SchemaId, group: u32) {
        self.chunk.push(message, schema, group);
        self.schemas.insert(schema, oid);
    }

    fn count(&mut self, oid: u32, schema: SchemaId, group: u32) {
        self.chunk.count(schema, group);
        self.schemas.insert(schema, oid);
    }

    /// What is not to be seen of it, committed at `lsn`.
    fn excluded(&self, lsn: u64, relations: &dyn Relations) -> Excluded {
        let refused = self
            .schemas
            .iter()
            .filter(|(_, oid)| !relations.admits(**oid, lsn));
        let mut excluded = Excluded {
            schemas: refused.map(|(schema, _)| *schema).collect(),
            groups: self.aborted.clone(),
        };
        excluded.schemas.sort_unstable();
        excluded.groups.sort_unstable();
        excluded.groups.dedup();
        excluded
    }
}

/// The truncate again, naming only `wanted`. Its head ends with the option byte, before which
/// stands the number of tables.
fn rewrite_truncate(head: &[u8], wanted: &[(u32, SchemaId)]) -> Vec<u8> {
    let mut kept = head.to_vec();
    let count_at = head.len() - 5;
    kept[count_at..count_at + 4].copy_from_slice(&(wanted.len() as u32).to_be_bytes());
    for (oid, _) in wanted {
        kept.extend_from_slice(&oid.to_be_bytes());
    }
    kept
}

fn unexpected(what: &str) -> Error {
    Error::unavailable(format!("the server's stream has {what} where none can be"))
}

#[cfg(test)]
#[path = "assembly_tests.rs"]
mod tests;
