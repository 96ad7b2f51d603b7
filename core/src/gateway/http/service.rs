//! The gateway's HTTP side: a handler for all triggers.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::{ALLOW, HeaderName};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Request as HttpRequest, Response};
use bytes::Bytes;
use futures_util::FutureExt;

use super::keys::{Claim, Claimed, Key, Keys, digest};
use super::reply::{self, Shown};
use super::routes::{Found, Routes};
use super::traffic::Traffic;
use crate::error::{Error, Kind, Result};
use crate::event::Refusal;
use crate::failpoint;
use crate::fault::Fault;
use crate::gateway::{Intake, Prepared, Taken};
use crate::id::Id;
use crate::position::Position;
use crate::server::{self, Budget, Gathered, Limits, Metrics, Peer, Router};
use crate::service::Toolkit;
use crate::settings::Keeping;
use crate::source::{Event, ExtractHttp, Request, Route};

/// The header that makes a request safe to repeat.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Bytes of an idempotency key, at most.
const KEY_BYTES_MAX: usize = 255;

/// One HTTP trigger, with what the gateway needs to serve it.
#[derive(Debug, Clone)]
pub struct HttpTrigger {
    /// Its name inside its source.
    pub name: Arc<str>,
    /// Which requests it answers.
    pub route: Route,
    /// What makes events of them.
    pub extract: Arc<dyn ExtractHttp>,
    /// Its source's way in.
    pub intake: Arc<Intake>,
}

/// Wraps all triggers' routes, and handlers under `/api`: the place for authentication, CORS and headers.
pub type Middleware = Arc<dyn Fn(Router) -> Router + Send + Sync>;

/// How a gateway serves.
#[derive(Clone)]
pub struct Options {
    /// Bounds of requests.
    pub limits: Limits,
    /// How long a request waits for room in the store before it is answered 503. Default: 5 s.
    pub room_timeout: Duration,
    /// How long idempotency keys are kept.
    pub keeping: Keeping,
    /// Wrapped around the routes, the last outermost.
    pub middleware: Vec<Middleware>,
    /// Handlers of the user's own, served under `/api`.
    pub attached: Option<Router>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            limits: Limits::default(),
            room_timeout: Duration::from_secs(5),
            keeping: Keeping::default(),
            middleware: Vec::new(),
            attached: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("limits", &self.limits)
            .field("room_timeout", &self.room_timeout)
            .field("keeping", &self.keeping)
            .field("middleware", &self.middleware.len())
            .field("attached", &self.attached.is_some())
            .finish()
    }
}

/// All HTTP triggers of an application, as one handler. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gateway(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    routes: Routes,
    triggers: Vec<Mounted>,
    options: Options,
    budget: Arc<Budget>,
    stopping: AtomicBool,
}

#[derive(Debug)]
struct Mounted {
    trigger: HttpTrigger,
    keys: Arc<Keys>,
    traffic: Traffic,
}

impl Gateway {
    /// A gateway of these triggers.
    ///
    /// # Errors
    /// `Config` with every problem of every route.
    pub fn new(triggers: Vec<HttpTrigger>, options: Options) -> Result<Gateway> {
        let address = |own: &HttpTrigger| format!("{}/{}", own.intake.source(), own.name);
        let routes = Routes::new(triggers.iter().map(|own| (address(own), &own.route)))?;
        let mut keys: HashMap<Arc<str>, Arc<Keys>> = HashMap::new();
        let mount = |trigger: HttpTrigger| {
            let source = trigger.intake.source();
            let recall = || Keys::recall(&trigger.intake, options.keeping);
            Mounted {
                keys: Arc::clone(keys.entry(Arc::clone(source)).or_insert_with(recall)),
                traffic: Traffic::new(source, &trigger.name),
                trigger,
            }
        };
        Ok(Gateway(Arc::new(Inner {
            routes,
            triggers: triggers.into_iter().map(mount).collect(),
            budget: Budget::new(options.limits.held_bytes_max),
            options,
            stopping: AtomicBool::new(false),
        })))
    }

    /// The gateway as a handler: its triggers' routes, `/api`, and middleware around them. For a server of ours, or of somebody else's.
    #[must_use = "a router serves when it is given to a server"]
    pub fn router(&self) -> Router {
        let own = self.clone();
        let mut router = Router::new().fallback(move |request: HttpRequest<Body>| {
            let own = own.clone();
            async move { own.answer(request).await }
        });
        if let Some(attached) = &self.0.options.attached {
            router = router.nest("/api", attached.clone());
        }
        let middleware = self.0.options.middleware.iter();
        middleware.fold(router, |router, wrap| wrap(router))
    }

    /// Counts into `metrics`.
    pub fn expose(&self, metrics: &Metrics) {
        let own = self.clone();
        metrics.add(move |page| {
            for mounted in &own.0.triggers {
                mounted.traffic.expose(page);
            }
            page.gauge(
                "blacksmith_gateway_held_bytes",
                "Bytes of request bodies in hand.",
                &[],
                own.0.budget.held_bytes() as f64,
            );
        });
    }

    /// Answers 503 from now on, but for requests in hand.
    pub fn ask_to_stop(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }

    async fn answer(&self, request: HttpRequest<Body>) -> Response<Body> {
        let path = request.uri().path();
        match self.0.routes.find(request.method().as_str(), path) {
            Found::Nothing => server::fault(&Fault::of_status(404)),
            Found::OtherMethods(allowed) => method_not_allowed(&allowed),
            Found::Trigger(number, parameters) => {
                let began = Instant::now();
                let mounted = &self.0.triggers[number];
                let (head, body) = request.into_parts();
                let asked = Asked {
                    inner: &self.0,
                    mounted,
                    event_id: None,
                };
                let answering = Box::pin(asked.serve(head, body, parameters));
                let response = answering.await;
                mounted.traffic.latency.observe(began.elapsed());
                response
            }
        }
    }
}

/// The reply to a method that a path does not have.
fn method_not_allowed(allowed: &str) -> Response<Body> {
    let mut response = server::fault(&Fault::of_status(405));
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

/// One request on its way through.
struct Asked<'a> {
    inner: &'a Inner,
    mounted: &'a Mounted,
    /// Once the request has become an event.
    event_id: Option<Id>,
}

type Parameters = std::collections::BTreeMap<String, String>;

impl Asked<'_> {
    async fn serve(mut self, head: Parts, body: Body, parameters: Parameters) -> Response<Body> {
        let served = self.take(head, body, parameters).await;
        served.unwrap_or_else(|fault| server::fault(&fault.event(self.event_id)))
    }

    async fn take(
        &mut self,
        head: Parts,
        body: Body,
        parameters: Parameters,
    ) -> Result<Response<Body>, Fault> {
        if self.inner.stopping.load(Ordering::Relaxed) {
            return Err(Fault::new(503, "the service is stopping; try again"));
        }
        let (trigger, traffic) = (&self.mounted.trigger, &self.mounted.traffic);
        let key = idempotency_key(&head.headers)?;
        let limits = &self.inner.options.limits;
        let gathered = Gathered::receive(
            &head.headers,
            body,
            limits.body_bytes_max,
            &self.inner.budget,
        );
        let gathered = gathered.await?;
        Traffic::add(&traffic.bytes, gathered.bytes.len());
        let claim = match key {
            None => None,
            Some(key) => {
                let asked = fingerprint(&head, &gathered.bytes);
                match self.claim(&key).await? {
                    Claimed::New(claim) => Some((claim, asked)),
                    Claimed::Known(kept) => return self.repeat(*kept, asked).await,
                }
            }
        };
        let toolkit = trigger.intake.begin(&trigger.name);
        self.event_id = toolkit.event_id;
        let request = request(head, gathered.bytes.clone(), parameters);
        let Some(event) = self.extract(&toolkit, request).await? else {
            return Ok(server::success("Successful"));
        };
        let shown = Shown::of(&trigger.route, &event);
        let prepared = self.prepare(&toolkit, event)?;
        let taken = self.offer(prepared, claim).await?;
        trigger
            .intake
            .watermark()
            .reached(&taken.receipt)
            .await
            .map_err(|error| unavailable(&error))?;
        failpoint!(AnswerDue);
        let rejections = taken
            .events
            .iter()
            .map(|event| event.rejections.len())
            .sum();
        Traffic::add(&traffic.events, taken.events.len());
        Traffic::add(&traffic.rejections, rejections);
        let store = trigger.intake.store().as_ref();
        Ok(reply::accepted(&trigger.route, store, &taken, &shown))
    }

    async fn claim(&self, key: &[u8]) -> Result<Claimed, Fault> {
        let trigger = &self.mounted.trigger;
        let key = Key::new(&trigger.name, key);
        let claimed = self.mounted.keys.claim(key, trigger.intake.store()).await;
        claimed.map_err(|error| unavailable(&error))
    }

    /// The event is there already; it may not be durable yet.
    async fn repeat(
        &self,
        kept: super::keys::Kept,
        asked: [u8; 16],
    ) -> Result<Response<Body>, Fault> {
        if kept.request != asked {
            let what = "this Idempotency-Key was used for another request; use a new one";
            return Err(Fault::new(422, what));
        }
        let trigger = &self.mounted.trigger;
        let watermark = trigger.intake.watermark();
        let durable = watermark.past(kept.first.unwrap_or(Position::FIRST).previous());
        durable.await.map_err(|error| unavailable(&error))?;
        Traffic::add(&self.mounted.traffic.repeats, 1);
        Ok(reply::repeated(
            &trigger.route,
            trigger.intake.store().as_ref(),
            &kept,
        ))
    }

    /// Calls user code; a panic in it is an error like others.
    async fn extract(&self, toolkit: &Toolkit, request: Request) -> Result<Option<Event>, Fault> {
        let extract = &self.mounted.trigger.extract;
        let extracting = AssertUnwindSafe(async { extract.extract(toolkit, request).await });
        let extracted = extracting.catch_unwind().await;
        extracted
            .unwrap_or_else(|_| Err(panicked()))
            .map_err(|error| {
                Traffic::add(&self.mounted.traffic.extraction_errors, 1);
                self.log(&error);
                Fault::of(&error)
            })
    }

    fn prepare(&self, toolkit: &Toolkit, event: Event) -> Result<Prepared, Fault> {
        let trigger = &self.mounted.trigger;
        let preparing = || trigger.intake.prepare(&trigger.name, toolkit, event);
        let prepared = catch_unwind(AssertUnwindSafe(preparing));
        prepared
            .unwrap_or_else(|_| Err(panicked()))
            .map_err(|error| {
                self.log(&error);
                match error.kind() {
                    Kind::Stopped => unavailable(&error),
                    _ => Fault::of(&error),
                }
            })
    }

    /// Offers the event until the store has room for it, within a bound.
    async fn offer(
        &self,
        mut prepared: Prepared,
        claim: Option<(Claim, [u8; 16])>,
    ) -> Result<Taken, Fault> {
        let intake = &self.mounted.trigger.intake;
        let ticket = self.event_id.and_then(|id| id.ticket_number());
        let noted = claim.map(|(claim, asked)| {
            let after = intake.watermark().upto();
            let note = claim.note(asked, ticket.unwrap_or_default(), after, &mut prepared);
            (claim, note)
        });
        let until = tokio::time::Instant::now() + self.inner.options.room_timeout;
        let taken = loop {
            match intake.offer(prepared) {
                Ok(taken) => break taken,
                Err(Refusal::Failed(error)) => return Err(unavailable(&error)),
                Err(Refusal::Full(back)) => prepared = *back,
            }
            let room = tokio::time::timeout_at(until, intake.room()).await;
            let Ok(room) = room else {
                Traffic::add(&self.mounted.traffic.refused, 1);
                return Err(Fault::new(503, "the store is full; try again later"));
            };
            room.map_err(|error| unavailable(&error))?;
        };
        if let Some((claim, note)) = noted {
            claim.keep(note, taken.receipt.first);
        }
        Ok(taken)
    }

    fn log(&self, error: &Error) {
        let trigger = &self.mounted.trigger;
        let (source, event) = (trigger.intake.source(), self.event_id);
        match Fault::of(error).status_code {
            500.. => {
                tracing::error!(%source, trigger = %trigger.name, ?event, error = %error.report(), "a request failed")
            }
            _ => {
                tracing::debug!(%source, trigger = %trigger.name, ?event, error = %error.report(), "a request was refused")
            }
        }
    }
}

fn panicked() -> Error {
    Error::stopped("the trigger panicked").help("see the log for where")
}

/// What the house cannot do now is not the client's fault, and may be repeated.
fn unavailable(error: &Error) -> Fault {
    tracing::error!(error = %error.report(), "the store takes no events");
    Fault::of_status(503)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Fault> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next().map(HeaderValue::as_bytes) else {
        return Ok(None);
    };
    let fits = (1..=KEY_BYTES_MAX).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
    match fits && keys.next().is_none() {
        true => Ok(Some(key.to_vec())),
        false => Err(Fault::new(
            400,
            format!(
                "one Idempotency-Key of 1 to {KEY_BYTES_MAX} visible ASCII characters is allowed"
            ),
        )),
    }
}

/// What tells a repeated request from another one with the same key.
fn fingerprint(head: &Parts, body: &Bytes) -> [u8; 16] {
    let target = head.uri.path_and_query().map_or("", |own| own.as_str());
    digest(&[head.method.as_str().as_bytes(), target.as_bytes(), body])
}

fn request(head: Parts, body: Bytes, parameters: Parameters) -> Request {
    let headers = head.headers.iter();
    Request {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        parameters,
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: headers
            .map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    Bytes::copy_from_slice(value.as_bytes()),
                )
            })
            .collect(),
        body,
        peer: head.extensions.get::<Peer>().and_then(|peer| peer.0),
    }
}
