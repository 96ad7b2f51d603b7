//! The first copy of a table: ranges of pages, copied in parallel under one exported snapshot.
//!
//! A range is in the store whole or not at all, together with the note that it is done: after a
//! crash only what is missing is copied again, under a new snapshot with its own LSN. Rows carry one
//! less than the LSN at which their snapshot became consistent, so that every change after it wins.
//!
//! What a second snapshot must take care of (the first one saw the cut C0, this one C1):
//! - A table with a key: a row may have moved from a range that was missing into one that is done.
//!   The stream has its update, but not the values that the update left alone and that are stored
//!   out of line. So the ranges that are done are searched for rows written since C0.
//! - A table without a key that only grows: a row written since C0 came with the stream already. So
//!   the ranges that are missing are copied without the rows that C0 did not see.
//! - A table without a key whose rows change (REPLICA IDENTITY FULL): the stream's deletes cannot
//!   say which of two equal rows they mean, the one that was read or the one that was not. Such a
//!   table is copied from the beginning.

mod copy;
mod cut;
mod plan;
mod reader;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use blacksmith_core::door::Door;
use blacksmith_core::error::{Error, Result};
use blacksmith_core::event::{Draft, FormatId, Refusal, SchemaId, StateChange, Tally};
use blacksmith_core::source::SnapshotProgress;
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::blocking::blocking;
use crate::catalog::{Identity, TableInfo, load_published_tables, load_types};
use crate::changes::append;
use crate::connection::{
    ConnectOptions, CreatedSlot, LargeMemory, NewSlot, ReplicationConnection, SqlClient, quote,
};
use crate::envelope::{Envelope, Moment};
use crate::slot::verify_server;
use crate::state::{self, Copying, Phase, SlotState, TableState};
use crate::tables::Tables;

use copy::{Copied, Copier};
use cut::Cut;
use plan::{Plan, Task};
use reader::Reader;

/// How long a slot may take to be created: the server first waits for the transactions that run.
const SLOT_TIMEOUT: Duration = Duration::from_secs(600);

/// What is being done, in errors.
const IMPORTING: &str = "importing the snapshot";

/// A snapshot that is held open for others to import.
#[derive(Debug)]
pub(crate) struct Wave {
    /// Its connection must stay as it is: the snapshot lives as long.
    holder: ReplicationConnection,
    name: String,
    /// Where it became consistent: the stream has everything committed at or after it.
    pub(crate) lsn: u64,
}

impl Wave {
    /// The snapshot exported by the creation of a slot.
    ///
    /// # Errors
    /// When none was exported.
    pub(crate) fn of(holder: ReplicationConnection, slot: CreatedSlot) -> Result<Wave> {
        let name = slot
            .snapshot
            .ok_or_else(|| Error::unavailable("the server exported no snapshot"))?;
        Ok(Wave {
            holder,
            name,
            lsn: slot.consistent_point.0,
        })
    }

    /// A new snapshot, by a slot that ends with the connection.
    ///
    /// # Errors
    /// When the server gives none, or is not the one that `known` says, on its timeline.
    pub(crate) async fn open(
        options: &ConnectOptions,
        slot: &str,
        known: Option<SlotState>,
    ) -> Result<Wave> {
        let options = options.clone();
        let prefix = slot[..slot.len().min(40)].to_owned(); // names of slots are ASCII
        blocking(move |waker| {
            let mut holder = ReplicationConnection::connect(&options, waker)?;
            if let Some(known) = known {
                let identity = holder.identify_system()?;
                verify_server(&identity, &known, None, known.created_lsn)?;
            }
            // The server's own process: in a container ours has the same number after each start, and
            // the session of the one before may still be there.
            let name = format!("{prefix}_copy_{}", holder.process_id());
            let new = NewSlot {
                name: &name,
                temporary: true,
                failover: false,
                export_snapshot: true,
            };
            let slot = holder.create_slot(&new, SLOT_TIMEOUT)?;
            Wave::of(holder, slot)
        })
        .await
    }

    /// A connection that asks what the snapshot sees.
    async fn client(&self, options: &ConnectOptions) -> Result<SqlClient> {
        let client = SqlClient::connect(options).await?;
        client.execute(IMPORTING, &self.import()).await?;
        Ok(client)
    }

    /// A connection that copies what the snapshot sees.
    async fn reader(&self, options: &ConnectOptions, large: &LargeMemory) -> Result<Reader> {
        let reader = Reader::open(options, large.clone()).await?;
        reader.run(IMPORTING, self.import()).await?;
        Ok(reader)
    }

    /// What a connection has to run first.
    fn import(&self) -> String {
        format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
            quote::literal(&self.name)
        )
    }

    /// What it sees.
    async fn sees(client: &SqlClient) -> Result<Cut> {
        let sql = "select pg_current_snapshot()::text";
        let rows = client.query("reading the snapshot", sql, &[]).await?;
        let row = rows
            .first()
            .ok_or_else(|| Error::unavailable("the server describes no snapshot"))?;
        row.get::<_, String>(0).parse()
    }
}

/// How far copies are, for whoever looks.
#[derive(Debug, Default)]
pub(crate) struct CopyGauge(Mutex<HashMap<u32, SnapshotProgress>>);

impl CopyGauge {
    pub(crate) fn read(&self) -> Vec<SnapshotProgress> {
        let gauge = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tables: Vec<_> = gauge.values().cloned().collect();
        tables.sort_by(|left, right| left.trigger.cmp(&right.trigger));
        tables
    }

    fn begin(&self, oid: u32, trigger: String, done: u64, total: u64) {
        let mut gauge = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let progress = gauge.entry(oid).or_default();
        *progress = SnapshotProgress {
            trigger,
            done,
            total,
            rows: progress.rows,
        };
    }

    fn add(&self, oid: u32, rows: u64, ranges: u64) {
        let mut gauge = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(progress) = gauge.get_mut(&oid) {
            progress.rows += rows;
            progress.done += ranges;
        }
    }
}

/// Copies tables of one source.
#[derive(Debug, Clone)]
pub(crate) struct Snapshots {
    pub(crate) options: ConnectOptions,
    pub(crate) publication: String,
    pub(crate) workers: usize,
    pub(crate) door: Door,
    pub(crate) tables: Arc<Tables>,
    pub(crate) gauge: Arc<CopyGauge>,
    pub(crate) stop: CancellationToken,
}

/// Tables about to be copied under one wave, described as it sees them.
#[derive(Debug)]
pub(crate) struct Described {
    tables: Vec<(TableInfo, SchemaId, bool)>,
    sees: Cut,
}

impl Snapshots {
    /// Describes `oids` as `wave` sees them. Those that it does not see are left out.
    ///
    /// # Errors
    /// When the server or the store failed.
    pub(crate) async fn describe(
        &self,
        wave: &Wave,
        wanted: impl Fn(&TableInfo) -> bool,
    ) -> Result<Described> {
        let client = wave.client(&self.options).await?;
        let sees = Wave::sees(&client).await?;
        let tables = load_published_tables(&client, &self.publication).await?;
        let tables: Vec<_> = tables.into_iter().filter(|table| wanted(table)).collect();
        let oids: Vec<u32> = tables
            .iter()
            .flat_map(|table| table.columns.iter().map(|column| column.type_oid))
            .collect();
        let types = load_types(&client, &oids).await?;
        let described = tables.into_iter().map(|table| {
            let (schema, description) = self.tables.define(&table, &types)?;
            let binary = plan::is_read_in_binary(&description);
            Ok((table, schema, binary))
        });
        Ok(Described {
            tables: described.collect::<Result<_>>()?,
            sees,
        })
    }

    /// The states in which the described tables begin to be copied.
    pub(crate) fn begin(described: &Described, lsn: u64) -> Vec<(u32, TableState)> {
        let tables = described.tables.iter();
        tables
            .map(|(table, ..)| {
                let copying = Copying {
                    from_lsn: lsn,
                    snapshot: described.sees.to_string(),
                    ranges: plan::ranges(table),
                };
                let state = TableState {
                    namespace: table.namespace.clone(),
                    name: table.name.clone(),
                    phase: Phase::Copying(copying),
                    publication_row: None,
                };
                (table.oid, state)
            })
            .collect()
    }

    /// Begins to copy tables that the stream reads already: their history so far is superseded by
    /// a truncate, so that the copy stands alone, whatever was kept or passed over before it.
    ///
    /// # Errors
    /// When the store failed.
    pub(crate) async fn supersede(&self, described: &Described, wave: &Wave) -> Result<()> {
        if described.tables.is_empty() {
            return Ok(());
        }
        let mut begun = Self::begin(described, wave.lsn);
        for (oid, state) in &mut begun {
            state.publication_row = self
                .tables
                .state(*oid)
                .and_then(|state| state.publication_row);
        }
        let mut body = Vec::new();
        let mut tally = Vec::new();
        for (table, schema, _) in &described.tables {
            append(&mut body, &truncate_message(table.oid))?;
            tally.push(Tally {
                schema: *schema,
                group: 0,
                count: 1,
            });
        }
        let mut changes = Vec::new();
        for (oid, state) in &begun {
            let ranges = state::ranges_done(&self.door, *oid)?
                .into_iter()
                .max()
                .map_or(0, |last| last + 1);
            changes.extend(state::forget_ranges(*oid, ranges));
            changes.push(state::set_table(*oid, state));
        }
        self.append(
            FormatId::PGOUTPUT,
            moment(wave.lsn, &self.door),
            tally,
            body.into(),
            changes,
        )
        .await?;
        self.tables.enter(&begun);
        Ok(())
    }

    /// Whether a copy of this table that was interrupted can be taken up where it was: its pages are
    /// still where they were, and its rows can be told apart.
    pub(crate) fn can_resume(&self, table: &TableInfo) -> bool {
        if table.identity == Identity::Full && table.primary_key.is_empty() {
            return false;
        }
        let Some(TableState {
            phase: Phase::Copying(copying),
            ..
        }) = self.tables.state(table.oid)
        else {
            return false;
        };
        copying.ranges.iter().all(|range| {
            table
                .parts
                .iter()
                .any(|part| part.oid == range.relation && part.filenode == range.filenode)
        })
    }

    /// Copies what is missing of the described tables, all of which are [`Phase::Copying`].
    ///
    /// # Errors
    /// What interrupted it: what is done stays done, and the rest needs another wave.
    pub(crate) async fn copy(&self, wave: &Wave, described: Described) -> Result<()> {
        let mut queue = VecDeque::new();
        let mut left = HashMap::new();
        for (table, schema, binary) in &described.tables {
            let Some(TableState {
                phase: Phase::Copying(copying),
                ..
            }) = self.tables.state(table.oid)
            else {
                continue;
            };
            let done = state::ranges_done(&self.door, table.oid)?;
            let plan = Plan {
                table,
                schema: *schema,
                binary: *binary,
                copying: &copying,
                first: copying.snapshot.parse()?,
                sees: &described.sees,
            };
            let tasks = plan.tasks(&done);
            let total = copying.ranges.len() as u64;
            self.gauge.begin(
                table.oid,
                format!("{}.{}", table.namespace, table.name),
                done.len() as u64,
                total,
            );
            left.insert(table.oid, tasks.len());
            if tasks.is_empty() {
                self.complete(table.oid)?;
            }
            queue.extend(tasks);
        }
        self.work_off(wave, queue, left).await
    }

    async fn work_off(
        &self,
        wave: &Wave,
        queue: VecDeque<Task>,
        left: HashMap<u32, usize>,
    ) -> Result<()> {
        if queue.is_empty() {
            return Ok(());
        }
        let workers = self.workers.clamp(1, queue.len());
        let queue = Arc::new(Mutex::new(queue));
        let left = Arc::new(Mutex::new(left));
        let large = LargeMemory::default();
        let mut running = JoinSet::new();
        for _ in 0..workers {
            let reader = wave.reader(&self.options, &large).await?;
            let (own, queue, left) = (self.clone(), Arc::clone(&queue), Arc::clone(&left));
            let moment = moment(wave.lsn, &self.door);
            running.spawn(async move { own.worker(reader, moment, &queue, &left).await });
        }
        while let Some(ended) = running.join_next().await {
            ended.map_err(|error| Error::stopped("a copy panicked").because(error))??;
        }
        Ok(())
    }

    async fn worker(
        self,
        reader: Reader,
        moment: Moment,
        queue: &Mutex<VecDeque<Task>>,
        left: &Mutex<HashMap<u32, usize>>,
    ) -> Result<()> {
        loop {
            let task = queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let Some(task) = task else { return Ok(()) };
            let copier = Copier {
                door: &self.door,
                reader: &reader,
                moment,
            };
            let copied = tokio::select! {
                biased;
                // Asked to stop: the range is dropped and copied by the next start.
                () = self.stop.cancelled() => return Err(Error::stopped("the copy was stopped")),
                copied = copier.copy(&task) => copied?,
            };
            match copied {
                Copied::Rows(rows) => {
                    self.gauge
                        .add(task.oid, rows, u64::from(task.range.is_some()));
                    if is_last(left, task.oid) {
                        self.complete(task.oid)?;
                    }
                }
                Copied::Changed => {
                    left.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .remove(&task.oid);
                    queue
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .retain(|other| other.oid != task.oid);
                    self.begin_again(task.oid)?;
                }
            }
        }
    }

    /// The table waits for another snapshot: this one cannot see its rows any more.
    fn begin_again(&self, oid: u32) -> Result<()> {
        let Some(state) = self.tables.state(oid) else {
            return Ok(());
        };
        tracing::info!(table = %format!("{}.{}", state.namespace, state.name), "table was changed after its snapshot was taken; it will be copied under a new one");
        let pending = TableState {
            phase: Phase::Pending,
            ..state
        };
        self.tables.set(&[(oid, pending)], Vec::new()).map(drop)
    }

    /// All ranges of the table are in the store.
    fn complete(&self, oid: u32) -> Result<()> {
        let Some(state) = self.tables.state(oid) else {
            return Ok(());
        };
        let Phase::Copying(copying) = &state.phase else {
            return Ok(());
        };
        let forget = state::forget_ranges(oid, copying.ranges.len());
        let live = TableState {
            phase: Phase::Live {
                from_lsn: copying.from_lsn,
            },
            ..state.clone()
        };
        tracing::info!(table = %format!("{}.{}", state.namespace, state.name), ranges = copying.ranges.len(), "snapshot complete");
        self.tables.set(&[(oid, live)], forget).map(drop)
    }

    async fn append(
        &self,
        format: FormatId,
        moment: Moment,
        tally: Vec<Tally>,
        body: Bytes,
        state: Vec<StateChange>,
    ) -> Result<()> {
        let envelope = Envelope {
            streamed: false,
            moment: Some(moment),
        }
        .encode();
        let mut draft = Draft {
            format,
            received_at: self.door.now(),
            tally,
            envelope,
            body,
            state,
        };
        loop {
            draft = match self.door.append(draft) {
                Ok(_) => return Ok(()),
                Err(Refusal::Failed(error)) => return Err(error),
                Err(Refusal::Full(draft)) => *draft,
            };
            self.door.room().await?;
        }
    }
}

/// Counts a task of a table off; whether it was the last one.
fn is_last(left: &Mutex<HashMap<u32, usize>>, oid: u32) -> bool {
    let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(tasks) = left.get_mut(&oid) else {
        return false;
    };
    *tasks -= 1;
    *tasks == 0
}

/// When the rows of a snapshot became visible: just before everything that the stream has.
fn moment(lsn: u64, door: &Door) -> Moment {
    Moment {
        lsn: lsn.saturating_sub(1),
        at_us: door.now().0,
    }
}

/// A pgoutput message that truncates one table.
fn truncate_message(oid: u32) -> Vec<u8> {
    let mut message = vec![b'T', 0, 0, 0, 1, 0];
    message.extend_from_slice(&oid.to_be_bytes());
    message
}

impl Wave {
    /// The connection that holds the snapshot, to be closed when nobody needs it any more.
    pub(crate) fn release(self) {
        drop(self.holder);
    }
}
