//! From what a trigger extracted to a block in the store: transform, marshal, append.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;

use super::deprecations::Owner;
use super::registry::{Registered, Registry};
use crate::call::{Actions, Call};
use crate::clock::{Clock, Timestamp};
use crate::document::{Belongs, Entry, OwnJob, Place, Rejection, plain_bytes, write};
use crate::door::Door;
use crate::error::{Error, Result};
use crate::event::{About, Draft, FormatId, LaneId, Refusal, SchemaId, StateChange, Tally};
use crate::flow::Flow;
use crate::id::Id;
use crate::job::Job;
use crate::log::Receipt;
use crate::logger::Logger;
use crate::position::Position;
use crate::service::{Service, Toolkit};
use crate::source::{Event, SubEvent};
use crate::store::Store;
use crate::version::Versions;
use crate::watermark::Watermark;

/// Sub-events of one event, at most.
pub const SUB_EVENTS_MAX: usize = 100_000;
/// Bytes of an event with its sub-events and jobs, at most: what a draft may hold.
pub const EXTRACTION_BYTES_MAX: usize = 48 << 20;

/// One source's way in for what its triggers extract. Shared by all of them.
#[derive(Debug)]
pub struct Intake {
    source: Arc<str>,
    versions: Versions,
    door: Door,
    store: Arc<dyn Store>,
    watermark: Watermark,
    registry: Arc<Registry>,
    service: Arc<Service>,
    clock: Arc<dyn Clock>,
    schemas: Mutex<HashMap<About, SchemaId>>,
    /// Schemas of events that call nothing by name: by trigger, then by version.
    plain: RwLock<HashMap<Arc<str>, ByVersion>>,
    tickets: AtomicU64,
    rejections: AtomicU64,
}

/// Schemas of one trigger, which has a handful of versions at most.
type ByVersion = Vec<(Option<Arc<str>>, SchemaId)>;

/// An extraction that is ready to be appended.
#[derive(Debug)]
pub struct Prepared {
    draft: Draft,
    events: Vec<PreparedEvent>,
}

#[derive(Debug)]
struct PreparedEvent {
    /// Where it lies in the draft.
    index: u32,
    jobs: Vec<(Arc<str>, LaneId, u32)>,
    rejections: Vec<Rejection>,
}

impl Prepared {
    /// Has the source remember `changes` together with the events: all of it is durable, or nothing.
    pub fn remember(&mut self, changes: Vec<StateChange>) {
        self.draft.state.extend(changes);
    }

    /// When the events were received.
    #[must_use]
    pub fn received_at(&self) -> Timestamp {
        self.draft.received_at
    }

    /// How many positions they take, further jobs included.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.draft.count()
    }

    /// For the event, then each sub-event: how many positions behind the first it lies, and its jobs with theirs.
    pub fn shape(&self) -> impl Iterator<Item = (u32, Vec<(LaneId, u32)>)> {
        self.events.iter().map(|event| {
            let jobs = event.jobs.iter().map(|(_, lane, index)| (*lane, *index));
            (event.index, jobs.collect())
        })
    }
}

/// An extraction that has its positions. It may be answered when the receipt is durable.
#[derive(Debug)]
pub struct Taken {
    /// What to wait for.
    pub receipt: Receipt,
    /// The event, then its sub-events in order.
    pub events: Vec<TakenEvent>,
}

/// One event that was taken.
#[derive(Debug)]
pub struct TakenEvent {
    /// Its id.
    pub id: Id,
    /// The jobs that it makes by calls, and by routes to actions that marshal. Those of other routes are not listed: they
    /// follow from the routes.
    pub jobs: Vec<TakenJob>,
    /// Jobs that it does not make, because marshalling them failed.
    pub rejections: Vec<Rejection>,
}

/// One job of a taken event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenJob {
    /// Its id.
    pub id: Id,
    /// `destination/action`.
    pub name: Arc<str>,
}

impl Intake {
    /// The way in for the source called `source`.
    ///
    /// # Errors
    /// When the store is fenced, or the system has no randomness.
    pub fn new(
        store: Arc<dyn Store>,
        source: &str,
        versions: Versions,
        registry: Arc<Registry>,
        service: Arc<Service>,
        clock: Arc<dyn Clock>,
    ) -> Result<Intake> {
        let door = Door::open(Arc::clone(&store), source, Arc::clone(&clock))?;
        let known = door.schemas().into_iter();
        let known = known.filter(|schema| schema.about.is_documents());
        let seed = getrandom::u64().map_err(|error| {
            Error::unavailable(format!("the system gives no random numbers: {error}"))
        })?;
        Ok(Intake {
            source: Arc::from(source),
            versions,
            schemas: Mutex::new(
                known
                    .map(|schema| (schema.about.clone(), schema.id))
                    .collect(),
            ),
            plain: RwLock::default(),
            door,
            watermark: Watermark::new(store.durable()),
            store,
            registry,
            service,
            clock,
            tickets: AtomicU64::new(seed),
            rejections: AtomicU64::new(0),
        })
    }

    /// Begins an extraction: gives it its id, and user code its toolkit.
    #[must_use]
    pub fn begin(&self, trigger: &Arc<str>) -> Toolkit {
        let number = self.tickets.fetch_add(1, Ordering::Relaxed);
        let id = Id::ticket(self.store.id(), number, self.clock.now());
        Toolkit {
            logger: Logger::of_extraction(&self.source, trigger, id),
            service: Arc::clone(&self.service),
            event_id: Some(id),
            job_id: None,
            clock: Arc::clone(&self.clock),
        }
    }

    /// The source whose way in it is.
    #[must_use]
    pub fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// The clock that events are stamped by.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The store that it appends to.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Waits for what becomes durable.
    #[must_use]
    pub fn watermark(&self) -> &Watermark {
        &self.watermark
    }

    /// What the source remembers under names that begin with `prefix`, sorted by name.
    #[must_use]
    pub fn recall_all(&self, prefix: &str) -> Vec<(String, Bytes)> {
        self.door.recall_all(prefix)
    }

    /// Has the source remember `changes` without events, as soon as there is room. They are durable before anything that is appended later.
    ///
    /// # Errors
    /// When the store is fenced.
    pub async fn remember(&self, mut changes: Vec<StateChange>) -> Result<()> {
        loop {
            match self.door.remember(changes) {
                Ok(_) => return Ok(()),
                Err(Refusal::Full(back)) => changes = *back,
                Err(Refusal::Failed(error)) => return Err(error),
            }
            self.room().await?;
        }
    }

    /// How many jobs were not made so far because marshalling them failed.
    #[must_use]
    pub fn rejections(&self) -> u64 {
        self.rejections.load(Ordering::Relaxed)
    }

    /// Transforms and marshals what `trigger` extracted under `toolkit`, which [`Intake::begin`] gave.
    ///
    /// # Errors
    /// `Invalid` when the event is too large, names a version or an action that there is not, or a flow refuses it. The store
    /// when it is fenced.
    pub fn prepare(&self, trigger: &Arc<str>, toolkit: &Toolkit, event: Event) -> Result<Prepared> {
        if event.sub_events.len() > SUB_EVENTS_MAX {
            let what = format!("the event has {} sub-events", event.sub_events.len());
            return Err(Error::invalid(what).help("at most 100,000; send several events"));
        }
        // Events of one millisecond may share a frame of the log, which says the time once.
        let now = self.clock.now().whole_millisecond();
        let settled = self.versions.settle(event.version.as_ref(), now)?;
        if settled.deprecated
            && let Some(version) = &settled.version
        {
            let _entered = toolkit.logger.enter();
            let events = 1 + event.sub_events.len() as u64;
            let owner = Owner::Source(Arc::clone(&self.source));
            self.registry.deprecations().note(owner, version, events);
        }
        let mut writing = Writing {
            intake: self,
            toolkit,
            version: settled.version,
            received_at: now,
            sent_at: event.sent_at,
            plain: None,
            tally: Vec::new(),
            body: Vec::with_capacity(plain_bytes_of(&event)),
            count: 0,
            events: Vec::with_capacity(event.sub_events.len() + 1),
        };
        let mut event = event;
        let sub_events = std::mem::take(&mut event.sub_events);
        writing.event(trigger, event)?;
        for sub_event in sub_events {
            let SubEvent {
                trigger: own,
                context,
                data,
                actions,
                flows,
            } = sub_event;
            let own = own.unwrap_or_else(|| Arc::clone(trigger));
            let event = Event {
                context,
                data,
                actions,
                flows,
                ..Event::default()
            };
            writing.event(&own, event)?;
        }
        Ok(writing.finish())
    }

    /// Appends what was prepared: it has positions at once, and is durable when the receipt says so.
    ///
    /// # Errors
    /// [`Refusal::Full`] hands it back: offer it again when the store has caught up ([`Intake::room`]).
    pub fn offer(&self, prepared: Prepared) -> Result<Taken, Refusal<Prepared>> {
        let Prepared { draft, events } = prepared;
        let received_at = draft.received_at;
        match self.door.append(draft) {
            Ok(receipt) => {
                let taken = events.into_iter();
                let taken = taken.map(|event| self.taken(event, receipt.first, received_at));
                Ok(Taken {
                    events: taken.collect(),
                    receipt,
                })
            }
            Err(Refusal::Full(draft)) => Err(Refusal::Full(Box::new(Prepared {
                draft: *draft,
                events,
            }))),
            Err(Refusal::Failed(error)) => Err(Refusal::Failed(error)),
        }
    }

    /// Appends what was prepared, as soon as there is room.
    ///
    /// # Errors
    /// When the store is fenced.
    pub async fn place(&self, mut prepared: Prepared) -> Result<Taken> {
        loop {
            match self.offer(prepared) {
                Ok(taken) => return Ok(taken),
                Err(Refusal::Full(back)) => prepared = *back,
                Err(Refusal::Failed(error)) => return Err(error),
            }
            self.room().await?;
        }
    }

    /// Appends what was prepared as soon as there is room, and returns when it is durable. What has its positions
    /// stays in the store also when this is dropped before.
    ///
    /// # Errors
    /// When the store is fenced.
    pub async fn keep(&self, prepared: Prepared) -> Result<Taken> {
        let taken = self.place(prepared).await?;
        self.durable(&taken).await?;
        Ok(taken)
    }

    /// Returns once what was offered is durable.
    ///
    /// # Errors
    /// When the store is fenced.
    pub async fn durable(&self, taken: &Taken) -> Result<()> {
        self.watermark.reached(&taken.receipt).await
    }

    /// Whether the store goes on taking things: what to ask after an error that may be its own.
    ///
    /// # Errors
    /// Why not, when it is fenced or closed.
    pub fn goes_on(&self) -> Result<()> {
        self.watermark.goes_on()
    }

    /// Waits until the store has written something, for a moment at most: what to do after [`Refusal::Full`].
    ///
    /// # Errors
    /// When the store is fenced.
    pub async fn room(&self) -> Result<()> {
        self.door.room().await
    }

    fn taken(&self, event: PreparedEvent, first: Position, at: Timestamp) -> TakenEvent {
        let store = self.store.id();
        if !event.rejections.is_empty() {
            self.rejections
                .fetch_add(event.rejections.len() as u64, Ordering::Relaxed);
        }
        let jobs = event.jobs.into_iter();
        let jobs = jobs.map(|(name, lane, index)| TakenJob {
            id: Id::of_job(store, lane, first.plus(u64::from(index)), at),
            name,
        });
        TakenEvent {
            id: Id::of_event(store, first.plus(u64::from(event.index)), at),
            jobs: jobs.collect(),
            rejections: event.rejections,
        }
    }

    /// The schema of plain events, found without making what would describe it.
    fn plain_schema(&self, trigger: &str, version: Option<&Arc<str>>) -> Option<SchemaId> {
        let plain = self.plain.read().unwrap_or_else(PoisonError::into_inner);
        let versions = plain.get(trigger)?;
        let own = versions.iter().find(|(own, _)| own.as_ref() == version);
        own.map(|(_, schema)| *schema)
    }

    fn remember_plain(&self, trigger: &Arc<str>, version: Option<Arc<str>>, schema: SchemaId) {
        let mut plain = self.plain.write().unwrap_or_else(PoisonError::into_inner);
        let versions = plain.entry(Arc::clone(trigger)).or_default();
        if versions.iter().all(|(own, _)| *own != version) {
            versions.push((version, schema));
        }
    }

    fn schema(&self, about: About) -> Result<SchemaId> {
        let mut schemas = self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = schemas.get(&about) {
            return Ok(*id);
        }
        let id = self.door.define(about.clone())?;
        schemas.insert(about, id);
        Ok(id)
    }
}

/// One extraction as it is written into a draft.
struct Writing<'a> {
    intake: &'a Intake,
    toolkit: &'a Toolkit,
    version: Option<Arc<str>>,
    received_at: Timestamp,
    sent_at: Option<Timestamp>,
    /// The trigger of the last event that called nothing by name, and its schema.
    plain: Option<(Arc<str>, SchemaId)>,
    /// Neighbours of one schema counted together.
    tally: Vec<(SchemaId, u32)>,
    body: Vec<u8>,
    count: u32,
    events: Vec<PreparedEvent>,
}

/// A job and whose it is.
type MadeJob<'a> = (&'a Registered, Job);

/// The jobs that one event makes.
#[derive(Default)]
struct Made<'a> {
    jobs: Vec<MadeJob<'a>>,
    rejections: Vec<Rejection>,
}

impl<'a> Writing<'a> {
    fn event(&mut self, trigger: &Arc<str>, event: Event) -> Result<()> {
        let made = self.made(trigger, &event)?;
        let (own, further) = split(made.jobs);
        let schema = match own.is_empty() {
            true => self.plain_schema(trigger)?,
            false => self.schema(trigger, own.iter().map(|(action, _)| *action), false)?,
        };
        let index = self.count;
        let entry = Entry {
            schema,
            ticket: self.ticket(index),
            sent_at: self.sent_at,
            parent: (index > 0).then_some(Place::Back(index)),
            jobs: own_jobs(&own),
            rejections: made.rejections.clone(),
            belongs: None,
            context: event.context,
            data: event.data,
        };
        self.put(&entry)?;
        let mut jobs: Vec<_> = own
            .iter()
            .map(|(action, _)| listed(action, index))
            .collect();
        for (action, job) in further {
            jobs.push(listed(action, self.count));
            self.further(trigger, action, job, &entry, index)?;
        }
        self.events.push(PreparedEvent {
            index,
            jobs,
            rejections: made.rejections,
        });
        Ok(())
    }

    /// A second job of the same action for the same event takes a position of its own.
    fn further(
        &mut self,
        trigger: &Arc<str>,
        action: &'a Registered,
        job: Job,
        event: &Entry,
        index: u32,
    ) -> Result<()> {
        let schema = self.schema(trigger, std::iter::once(action), true)?;
        let back = self.count - index;
        let entry = Entry {
            schema,
            ticket: event.ticket,
            sent_at: job.sent_at.or(event.sent_at),
            parent: event.parent.map(|parent| parent.seen_from(back)),
            jobs: own_jobs(&[(action, job)]),
            rejections: Vec::new(),
            belongs: Some(Belongs {
                event: Place::Back(back),
                schema: event.schema,
                received_at: self.received_at,
                parent: None,
            }),
            context: event.context.clone(),
            data: event.data.clone(),
        };
        self.put(&entry)
    }

    fn put(&mut self, entry: &Entry) -> Result<()> {
        write(&mut self.body, entry)?;
        if self.body.len() > EXTRACTION_BYTES_MAX {
            return Err(Error::invalid(format!(
                "the event with its sub-events and jobs has more than {EXTRACTION_BYTES_MAX} bytes"
            ))
            .help("at most 48 MiB; send several events"));
        }
        match self.tally.last_mut() {
            Some((schema, count)) if *schema == entry.schema => *count += 1,
            _ => self.tally.push((entry.schema, 1)),
        }
        self.count += 1;
        Ok(())
    }

    fn ticket(&self, index: u32) -> u64 {
        let own = self.toolkit.event_id.and_then(|id| id.ticket_number());
        // A sub-event was never shown to user code under an id of its own.
        own.filter(|_| index == 0).unwrap_or_default()
    }

    fn schema(
        &self,
        trigger: &Arc<str>,
        called: impl Iterator<Item = &'a Registered>,
        only_jobs: bool,
    ) -> Result<SchemaId> {
        let mut calls: Vec<Arc<str>> = called.map(|action| Arc::clone(&action.name)).collect();
        calls.sort_unstable();
        let (trigger, version) = (Arc::clone(trigger), self.version.clone());
        self.intake
            .schema(About::documents(trigger, version, calls.into(), only_jobs))
    }

    /// The schema of events that call nothing by name, which most are.
    fn plain_schema(&mut self, trigger: &Arc<str>) -> Result<SchemaId> {
        if let Some((known, schema)) = &self.plain
            && known == trigger
        {
            return Ok(*schema);
        }
        let schema = match self.intake.plain_schema(trigger, self.version.as_ref()) {
            Some(known) => known,
            None => {
                let schema = self.schema(trigger, std::iter::empty(), false)?;
                let version = self.version.clone();
                self.intake.remember_plain(trigger, version, schema);
                schema
            }
        };
        self.plain = Some((Arc::clone(trigger), schema));
        Ok(schema)
    }

    /// Everything that the event calls: directly, by its flows, and by routes to actions that marshal.
    fn made(&self, trigger: &str, event: &Event) -> Result<Made<'a>> {
        let registry = &self.intake.registry;
        let mut made = Made::default();
        for (destination, calls) in event.actions.iter() {
            self.call_all(destination, calls, &mut made)?;
        }
        for flow in &event.flows {
            for (destination, calls) in self.transform(flow.as_ref())?.iter() {
                if registry.has(destination) {
                    self.call_all(destination, calls, &mut made)?;
                }
            }
        }
        for action in registry.marshalling(&self.intake.source, trigger) {
            let _entered = self.toolkit.logger.enter();
            let toolkit = self.for_job(action);
            let marshalled = action.action.marshal(&toolkit, event);
            self.add(action, marshalled.transpose(), &mut made);
        }
        Ok(made)
    }

    fn transform(&self, flow: &dyn Flow) -> Result<Actions> {
        if !flow.options().enabled {
            return Ok(Actions::new());
        }
        let _entered = self.toolkit.logger.enter();
        let transformed = flow.transform(self.toolkit);
        transformed.map_err(|error| error.at(format!("flow {}", flow.name())))
    }

    fn call_all(&self, destination: &str, calls: &[Call], made: &mut Made<'a>) -> Result<()> {
        let _entered = self.toolkit.logger.enter();
        for call in calls {
            let action = self.intake.registry.find(destination, &call.action)?;
            let marshalled = call.payload.marshal(&self.for_job(action));
            self.add(action, Some(marshalled), made);
        }
        Ok(())
    }

    fn for_job(&self, action: &Registered) -> Toolkit {
        let event_id = self.toolkit.event_id;
        Toolkit {
            job_id: event_id.map(|id| id.for_lane(action.lane)),
            ..self.toolkit.clone()
        }
    }

    fn add(&self, action: &'a Registered, marshalled: Option<Result<Job>>, made: &mut Made<'a>) {
        let Some(marshalled) = marshalled else { return };
        let registry = &self.intake.registry;
        match marshalled.and_then(|job| settle_version(registry, action, job, self.received_at)) {
            Ok(job) => made.jobs.push((action, job)),
            Err(error) => {
                tracing::error!(action = %action.name, error = %error.report(), "no job was made: marshalling failed");
                made.rejections.push(Rejection {
                    lane: action.lane,
                    reason: error.report(),
                });
            }
        }
    }

    fn finish(self) -> Prepared {
        Prepared {
            draft: Draft {
                format: FormatId::JSON,
                received_at: self.received_at,
                tally: by_schema(self.tally),
                envelope: Bytes::new(),
                body: Bytes::from(self.body),
                state: Vec::new(),
            },
            events: self.events,
        }
    }
}

/// What the event takes with its sub-events, jobs apart.
fn plain_bytes_of(event: &Event) -> usize {
    let sub_events = event.sub_events.iter();
    let bytes = sub_events.map(|own| plain_bytes(&own.context, &own.data));
    plain_bytes(&event.context, &event.data) + bytes.sum::<usize>()
}

/// One count for each schema.
fn by_schema(mut counts: Vec<(SchemaId, u32)>) -> Vec<Tally> {
    counts.sort_unstable_by_key(|(schema, _)| *schema);
    let mut tally: Vec<Tally> = Vec::with_capacity(1);
    for (schema, count) in counts {
        match tally.last_mut() {
            Some(own) if own.schema == schema => own.count += count,
            _ => tally.push(Tally {
                schema,
                group: 0,
                count,
            }),
        }
    }
    tally
}

/// The version that the destination gives the job.
pub(crate) fn settle_version(
    registry: &Registry,
    action: &Registered,
    mut job: Job,
    now: Timestamp,
) -> Result<Job> {
    let settled = action.versions.settle(job.version.as_ref(), now)?;
    if settled.deprecated
        && let Some(version) = &settled.version
    {
        let owner = Owner::Destination(Arc::clone(&action.destination));
        registry.deprecations().note(owner, version, 1);
    }
    job.version = settled.version;
    Ok(job)
}

/// The first job of each action stays with its event; others take positions of their own.
fn split(jobs: Vec<MadeJob<'_>>) -> (Vec<MadeJob<'_>>, Vec<MadeJob<'_>>) {
    if jobs.len() < 2 {
        return (jobs, Vec::new());
    }
    let mut seen = HashSet::new();
    jobs.into_iter()
        .partition(|(action, _)| seen.insert(action.lane))
}

/// Payloads that have to be written: those that are not the event's.
fn own_jobs(jobs: &[(&Registered, Job)]) -> Vec<OwnJob> {
    let own = jobs.iter().filter(|(_, job)| *job != Job::default());
    own.map(|(action, job)| OwnJob {
        lane: action.lane,
        job: job.clone(),
    })
    .collect()
}

fn listed(action: &Registered, index: u32) -> (Arc<str>, LaneId, u32) {
    (Arc::clone(&action.name), action.lane, index)
}
