//! From a request over a real socket to an event in a store, and back.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

use super::*;
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::document::{Entries, Entry};
use crate::error::{Error, Result};
use crate::gateway::{Intake, Registry};
use crate::id::Id;
use crate::json::Json;
use crate::log::{LogOptions, Retention, SystemDisk};
use crate::position::Position;
use crate::server::client::{Client, Reply};
use crate::server::{Limits, Running, Server, house};
use crate::service::{Service, Toolkit};
use crate::settings::{Environment, Section};
use crate::source::{Event, ExtractHttp, Mode, Request, Route, Source, SubEvent};
use crate::store::Store;
use crate::store::log::LogStore;
use crate::store::memory::MemoryStore;
use crate::version::Versions;

mod gate;
mod hostile;
mod idempotency;

use gate::Gate;

/// Makes an event of a JSON body, and does what some bodies ask for.
#[derive(Debug)]
struct Extract {
    begun: mpsc::UnboundedSender<()>,
    told: Arc<Notify>,
}

#[async_trait]
impl ExtractHttp for Extract {
    async fn extract(&self, _: &Toolkit, request: Request) -> Result<Option<Event>> {
        self.begun.send(()).ok();
        match &request.body[..] {
            b"\"panic\"" => panic!("as the test wants"),
            b"\"nothing\"" => return Ok(None),
            b"\"conflict\"" => return Err(Error::invalid("taken already").status(409)),
            b"\"fail\"" => return Err(Error::damaged("a secret of the house")),
            b"\"wait\"" => self.told.notified().await,
            b"\"name\"" => {
                return Err(Error::invalid("no name").validation("is missing", ["data", "name"]));
            }
            _ => {}
        }
        let event = Event::of(Json::parse(request.body)?);
        let id = request.parameters.get("id");
        Ok(Some(event.context(Json::of(&id)?)))
    }
}

/// A gateway of the source `web` with two triggers: `plain` on `/plain/{id}`, and `open`, which shows everything, on `/open`.
struct House {
    store: Arc<dyn Store>,
    gateway: Gateway,
    server: Running,
    begun: mpsc::UnboundedReceiver<()>,
    told: Arc<Notify>,
}

impl House {
    async fn open(store: Arc<dyn Store>, options: Options) -> House {
        House::with_clock(store, options, SystemClock::shared()).await
    }

    async fn with_clock(store: Arc<dyn Store>, options: Options, clock: Arc<dyn Clock>) -> House {
        let (begun_in, begun) = mpsc::unbounded_channel();
        let told = Arc::new(Notify::new());
        let extract = Arc::new(Extract {
            begun: begun_in,
            told: Arc::clone(&told),
        });
        let intake = intake(&store, &clock);
        let trigger = |name: &str, route| HttpTrigger {
            name: Arc::from(name),
            route,
            extract: Arc::clone(&extract) as Arc<dyn ExtractHttp>,
            intake: Arc::clone(&intake),
        };
        let open = Route {
            show_meta: true,
            show_data: true,
            ..Route::post("/open")
        };
        let triggers = vec![
            trigger("plain", Route::post("/plain/{id}")),
            trigger("open", open),
        ];
        let gateway = Gateway::new(triggers, options.clone()).unwrap();
        House {
            server: start(&gateway, options.limits).await,
            gateway,
            store,
            begun,
            told,
        }
    }

    async fn in_memory(options: Options) -> House {
        House::open(
            Arc::new(MemoryStore::new(Retention::default()).unwrap()),
            options,
        )
        .await
    }

    async fn client(&self) -> Client<tokio::net::TcpStream> {
        Client::connect(self.server.address()).await
    }

    async fn ask(&self, line: &str, headers: &str, body: &[u8]) -> Reply {
        self.client().await.ask(line, headers, body).await
    }

    fn events(&self) -> u64 {
        self.store.durable().upto().0
    }
}

fn intake(store: &Arc<dyn Store>, clock: &Arc<dyn Clock>) -> Arc<Intake> {
    let intake = Intake::new(
        Arc::clone(store),
        "web",
        Versions::default(),
        Arc::new(Registry::default()),
        Arc::new(Service::new("test".into(), Service::GATEWAY)),
        Arc::clone(clock),
    );
    Arc::new(intake.unwrap())
}

async fn start(gateway: &Gateway, limits: Limits) -> Running {
    let router = house(gateway.router(), &Arc::default(), &Arc::default());
    let server = Server::new("gateway", "127.0.0.1:0".parse().unwrap(), router);
    server.limits(limits).start().await.unwrap()
}

fn log_store(folder: &std::path::Path) -> Arc<dyn Store> {
    let options = LogOptions::default();
    let opened = LogStore::open(folder, options, SystemDisk::shared(), Retention::default());
    Arc::new(opened.unwrap().0)
}

/// Everything in a store, by position.
fn entries(store: &dyn Store) -> HashMap<Position, Entry> {
    let mut found = HashMap::new();
    let mut blocks = store.blocks(Position::FIRST);
    while let Some(block) = blocks.next().unwrap() {
        for (index, entry) in (0..).zip(Entries::of(block.body)) {
            found.insert(block.first.plus(index), entry.unwrap());
        }
    }
    found
}

fn event_id(reply: &Reply) -> Id {
    assert_eq!(reply.status, 202, "{reply:?}");
    reply.json()["data"]["event"]["id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// TRG-01 TRG-03
#[tokio::test]
async fn a_reply_names_the_event_and_shows_the_rest_only_where_the_route_says_so() {
    let house = House::in_memory(Options::default()).await;
    let reply = house.ask("POST /plain/a%20b", "", b"{\"n\": 1}").await;
    let id = event_id(&reply);
    let expected = serde_json::json!({
        "statusCode": 202,
        "message": "Accepted",
        "data": {"event": {"id": id.to_string()}},
    });
    assert_eq!(reply.json(), expected);
    let entry = &entries(&*house.store)[&id.position().unwrap()];
    assert_eq!(
        (entry.data.as_str(), entry.context.as_str()),
        ("{\"n\": 1}", "\"a b\"")
    );

    let reply = house.ask("POST /open", "", b"{\"n\": 2.50}").await;
    assert!(
        reply.body.contains("\"data\":{\"n\": 2.50}"),
        "byte for byte: {}",
        reply.body
    );
    let event = &reply.json()["data"]["event"];
    assert_eq!(event["context"], serde_json::Value::Null);
    assert_eq!(event["jobs"], serde_json::json!([]));
}

/// CON-16 TRG-11
#[tokio::test]
async fn what_cannot_be_taken_is_told_with_its_event_and_stores_nothing() {
    let house = House::in_memory(Options::default()).await;
    house.ask("POST /nowhere", "", b"1").await.fault(404);
    let reply = house.ask("GET /open", "", b"").await;
    reply.fault(405);
    assert!(reply.head.contains("allow: post"), "{}", reply.head);
    house
        .ask("POST /open", "content-encoding: br\r\n", b"1")
        .await
        .fault(415);
    house
        .ask("POST /open", "content-encoding: gzip\r\n", b"1")
        .await
        .fault(400);
    house
        .ask("POST /open", "idempotency-key: a b\r\n", b"1")
        .await
        .fault(400);
    house.ask("POST /open", "", b"{").await.fault(400);
    for (body, status) in [
        ("panic", 500),
        ("conflict", 409),
        ("fail", 500),
        ("name", 400),
    ] {
        let body = format!("\"{body}\"");
        let object = house
            .ask("POST /open", "", body.as_bytes())
            .await
            .fault(status);
        let id = object["meta"]["event"]["id"].as_str().unwrap();
        assert!(id.parse::<Id>().unwrap().ticket_number().is_some());
        assert!(!object.to_string().contains("secret"), "{object}");
    }
    let object = house.ask("POST /open", "", b"\"name\"").await.fault(400);
    let expected = serde_json::json!([{"message": "is missing", "path": ["data", "name"]}]);
    assert_eq!(object["validations"], expected);
    let nothing = house.ask("POST /open", "", b"\"nothing\"").await;
    assert_eq!(
        nothing.json(),
        serde_json::json!({"statusCode": 200, "message": "Successful"})
    );
    assert_eq!(house.events(), 0);
    assert_eq!(house.ask("POST /open", "", b"1").await.status, 202);
}

#[tokio::test]
async fn bodies_are_unpacked_within_bounds() {
    let limits = Limits {
        body_bytes_max: 1 << 20,
        ..Limits::default()
    };
    let house = House::in_memory(Options {
        limits,
        ..Options::default()
    });
    let house = house.await;
    let data = format!("\"{}\"", "x".repeat(1000));
    let reply = house
        .ask(
            "POST /open",
            "content-encoding: GZIP\r\n",
            &gzip(data.as_bytes()),
        )
        .await;
    assert_eq!(
        reply.json()["data"]["event"]["data"]
            .as_str()
            .unwrap()
            .len(),
        1000
    );
    let bomb = gzip(&vec![b' '; 100 << 20]);
    assert!(bomb.len() < 1 << 20);
    house
        .ask("POST /open", "content-encoding: gzip\r\n", &bomb)
        .await
        .fault(413);
    let cut = &gzip(data.as_bytes())[..20];
    house
        .ask("POST /open", "content-encoding: gzip\r\n", cut)
        .await
        .fault(400);

    let mut client = house.client().await;
    client.write(b"POST /plain/1 HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.write(b"2\r\n\"a\r\n2\r\nb\"\r\n0\r\n\r\n").await;
    let id = event_id(&client.reply().await.unwrap());
    assert_eq!(
        entries(&*house.store)[&id.position().unwrap()]
            .data
            .as_str(),
        "\"ab\""
    );
    let mut client = house.client().await;
    client
        .write(b"POST /plain/1 HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
    client.write(chunk.as_bytes()).await;
    client.write(b"1\r\nx\r\n0\r\n\r\n").await;
    client.reply().await.unwrap().fault(413);
    assert_eq!(house.events(), 2);
}

#[tokio::test]
async fn bodies_in_hand_are_bounded_together() {
    let limits = Limits {
        held_bytes_max: 100,
        ..Limits::default()
    };
    let options = Options {
        limits,
        ..Options::default()
    };
    let mut house = House::in_memory(options).await;
    let mut waiting = house.client().await;
    waiting.send("POST /open", "", b"\"wait\"").await;
    house.begun.recv().await;
    let large = format!("\"{}\"", "x".repeat(96));
    house
        .ask("POST /open", "", large.as_bytes())
        .await
        .fault(503);
    house.told.notify_one();
    assert_eq!(waiting.reply().await.unwrap().status, 202);
    assert_eq!(
        house.ask("POST /open", "", large.as_bytes()).await.status,
        202
    );
}

/// TRG-01 SVC-01
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_from_64_connections_are_all_durable_and_found_by_their_ids() {
    const CONNECTIONS: usize = 64;
    const REQUESTS: usize = 10_000;
    let folder = tempfile::tempdir().unwrap();
    let house = Arc::new(House::open(log_store(folder.path()), Options::default()).await);
    let clients = (0..CONNECTIONS).map(|first| {
        let house = Arc::clone(&house);
        tokio::spawn(async move {
            let mut client = house.client().await;
            let mut taken = Vec::new();
            for number in (first..REQUESTS).step_by(CONNECTIONS) {
                let body = number.to_string();
                let reply = client.ask("POST /plain/1", "", body.as_bytes()).await;
                let id = event_id(&reply);
                assert!(house.store.durable().upto() >= id.position().unwrap());
                taken.push((id, body));
            }
            taken
        })
    });
    let taken = futures_util::future::join_all(clients).await;
    let taken: Vec<(Id, String)> = taken
        .into_iter()
        .flat_map(std::result::Result::unwrap)
        .collect();
    let ids: HashSet<Id> = taken.iter().map(|(id, _)| *id).collect();
    assert_eq!((ids.len(), house.events()), (REQUESTS, REQUESTS as u64));
    // As the next process finds it.
    house.store.close().unwrap();
    let entries = entries(&LogStore::open_read_only(folder.path()).unwrap());
    for (id, body) in taken {
        assert_eq!(entries[&id.position().unwrap()].data.as_str(), body);
    }
}

/// A store whose disk stands still is full soon: requests are turned away, memory does not grow, and what was taken is not lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_stands_still_turns_requests_away_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let options = LogOptions {
        pending_bytes_max: 64 << 10,
        ..LogOptions::default()
    };
    let opened = LogStore::open(folder.path(), options, gate.disk(), Retention::default());
    let options = Options {
        room_timeout: Duration::from_millis(50),
        ..Options::default()
    };
    let house = House::open(Arc::new(opened.unwrap().0), options).await;
    assert_eq!(house.ask("POST /plain/1", "", b"1").await.status, 202);
    gate.shut();
    let body = format!("\"{}\"", "x".repeat(8 << 10));
    let mut waiting = Vec::new();
    let mut turned_away = 0;
    for _ in 0..40 {
        let mut client = house.client().await;
        client.send("POST /plain/1", "", body.as_bytes()).await;
        tokio::select! {
            reply = client.reply() => {
                let reply = reply.unwrap();
                reply.fault(503);
                assert!(reply.head.contains("retry-after: "), "{}", reply.head);
                turned_away += 1;
            }
            () = tokio::time::sleep(Duration::from_millis(200)) => waiting.push(client),
        }
        if turned_away == 3 {
            break;
        }
    }
    assert_eq!(turned_away, 3, "{} were taken", waiting.len());
    assert!(waiting.len() <= 12, "{} were taken", waiting.len());
    gate.open();
    let taken = waiting.len() as u64;
    for mut client in waiting {
        event_id(&client.reply().await.unwrap());
    }
    assert_eq!(house.events(), 1 + taken);
    assert_eq!(house.ask("POST /plain/1", "", b"1").await.status, 202);
}

/// SVC-10
#[tokio::test]
async fn a_stop_lets_the_request_in_hand_become_durable() {
    let mut house = House::in_memory(Options::default()).await;
    let mut client = house.client().await;
    client.send("POST /open", "", b"\"wait\"").await;
    house.begun.recv().await;
    let mut late = house.client().await;
    assert_eq!(late.ask("POST /open", "", b"1").await.status, 202);
    house.begun.recv().await;
    house.gateway.ask_to_stop();
    late.ask("POST /open", "", b"1").await.fault(503);
    let stopping = tokio::spawn(house.server.stop());
    house.told.notify_one();
    event_id(&client.reply().await.unwrap());
    stopping.await.unwrap();
    assert_eq!(house.store.durable().upto(), Position(2));
}

#[tokio::test]
async fn a_store_that_stopped_is_503_and_says_nothing_of_why() {
    let house = House::in_memory(Options::default()).await;
    house.store.close().unwrap();
    let object = house.ask("POST /open", "", b"1").await.fault(503);
    assert_eq!(object["message"], "Service Unavailable");
}

/// SVC-09
#[tokio::test]
async fn a_gateway_is_a_handler_for_any_server() {
    let house = House::in_memory(Options::default()).await;
    let outer = crate::server::Router::new().nest("/inside", house.gateway.router());
    let server = Server::new("other", "127.0.0.1:0".parse().unwrap(), outer)
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(server.address()).await;
    event_id(&client.ask("POST /inside/open", "", b"1").await);
}

/// SVC-07 SVC-08
#[tokio::test]
async fn middleware_wraps_triggers_and_handlers_under_api() {
    use axum::middleware::{Next, from_fn};
    let guard = from_fn(async |request: axum::extract::Request, next: Next| {
        match request.headers().contains_key("x-pass") {
            true => next.run(request).await,
            false => crate::server::fault(&crate::fault::Fault::of_status(403)),
        }
    });
    let wrap: Middleware = Arc::new(move |router| router.layer(guard.clone()));
    let attached = axum::routing::get(async || crate::server::success("mine"));
    let house = House::in_memory(Options {
        middleware: vec![wrap],
        attached: Some(crate::server::Router::new().route("/own", attached)),
        ..Options::default()
    });
    let house = house.await;
    house.ask("POST /open", "", b"1").await.fault(403);
    event_id(&house.ask("POST /open", "x-pass: 1\r\n", b"1").await);
    assert_eq!(
        house.ask("GET /api/own", "x-pass: 1\r\n", b"").await.json()["message"],
        "mine"
    );
    house
        .ask("GET /api/none", "x-pass: 1\r\n", b"")
        .await
        .fault(404);
    assert_eq!(house.ask("GET /_health", "", b"").await.status, 200);
}

#[tokio::test]
async fn what_comes_through_a_trigger_is_counted() {
    let house = House::in_memory(Options::default()).await;
    let metrics = crate::server::Metrics::default();
    house.gateway.expose(&metrics);
    event_id(&house.ask("POST /open", "", b"1234").await);
    house.ask("POST /open", "", b"\"name\"").await.fault(400);
    let text = metrics.text();
    for line in [
        "blacksmith_events_taken_total{source=\"web\",trigger=\"open\"} 1",
        "blacksmith_bytes_taken_total{source=\"web\",trigger=\"open\"} 10",
        "blacksmith_extraction_errors_total{source=\"web\",trigger=\"open\"} 1",
        "blacksmith_trigger_seconds_count{source=\"web\",trigger=\"open\"} 2",
    ] {
        assert!(text.lines().any(|own| own == line), "{line} in {text}");
    }
}

/// A gateway of a source that a configuration describes.
async fn configured(text: &str) -> House {
    let (section, problems) = Section::parse("test", text, &Environment::default()).unwrap();
    let source = HttpSource::new(HttpOptions::read("web", section).expect("problems"));
    problems.check().unwrap();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Retention::default()).unwrap());
    let intake = intake(&store, &SystemClock::shared());
    let triggers = source.triggers().into_iter().map(|trigger| {
        let name = Arc::from(trigger.name());
        let Mode::Http { route, extract } = trigger.mode() else {
            panic!("not HTTP");
        };
        let intake = Arc::clone(&intake);
        HttpTrigger {
            name,
            route,
            extract,
            intake,
        }
    });
    let gateway = Gateway::new(triggers.collect(), Options::default()).unwrap();
    House {
        server: start(&gateway, Limits::default()).await,
        gateway,
        store,
        begun: mpsc::unbounded_channel().1,
        told: Arc::default(),
    }
}

/// TRG-01 TRG-10
#[tokio::test]
async fn a_configured_source_takes_documents_batches_and_lines() {
    let house = configured(
        "context = { ip = true, headers = ['X-Tenant', 'x-none'] }\n\
         [routes.one]\npath = '/one'\n[routes.many]\npath = '/many'\nbody = 'batch'\n\
         [routes.lines]\npath = '/lines'\nbody = 'ndjson'\n",
    )
    .await;
    let json = "content-type: application/json; charset=utf-8\r\nx-tenant: a\r\n";
    let id = event_id(&house.ask("POST /one", json, b"{\"a\": 1}").await);
    let one = entries(&*house.store)
        .remove(&id.position().unwrap())
        .unwrap();
    let context: serde_json::Value = one.context.read().unwrap();
    let expected =
        serde_json::json!({"ip": "127.0.0.1", "headers": {"x-tenant": "a", "x-none": null}});
    assert_eq!((context, one.data.as_str()), (expected, "{\"a\": 1}"));

    let lines = "content-type: application/x-ndjson\r\n";
    for (line, headers, body) in [
        ("POST /many", json, "[1, {\"b\":2}]"),
        ("POST /lines", lines, "1\n{\"b\":2}\n"),
    ] {
        let reply = house.ask(line, headers, body.as_bytes()).await;
        let first = event_id(&reply).position().unwrap();
        let entries = entries(&*house.store);
        assert_eq!(entries[&first].data.as_str(), "{\"items\":2}");
        let subs = reply.json()["data"]["sub_events"]
            .as_array()
            .unwrap()
            .clone();
        let subs: Vec<Position> = subs
            .iter()
            .map(|sub| {
                sub["id"]
                    .as_str()
                    .unwrap()
                    .parse::<Id>()
                    .unwrap()
                    .position()
                    .unwrap()
            })
            .collect();
        assert_eq!(subs, [first.next(), first.next().next()]);
        assert_eq!(entries[&subs[1]].data.as_str(), "{\"b\":2}");
        assert_eq!(entries[&subs[1]].parent.unwrap().from(subs[1]), first);
    }
    let before = house.events();
    let object = house
        .ask("POST /lines", lines, b"1\nx\n2\n{")
        .await
        .fault(400);
    let paths: Vec<_> = object["validations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|own| own["path"][1].clone())
        .collect();
    assert_eq!(paths, ["line 2", "line 4"]);
    house.ask("POST /many", json, b"{}").await.fault(400);
    house
        .ask("POST /one", "content-type: text/xml\r\n", b"1")
        .await
        .fault(415);
    house.ask("POST /lines", json, b"1").await.fault(415);
    let mut client = house.client().await;
    client.write(b"POST /one HTTP/1.1\r\nhost: t\r\n\r\n").await;
    client.reply().await.unwrap().fault(411);
    assert_eq!(house.events(), before);
}

#[tokio::test]
async fn a_guarded_source_wants_its_token_or_password() {
    let token = configured("token = 's3cret'\n[routes.one]\npath = '/one'\n").await;
    let basic = configured("user = 'ada'\npassword = 'l'\n[routes.one]\npath = '/one'\n").await;
    for (house, header) in [(token, "Bearer s3cret"), (basic, "Basic YWRhOmw=")] {
        for wrong in [
            "",
            "authorization: Bearer s3cre\r\n",
            "authorization: Basic eA==\r\n",
        ] {
            let reply = house.ask("POST /one", wrong, b"1").await;
            reply.fault(401);
            assert!(reply.head.contains("www-authenticate: "), "{}", reply.head);
        }
        event_id(
            &house
                .ask("POST /one", &format!("authorization: {header}\r\n"), b"1")
                .await,
        );
        assert_eq!(house.events(), 1);
    }
}

/// TRG-10 TRG-03
#[tokio::test]
async fn sub_events_of_user_code_are_listed_with_their_parent() {
    #[derive(Debug)]
    struct Two;
    #[async_trait]
    impl ExtractHttp for Two {
        async fn extract(&self, _: &Toolkit, _: Request) -> Result<Option<Event>> {
            let sub = |data: &i32| SubEvent {
                data: Json::of(data).unwrap(),
                ..SubEvent::default()
            };
            Ok(Some(
                Event::of(Json::null())
                    .sub_event(sub(&1))
                    .sub_event(sub(&2)),
            ))
        }
    }
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Retention::default()).unwrap());
    let trigger = HttpTrigger {
        name: Arc::from("two"),
        route: Route {
            show_data: true,
            ..Route::new("GET", "/two")
        },
        extract: Arc::new(Two),
        intake: intake(&store, &SystemClock::shared()),
    };
    let gateway = Gateway::new(vec![trigger], Options::default()).unwrap();
    let server = start(&gateway, Limits::default()).await;
    let mut client = Client::connect(server.address()).await;
    let reply = client.ask("GET /two", "", &Bytes::new()).await.json();
    let subs = &reply["data"]["sub_events"];
    assert_eq!((&subs[0]["data"], &subs[1]["data"]), (&1.into(), &2.into()));
    assert!(subs[0].get("context").is_none() && subs[0].get("jobs").is_none());
}
