//! The services' HTTP sides, as an application starts and stops them.

use std::path::Path;

use tokio::net::UnixStream;

use super::*;
use crate::gateway::http::{HttpOptions, HttpSource};
use crate::job::{Status, Transition};
use crate::position::{Position, Span};
use crate::server::Address;
use crate::server::client::{Client, Reply};
use crate::settings::{Environment, GatewaySettings, SchedulerSettings, Section, ServiceSettings};
use crate::source::Source;

/// A source of one route.
fn web() -> Arc<dyn Source> {
    let text = "[routes.signup]\npath = '/signup'\n";
    let (section, problems) = Section::parse("test", text, &Environment::default()).unwrap();
    let options = HttpOptions::read("web", section);
    problems.check().unwrap();
    Arc::new(HttpSource::new(options.unwrap()))
}

fn at(path: &Path) -> ServiceSettings {
    ServiceSettings {
        address: Some(Address::Unix(path.to_path_buf())),
        ..ServiceSettings::default()
    }
}

/// Asks whoever listens on a socket, once somebody does.
async fn ask(path: &Path, line: &str, body: &[u8]) -> Reply {
    let stream = loop {
        match UnixStream::connect(path).await {
            Ok(stream) => break stream,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    Client::over(stream).ask(line, "", body).await
}

/// SVC-01 SVC-02 SVC-03 ADM-07
#[tokio::test]
async fn both_services_answer_while_they_run_and_are_gone_when_they_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let store = store_with_events();
    let (builder, harbours) = builder(&store, &["north"]);
    let mine = axum::routing::get(async || crate::server::success("mine"));
    let admin = crate::server::Router::new().route("/admin/api/own", mine.clone());
    let application = builder
        .source(SourceSettings::of(web()))
        .build()
        .unwrap()
        .gateway_settings(GatewaySettings {
            service: at(&path("gateway.sock")),
            ..GatewaySettings::default()
        })
        .scheduler_settings(SchedulerSettings {
            service: at(&path("scheduler.sock")),
            ..SchedulerSettings::default()
        })
        .admin_socket(path("admin.sock"))
        .attach(crate::server::Router::new().route("/own", mine))
        .admin(admin);
    let run = Run::default();
    let running = start(&Arc::new(application), &run);
    harbours[0].begun.notified().await;

    let reply = ask(&path("gateway.sock"), "POST /signup", b"{}").await;
    assert_eq!(reply.status, 202, "{reply:?}");
    assert_eq!(store.durable().upto(), Position(4));
    let own = ask(&path("gateway.sock"), "GET /api/own", b"").await;
    assert_eq!(own.json()["message"], "mine");
    for name in ["gateway.sock", "scheduler.sock", "admin.sock"] {
        assert_eq!(ask(&path(name), "GET /_health", b"").await.status, 200);
        assert_eq!(
            ask(&path(name), "GET /_health/ready", b"").await.status,
            200
        );
        let page = ask(&path(name), "GET /metrics", b"").await.body;
        let line = "blacksmith_lane_behind{action=\"north/unload\"} 4";
        assert!(page.lines().any(|own| own == line), "{page}");
        let taken = "blacksmith_events_taken_total{source=\"web\",trigger=\"signup\"} 1";
        assert!(page.lines().any(|own| own == taken), "{page}");
    }
    for name in ["scheduler.sock", "admin.sock"] {
        let own = ask(&path(name), "GET /admin/api/own", b"").await;
        assert_eq!(own.json()["message"], "mine");
    }
    ask(&path("gateway.sock"), "GET /admin/api/own", b"")
        .await
        .fault(404);

    run.stop.cancel();
    // Loads go on until the gateway has stopped, so there may be more than one.
    let tell = async {
        loop {
            harbours[0].told.notify_waiters();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        ended = running => ended.unwrap().unwrap(),
        () = tell => {}
    }
    for name in ["gateway.sock", "scheduler.sock", "admin.sock"] {
        assert!(!path(name).exists(), "{name}");
    }
}

/// TRG-02
#[test]
fn routes_that_do_not_go_together_stop_the_start() {
    let builder = Application::builder()
        .store(store_with_events())
        .source(SourceSettings::of(web()))
        .source(SourceSettings::of(web()));
    let error = builder.build().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("web/signup has POST /signup already"),
        "{error}"
    );
}

/// ADM-07
#[tokio::test]
async fn a_process_is_not_ready_while_a_lane_is_held_or_the_store_stopped() {
    let store = store_with_events();
    let (application, _) = application(&store, &["north"]);
    super::super::standing::watch(&application);
    let reasons = || application.health().reasons();
    let lane = store.register_lane("north/unload").unwrap();
    assert_eq!(reasons(), []);
    let transition = |status| Transition {
        lane,
        span: Span::new(Position(1), Position(2)),
        status,
        attempt: 1,
        at: crate::clock::Timestamp(0),
        error: None,
        command: None,
    };
    store.record(&[transition(Status::Failed)]).unwrap();
    assert_eq!(reasons(), [], "an unordered lane goes on");
    store.record(&[transition(Status::Unknown)]).unwrap();
    assert_eq!(reasons()[0].path, ["actions", "north/unload"]);
    assert!(reasons()[0].message.contains("unknown"), "{:?}", reasons());
    store.close().unwrap();
    assert_eq!(reasons()[0].path, ["store"]);
}

/// What `/metrics` says of a sample.
fn sample(page: &str, name: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().parse().ok()
}

#[tokio::test]
async fn loads_and_jobs_are_counted_by_how_they_ended_and_where_they_stand() {
    let store = store_with_events();
    let (application, harbours) = application(&store, &["north"]);
    super::super::standing::watch(&application);
    let page = || application.metrics().text();
    store.register_lane("north/unload").unwrap();
    let pending = "blacksmith_jobs{action=\"north/unload\",status=\"pending\"}";
    assert_eq!(sample(&page(), pending), Some(3.0));
    let oldest = "blacksmith_oldest_job_seconds{action=\"north/unload\"}";
    assert!(
        sample(&page(), oldest).unwrap() > 1e9,
        "it was received in 1970"
    );
    let run = Run::default();
    let running = start(&application, &run);
    for _ in 0..2 {
        harbours[0].begun.notified().await;
        harbours[0].told.notify_one();
    }
    harbours[0].begun.notified().await;
    let loads = "blacksmith_loads_total{action=\"north/unload\",outcome=\"succeeded\"}";
    let jobs = "blacksmith_jobs_total{action=\"north/unload\",outcome=\"succeeded\"}";
    assert_eq!(
        (sample(&page(), loads), sample(&page(), jobs)),
        (Some(2.0), Some(2.0))
    );
    let executing = "blacksmith_jobs{action=\"north/unload\",status=\"executing\"}";
    assert_eq!(
        (sample(&page(), executing), sample(&page(), pending)),
        (Some(1.0), Some(0.0))
    );
    harbours[0].told.notify_one();
    run.stop.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(sample(&page(), oldest), Some(0.0));
}
