//! The admin API as its clients meet it: over the server, on a socket and over TCP.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::UnixStream;

use super::*;
use crate::clock::{SystemClock, Timestamp};
use crate::id::Id;
use crate::job::{Status, Transition};
use crate::log::Retention;
use crate::operate::{Operator, Plans};
use crate::position::{Position, Span};
use crate::query::tests::house::House;
use crate::secret::Secret;
use crate::server::client::{Client, Reply};
use crate::server::{Address, Running, Server};
use crate::store::Store;
use crate::store::memory::MemoryStore;

const AT: Timestamp = Timestamp(1_700_000_000_000_000);
const JSON: &str = "content-type: application/json\r\n";

/// Five signups and two visits; of the signups, which are the jobs of `crm/register`, two were discarded.
fn house() -> House {
    let store = MemoryStore::new(Retention::default()).unwrap();
    let house = House::over(Arc::new(store) as Arc<dyn Store>);
    house.append(house.documents(&[0, 0, 1, 0, 0, 1, 0], AT));
    let change = |first, last, status| Transition {
        lane: house.lanes[0],
        span: Span::new(Position(first), Position(last)),
        status,
        attempt: 1,
        at: AT,
        error: None,
        command: None,
    };
    house.record(&[
        change(1, 3, Status::Discarded),
        change(4, 4, Status::Succeeded),
        change(5, 5, Status::Executing),
    ]);
    house
}

async fn serve(house: &House, address: Address, token: Option<&str>) -> Running {
    let clock = SystemClock::shared();
    let operator = Operator::new(house.query.clone(), Plans::new(), clock);
    let router = router(&operator, Access::new(token.map(Secret::new)));
    let server = Server::new("test", address, router);
    server.start().await.unwrap()
}

/// Asks on the socket at `path`.
async fn ask(path: &Path, line: &str, body: &Value) -> Reply {
    let stream = UnixStream::connect(path).await.unwrap();
    let body = body.to_string();
    Client::over(stream).ask(line, JSON, body.as_bytes()).await
}

fn id(house: &House, position: u64) -> String {
    Id::of_job(house.store.id(), house.lanes[0], Position(position), AT).to_string()
}

#[tokio::test]
async fn an_order_for_a_filter_is_rehearsed_and_then_carried_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let house = house();
    let _running = serve(&house, Address::Unix(path.clone()), None).await;
    let retry = "POST /admin/api/store/jobs/retry";
    let mut body = json!({"filter": {"status": ["discarded"]}, "dry_run": true});
    for dry_run in [true, false] {
        body["dry_run"] = dry_run.into();
        let told = ask(&path, retry, &body).await.json();
        let expected = json!({
            "command": "retry", "dry_run": dry_run, "taken": 2, "refused": 0, "unknown": [],
            "actions": [{"action": "crm/register", "taken": 2, "refused": []}],
        });
        assert_eq!(
            (&told["statusCode"], &told["data"]),
            (&json!(200), &expected)
        );
        let lane = house.store.lane(house.lanes[0]).unwrap();
        let status = lane.state(Position(1)).status;
        assert_eq!(status == Status::Discarded, dry_run, "{status}");
    }
    let again = ask(&path, retry, &body).await.json();
    assert_eq!(again["data"]["taken"], 0, "{again}");
}

/// CON-16
#[tokio::test]
async fn what_cannot_be_done_is_the_error_object_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let house = house();
    let _running = serve(&house, Address::Unix(path.clone()), None).await;
    let told = async |line: &str, body: Value, status: u16| {
        let fault = ask(&path, line, &body).await.fault(status);
        let validations = fault["validations"].as_array().map_or(0, Vec::len);
        (fault["message"].as_str().unwrap().to_owned(), validations)
    };
    let retry = "POST /admin/api/store/jobs/retry";
    let (message, _) = told(retry, json!({}), 400).await;
    assert!(message.contains("no job is named"), "{message}");
    let (message, named) = told(retry, json!({"ids": ["x", "yy"]}), 400).await;
    assert!(message.contains("\"x\"") && named == 2, "{message}");
    let ids = json!({"ids": [id(&house, 3), id(&house, 99)]});
    let (_, named) = told(retry, ids, 404).await;
    assert_eq!(named, 2, "a visit makes no job, and 99 is not there");
    let both = json!({"ids": [id(&house, 1)], "filter": {"status": ["failed"]}});
    told(retry, both, 400).await;
    let (message, _) = told(retry, json!({"filter": {"stats": []}}), 400).await;
    assert!(message.contains("unknown field `stats`"), "{message}");
    let (message, _) = told(retry, json!({"filter": {"status": ["done"]}}), 400).await;
    assert!(message.contains("succeeded"), "{message}");
    let one = format!("POST /admin/api/store/jobs/{}/retry", id(&house, 5));
    let (message, _) = told(&one, json!({}), 409).await;
    assert!(message.contains("executing"), "{message}");
    told("POST /admin/api/store/jobs/again", json!({}), 404).await;
    told("GET /admin/api/store/jobs/retry", json!({}), 405).await;
    let stream = UnixStream::connect(&path).await.unwrap();
    let plain = "content-type: text/plain\r\n";
    let reply = Client::over(stream).ask(retry, plain, b"{}").await;
    reply.fault(415);
}

#[tokio::test]
async fn one_job_is_retried_by_its_id_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let house = house();
    let _running = serve(&house, Address::Unix(path.clone()), None).await;
    let line = format!("POST /admin/api/store/jobs/{}/retry", id(&house, 2));
    let told = ask(&path, &line, &json!({"reason": "mended"})).await.json();
    assert_eq!(told["data"]["taken"], 1, "{told}");
    let lane = house.store.lane(house.lanes[0]).unwrap();
    let statuses = [1, 2].map(|position| lane.state(Position(position)).status);
    assert_eq!(statuses, [Status::Discarded, Status::Awaiting]);
}

#[tokio::test]
async fn actions_are_listed_paused_and_resumed_by_pattern() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let house = house();
    let _running = serve(&house, Address::Unix(path.clone()), None).await;
    let list = async || {
        ask(&path, "GET /admin/api/actions", &json!({}))
            .await
            .json()
    };
    let listed = list().await;
    let register = &listed["data"][0];
    let counts = ["pending", "executing", "discarded"].map(|key| register[key].as_u64().unwrap());
    assert_eq!(
        (register["action"].as_str(), counts),
        (Some("crm/register"), [1, 1, 2])
    );
    let pause = json!({"actions": ["crm/reg*"], "reason": "the CRM moves"});
    let told = ask(&path, "POST /admin/api/actions/pause", &pause)
        .await
        .json();
    assert_eq!(told["data"]["actions"], json!(["crm/register"]));
    let paused = |listed: &Value| {
        let all = listed["data"].as_array().unwrap().iter();
        all.map(|own| own["paused"]["reason"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(paused(&list().await), [json!("the CRM moves"), Value::Null]);
    let resume = json!({"actions": ["*"]});
    ask(&path, "POST /admin/api/actions/resume", &resume).await;
    assert_eq!(paused(&list().await), [Value::Null, Value::Null]);
    let nobody = json!({"actions": ["crm/*", "erp/*"]});
    let reply = ask(&path, "POST /admin/api/actions/pause", &nobody).await;
    let fault = reply.fault(404);
    assert!(
        fault["message"].as_str().unwrap().contains("crm/register"),
        "{fault}"
    );
    assert_eq!(
        paused(&list().await),
        [Value::Null, Value::Null],
        "nothing was done"
    );
}

/// ADM-08
#[tokio::test]
async fn over_tcp_orders_need_the_token_when_there_is_one_and_this_machine_when_there_is_none() {
    let house = house();
    let line = "GET /admin/api/actions";
    for (token, header, status) in [
        (None, "", 403), // The client's Host is "test".
        (Some("an example of a token"), "", 401),
        (
            Some("an example of a token"),
            "authorization: Bearer wrong\r\n",
            401,
        ),
        (
            Some("an example of a token"),
            "authorization: Bearer an example of a token\r\n",
            200,
        ),
    ] {
        let address = Address::Tcp("127.0.0.1:0".into());
        let running = serve(&house, address, token).await;
        let mut client = Client::connect(running.address()).await;
        let reply = client.ask(line, header, b"").await;
        match status {
            200 => assert_eq!(reply.status, 200, "{reply:?}"),
            status => drop(reply.fault(status)),
        }
    }
}
