//! The scheduler over a store in memory, a format of one number per event, and an action that does
//! what the test says. Time stands still unless everybody waits: see [`StandingTime`].

mod batches;
mod clocks;
mod crashes;
mod failures;
mod follow_ups;
mod limits;
mod model;
mod orders;
mod restarts;
mod retention;
mod stretches;
mod torn;

use std::collections::VecDeque;
use std::sync::atomic::{self, AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arrow_array::{Array, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema as ArrowSchema};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::{LaneHandle, LaneSettings, Routing, start_lane};
use crate::clock::{Clock, Timestamp};
use crate::destination::{Action, Ordering, PartialLoadLimits, Queue, Then, Thens, Toolkit};
use crate::error::{Error, Result};
use crate::event::{About, Block, Draft, FormatId, SchemaId, SourceId, Tally};
use crate::flow::Route;
use crate::gateway::Registry;
use crate::job::Status;
use crate::log::Retention;
use crate::operate::{Operator, Plan, Plans};
use crate::position::{Position, Span};
use crate::query::{Actions, Query};
use crate::queue::BatchLimits;
use crate::schedule::{Backoff, Interval, Schedule};
use crate::source::{
    Asked, Completed, Decoded, Decoding, Format, Formats, Limits, Parked, Takes, Wanted,
};
use crate::store::memory::MemoryStore;
use crate::store::{Lane, OpenSpan, Store};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

fn span(first: u64, last: u64) -> Span {
    Span::new(Position(first), Position(last))
}

/// The runtime's paused time: it goes on only when nothing but timers is left to wait for, and then
/// at once to the next. So a test of an hour takes no time and its times are exact. Its wall clock begins in 1970, and
/// can be set.
#[derive(Debug)]
struct StandingTime {
    start: Instant,
    set_micros: AtomicI64,
}

impl StandingTime {
    fn begin() -> StandingTime {
        StandingTime {
            start: Instant::now(),
            set_micros: AtomicI64::new(0),
        }
    }

    /// Sets the wall clock forth, or back.
    fn set(&self, by_seconds: i64) {
        let micros = by_seconds * 1_000_000;
        self.set_micros.fetch_add(micros, atomic::Ordering::SeqCst);
    }
}

impl Clock for StandingTime {
    fn now(&self) -> Timestamp {
        let set = self.set_micros.load(atomic::Ordering::SeqCst);
        Timestamp(set).after(self.elapsed())
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// One number per line; a line that is none is parked.
#[derive(Debug)]
struct Numbers;

impl Format for Numbers {
    fn ids(&self) -> &'static [FormatId] {
        &[FormatId::JSON]
    }

    fn name(&self) -> &'static str {
        "numbers"
    }

    fn decoding(&self, _: Asked) -> Box<dyn Decoding> {
        Box::new(Numbers)
    }
}

impl Decoding for Numbers {
    fn push(&mut self, block: &Block, wanted: &Wanted<'_>, out: &mut Vec<Decoded>) -> Result<()> {
        let schema = block.tally[0].schema;
        if !(wanted.schema)(schema) {
            return Ok(());
        }
        let trigger: Arc<str> = Arc::from("numbers");
        let lines = str::from_utf8(&block.body).unwrap().lines();
        let mut numbers = Vec::new();
        for (line, position) in lines.zip((block.first.0..).map(Position)) {
            match line.parse::<i64>() {
                _ if !wanted.has(position) => {}
                Ok(number) => numbers.push(number),
                Err(_) => out.push(Decoded::Parked(Parked {
                    position,
                    trigger: Arc::clone(&trigger),
                    reason: "not a number".to_owned(),
                })),
            }
        }
        let fields = vec![Field::new("number", DataType::Int64, false)];
        let columns = vec![Arc::new(Int64Array::from(numbers)) as Arc<dyn Array>];
        let rows = RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).unwrap();
        let span = block.span().unwrap();
        out.push(Decoded::Rows {
            schema,
            trigger,
            rows,
            span,
        });
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<Decoded>) -> Result<()> {
        Ok(())
    }

    fn completed(&self) -> Option<Completed> {
        None
    }
}

/// What the action does with a batch.
#[derive(Debug)]
enum Turn {
    Succeed,
    /// Returns an error and reports nothing.
    Fail,
    Panic,
    /// Returns well without a word of these positions.
    Omit(u64),
    /// Reports this position as failed and the rest as succeeded.
    FailOne(u64),
    /// Reports everything as failed, and asks to be left alone for this long.
    FailFor(Duration),
    /// Reports these positions as failed and the rest as succeeded.
    FailThese(Vec<u64>),
    /// Succeeds when it is told.
    Wait(Arc<Notify>),
    /// Never ends when this number is in the batch, else succeeds.
    WaitWith(i64),
    /// Blocks its thread until it is told.
    Block(std::sync::mpsc::Receiver<()>),
    /// Succeeds, and besides reports a job that it was not given, and one again as failed.
    Lie,
}

/// What the action saw of a batch.
#[derive(Debug, PartialEq)]
struct Seen {
    span: Span,
    attempt: u32,
    events: u64,
    numbers: Vec<i64>,
    /// Since the lab was opened.
    at: Duration,
    /// How far the store was, as the action was told.
    head: Position,
    /// What the store said of the batch meanwhile.
    recorded: Option<(Status, u32)>,
}

#[derive(Debug)]
struct Scripted {
    ordering: Ordering,
    takes: Takes,
    turns: Mutex<VecDeque<Turn>>,
    seen: mpsc::UnboundedSender<Seen>,
    cut_short: CutShort,
    store: OnceLock<Arc<dyn Store>>,
}

/// What loads were given whose queue ended with an error.
type CutShort = Arc<Mutex<Vec<Vec<i64>>>>;

impl Scripted {
    fn recorded(&self, span: Span) -> Option<(Status, u32)> {
        let lanes = self.store.get().unwrap().lanes();
        let mut open = lanes.iter().flat_map(Lane::open);
        let open = open.find(|open| open.span == span)?;
        Some((open.status, open.attempt))
    }
}

#[async_trait]
impl Action for Scripted {
    fn name(&self) -> &str {
        "append"
    }

    fn ordering(&self) -> Ordering {
        self.ordering
    }

    fn takes(&self) -> Takes {
        self.takes
    }

    async fn load(&self, toolkit: &Toolkit, queue: &mut Queue, then: &Thens) -> Result<()> {
        let mut numbers = Vec::new();
        let end = loop {
            match queue.next().await {
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
                Ok(Some(rows)) => {
                    let column = rows.rows.column(0).as_any().downcast_ref::<Int64Array>();
                    numbers.extend_from_slice(column.unwrap().values());
                }
            }
        };
        if end.is_err() {
            self.cut_short.lock().unwrap().push(numbers);
            return end;
        }
        let span = queue.span();
        let seen_numbers = numbers.clone();
        let seen = Seen {
            span,
            attempt: queue.attempt(),
            events: queue.events(),
            numbers,
            at: toolkit.clock.elapsed(),
            head: toolkit.head,
            recorded: self.recorded(span),
        };
        self.seen.send(seen).unwrap();
        let turn = self.turns.lock().unwrap().pop_front();
        let all = crate::destination::Jobs::All;
        match turn.unwrap_or(Turn::Succeed) {
            Turn::Succeed => then.send(Then::succeeded(all)),
            Turn::Fail => return Err(Error::unavailable("the sea is rough")),
            Turn::Panic => panic!("a bug"),
            Turn::Omit(position) => {
                let before = Span::new(span.first, Position(position - 1));
                let after = Span::new(Position(position + 1), span.last);
                let said = [before, after].into_iter().filter(|span| !span.is_empty());
                then.send(Then::succeeded(crate::destination::Jobs::Spans(
                    said.collect(),
                )));
            }
            Turn::FailOne(position) => {
                let error = Error::unavailable("this one is too heavy");
                then.send(Then::failed(Position(position), error));
                then.send(Then::succeeded(all));
            }
            Turn::FailFor(pause) => {
                let error = Error::unavailable("the harbour is closed");
                then.send(Then::failed(all, error).retry_after(pause));
            }
            Turn::FailThese(positions) => {
                let own = positions
                    .into_iter()
                    .filter(|own| span.contains(Position(*own)));
                for position in own {
                    let error = Error::unavailable("this one is too heavy");
                    then.send(Then::failed(Position(position), error));
                }
                then.send(Then::succeeded(all));
            }
            Turn::WaitWith(number) if seen_numbers.contains(&number) => {
                std::future::pending::<()>().await;
            }
            Turn::WaitWith(_) => then.send(Then::succeeded(all)),
            Turn::Block(told) => {
                told.recv().unwrap();
                then.send(Then::succeeded(all));
            }
            Turn::Lie => {
                then.send(Then::succeeded(all));
                let late = || Error::unavailable("too late");
                then.send(Then::failed(Position(span.last.0 + 1), late()));
                then.send(Then::failed(span.first, late()));
            }
            Turn::Wait(told) => {
                told.notified().await;
                then.send(Then::succeeded(all));
            }
        }
        Ok(())
    }
}

/// How a lab is set up.
struct Setup {
    ordering: Ordering,
    schedule: Schedule,
    batch: BatchLimits,
    limits: PartialLoadLimits,
    turns: Vec<Turn>,
    format: Arc<dyn Format>,
    takes: Takes,
}

impl Default for Setup {
    /// Ordered and realtime; batches of 10 rows, or of what came in 10 seconds; a second's pause
    /// before each retry.
    fn default() -> Setup {
        Setup {
            ordering: Ordering::Ordered,
            schedule: Schedule {
                realtime: true,
                backoff: Some(Backoff {
                    initial: SECOND,
                    max: SECOND,
                }),
                ..Schedule::default()
            },
            batch: BatchLimits {
                rows_max: 10,
                bytes_max: 1 << 20,
                age_max: 10 * SECOND,
            },
            limits: PartialLoadLimits::default(),
            turns: Vec::new(),
            format: Arc::new(Numbers),
            takes: Takes::Jobs,
        }
    }
}

impl Setup {
    /// Hourly instead of realtime.
    fn hourly(mut self) -> Setup {
        self.schedule = Schedule {
            interval: Interval::every(HOUR),
            ..Schedule::default()
        };
        self
    }

    fn turns(mut self, turns: impl IntoIterator<Item = Turn>) -> Setup {
        self.turns = turns.into_iter().collect();
        self
    }

    /// Starts a lane over a new store.
    fn open(self) -> Lab {
        let store = MemoryStore::new(Retention::default()).unwrap();
        self.open_over(Arc::new(store))
    }

    /// Starts a lane over `store`, as a process does that starts again.
    fn open_over(self, store: Arc<dyn Store>) -> Lab {
        let source = store.register_source("shop").unwrap();
        let define = |trigger| {
            store
                .define(source, About::trigger(trigger, Bytes::new()))
                .unwrap()
        };
        let (routed, other) = (define("numbers"), define("others"));
        let time = Arc::new(StandingTime::begin());
        let clock: Arc<dyn Clock> = Arc::clone(&time) as _;
        let (seen_in, seen) = mpsc::unbounded_channel();
        let cut_short = CutShort::default();
        let action = Arc::new(Scripted {
            ordering: self.ordering,
            takes: self.takes,
            turns: Mutex::new(self.turns.into()),
            seen: seen_in,
            cut_short: Arc::clone(&cut_short),
            store: OnceLock::from(Arc::clone(&store)),
        });
        let routes = [Route::between("shop/numbers", "lake")];
        let plan = Plan {
            schedule: self.schedule.clone(),
            ordering: self.ordering,
        };
        let formats: Formats = [(FormatId::JSON, self.format)].into();
        let query = Query::new(
            Arc::clone(&store),
            formats.clone(),
            Actions::routed(routes.to_vec()),
        );
        let plans = Plans::from([(Arc::from("lake/append"), plan)]);
        let operator = Operator::new(query, plans, Arc::clone(&clock));
        let routing = Routing::new(Arc::clone(&store), &routes, "lake", action.as_ref());
        let settings = LaneSettings {
            action,
            name: Arc::from("lake/append"),
            schedule: self.schedule,
            batch: self.batch,
            load: self.limits.settle(self.ordering),
            registry: Arc::new(Registry::default()),
            operator: operator.clone(),
            toolkit: Toolkit::by_hand("lake/append", store.id(), Arc::clone(&clock)),
            routing: Arc::new(routing),
            limits: Limits::default(),
            default_version: None,
        };
        let lane = start_lane(&store, &Arc::new(formats), &clock, settings).unwrap();
        Lab {
            store,
            source,
            routed,
            other,
            time,
            clock,
            lane,
            operator,
            seen,
            cut_short,
        }
    }
}

/// A running lane and everything around it.
struct Lab {
    store: Arc<dyn Store>,
    source: SourceId,
    routed: SchemaId,
    other: SchemaId,
    time: Arc<StandingTime>,
    clock: Arc<dyn Clock>,
    lane: LaneHandle,
    operator: Operator,
    seen: mpsc::UnboundedReceiver<Seen>,
    cut_short: CutShort,
}

impl Lab {
    /// Appends one block with an event for each line.
    fn append_lines(&self, schema: SchemaId, lines: &[String]) {
        let draft = Draft {
            format: FormatId::JSON,
            received_at: self.clock.now(),
            tally: vec![Tally {
                schema,
                group: 0,
                count: lines.len() as u32,
            }],
            envelope: Bytes::new(),
            body: Bytes::from(lines.join("\n")),
            state: Vec::new(),
        };
        self.store.append(self.source, draft).unwrap();
    }

    /// Appends events that are routed to the lane, each the number of its position.
    fn append(&self, count: u64) {
        let first = self.head() + 1;
        let lines: Vec<_> = (first..first + count).map(|n| n.to_string()).collect();
        self.append_lines(self.routed, &lines);
    }

    /// Appends events that are not routed to the lane.
    fn append_others(&self, count: usize) {
        self.append_lines(self.other, &vec!["0".to_owned(); count]);
    }

    fn head(&self) -> u64 {
        self.store.durable().upto().0
    }

    /// The next batch that the action gets.
    async fn next(&mut self) -> Seen {
        self.seen.recv().await.unwrap()
    }

    /// Returns when the lane runs and knows its first tick: it has passed over one event by then.
    async fn has_begun(&self) {
        self.append_others(1);
        self.lane.flush(Position(1)).await.unwrap();
    }

    async fn settled(&self, position: u64) {
        self.lane.settled(Position(position)).await.unwrap();
    }

    fn standing(&self) -> Lane {
        self.store.lanes().remove(0)
    }

    /// What was recorded so far, oldest first.
    fn history(&self) -> Vec<(u64, u64, Status, u32)> {
        let all = Span::new(Position::FIRST, Position::MAX);
        let transitions = self.store.transitions(Some(self.lane.id), all, 1_000);
        let transitions = transitions.unwrap().into_iter();
        transitions
            .map(|t| (t.span.first.0, t.span.last.0, t.status, t.attempt))
            .collect()
    }
}

fn discarded(lane: &Lane) -> Vec<(Span, String)> {
    let reason = |open: &OpenSpan| open.error.as_deref().unwrap_or_default().to_owned();
    let discarded = lane.discarded();
    discarded.map(|open| (open.span, reason(&open))).collect()
}
