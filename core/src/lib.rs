//! Blacksmith's engine and SDK: events from where they happen, kept, and loaded where they belong.
//!
//! # The words
//!
//! - A [`Source`](source::Source) is a system that events come from. Its [`Trigger`](source::Trigger)s are the ways in which
//!   they come: by request, by the clock, by listening to changes, by a broker's message.
//! - An *event* is what a trigger makes of one of these ([`source::Event`]): a context and data, both JSON. It has a
//!   [`Position`](position::Position) in the store and an [`Id`](id::Id), and is durable before anybody is answered.
//! - A [`Destination`](destination::Destination) is a system that events are loaded into. Its [`Action`](destination::Action)s
//!   are the ways to do it.
//! - A [`Route`](flow::Route) leads events to actions, as a [`Flow`](flow::Flow) and a [`Call`](call::Call) do from code.
//! - A *job* is one event that one action is to load. Its [`Status`](job::Status) changes by
//!   [`Transition`](job::Transition)s, which are all kept.
//! - The *gateway* takes events in, the *scheduler* loads them ([`service`]). An [`Application`](app::Application) is both.
//!
//! # An application
//!
//! A clock ticks, and each tick is told to whoever listens. Nothing here needs a server or a file; a program for users takes a
//! [`LogStore`](store::log::LogStore), and the crate `blacksmith-stream` gives it a configuration file and a command line.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use async_trait::async_trait;
//! use blacksmith_core::app::{Application, DestinationSettings, Run};
//! use blacksmith_core::destination::{Action, Destination, Jobs, Queue, Then, Thens, Toolkit};
//! use blacksmith_core::error::Result;
//! use blacksmith_core::gateway::cron::{Tick, Ticks};
//! use blacksmith_core::log::Retention;
//! use blacksmith_core::schedule::Interval;
//! use blacksmith_core::store::memory::MemoryStore;
//! use tokio_util::sync::CancellationToken;
//!
//! #[derive(Debug)]
//! struct Tower(CancellationToken);
//!
//! impl Destination for Tower {
//!     fn name(&self) -> &str {
//!         "tower"
//!     }
//!
//!     fn actions(&self) -> Vec<Arc<dyn Action>> {
//!         vec![Arc::new(Chime(self.0.clone()))]
//!     }
//! }
//!
//! #[derive(Debug)]
//! struct Chime(CancellationToken);
//!
//! #[async_trait]
//! impl Action for Chime {
//!     fn name(&self) -> &str {
//!         "chime"
//!     }
//!
//!     async fn load(&self, _: &Toolkit, queue: &mut Queue, then: &Thens) -> Result<()> {
//!         while let Some(jobs) = queue.next_jobs().await? {
//!             for job in jobs {
//!                 println!("{} of {}: {}", job.id, job.event.origin.trigger, job.data.as_str());
//!             }
//!         }
//!         then.send(Then::succeeded(Jobs::All));
//!         self.0.cancel(); // One load is enough to see.
//!         Ok(())
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<()> {
//!     let run = Run::default();
//!     let often = Tick {
//!         name: "often".into(),
//!         interval: Some(Interval::every(Duration::from_millis(10))),
//!         ..Tick::default()
//!     };
//!     let tower = DestinationSettings::from(Tower(run.stop.clone()));
//!     let application = Application::builder()
//!         .store(Arc::new(MemoryStore::new(Retention::default())?))
//!         .source(Ticks::new("clock", [often]))
//!         .destination(tower.realtime(Duration::from_millis(1)))
//!         .flow("clock/often", "tower/chime")
//!         .build()?;
//!     application.run(run).await
//! }
//! ```
//!
//! An action for a type of your own is a [`TypedAction`](destination::TypedAction); one for Arrow record batches says
//! [`Takes::Rows`](source::Takes::Rows). Both are given the same events.
//!
//! # Where an event goes
//!
//! A [`source`] hands it to the [`door`], where the [`store`] gives it a position and makes it durable; the [`scheduler`]
//! follows what is durable and files it in the [`queue`]'s lanes; a lane's batch is loaded by an action of a [`destination`],
//! and what the action reports goes back into the same store as transitions of its jobs. Whoever wants to know asks
//! [`query`]; whoever wants to intervene gives an order to [`operate`].
//!
//! # What holds everywhere
//!
//! - Durable before acknowledged; at least once into `load`, in order of position; after a crash the same batch again.
//! - User code that fails, panics or hangs harms its own jobs and nothing else.
//! - Everything that waits is bounded, and being full reaches the source. Limits are named where they hold, with their unit.
//! - An [`Error`](error::Error) says what happened and what to do next; its [`Kind`](error::Kind) says whether to retry, discard or stop.
//! - Sizes are bytes, times are [`Timestamp`](clock::Timestamp)s in microseconds since 1970 UTC, and come from a [`Clock`](clock::Clock).
//!
//! # The modules, in reading order
//!
//! Each uses only those above it. To write a source, a flow or an action, read [`event`] to [`service`], [`call`] to [`source`],
//! [`destination`] and [`app`].
//!
//! | | |
//! |---|---|
//! | the ground | [`error`] [`secret`] [`failpoint`](mod@failpoint) [`large`] [`clock`] [`finding`] [`schedule`] |
//! | facts | [`position`] [`spans`] [`event`] [`id`] [`json`] [`fault`] [`job`] [`version`] [`service`] |
//! | what is kept | [`ring`] [`log`] [`store`] [`watermark`] [`door`] |
//! | what you write | [`call`] [`flow`] [`source`] [`pubsub`] [`document`] [`rows`] [`destination`] |
//! | what runs it | [`settings`] `server` (feature `http`) [`gateway`] [`operate`] [`queue`] [`scheduler`] |
//! | who asks | [`query`], and [`app`] over everything |

pub mod error;
pub mod secret;
pub mod failpoint;
pub mod large;
pub mod clock;
pub mod finding;
pub mod schedule;
pub mod position;
pub mod spans;
pub mod event;
pub mod id;
pub mod json;
pub mod fault;
pub mod job;
pub mod version;
pub mod logger;
pub mod service;
pub mod ring;
pub mod log;
pub mod store;
pub mod watermark;
pub mod door;
pub mod call;
pub mod flow;
pub mod source;
pub mod pubsub;
pub mod document;
pub mod rows;
pub mod destination;
pub mod settings;
#[cfg(feature = "http")]
pub mod server;
pub mod gateway;
pub mod query;
pub mod operate;
#[cfg(feature = "http")]
pub mod admin;
pub mod queue;
pub mod scheduler;
pub mod app;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
