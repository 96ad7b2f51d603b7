//! Triggers: the four ways in which events come.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::event::Event;
use crate::clock::Timestamp;
use crate::door::Door;
use crate::error::Result;
use crate::schedule::{Interval, Missed};
use crate::service::Toolkit;

/// One way in which a source's events come.
///
/// # Contract
/// The gateway calls [`Trigger::init`] once after its source's, then what [`Trigger::mode`] gives, by that
/// mode's own rules, and [`Trigger::shutdown`] once before its source's. What fails in `init` stops the
/// process gracefully; what fails in `shutdown` is logged.
#[async_trait]
pub trait Trigger: fmt::Debug + Send + Sync + 'static {
    /// Its name inside the source: 1 to 255 bytes without `/` and `*`. The same at every call.
    fn name(&self) -> &str;

    /// How it is used. The same at every call, also before `init`.
    fn mode(self: Arc<Self>) -> Mode;

    /// Prepares the trigger, after its source.
    ///
    /// # Errors
    /// As [`Source::init`](super::Source::init).
    async fn init(&self, _toolkit: &Toolkit) -> Result<()> {
        Ok(())
    }

    /// Lets go of what `init` took, before its source.
    ///
    /// # Errors
    /// As [`Source::shutdown`](super::Source::shutdown).
    async fn shutdown(&self, _toolkit: &Toolkit) -> Result<()> {
        Ok(())
    }
}

/// How a trigger's events come.
#[derive(Debug, Clone)]
pub enum Mode {
    /// By a request.
    Http {
        /// Which requests.
        route: Route,
        /// What makes an event of one.
        extract: Arc<dyn ExtractHttp>,
    },
    /// By the clock.
    Cron {
        /// When; none for the source's default.
        interval: Option<Interval>,
        /// What makes an event when it is time.
        extract: Arc<dyn ExtractCron>,
    },
    /// By listening for as long as the process runs.
    Cdc(Arc<dyn Listen>),
    /// By a broker's message.
    Subscription {
        /// Which messages.
        subscription: Subscription,
        /// What makes an event of one.
        extract: Arc<dyn ExtractMessage>,
    },
}

impl Mode {
    /// Its name on the wire.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Mode::Http { .. } => "http",
            Mode::Cron { .. } => "cron",
            Mode::Cdc(_) => "cdc",
            Mode::Subscription { .. } => "subscription",
        }
    }
}

/// Which HTTP requests a trigger answers, and how much it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// `DELETE`, `GET`, `PATCH`, `POST`, `PUT`, in any case; at least one.
    pub methods: Vec<String>,
    /// Begins with `/`, is not `/`, and does not lie under `/api`, `/admin`, `/_health` or `/metrics`.
    pub path: String,
    /// Whether the reply holds context and jobs.
    pub show_meta: bool,
    /// Whether the reply holds the data.
    pub show_data: bool,
}

impl Route {
    /// `method` on `path`, with a reply that shows neither metadata nor data.
    #[must_use]
    pub fn new(method: impl Into<String>, path: impl Into<String>) -> Route {
        Route {
            methods: vec![method.into()],
            path: path.into(),
            show_meta: false,
            show_data: false,
        }
    }

    /// `POST` on `path`.
    #[must_use]
    pub fn post(path: impl Into<String>) -> Route {
        Route::new("POST", path)
    }
}

/// One HTTP request, received whole and within the gateway's limits.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method, in capitals.
    pub method: String,
    /// The path, as it was asked for.
    pub path: String,
    /// What stood for the `{names}` of the route's path, percent-decoded.
    pub parameters: BTreeMap<String, String>,
    /// The query behind `?`, as it was asked for.
    pub query: String,
    /// Headers in the order in which they came, names in small letters. Values may be any bytes.
    pub headers: Vec<(String, Bytes)>,
    /// The body, decompressed; at most as large as the gateway's limit, 8 MiB when nothing else is said.
    pub body: Bytes,
    /// The address of the other side.
    pub peer: Option<std::net::SocketAddr>,
}

impl Request {
    /// The first header called `name` (small letters) whose value is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own == name)?;
        std::str::from_utf8(&found.1).ok()
    }
}

/// Makes events of HTTP requests.
///
/// # Contract
/// Called once per request, many at a time. The request is answered 202 only when the event is
/// durable; an error means that nothing was stored, and is the reply ([`crate::error::Kind::Invalid`] is
/// 400, `Refused` 403, `Unavailable` 503, all others 500). The future is dropped when the gateway's timeout passes.
#[async_trait]
pub trait ExtractHttp: fmt::Debug + Send + Sync + 'static {
    /// The event of one request; none when there is nothing to store.
    ///
    /// # Errors
    /// What makes the request unusable.
    async fn extract(&self, toolkit: &Toolkit, request: Request) -> Result<Option<Event>>;
}

/// Makes events when it is time.
///
/// # Contract
/// Called once for each time of the interval, one call at a time: a call that is still running when the
/// next time comes is not overtaken, and times that pass meanwhile are missed and logged, not made up for. When the machine
/// slept through several times, the call is made for the last of them. An error stores nothing and is logged; the next
/// time comes.
///
/// The store remembers which time was used last, together with its event. Times that passed while the process was down
/// are counted and logged at the next start, and then it is as [`ExtractCron::missed`] says.
///
/// Times of a cron pattern follow the wall clock: none is used twice when it is set back by less than a day.
/// Those of `@every` count from the start of the process, or with [`Missed::Once`] from the last one used, and follow no
/// clock that can be set while it runs.
#[async_trait]
pub trait ExtractCron: fmt::Debug + Send + Sync + 'static {
    /// The event of the time `due`; none when there is nothing to store.
    ///
    /// # Errors
    /// What went wrong this time.
    async fn extract(&self, toolkit: &Toolkit, due: Timestamp) -> Result<Option<Event>>;

    /// What becomes of times that passed while the process was down. Default: they are skipped.
    fn missed(&self) -> Missed {
        Missed::Skip
    }
}

/// Listens to a source for as long as the process runs.
///
/// # Contract
/// The gateway calls [`Listen::listen`] once per process, when everything is initialised. It hands every event
/// to the [`Door`] in the order of the source and confirms to the source only what the door says is durable. It never
/// waits for a destination. When the store has no room it stops reading and goes on answering the source's own
/// keep-alives. When `listening.stop` is cancelled it comes to an end and returns: the gateway waits for it.
///
/// After a crash it is called again with the state that was durable: events that were durable are not
/// handed in again, all others are.
#[async_trait]
pub trait Listen: fmt::Debug + Send + Sync + 'static {
    /// Extracts until `listening.stop`, or, with `until_end`, until everything that the source held
    /// when `listen` was called is appended; whether it is durable, the application waits for itself.
    ///
    /// # Errors
    /// What cannot be mended by trying again; a source mends the rest itself, with backoff.
    async fn listen(&self, door: Door, listening: Listening) -> Result<()>;
}

/// How long a source is to listen.
#[derive(Debug, Clone)]
pub struct Listening {
    /// Cancelled when the source should come to an end, gracefully.
    pub stop: CancellationToken,
    /// Return once everything present at the start is appended.
    pub until_end: bool,
}

/// Which messages of a broker a trigger gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The topic, exchange or subject. Some brokers have none besides the subscription.
    pub topic: String,
    /// The subscription, queue, or group of consumers.
    pub subscription: String,
}

/// One message of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it says, whole. The broker sets how much that may be.
    pub body: Bytes,
    /// What it says about itself.
    pub metadata: BTreeMap<String, String>,
}

/// Makes events of a broker's messages.
///
/// # Contract
/// Called once per delivery. The message is acknowledged to the broker only when the event is durable, so after a
/// crash it comes again. An error with the advice to discard acknowledges the message and logs it; any other gives it
/// back to the broker.
#[async_trait]
pub trait ExtractMessage: fmt::Debug + Send + Sync + 'static {
    /// The event of one message; none when there is nothing to store.
    ///
    /// # Errors
    /// What makes the message unusable.
    async fn extract(&self, toolkit: &Toolkit, message: Message) -> Result<Option<Event>>;
}
