//! Follow-ups: the jobs that a report has follow, written in one record with what they follow from.
//!
//! Each child is an entry of its own ([`crate::document`]): it names its event and its parent, and holds a copy of what it
//! leaves out of its parent's context and data, because the parent's segment may be gone when the child is loaded. Children
//! of more than [`PIECE_BYTES_MAX`] go into several records, each with the transitions of its own parents: so each child is
//! there exactly once, whatever crash comes between them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::counters::LaneCounters;
use super::load::Loader;
use super::settle::{Follow, Settled, calls};
use crate::call::Call;
use crate::clock::Clock;
use crate::destination::Then;
use crate::document::{Belongs, Entry, OwnJob, Place, write};
use crate::error::{Error, Result};
use crate::event::{About, Draft, FormatId, SchemaId, SourceId, Tally};
use crate::gateway::{Registered, Registry, settle_version};
use crate::job::{Job, Origin, QueuedJob, Status, Transition};
use crate::log::Receipt;
use crate::position::{Position, Span};
use crate::service::Toolkit;
use crate::spans::Spans;

/// Bytes of children in one record, unless those of one parent alone are more.
const PIECE_BYTES_MAX: usize = 24 << 20;
/// Bytes of the children of one parent, at most: those beyond are refused.
const PARENT_BYTES_MAX: usize = 40 << 20;
/// Transitions in one record together with children.
const PIECE_TRANSITIONS_MAX: usize = 100_000;
/// Parents that are read at a time.
const PARENTS_MAX: u64 = 50_000;
/// Transitions in one record without children: they fit into a frame, with the errors that `settle` keeps.
const RECORD_TRANSITIONS_MAX: usize = 1_000_000;

/// Writes what came out of one lane's loads.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) loader: Loader,
    pub(super) registry: Arc<Registry>,
    /// The destination, whose actions alone can follow.
    pub(super) destination: Arc<str>,
    pub(super) counters: Arc<LaneCounters>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) schemas: Mutex<HashMap<(SourceId, About), SchemaId>>,
}

/// One call of a report, ready to become the child of any number of jobs.
#[derive(Debug, Clone)]
struct Child {
    action: Registered,
    job: Job,
}

/// The calls of reports that were marshalled, by report and outcome.
type Children = HashMap<(usize, Status), Vec<Child>>;

/// What the next record will hold.
#[derive(Debug, Default)]
struct Piece {
    body: Vec<u8>,
    tally: BTreeMap<SchemaId, u32>,
}

impl Follower {
    /// Records transitions and what follows from them. Durable when the receipt says so.
    ///
    /// # Errors
    /// When the store can be neither read nor written.
    pub(super) async fn write(&self, settled: &Settled, thens: &[Then]) -> Result<Option<Receipt>> {
        let children = self.children(&settled.follows, thens);
        if children.values().all(Vec::is_empty) {
            return self.record(&settled.transitions);
        }
        let mut left = Left::of(&settled.transitions);
        let mut piece = Piece::default();
        for follows in portions(&settled.follows) {
            let parents = self.parents(&follows).await?;
            for follow in &follows {
                let children = children.get(&(follow.then, follow.status));
                let inside = parents.range(follow.span.first..=follow.span.last);
                for (position, parent) in inside {
                    let own = self.entries(parent, children.map_or(&[][..], |all| all))?;
                    let many = left.before(*position) > PIECE_TRANSITIONS_MAX;
                    let bytes = piece.body.len() + own.body.len();
                    if many || bytes > PIECE_BYTES_MAX && !piece.tally.is_empty() {
                        self.follow_up(&left.take_upto(position.previous()), piece)?;
                        piece = Piece::default();
                    }
                    piece.add(own);
                }
            }
        }
        // What is left beyond one record has no children among it: those came before.
        let rest = left.take_upto(Position::MAX);
        let (with, without) = rest.split_at(rest.len().min(PIECE_TRANSITIONS_MAX * 2));
        let receipt = self.follow_up(with, piece)?;
        Ok(self.record(without)?.or(receipt))
    }

    /// Records transitions alone; none when there is nothing to record.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(super) fn record(&self, transitions: &[Transition]) -> Result<Option<Receipt>> {
        let mut last = None;
        for piece in transitions.chunks(RECORD_TRANSITIONS_MAX) {
            last = Some(self.loader.store.record(piece)?);
        }
        Ok(last)
    }

    fn follow_up(&self, transitions: &[Transition], piece: Piece) -> Result<Option<Receipt>> {
        if piece.tally.is_empty() {
            return self.record(transitions);
        }
        let tally = piece.tally.into_iter();
        let tally: Vec<_> = tally
            .map(|(schema, count)| Tally {
                schema,
                group: 0,
                count,
            })
            .collect();
        self.counters
            .follow_ups
            .add(tally.iter().map(|own| u64::from(own.count)).sum());
        let draft = Draft {
            format: FormatId::JSON,
            received_at: self.clock.now(),
            tally,
            envelope: Bytes::new(),
            body: Bytes::from(piece.body),
            state: Vec::new(),
        };
        self.loader.store.follow_up(transitions, draft).map(Some)
    }

    /// Marshals each call of the reports that have something follow, once.
    fn children(&self, follows: &[Follow], thens: &[Then]) -> Children {
        let mut children = Children::new();
        for follow in follows {
            let Some(then) = thens.get(follow.then) else {
                continue;
            };
            children
                .entry((follow.then, follow.status))
                .or_insert_with(|| {
                    let calls = calls(then, follow.status).iter();
                    calls.filter_map(|call| self.child(call)).collect()
                });
        }
        children
    }

    /// None when the call is refused: what it was to follow came out as it did all the same.
    fn child(&self, call: &Call) -> Option<Child> {
        let found = self.registry.find(&self.destination, &call.action);
        let child = found.and_then(|action| {
            let toolkit = self.toolkit();
            let marshal = std::panic::AssertUnwindSafe(|| call.payload.marshal(&toolkit));
            let marshalled = std::panic::catch_unwind(marshal);
            let job = marshalled.unwrap_or_else(|_| Err(Error::stopped("marshalling panicked")))?;
            let job = settle_version(&self.registry, action, job, self.clock.now())?;
            let action = action.clone();
            Ok(Child { action, job })
        });
        child
            .map_err(|error| self.refuse(&call.action, &error))
            .ok()
    }

    fn toolkit(&self) -> Toolkit {
        let own = &self.loader.toolkit;
        Toolkit {
            logger: own.logger.clone(),
            service: Arc::clone(&own.service),
            event_id: None,
            job_id: None,
            clock: Arc::clone(&self.clock),
        }
    }

    fn refuse(&self, action: &str, error: &Error) {
        self.counters.refused_follow_ups.add(1);
        tracing::error!(lane = %self.loader.toolkit.action, action, error = %error.report(), "a follow-up was refused");
    }

    /// The jobs in `follows`, by position.
    async fn parents(&self, follows: &[Follow]) -> Result<BTreeMap<Position, QueuedJob>> {
        let spans: Spans = follows.iter().map(|follow| follow.span).collect();
        let mut queue = self.loader.queue_of_jobs(spans);
        let mut parents = BTreeMap::new();
        while let Some(jobs) = queue.next_jobs().await? {
            parents.extend(jobs.into_iter().map(|job| (job.position, job)));
        }
        Ok(parents)
    }

    /// The children of one parent.
    fn entries(&self, parent: &QueuedJob, children: &[Child]) -> Result<Piece> {
        let mut piece = Piece::default();
        for child in children {
            let before = piece.body.len();
            let (entry, schema) = self.entry(parent, child)?;
            let written = write(&mut piece.body, &entry);
            let fits = written.and_then(|()| match piece.body.len() > PARENT_BYTES_MAX {
                false => Ok(()),
                true => Err(Error::invalid(format!(
                    "the jobs that follow {} have more than {PARENT_BYTES_MAX} bytes",
                    parent.id
                ))),
            });
            match fits {
                Ok(()) => *piece.tally.entry(schema).or_default() += 1,
                Err(error) => {
                    piece.body.truncate(before);
                    self.refuse(&child.action.name, &error);
                }
            }
        }
        Ok(piece)
    }

    fn entry(&self, parent: &QueuedJob, child: &Child) -> Result<(Entry, SchemaId)> {
        let (source, event_schema) = self.schema_of(&parent.event.origin)?;
        let schema = self.child_schema(source, &parent.event.origin, &child.action)?;
        let event = &parent.event;
        let address =
            |what: &str| Error::damaged(format!("{what} of job {} is nowhere", parent.id));
        let own = Job {
            version: child.job.version.clone(),
            context: None,
            data: None,
            sent_at: child
                .job
                .sent_at
                .or(parent.sent_at)
                .filter(|at| Some(*at) != event.sent_at),
        };
        let job = OwnJob {
            lane: child.action.lane,
            job: own,
        };
        let entry = Entry {
            schema,
            ticket: 0,
            sent_at: event.sent_at,
            parent: event
                .parent
                .and_then(|parent| parent.position())
                .map(Place::At),
            jobs: Some(job)
                .filter(|own| own.job != Job::default())
                .into_iter()
                .collect(),
            rejections: Vec::new(),
            belongs: Some(Belongs {
                event: Place::At(event.id.position().ok_or_else(|| address("the event"))?),
                schema: event_schema,
                received_at: event.received_at,
                parent: Some((self.loader.lane, parent.position)),
            }),
            context: child
                .job
                .context
                .clone()
                .unwrap_or_else(|| parent.context.clone()),
            data: child
                .job
                .data
                .clone()
                .unwrap_or_else(|| parent.data.clone()),
        };
        Ok((entry, schema))
    }

    /// A schema of the events of `origin`, and their source.
    fn schema_of(&self, origin: &Origin) -> Result<(SourceId, SchemaId)> {
        let store = &self.loader.store;
        let mut sources = store.sources().into_iter();
        let source = sources
            .find(|(_, name)| *name == origin.source)
            .map(|(id, _)| id);
        let lost = || {
            Error::damaged(format!(
                "the store does not know the source {}",
                origin.source
            ))
        };
        let source = source.ok_or_else(lost)?;
        let about = About {
            body: Bytes::new(),
            ..About::documents(
                Arc::clone(&origin.trigger),
                origin.version.clone(),
                Arc::from([]),
                false,
            )
        };
        let find = || {
            let mut schemas = store.schemas().into_iter();
            let found = schemas.find(|schema| {
                schema.source == source
                    && schema.about.trigger == origin.trigger
                    && schema.about.version == origin.version
            });
            found.map(|schema| schema.id).ok_or_else(lost)
        };
        // An empty body is no schema's own: this key stands for whatever schema of the trigger is found.
        Ok((source, self.remembered(source, about, find)?))
    }

    /// The schema of children that call `action`: it looks like those of the events, and holds no event.
    fn child_schema(
        &self,
        source: SourceId,
        origin: &Origin,
        action: &Registered,
    ) -> Result<SchemaId> {
        let calls = Arc::from([Arc::clone(&action.name)]);
        let about = About::documents(
            Arc::clone(&origin.trigger),
            origin.version.clone(),
            calls,
            true,
        );
        let store = &self.loader.store;
        let find = || {
            let mut schemas = store.schemas().into_iter();
            let known = schemas.find(|schema| schema.source == source && schema.about == about);
            known.map_or_else(
                || store.define(source, about.clone()),
                |schema| Ok(schema.id),
            )
        };
        self.remembered(source, about.clone(), find)
    }

    fn remembered(
        &self,
        source: SourceId,
        about: About,
        find: impl FnOnce() -> Result<SchemaId>,
    ) -> Result<SchemaId> {
        let mut schemas = self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = schemas.get(&(source, about.clone())) {
            return Ok(*id);
        }
        let id = find()?;
        schemas.insert((source, about), id);
        Ok(id)
    }
}

impl Piece {
    fn add(&mut self, other: Piece) {
        self.body.extend_from_slice(&other.body);
        for (schema, count) in other.tally {
            *self.tally.entry(schema).or_default() += count;
        }
    }
}

/// `follows` cut into portions of at most [`PARENTS_MAX`] positions.
fn portions(follows: &[Follow]) -> Vec<Vec<Follow>> {
    let mut portions = vec![Vec::new()];
    let mut room = PARENTS_MAX;
    for follow in follows {
        let mut rest = follow.span;
        while !rest.is_empty() {
            let span = Span::starting(rest.first, rest.len().min(room));
            if let Some(portion) = portions.last_mut() {
                portion.push(Follow { span, ..*follow });
            }
            room -= span.len();
            rest.first = span.last.next();
            if room == 0 {
                portions.push(Vec::new());
                room = PARENTS_MAX;
            }
        }
    }
    portions.retain(|portion| !portion.is_empty());
    portions
}

/// Transitions in order of position, taken from the front as their children are written.
struct Left<'a> {
    transitions: &'a [Transition],
    /// From where on the first of them is left.
    from: Position,
}

impl Left<'_> {
    fn of(transitions: &[Transition]) -> Left<'_> {
        Left {
            transitions,
            from: Position::ZERO,
        }
    }

    /// How many begin before `position`.
    fn before(&self, position: Position) -> usize {
        self.transitions
            .partition_point(|own| own.span.first < position)
    }

    /// Takes all up to `last`, cutting the one that goes on behind it.
    fn take_upto(&mut self, last: Position) -> Vec<Transition> {
        let whole = self
            .transitions
            .partition_point(|own| own.span.last <= last);
        let (done, rest) = self.transitions.split_at(whole);
        let cut = rest.first().filter(|own| own.span.first <= last);
        let mut taken: Vec<_> = done.iter().chain(cut).cloned().collect();
        if let Some(first) = taken.first_mut() {
            first.span.first = first.span.first.max(self.from);
        }
        if let Some(end) = taken.last_mut() {
            end.span.last = end.span.last.min(last);
        }
        self.transitions = rest;
        self.from = last.next();
        taken.retain(|own| !own.span.is_empty());
        taken
    }
}
