//! One load: rows come in from the queue, complete files that nobody sees yet come out.
//!
//! Rows of each table wait in Arrow form until they make a row group, then a blocking thread encodes
//! them ([`super::encode`]); at most [`Limits::threads`] work at a time. All rows that wait or are
//! being encoded are counted: at the limit the largest table is encoded early, and nothing more is
//! taken from the queue until there is room. So the decoder waits for us, and memory is bounded
//! whatever the number of tables. Files that are begun are bounded as well: past
//! [`OPEN_FILES_MAX`] the one that was idle longest is finished.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use blacksmith_core::destination::{Queue, Rows};
use blacksmith_core::error::{Error, Result};
use blacksmith_core::event::SchemaId;
use blacksmith_core::position::Position;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::encode::{Bench, Done, Task};
use super::file::{FinishedFile, Layout, OpenFile};
use super::options::RowGroupLimits;

/// Files of one load that are begun and not finished, at most; each holds a file descriptor.
const OPEN_FILES_MAX: usize = 128;

/// Below this many bytes a row group is encoded faster than threads are started to help.
const HELP_BYTES_MIN: usize = 4 << 20;

/// How much a load may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of rows in memory.
    pub(super) held_bytes: usize,
    /// Threads that encode.
    pub(super) threads: usize,
    /// When a row group ends.
    pub(super) row_group: RowGroupLimits,
}

/// A load in progress.
pub(super) struct Load {
    bench: Arc<Bench>,
    limits: Limits,
    attempt: u32,
    stop: CancellationToken,
    /// Held by every task, so that the next load does not begin before the last of them ended.
    turn: Arc<OwnedSemaphorePermit>,
    tables: HashMap<SchemaId, Table>,
    tasks: JoinSet<Result<Done>>,
    busy_threads: usize,
    held_bytes: usize,
    finished: Vec<FinishedFile>,
    /// Counts tasks; a table's last one says how long it has been idle.
    started: u64,
}

/// One schema version of one table.
struct Table {
    layout: Arc<Layout>,
    waiting: Vec<Rows>,
    waiting_bytes: usize,
    waiting_rows: usize,
    file: Option<OpenFile>,
    busy: bool,
    last_started: u64,
    /// Position of the last row taken.
    taken_upto: Position,
    /// Position of the last row of a file that was finished before its time.
    closed_upto: Position,
}

impl Load {
    /// A load with nothing in it.
    pub(super) fn new(
        bench: Arc<Bench>,
        limits: Limits,
        attempt: u32,
        stop: CancellationToken,
        turn: Arc<OwnedSemaphorePermit>,
    ) -> Load {
        Load {
            bench,
            limits,
            attempt,
            stop,
            turn,
            tables: HashMap::new(),
            tasks: JoinSet::new(),
            busy_threads: 0,
            held_bytes: 0,
            finished: Vec::new(),
            started: 0,
        }
    }

    /// Takes everything from `queue` and gives back the files, sealed, in order of position.
    ///
    /// # Errors
    /// When the queue or the folder fails, or the process is to stop. Nothing is left behind then,
    /// as far as the folder lets us.
    pub(super) async fn run(mut self, queue: &mut Queue) -> Result<Vec<FinishedFile>> {
        let outcome = self.take_all(queue).await;
        if outcome.is_err() {
            // What still works on a file removes it when it is done.
            while self.tasks.join_next().await.is_some() {}
        }
        outcome?;
        self.finished
            .sort_by(|a, b| (a.span.first, &a.path).cmp(&(b.span.first, &b.path)));
        Ok(self.finished)
    }

    async fn take_all(&mut self, queue: &mut Queue) -> Result<()> {
        loop {
            let room = self.held_bytes < self.limits.held_bytes;
            tokio::select! {
                biased;
                // A second signal: nothing that is begun is worth finishing.
                () = self.stop.cancelled() => return Err(Error::stopped("loading was stopped")),
                // Results first: they free memory and threads.
                Some(done) = self.tasks.join_next() => self.take_back(done)?,
                rows = queue.next(), if room => match rows? {
                    Some(rows) => self.take(rows)?,
                    None => break,
                },
            }
            self.start_what_is_due();
        }
        self.finish_all().await
    }

    fn take(&mut self, rows: Rows) -> Result<()> {
        if rows.rows.num_rows() == 0 {
            return Ok(());
        }
        let table = match self.tables.entry(rows.schema) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let schema = rows.rows.schema();
                let layout = Layout::new(&rows.trigger, schema, &self.bench.declared);
                new.insert(Table::new(layout))
            }
        };
        self.held_bytes += table.take(rows)?;
        Ok(())
    }

    fn take_back(&mut self, done: Result<Result<Done>, JoinError>) -> Result<()> {
        let done = done.map_err(|error| Error::refused("encoding failed").because(error))??;
        self.held_bytes -= done.freed_bytes;
        self.busy_threads -= done.freed_threads;
        self.finished.extend(done.finished);
        if let Some(table) = self.tables.get_mut(&done.schema) {
            table.busy = false;
            table.file = done.file;
        }
        Ok(())
    }

    /// Starts tasks while there are threads for them.
    fn start_what_is_due(&mut self) {
        while self.busy_threads < self.limits.threads {
            let crowded = self.idle_files() > OPEN_FILES_MAX;
            match self.idle_longest().filter(|_| crowded) {
                Some(idle) => self.start(idle, true),
                None => match self.due() {
                    Some(due) => self.start(due, false),
                    None => return,
                },
            }
        }
    }

    /// The table to encode next: the largest that has a row group, or any when memory is short.
    fn due(&self) -> Option<SchemaId> {
        let short = self.held_bytes >= self.limits.held_bytes / 4 * 3;
        let limits = self.limits.row_group;
        let candidates = self.tables.iter().filter(|(_, table)| {
            !table.busy && !table.waiting.is_empty() && (short || table.has_row_group(limits))
        });
        let largest = candidates.max_by_key(|(schema, table)| (table.waiting_bytes, **schema));
        largest.map(|(schema, _)| *schema)
    }

    fn idle_files(&self) -> usize {
        self.tables
            .values()
            .filter(|table| table.is_idle_file())
            .count()
    }

    fn idle_longest(&self) -> Option<SchemaId> {
        let idle = self.tables.iter().filter(|(_, table)| table.is_idle_file());
        let longest = idle.min_by_key(|(_, table)| table.last_started);
        longest.map(|(schema, _)| *schema)
    }

    /// Starts to encode a row group of the table; with `finish`, the file ends with its last rows.
    fn start(&mut self, schema: SchemaId, finish: bool) {
        let Some(table) = self.tables.get_mut(&schema) else {
            return;
        };
        self.started += 1;
        table.last_started = self.started;
        table.busy = true;
        let (rows, held_bytes) = table.take_row_group(self.limits.row_group);
        let finish = finish && table.waiting.is_empty();
        if finish {
            table.closed_upto = table.taken_upto;
        }
        let idle_threads = self.limits.threads.saturating_sub(self.busy_threads + 1);
        let helpers = if held_bytes >= HELP_BYTES_MIN {
            idle_threads
        } else {
            0
        };
        self.busy_threads += 1 + helpers;
        let task = Task {
            schema,
            layout: Arc::clone(&table.layout),
            file: table.file.take(),
            rows,
            held_bytes,
            finish,
            helpers,
            attempt: self.attempt,
        };
        let (bench, turn) = (Arc::clone(&self.bench), Arc::clone(&self.turn));
        self.tasks.spawn_blocking(move || {
            let done = bench.run(task);
            drop(turn);
            done
        });
    }

    /// Encodes what waits and finishes every file, the largest first.
    async fn finish_all(&mut self) -> Result<()> {
        loop {
            while self.busy_threads < self.limits.threads {
                let left = self
                    .tables
                    .iter()
                    .filter(|(_, table)| !table.busy && table.has_work());
                let largest = left.max_by_key(|(schema, table)| (table.waiting_bytes, **schema));
                let Some((schema, _)) = largest else {
                    break;
                };
                self.start(*schema, true);
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Error::stopped("loading was stopped")),
                done = self.tasks.join_next() => match done {
                    Some(done) => self.take_back(done)?,
                    None => return Ok(()),
                },
            }
        }
    }
}

/// What of these rows is not where their span and their order say, if anything. Files are named after positions, and who
/// reads the lake relies on them.
fn misplaced(rows: &Rows) -> Option<String> {
    let seqs = rows.rows.column_by_name("_seq")?;
    let seqs = seqs.as_primitive_opt::<UInt64Type>()?.values();
    let ends = (seqs.first().copied()?, seqs.last().copied()?);
    if ends != (rows.span.first.0, rows.span.last.0) {
        return Some(format!(
            "the first is at {}, the last at {}",
            ends.0, ends.1
        ));
    }
    let fallen = seqs.windows(2).position(|pair| pair[0] > pair[1])?;
    let (before, at) = (seqs[fallen], seqs[fallen + 1]);
    Some(format!("row {} is at {at}, behind {before}", fallen + 1))
}

fn disordered(what: String) -> Error {
    Error::refused(what).help("please report this; nothing is lost, and the batch is tried again")
}

impl Table {
    fn new(layout: Layout) -> Table {
        Table {
            layout: Arc::new(layout),
            waiting: Vec::new(),
            waiting_bytes: 0,
            waiting_rows: 0,
            file: None,
            busy: false,
            last_started: 0,
            taken_upto: Position::ZERO,
            closed_upto: Position::ZERO,
        }
    }

    /// Takes rows, which follow those taken before; gives back the bytes they count for.
    fn take(&mut self, rows: Rows) -> Result<usize> {
        // The queue promises order, and both rows of a key change in one batch. A file that is
        // named after its positions depends on it.
        let table = &self.layout.table;
        if rows.span.first < self.taken_upto || rows.span.first <= self.closed_upto {
            return Err(disordered(format!(
                "rows of {table} came out of order, at {}",
                rows.span
            )));
        }
        if let Some(misplaced) = misplaced(&rows) {
            return Err(disordered(format!(
                "rows of {table} at {} came out of order: {misplaced}",
                rows.span
            )));
        }
        let bytes = self.layout.bytes_of(&rows);
        self.taken_upto = rows.span.last;
        self.waiting_bytes += bytes;
        self.waiting_rows += rows.rows.num_rows();
        self.waiting.push(rows);
        Ok(bytes)
    }

    fn has_row_group(&self, limits: RowGroupLimits) -> bool {
        self.waiting_bytes >= limits.bytes_max || self.waiting_rows >= limits.rows_max
    }

    fn has_work(&self) -> bool {
        self.file.is_some() || !self.waiting.is_empty()
    }

    fn is_idle_file(&self) -> bool {
        !self.busy && self.file.is_some()
    }

    /// The waiting rows up to one row group, and the bytes they count for.
    fn take_row_group(&mut self, limits: RowGroupLimits) -> (Vec<Rows>, usize) {
        let (mut batches, mut rows, mut bytes) = (0, 0, 0);
        for waiting in &self.waiting {
            if rows >= limits.rows_max || bytes >= limits.bytes_max {
                break;
            }
            batches += 1;
            rows += waiting.rows.num_rows();
            bytes += self.layout.bytes_of(waiting);
        }
        self.waiting_rows -= rows;
        self.waiting_bytes -= bytes;
        (self.waiting.drain(..batches).collect(), bytes)
    }
}
