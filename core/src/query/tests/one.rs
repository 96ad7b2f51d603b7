//! One event and one job, found by every name that they have.

use std::sync::Arc;

use bytes::Bytes;

use super::house::House;
use crate::clock::Timestamp;
use crate::document::{Entry, OwnJob, Rejection, write};
use crate::id::Id;
use crate::job::{Job, Status, Transition};
use crate::json::Json;
use crate::log::Retention;
use crate::position::{Position, Span};
use crate::query::Address;
use crate::store::Store;
use crate::store::memory::MemoryStore;

const AT: Timestamp = Timestamp(1_700_000_000_000_000);
const DATA: &str = r#"[ {"any": "shape"}, 1.50, null ]"#;

/// An `order`, which `crm/register` is led to and `crm/notify` called for, with a payload of its own.
fn house() -> House {
    let store = MemoryStore::new(Retention::default()).unwrap();
    let house = House::over(Arc::new(store) as Arc<dyn Store>);
    let json = |text: &'static str| Json::parse(Bytes::from_static(text.as_bytes())).unwrap();
    let own = Job {
        version: Some(Arc::from("v2")),
        data: Some(json(r#"{"to": "a@b.c"}"#)),
        ..Job::default()
    };
    let entry = Entry {
        schema: house.schemas[2],
        ticket: 77,
        sent_at: Some(Timestamp(3)),
        parent: None,
        jobs: vec![OwnJob {
            lane: house.lanes[1],
            job: own,
        }],
        rejections: vec![Rejection {
            lane: house.lanes[0],
            reason: "no name".to_owned(),
        }],
        belongs: None,
        context: json(r#"{"ip":"::1"}"#),
        data: json(DATA),
    };
    let mut body = Vec::new();
    write(&mut body, &entry).unwrap();
    let mut draft = house.documents(&[2], AT);
    draft.body = Bytes::from(body);
    house.append(draft);
    house
}

/// STO-04 STO-09 CON-05 CON-15
#[test]
fn an_event_is_found_by_position_id_and_ticket_and_is_as_it_was() {
    let house = house();
    let id = Id::of_event(house.store.id(), Position(1), AT);
    let ticket = Id::ticket(house.store.id(), 77, AT);
    for name in ["1".to_owned(), id.to_string(), ticket.to_string()] {
        let found = house.query.address(&name).unwrap();
        assert_eq!((found.position, found.lane), (Position(1), None), "{name}");
    }
    let event = house.query.event(Position(1)).unwrap();
    assert_eq!((event.row.id, event.ticket), (id, Some(ticket)));
    assert_eq!(event.data.unwrap().as_str(), DATA, "to the byte");
    assert_eq!(event.context.unwrap().as_str(), r#"{"ip":"::1"}"#);
    assert_eq!(event.sent_at, Some(Timestamp(3)));
    assert_eq!(&*event.rejections[0].0, "crm/register");
    let jobs: Vec<&str> = event.jobs.iter().map(|job| &*job.action).collect();
    assert_eq!(jobs, ["crm/register", "crm/notify"]);
    for name in ["2", &Id::ticket(house.store.id(), 78, AT).to_string(), "x"] {
        assert!(house.query.address(name).is_err(), "{name}");
    }
}

/// CON-07 CON-14
#[test]
fn a_job_is_found_by_its_id_with_its_own_payload_and_its_history() {
    let house = house();
    let lane = house.lanes[1];
    let change = |status, attempt| Transition {
        lane,
        span: Span::new(Position(1), Position(1)),
        status,
        attempt,
        at: Timestamp(AT.0 + i64::from(attempt)),
        error: None,
        command: None,
    };
    let history = [
        change(Status::Executing, 1),
        change(Status::Failed, 1),
        change(Status::Executing, 2),
        change(Status::Succeeded, 2),
    ];
    for change in &history {
        house.record(std::slice::from_ref(change));
    }
    let id = Id::of_job(house.store.id(), lane, Position(1), AT).to_string();
    assert_eq!(id.len(), 27);
    let address = house.query.address(&id).unwrap();
    let lane = Some(lane);
    assert_eq!(
        address,
        Address {
            position: Position(1),
            lane
        }
    );
    let found = house.query.jobs_at(address).unwrap();
    let [job] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!((job.row.status, job.row.attempts), (Status::Succeeded, 2));
    assert_eq!(job.row.since, Some(history[3].at));
    assert_eq!(job.row.version.as_deref(), Some("v2"));
    assert_eq!(job.data.as_ref().unwrap().as_str(), r#"{"to": "a@b.c"}"#);
    let context = job.context.as_ref().unwrap();
    assert_eq!(context.as_str(), r#"{"ip":"::1"}"#, "the event's");
    assert_eq!(job.transitions, history);
}
