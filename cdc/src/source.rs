//! The source: a slot that is streamed and tables that are copied, side by side.
//!
//! `listen` reads top to bottom: set up what is missing, start the stream on its
//! thread, copy what is not copied yet, and then look every two seconds for tables that came or
//! went, until stopped.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use blacksmith_core::door::Door;
use blacksmith_core::error::{Advice, Error, Result};
use blacksmith_core::finding::Finding;
use blacksmith_core::source::{Format, Listen, Listening, Mode, Source, SourceProgress, Trigger};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::catalog::{
    Asked, Patterns, TableInfo, ensure_publication, find_publication, log_end, preflight,
};
use crate::connection::{Lsn, SqlClient, Waker};
use crate::decoder::PostgresFormat;
use crate::options::{PostgresOptions, Snapshot, ValueFormat};
use crate::reconcile::Published;
use crate::retry::Retry;
use crate::setup;
use crate::slot::verify_client;
use crate::snapshot::{CopyGauge, Snapshots, Wave};
use crate::state::{self, Phase};
use crate::stream::{Gauge, Stop, Stream, StreamSettings};
use crate::tables::Tables;

/// How often the publication is looked at for tables that came or went.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How often it is looked whether the stream runs.
const STREAM_LOOK_EVERY: Duration = Duration::from_millis(50);

/// A Postgres database as a source of changes.
#[derive(Debug)]
pub struct PostgresSource(Arc<Changes>);

/// Its one trigger: all its tables, which share a slot.
#[derive(Debug)]
struct Changes {
    options: PostgresOptions,
    gauge: Arc<Gauge>,
    copies: Arc<CopyGauge>,
    phase: Mutex<&'static str>,
}

impl PostgresSource {
    /// A source with these options; nothing is connected yet.
    #[must_use]
    pub fn new(options: PostgresOptions) -> PostgresSource {
        let (gauge, copies) = (Arc::default(), Arc::default());
        PostgresSource(Arc::new(Changes {
            options,
            gauge,
            copies,
            phase: Mutex::new("connecting"),
        }))
    }
}

impl Changes {
    fn enter(&self, phase: &'static str) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    fn phase(&self) -> &'static str {
        let phase = *self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = self.gauge.catching_up.load(Ordering::Relaxed);
        if behind && phase == "streaming" {
            return "catching up";
        }
        phase
    }

    fn stream_settings(&self) -> StreamSettings {
        StreamSettings {
            options: self.options.connect.clone(),
            publications: vec![self.options.publication.clone()],
            slot: self.options.slot.clone(),
            ack: self.options.ack,
            binary: self.options.format != ValueFormat::Text,
            catch_up_from: self.options.catch_up_from,
            timeline: self.options.timeline,
        }
    }
}

#[async_trait]
impl Listen for Changes {
    async fn listen(&self, door: Door, listening: Listening) -> Result<()> {
        let patterns = Patterns::parse(&self.options.tables)?;
        let snapshots = self.options.snapshot == Snapshot::Initial;
        let options = self.options.connect.clone();
        let tables = Arc::new(Tables::open(door.clone(), options, patterns, snapshots)?);
        let copier = Snapshots {
            options: self.options.connect.clone(),
            publication: self.options.publication.clone(),
            workers: self.options.snapshot_workers,
            door: door.clone(),
            tables: Arc::clone(&tables),
            gauge: Arc::clone(&self.copies),
            stop: listening.stop.child_token(),
        };
        self.enter("connecting");
        let stop = &listening.stop;
        let mut retry = Retry::new(stop, &self.options.name, "setting up");
        let first = loop {
            let prepared = Box::pin(setup::prepare(&self.options, &door, &copier));
            match retry.attempt(prepared).await? {
                ControlFlow::Break(Some(first)) => break first,
                ControlFlow::Break(None) => return Ok(()),
                ControlFlow::Continue(()) => {}
            }
        };
        let mut end = None;
        while listening.until_end && end.is_none() {
            end = match retry.attempt(setup::end_of_log(&self.options)).await? {
                ControlFlow::Break(None) => return Ok(()),
                ControlFlow::Break(end) => end,
                ControlFlow::Continue(()) => None,
            };
        }
        Box::pin(self.serve(door, tables, copier, first, end, stop)).await
    }
}

#[async_trait]
impl Trigger for Changes {
    /// Its events name their tables themselves.
    fn name(&self) -> &str {
        "*"
    }

    fn mode(self: Arc<Self>) -> Mode {
        Mode::Cdc(self)
    }
}

#[async_trait]
impl Source for PostgresSource {
    fn name(&self) -> &str {
        &self.0.options.name
    }

    fn triggers(&self) -> Vec<Arc<dyn Trigger>> {
        vec![Arc::clone(&self.0) as Arc<dyn Trigger>]
    }

    fn formats(&self) -> Vec<Arc<dyn Format>> {
        vec![Arc::new(PostgresFormat)]
    }

    fn progress(&self) -> SourceProgress {
        self.0.progress()
    }

    async fn check(&self) -> Vec<Finding> {
        let options = &self.0.options;
        let asked = Asked {
            options: &options.connect,
            publication: &options.publication,
            slot: &options.slot,
            tables: &options.tables,
            known_system: None,
        };
        preflight(&asked).await
    }
}

impl Changes {
    fn progress(&self) -> SourceProgress {
        let gauge = &self.gauge;
        let server = gauge.server_lsn.load(Ordering::Relaxed);
        let confirmed = gauge.confirmed_lsn.load(Ordering::Relaxed);
        SourceProgress {
            phase: self.phase().to_owned(),
            snapshots: self.copies.read(),
            events: gauge.events.load(Ordering::Relaxed),
            lag_bytes: (server > 0).then(|| server.saturating_sub(confirmed)),
            committed_at: Some(gauge.committed_at_us.load(Ordering::Relaxed))
                .filter(|at| *at > 0)
                .map(blacksmith_core::clock::Timestamp),
        }
    }

    /// Streams and copies side by side, until stopped or until `end`.
    async fn serve(
        &self,
        door: Door,
        tables: Arc<Tables>,
        copier: Snapshots,
        first: Option<setup::First>,
        end: Option<u64>,
        stop: &CancellationToken,
    ) -> Result<()> {
        let stream = Stream {
            settings: self.stream_settings(),
            door,
            tables: Arc::clone(&tables),
            gauge: Arc::clone(&self.gauge),
            runtime: tokio::runtime::Handle::current(),
            waker: Waker::new()?,
            whole: AtomicBool::new(false),
            stream_only: AtomicBool::new(false),
            stop: Arc::new(Stop {
                awaited: end.is_some(),
                ..Stop::default()
            }),
        };
        let (waker, halt) = (stream.waker.clone(), Arc::clone(&stream.stop));
        let mut streaming = spawn(stream)?;
        let copying = self.copy_for_ever(&tables, &copier, first, end.is_some(), stop);
        let outcome = tokio::select! {
            ended = &mut streaming => return joined(ended),
            outcome = copying => outcome,
        };
        // Copies are done, or we were stopped: now the stream may end, at `end` or at once.
        let stop_now = || {
            halt.now.store(true, Ordering::Release);
            waker.wake();
        };
        match end.filter(|_| outcome.is_ok()) {
            // The stream looks at it by itself: to be woken means to be interrupted.
            Some(end) => halt.at_lsn.store(end.max(1), Ordering::Release),
            None => stop_now(),
        }
        tokio::select! {
            () = stop.cancelled() => stop_now(),
            ended = &mut streaming => return outcome.and(joined(ended)),
        }
        outcome.and(joined(streaming.await))
    }

    /// Copies what is missing and looks for tables that came or went; with `once`, until nothing is
    /// missing.
    async fn copy_for_ever(
        &self,
        tables: &Arc<Tables>,
        copier: &Snapshots,
        mut first: Option<setup::First>,
        once: bool,
        stop: &CancellationToken,
    ) -> Result<()> {
        loop {
            if let Some(first) = first.take() {
                self.enter("snapshot");
                if let Err(error) = copier.copy(&first.wave, first.described).await {
                    self.copy_failed(error, stop)?;
                }
                first.wave.release();
            }
            let mut retry = Retry::new(stop, &self.options.name, "copying tables");
            while retry
                .attempt(Box::pin(self.look_and_copy(tables, copier)))
                .await?
                .is_continue()
            {}
            if stop.is_cancelled() || (once && !tables.are_waiting()) {
                return Ok(());
            }
            if tables.are_waiting() {
                continue;
            }
            self.enter("streaming");
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = tables.appeared.notified() => {}
            }
        }
    }

    /// Waits until the stream runs, which has looked whether this is still the server that we know: one that it
    /// will refuse must not change what we know of tables.
    async fn wait_for_stream(&self) {
        while !self.gauge.connected.load(Ordering::Relaxed) {
            tokio::time::sleep(STREAM_LOOK_EVERY).await;
        }
    }

    async fn look_and_copy(&self, tables: &Tables, copier: &Snapshots) -> Result<()> {
        self.wait_for_stream().await;
        self.reconcile(tables, &copier.door).await?;
        self.copy_missing(tables, copier).await
    }

    fn copy_failed(&self, error: Error, stop: &CancellationToken) -> Result<()> {
        if error.advice() == Advice::Stop && !stop.is_cancelled() {
            return Err(error);
        }
        tracing::warn!(source = %self.options.name, error = %error.report(), "the snapshot was interrupted; what is missing will be copied under a new one");
        Ok(())
    }

    /// Compares the publication with the book: tables that came are to be copied, tables that went
    /// are followed no more.
    async fn reconcile(&self, tables: &Tables, door: &Door) -> Result<()> {
        let client = SqlClient::connect(&self.options.connect).await?;
        verify_client(&client, door).await?;
        let log_end = log_end(&client).await?;
        self.gauge
            .server_lsn
            .fetch_max(log_end.0, Ordering::Relaxed);
        let patterns = Patterns::parse(&self.options.tables)?;
        let name = &self.options.publication;
        let publication = match find_publication(&client, name).await? {
            // Tables that were created since may belong to it.
            Some(publication) if publication.ours && !publication.all_tables => {
                ensure_publication(&client, name, &patterns)
                    .await?
                    .publication
            }
            Some(publication) => publication,
            None => {
                let what = format!("publication {name} does not exist any more");
                return Err(Error::refused(what).help("create it again, with the same tables"));
            }
        };
        let rows = setup::publication_rows(&client, publication.oid).await?;
        let wanted = publication.tables.iter();
        let published = Published {
            tables: wanted
                .filter(|table| tables.wants(&table.namespace, &table.name))
                .collect(),
            rows: &rows,
            snapshot: self.options.snapshot,
        };
        let changed = published.changes(&tables.states().into_iter().collect());
        if !changed.is_empty() {
            tables.set(&changed, Vec::new())?;
        }
        Ok(())
    }

    /// Copies every table that waits for it, and finishes copies that were interrupted.
    async fn copy_missing(&self, tables: &Tables, copier: &Snapshots) -> Result<()> {
        let states = tables.states();
        let of = |wanted: fn(&Phase) -> bool| -> Vec<u32> {
            states
                .iter()
                .filter(|(_, state)| wanted(&state.phase))
                .map(|(oid, _)| *oid)
                .collect()
        };
        let pending = of(|phase| *phase == Phase::Pending);
        let interrupted = of(|phase| matches!(phase, Phase::Copying(_)));
        if pending.is_empty() && interrupted.is_empty() {
            return Ok(());
        }
        self.enter("snapshot");
        tables.open_snapshot(&pending);
        let outcome = self
            .copy_under_new_wave(copier, &pending, &interrupted)
            .await;
        if outcome.is_err() {
            tables.abandon_snapshot(&pending);
        }
        outcome
    }

    async fn copy_under_new_wave(
        &self,
        copier: &Snapshots,
        pending: &[u32],
        interrupted: &[u32],
    ) -> Result<()> {
        let known = state::slot(&copier.door)?;
        let wave = Wave::open(&self.options.connect, &self.options.slot, known).await?;
        tracing::info!(source = %self.options.name, lsn = %Lsn(wave.lsn), tables = pending.len(), interrupted = interrupted.len(), "copying under a new snapshot");
        let resumes =
            |table: &TableInfo| interrupted.contains(&table.oid) && copier.can_resume(table);
        let anew = copier.describe(&wave, |table| {
            pending.contains(&table.oid) || (interrupted.contains(&table.oid) && !resumes(table))
        });
        let anew = anew.await?;
        copier.supersede(&anew, &wave).await?;
        copier.copy(&wave, anew).await?;
        let again = copier.describe(&wave, resumes).await?;
        copier.copy(&wave, again).await?;
        wave.release();
        Ok(())
    }
}

/// Runs the stream on a thread of its own; what it ends with comes through the channel.
fn spawn(stream: Stream) -> Result<oneshot::Receiver<Result<()>>> {
    let (ended, end) = oneshot::channel();
    let thread = std::thread::Builder::new().name("pg-stream".to_owned());
    let spawned = thread.spawn(move || {
        let outcome = stream.run();
        // Nobody listens any more when the process is being torn down.
        ended.send(outcome).ok();
    });
    spawned.map_err(|error| Error::unavailable("cannot start a thread").because(error))?;
    Ok(end)
}

/// What the stream's thread ended with.
fn joined(ended: Result<Result<()>, oneshot::error::RecvError>) -> Result<()> {
    ended.unwrap_or_else(|_| Err(Error::stopped("the stream's thread panicked")))
}
