//! Documents of two triggers, as the gateway stores them, and the rows that come of them.

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use bytes::Bytes;

use super::*;
use crate::clock::Timestamp;
use crate::document::{Belongs, Documents, Entry, OwnJob, Place, write};
use crate::event::{About, FormatId, LaneId, Schema, SourceId, StoreId, Tally};
use crate::job::Job;
use crate::position::Position;
use crate::source::{Asked, Format, Schemas, Takes};
use crate::spans::Spans;

const AT: Timestamp = Timestamp(1_700_000_000_000_000);
const LANE: LaneId = LaneId(3);

/// Schemas 1 and 2 are `signup`, of which the second calls somebody; 3 is `order`; 4 are follow-ups of `signup`.
struct Known;

impl Schemas for Known {
    fn schema(&self, id: SchemaId) -> Option<Arc<Schema>> {
        let trigger = if id.0 == 3 { "order" } else { "signup" };
        let version = (id.0 == 3).then(|| Arc::from("v2"));
        let about = About::documents(Arc::from(trigger), version, Arc::from([]), id.0 == 4);
        Some(Arc::new(Schema {
            id,
            source: SourceId(1),
            about,
        }))
    }

    fn source(&self, _: SourceId) -> Option<Arc<str>> {
        Some(Arc::from("web"))
    }
}

fn entry(schema: u32, data: &str) -> Entry {
    Entry {
        schema: SchemaId(schema),
        ticket: 0,
        sent_at: None,
        parent: None,
        jobs: Vec::new(),
        rejections: Vec::new(),
        belongs: None,
        context: Json::null(),
        data: Json::of(data).unwrap(),
    }
}

/// The rows of these entries, at positions from 1.
fn rows(entries: &[Entry], limits: Limits) -> Vec<(Arc<str>, Span, RecordBatch)> {
    let asked = Asked {
        schemas: Arc::new(Known),
        limits,
        takes: Takes::Rows,
        store: StoreId(7),
        lane: LANE,
        default_version: None,
        event_ids: false,
    };
    let mut decoding = Documents.decoding(asked);
    let mut body = Vec::new();
    for entry in entries {
        write(&mut body, entry).unwrap();
    }
    let count = entries.len() as u32;
    let block = Block {
        source: SourceId(1),
        format: FormatId::JSON,
        received_at: AT,
        first: Position(1),
        count,
        transaction: None,
        tally: Arc::from([Tally {
            schema: SchemaId(1),
            group: 0,
            count,
        }]),
        excluded: Arc::default(),
        envelope: Bytes::new(),
        body: Bytes::from(body),
    };
    let spans = Spans::from(Span::starting(Position(1), u64::from(count)));
    let wanted = Wanted::of(&spans, &|_| true).unwrap();
    let mut out = Vec::new();
    decoding.push(&block, &wanted, &mut out).unwrap();
    decoding.finish(&mut out).unwrap();
    let rows = out.into_iter().map(|decoded| match decoded {
        Decoded::Rows {
            trigger,
            rows,
            span,
            ..
        } => (trigger, span, rows),
        other => panic!("{other:?}"),
    });
    rows.collect()
}

fn texts(rows: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let column = rows.column_by_name(column).unwrap().as_string::<i32>();
    column.iter().map(|text| text.map(str::to_owned)).collect()
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

/// CON-15 ACT-06
#[test]
fn documents_of_a_trigger_are_rows_of_one_table_whatever_they_call() {
    let entries = [entry(1, "a"), entry(3, "b"), entry(2, "c")];
    let tables = rows(&entries, Limits::default());
    let names: Vec<_> = tables
        .iter()
        .map(|(name, span, _)| (&**name, *span))
        .collect();
    let span = |first, last| Span::new(Position(first), Position(last));
    assert_eq!(
        names,
        [("web.signup", span(1, 3)), ("web.order", span(2, 2))]
    );
    let (_, _, signups) = &tables[0];
    assert_eq!(texts(signups, "data"), some(&["\"a\"", "\"c\""]));
    assert_eq!(texts(signups, "context"), [None, None]);
    assert_eq!(texts(signups, "_source"), some(&["web", "web"]));
    assert_eq!(texts(signups, "_trigger"), some(&["signup", "signup"]));
    assert_eq!(texts(signups, "_version"), [None, None]);
    assert_eq!(texts(&tables[1].2, "_version"), some(&["v2"]));
    let positions = signups.column_by_name("_seq").unwrap();
    assert_eq!(positions.as_primitive::<UInt64Type>().values(), &[1, 3]);
    let id = crate::id::Id::of_event(StoreId(7), Position(3), AT).to_string();
    assert_eq!(texts(signups, "_event_id")[1], Some(id));
    let schema = signups.schema();
    assert_eq!(schema.metadata()[SCHEMA_TABLE], "web.signup");
}

/// JOB-02 JOB-03
#[test]
fn a_payload_of_the_jobs_own_stands_in_place_of_the_events() {
    let own = |lane| OwnJob {
        lane,
        job: Job {
            context: Some(Json::of("mine").unwrap()),
            data: Some(Json::null()),
            ..Job::default()
        },
    };
    let jobs = vec![own(LANE)];
    let others = vec![own(LaneId(9))];
    let entries = [
        Entry {
            jobs,
            ..entry(1, "a")
        },
        Entry {
            jobs: others,
            ..entry(1, "b")
        },
    ];
    let (_, _, rows) = rows(&entries, Limits::default()).remove(0);
    assert_eq!(texts(&rows, "context"), [Some("\"mine\"".to_owned()), None]);
    assert_eq!(texts(&rows, "data"), [None, Some("\"b\"".to_owned())]);
}

#[test]
fn a_follow_up_is_a_row_of_its_event() {
    let belongs = Some(Belongs {
        event: Place::At(Position(1)),
        schema: SchemaId(1),
        received_at: AT,
        parent: Some((LaneId(2), Position(1))),
    });
    let entries = [
        entry(1, "a"),
        Entry {
            belongs,
            ..entry(4, "again")
        },
    ];
    let tables = rows(&entries, Limits::default());
    let (name, _, rows) = &tables[0];
    let ids = texts(rows, "_event_id");
    assert_eq!((&**name, tables.len()), ("web.signup", 1));
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn rows_come_in_bounded_batches_in_order() {
    let entries: Vec<_> = (0..10).map(|_| entry(1, "a")).collect();
    let few = Limits {
        batch_rows: 4,
        ..Limits::default()
    };
    let lengths = |limits| -> Vec<usize> {
        let batches = rows(&entries, limits);
        assert!(batches.is_sorted_by_key(|(_, span, _)| span.first));
        batches.iter().map(|(_, _, rows)| rows.num_rows()).collect()
    };
    assert_eq!(lengths(few), [4, 4, 2]);
    let small = Limits {
        held_bytes: 300,
        ..Limits::default()
    };
    assert!(lengths(small).len() > 3);
}
