//! What every store keeps, as one function per claim, for the tests of each driver.
//!
//! A driver's test calls each of [`ALL`] with an empty store of its own. A claim that does not hold
//! panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::{FOLLOW_UPS, Lane, Purge, Store};
use crate::clock::Timestamp;
use crate::event::{
    About, Block, Commit, Draft, Excluded, FormatId, LaneId, Refusal, SchemaId, SourceId,
    StateChange, Tally,
};
use crate::job::{Status, Transition};
use crate::log::Receipt;
use crate::position::{Position, Span};

/// One claim about a store.
pub type Claim = fn(Arc<dyn Store>);

/// All claims, by name.
pub const ALL: &[(&str, Claim)] = &[
    ("names_get_one_number", names_get_one_number),
    (
        "blocks_come_back_as_they_were",
        blocks_come_back_as_they_were,
    ),
    (
        "a_reader_begins_inside_a_block",
        a_reader_begins_inside_a_block,
    ),
    (
        "a_reader_goes_on_with_what_comes",
        a_reader_goes_on_with_what_comes,
    ),
    (
        "state_is_remembered_and_forgotten",
        state_is_remembered_and_forgotten,
    ),
    (
        "a_transaction_comes_in_chunks",
        a_transaction_comes_in_chunks,
    ),
    (
        "an_aborted_transaction_leaves_no_trace",
        an_aborted_transaction_leaves_no_trace,
    ),
    (
        "a_commit_of_nothing_takes_no_position",
        a_commit_of_nothing_takes_no_position,
    ),
    ("a_lane_settles_without_gaps", a_lane_settles_without_gaps),
    (
        "the_slowest_lane_holds_what_is_settled",
        the_slowest_lane_holds_what_is_settled,
    ),
    (
        "history_is_read_by_lane_and_span",
        history_is_read_by_lane_and_span,
    ),
    (
        "transitions_are_recorded_all_or_none",
        transitions_are_recorded_all_or_none,
    ),
    ("followers_are_woken", followers_are_woken),
    (
        "retention_keeps_what_is_not_settled",
        retention_keeps_what_is_not_settled,
    ),
    (
        "a_purge_drops_only_what_stands_as_it_says",
        a_purge_drops_only_what_stands_as_it_says,
    ),
    (
        "follow_ups_come_with_the_transitions_that_made_them",
        follow_ups_come_with_the_transitions_that_made_them,
    ),
    (
        "a_lane_that_is_forgotten_holds_nothing",
        a_lane_that_is_forgotten_holds_nothing,
    ),
    (
        "statistics_count_every_position_once",
        statistics_count_every_position_once,
    ),
    ("a_closed_store_takes_nothing", a_closed_store_takes_nothing),
];

/// How long something becomes durable at most.
const WAIT: Duration = Duration::from_secs(30);

fn wait(receipt: &Receipt) {
    receipt
        .wait(WAIT)
        .expect("what was appended becomes durable");
}

fn shop(store: &Arc<dyn Store>) -> (SourceId, SchemaId) {
    let source = store.register_source("shop").expect("a source is taken");
    let orders = store.define(
        source,
        About::trigger("public.orders", Bytes::from_static(b"columns")),
    );
    (source, orders.expect("a schema is taken"))
}

fn lane(store: &Arc<dyn Store>, name: &str) -> LaneId {
    store.register_lane(name).expect("a lane is taken")
}

fn standing(store: &Arc<dyn Store>, id: LaneId) -> Lane {
    let lanes = store.lanes().into_iter();
    let mut own = lanes.filter(|lane| lane.id == id);
    own.next().expect("a lane that was registered is listed")
}

fn tally(schema: SchemaId, group: u32, count: u32) -> Tally {
    Tally {
        schema,
        group,
        count,
    }
}

fn change(key: &str, value: &'static str) -> StateChange {
    StateChange {
        key: key.to_owned(),
        value: Bytes::from_static(value.as_bytes()),
    }
}

fn draft(schema: SchemaId, count: u32, body: &'static str) -> Draft {
    Draft {
        format: FormatId::JSON,
        received_at: Timestamp(5),
        tally: vec![tally(schema, 0, count)],
        envelope: Bytes::from_static(b"envelope"),
        body: Bytes::from_static(body.as_bytes()),
        state: Vec::new(),
    }
}

fn commit(excluded: Excluded) -> Commit {
    Commit {
        format: FormatId::JSON,
        received_at: Timestamp(6),
        envelope: Bytes::from_static(b"transaction"),
        excluded,
        state: vec![change("resume", "9")],
    }
}

fn transition(lane: LaneId, first: u64, last: u64, status: Status) -> Transition {
    Transition {
        lane,
        span: span(first, last),
        status,
        attempt: 1,
        at: Timestamp(7),
        error: (status == Status::Discarded).then(|| "why".to_owned()),
        command: None,
    }
}

fn span(first: u64, last: u64) -> Span {
    Span::new(Position(first), Position(last))
}

fn append(store: &Arc<dyn Store>, source: SourceId, draft: Draft) -> Receipt {
    let receipt = store.append(source, draft).expect("there is room");
    wait(&receipt);
    receipt
}

fn record(store: &Arc<dyn Store>, transitions: &[Transition]) {
    wait(&store.record(transitions).expect("transitions are taken"));
}

fn read(store: &Arc<dyn Store>, from: u64) -> Vec<Block> {
    let mut blocks = store.blocks(Position(from));
    let mut found = Vec::new();
    while let Some(block) = blocks.next().expect("durable blocks can be read") {
        found.push(block);
    }
    found
}

fn spans(store: &Arc<dyn Store>, from: u64) -> Vec<(u64, u64)> {
    let blocks = read(store, from).into_iter();
    let spans = blocks.filter_map(|block| block.span());
    spans.map(|span| (span.first.0, span.last.0)).collect()
}

/// A source and a lane have one number for good; schemas get a new one each time.
pub fn names_get_one_number(store: Arc<dyn Store>) {
    let (shop, orders) = shop(&store);
    let crm = store.register_source("crm").expect("a source is taken");
    assert_ne!(shop, crm);
    assert_eq!(store.register_source("shop").expect("known"), shop);
    assert_eq!(lane(&store, "lake/append"), lane(&store, "lake/append"));
    assert_ne!(lane(&store, "lake/append"), lane(&store, "lake/merge"));
    let names: Vec<_> = store.sources().into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, [Arc::from("shop"), Arc::from("crm")]);
    let again = store.define(
        shop,
        About::trigger("public.orders", Bytes::from_static(b"more columns")),
    );
    let again = again.expect("a schema is taken");
    assert!(again > orders);
    let ids: Vec<_> = store.schemas().iter().map(|schema| schema.id).collect();
    assert_eq!(ids, [orders, again]);
    let schema = store.schema(orders).expect("known");
    assert_eq!(
        (&**schema.trigger(), &schema.body()[..]),
        ("public.orders", &b"columns"[..])
    );
    assert!(store.schema(SchemaId(again.0 + 1)).is_none());
}

/// Positions run on from 1 without gaps; a block has all that its draft had.
pub fn blocks_come_back_as_they_were(store: Arc<dyn Store>) {
    let (source, orders) = shop(&store);
    assert_eq!(
        (store.oldest(), store.durable().upto()),
        (Position(1), Position(0))
    );
    let first = append(&store, source, draft(orders, 10, "ten"));
    let second = append(&store, source, draft(orders, 3, "three"));
    assert_eq!((first.first, first.last), (Position(1), Position(10)));
    assert_eq!((second.first, second.last), (Position(11), Position(13)));
    assert_eq!(store.durable().upto(), Position(13));
    let blocks = read(&store, 1);
    assert_eq!(blocks.len(), 2);
    let block = &blocks[1];
    assert_eq!(
        (block.source, block.format, block.received_at),
        (source, FormatId::JSON, Timestamp(5))
    );
    assert_eq!(
        (block.first, block.count, block.transaction),
        (Position(11), 3, None)
    );
    assert_eq!(
        (&block.envelope[..], &block.body[..]),
        (&b"envelope"[..], &b"three"[..])
    );
    assert_eq!(block.tally.to_vec(), [tally(orders, 0, 3)]);
}

/// A reader gives the block that holds its position whole, and nothing before it.
pub fn a_reader_begins_inside_a_block(store: Arc<dyn Store>) {
    let (source, orders) = shop(&store);
    for count in [4, 4, 4] {
        append(&store, source, draft(orders, count, "x"));
    }
    assert_eq!(spans(&store, 6), [(5, 8), (9, 12)]);
    assert_eq!(spans(&store, 9), [(9, 12)]);
    assert_eq!(spans(&store, 13), []);
}

/// A reader at the end gives what is appended after it was asked.
pub fn a_reader_goes_on_with_what_comes(store: Arc<dyn Store>) {
    let (source, orders) = shop(&store);
    let mut blocks = store.blocks(Position(1));
    assert!(blocks.next().expect("an empty store can be read").is_none());
    append(&store, source, draft(orders, 2, "x"));
    let block = blocks.next().expect("readable").expect("one is there now");
    assert_eq!(block.span(), Some(span(1, 2)));
    assert!(blocks.next().expect("readable").is_none());
}

/// State belongs to its source, comes with events or without, and an empty value forgets it.
pub fn state_is_remembered_and_forgotten(store: Arc<dyn Store>) {
    let (shop, orders) = shop(&store);
    let crm = store.register_source("crm").expect("a source is taken");
    let mut with_state = draft(orders, 1, "x");
    with_state.state = vec![change("part/1", "done"), change("lsn", "7")];
    append(&store, shop, with_state);
    let more = vec![change("part/2", "done"), change("lsn", "")];
    wait(&store.remember(shop, more).expect("there is room"));
    assert_eq!(store.recall(shop, "lsn"), None);
    let keys: Vec<_> = store
        .recall_all(shop, "part/")
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    assert_eq!(keys, ["part/1", "part/2"]);
    assert!(store.recall_all(crm, "").is_empty());
    assert_eq!(
        store.durable().upto(),
        Position(1),
        "state takes no position"
    );
}

/// Staged events get their positions at the commit, in one run, without what is excluded.
pub fn a_transaction_comes_in_chunks(store: Arc<dyn Store>) {
    let (source, orders) = shop(&store);
    let drafts = store
        .define(source, About::trigger("public.drafts", Bytes::new()))
        .expect("taken");
    let mut stage = store.stage(source).expect("a stage is taken");
    let chunks = [
        (vec![tally(orders, 7, 4), tally(orders, 8, 2)], "a"),
        (vec![tally(orders, 8, 5)], "b"),
        (vec![tally(orders, 7, 3), tally(drafts, 7, 9)], "c"),
    ];
    for (tally, body) in chunks {
        stage
            .push(
                &tally,
                body.as_bytes().chunks(2).map(Bytes::from_static).collect(),
            )
            .expect("there is room");
    }
    append(&store, source, draft(orders, 2, "before"));
    assert_eq!(
        spans(&store, 1),
        [(1, 2)],
        "nothing is seen before the commit"
    );
    let excluded = Excluded {
        schemas: vec![drafts],
        groups: vec![8],
    };
    let receipt = stage.commit(commit(excluded)).expect("there is room");
    wait(&receipt);
    assert_eq!((receipt.first, receipt.last), (Position(3), Position(9)));
    append(&store, source, draft(orders, 1, "after"));
    let mut found = spans(&store, 1);
    found.retain(|(first, last)| first <= last);
    assert_eq!(found, [(1, 2), (3, 6), (7, 9), (10, 10)]);
    assert_eq!(store.recall(source, "resume").as_deref(), Some(&b"9"[..]));
    let block = read(&store, 8).swap_remove(0);
    assert_eq!(
        (&block.body[..], block.transaction),
        (&b"c"[..], Some(span(3, 9)))
    );
    assert!(block.excluded.covers(drafts, 7) && block.excluded.covers(orders, 8));
}

/// A stage that is dropped was never there.
pub fn an_aborted_transaction_leaves_no_trace(store: Arc<dyn Store>) {
    let (source, orders) = shop(&store);
    let mut stage = store.stage(source).expect("a stage is taken");
    stage
        .push(&[tally(orders, 0, 4)], vec![Bytes::from_static(b"a")])
        .expect("there is room");
    assert!(stage.bytes() > 0);
    drop(stage);
    append(&store, source, draft(orders, 1, "x"));
    assert_eq!(spans(&store, 1), [(1, 1)]);
}

/// A transaction of which everything was rolled back still remembers.
pub fn a_commit_of_nothing_takes_no_position(store: Arc<dyn Store>) {
    let (source, orders) = shop(&store);
    let mut stage = store.stage(source).expect("a stage is taken");
    stage
        .push(&[tally(orders, 3, 4)], vec![Bytes::from_static(b"a")])
        .expect("there is room");
    let excluded = Excluded {
        schemas: Vec::new(),
        groups: vec![3],
    };
    wait(&stage.commit(commit(excluded)).expect("there is room"));
    assert_eq!(store.durable().upto(), Position(0));
    assert!(store.recall(source, "resume").is_some());
    append(&store, source, draft(orders, 1, "x"));
    let found = read(&store, 1);
    let bodies: Vec<_> = found
        .iter()
        .filter(|block| block.count > 0)
        .map(|block| &block.body[..])
        .collect();
    assert_eq!(bodies, [&b"x"[..]]);
}

/// A lane advances when what comes next is settled; what is given up stays listed.
pub fn a_lane_settles_without_gaps(store: Arc<dyn Store>) {
    let (source, orders) = shop(&store);
    let lane = lane(&store, "lake/append");
    assert_eq!(store.settled_in(lane), Some(Position(0)));
    assert_eq!(store.settled_in(LaneId(lane.0 + 1)), None);
    append(&store, source, draft(orders, 20, "x"));
    record(
        &store,
        &[
            transition(lane, 1, 10, Status::Executing),
            transition(lane, 11, 20, Status::Executing),
        ],
    );
    record(&store, &[transition(lane, 11, 20, Status::Succeeded)]);
    assert_eq!(store.settled_in(lane), Some(Position(0)));
    assert_eq!(standing(&store, lane).open().count(), 2);
    record(
        &store,
        &[
            transition(lane, 4, 4, Status::Discarded),
            transition(lane, 1, 10, Status::Succeeded),
        ],
    );
    let lane = standing(&store, lane);
    assert_eq!((lane.settled_upto, lane.open().count()), (Position(20), 0));
    let discarded: Vec<_> = lane.discarded().map(|open| open.span).collect();
    assert_eq!(
        discarded,
        [span(4, 4)],
        "the first final state of a job wins"
    );
}

/// The store is settled as far as its slowest lane; without a lane, as far as it goes.
pub fn the_slowest_lane_holds_what_is_settled(store: Arc<dyn Store>) {
    let (source, orders) = shop(&store);
    append(&store, source, draft(orders, 10, "x"));
    assert_eq!(store.settled_upto(), Position(10));
    let quick = lane(&store, "lake/append");
    assert_eq!(
        standing(&store, quick).start,
        Position(1),
        "a new lane begins at the oldest event"
    );
    record(&store, &[transition(quick, 1, 10, Status::Succeeded)]);
    assert_eq!(store.settled_upto(), Position(10));
    let slow = lane(&store, "lake/merge");
    record(&store, &[transition(slow, 1, 6, Status::Succeeded)]);
    assert_eq!(store.settled_upto(), Position(6));
}

/// Transitions come back oldest first, of one lane or of all, where they touch the span.
pub fn history_is_read_by_lane_and_span(store: Arc<dyn Store>) {
    let (source, orders) = shop(&store);
    let (own, other) = (lane(&store, "lake/append"), lane(&store, "lake/merge"));
    append(&store, source, draft(orders, 20, "x"));
    let recorded = [
        transition(own, 1, 10, Status::Executing),
        transition(other, 1, 20, Status::Executing),
        transition(own, 1, 10, Status::Succeeded),
        transition(own, 11, 20, Status::Discarded),
    ];
    for transition in &recorded {
        record(&store, std::slice::from_ref(transition));
    }
    let history = |lane, span, limit| store.transitions(lane, span, limit).expect("readable");
    assert_eq!(history(None, span(1, 20), 100), recorded);
    assert_eq!(
        history(Some(own), span(10, 10), 100),
        [recorded[0].clone(), recorded[2].clone()]
    );
    assert_eq!(
        history(Some(own), span(1, 20), 2),
        [recorded[0].clone(), recorded[2].clone()]
    );
    assert_eq!(
        history(Some(other), span(20, 20), 100),
        [recorded[1].clone()]
    );
}

/// One transition that cannot be recorded refuses those that come with it.
pub fn transitions_are_recorded_all_or_none(store: Arc<dyn Store>) {
    let (source, orders) = shop(&store);
    let lane = lane(&store, "lake/append");
    append(&store, source, draft(orders, 10, "x"));
    let unknown = LaneId(lane.0 + 1);
    let both = [
        transition(lane, 1, 10, Status::Succeeded),
        transition(unknown, 1, 10, Status::Succeeded),
    ];
    assert!(store.record(&both).is_err());
    assert_eq!(store.settled_in(lane), Some(Position(0)));
    assert!(
        store
            .transitions(None, span(1, 10), 10)
            .expect("readable")
            .is_empty()
    );
}

/// Whoever registered with the watermark hears of what becomes durable, after it is.
pub fn followers_are_woken(store: Arc<dyn Store>) {
    let (source, orders) = shop(&store);
    let durable = store.durable();
    let heard = Arc::new(AtomicBool::new(false));
    let (hears, follows) = (Arc::clone(&heard), durable.clone());
    let registration = durable.register(Arc::new(move || {
        if follows.upto() >= Position(5) {
            hears.store(true, Ordering::SeqCst);
        }
    }));
    let waiting = durable.clone();
    let waiter = std::thread::spawn(move || waiting.wait_past(Position(4), WAIT));
    append(&store, source, draft(orders, 5, "x"));
    let upto = waiter.join().expect("the waiter does not panic");
    assert_eq!(upto.expect("the store is open"), Position(5));
    // Callbacks come right after the mark has moved; closing comes after all of them.
    store.close().expect("the store closes");
    assert!(heard.load(Ordering::SeqCst));
    drop(registration);
}

/// However old and large: what a lane has not settled stays, from its first position on.
pub fn retention_keeps_what_is_not_settled(store: Arc<dyn Store>) {
    let (source, orders) = shop(&store);
    let lane = lane(&store, "lake/append");
    for _ in 0..10 {
        append(&store, source, draft(orders, 10, "x"));
    }
    record(
        &store,
        &[
            transition(lane, 1, 45, Status::Succeeded),
            transition(lane, 46, 60, Status::Failed),
        ],
    );
    store
        .retain(Timestamp(i64::MAX))
        .expect("the store is open");
    assert!(store.oldest() <= Position(46));
    let found = spans(&store, 46);
    assert_eq!(
        (found[0].0, found.last().map(|span| span.1)),
        (41, Some(100))
    );
    assert_eq!(standing(&store, lane).settled_upto, Position(45));
}

/// What is purged lies before everything that is not settled, and before every job in another state than
/// the policy names.
pub fn a_purge_drops_only_what_stands_as_it_says(store: Arc<dyn Store>) {
    let (source, orders) = shop(&store);
    let lane = lane(&store, "lake/append");
    for _ in 0..6 {
        append(&store, source, draft(orders, 10, "x"));
    }
    record(
        &store,
        &[
            transition(lane, 1, 29, Status::Succeeded),
            transition(lane, 30, 30, Status::Discarded),
            transition(lane, 31, 55, Status::Succeeded),
        ],
    );
    let purge = |statuses: &[Status]| Purge {
        statuses: statuses.to_vec(),
        older_than: Duration::ZERO,
    };
    let later = Timestamp(i64::MAX);
    let succeeded = purge(&[Status::Succeeded]);
    let could = store.purgeable(&succeeded, later);
    assert_eq!(store.oldest(), Position(1), "to ask drops nothing");
    let purged = store.purge(&succeeded, later).expect("the store is open");
    assert_eq!(purged, could);
    assert!(store.oldest() <= Position(30), "a discarded job stays");
    let both = purge(&[Status::Succeeded, Status::Discarded, Status::Failed]);
    store.purge(&both, later).expect("the store is open");
    assert!(store.oldest() <= Position(56), "what is not settled stays");
    let found = spans(&store, 51);
    assert_eq!(found.last(), Some(&(51, 60)));
}

/// Transitions and the jobs that they lead to are one record: both are there, under the store's own source.
pub fn follow_ups_come_with_the_transitions_that_made_them(store: Arc<dyn Store>) {
    let (source, orders) = shop(&store);
    let lane = lane(&store, "lake/append");
    append(&store, source, draft(orders, 2, "x"));
    let failed = transition(lane, 2, 2, Status::Failed);
    let jobs = draft(orders, 3, "jobs");
    let receipt = store.follow_up(std::slice::from_ref(&failed), jobs);
    let receipt = receipt.expect("they are taken");
    wait(&receipt);
    assert_eq!((receipt.first, receipt.last), (Position(3), Position(5)));
    let block = read(&store, 3).swap_remove(0);
    let own = store.register_source(FOLLOW_UPS).expect("it is known");
    assert_eq!((block.source, &block.body[..]), (own, &b"jobs"[..]));
    let history = store.transitions(None, span(2, 2), 10);
    assert_eq!(history.expect("readable"), std::slice::from_ref(&failed));
    let state = standing(&store, lane).state(Position(2));
    assert_eq!((state.status, state.attempt), (Status::Failed, 1));
    let unknown = Transition {
        lane: LaneId(lane.0 + 1),
        ..failed
    };
    let refused = store.follow_up(&[unknown], draft(orders, 1, "none"));
    assert!(refused.is_err(), "all or none");
    assert_eq!(store.durable().upto(), Position(5));
}

/// A lane that an operator let go of keeps nothing, and is taken up again when it is registered.
pub fn a_lane_that_is_forgotten_holds_nothing(store: Arc<dyn Store>) {
    let (source, orders) = shop(&store);
    let (kept, gone) = (lane(&store, "lake/append"), lane(&store, "lake/merge"));
    append(&store, source, draft(orders, 10, "x"));
    record(&store, &[transition(kept, 1, 10, Status::Succeeded)]);
    assert_eq!(store.settled_upto(), Position(0));
    assert!(store.forget_lane("lake/nothing").is_err());
    store
        .forget_lane("lake/merge")
        .expect("there is such a lane");
    assert_eq!(store.settled_upto(), Position(10));
    assert!(store.lane(gone).is_some_and(|lane| lane.forgotten));
    assert_eq!(lane(&store, "lake/merge"), gone);
    assert_eq!(store.settled_upto(), Position(0));
}

/// Each position is counted under its schema, those of staged transactions without what was rolled back.
pub fn statistics_count_every_position_once(store: Arc<dyn Store>) {
    let (source, orders) = shop(&store);
    let lane = lane(&store, "lake/append");
    append(&store, source, draft(orders, 4, "x"));
    let mut stage = store.stage(source).expect("a stage is taken");
    let chunk = [tally(orders, 1, 5), tally(orders, 2, 7)];
    stage
        .push(&chunk, vec![Bytes::from_static(b"a")])
        .expect("there is room");
    let excluded = Excluded {
        schemas: Vec::new(),
        groups: vec![2],
    };
    wait(&stage.commit(commit(excluded)).expect("there is room"));
    record(&store, &[transition(lane, 2, 3, Status::Succeeded)]);
    let statistics = store.statistics();
    let counted = statistics.iter().flat_map(|part| part.events.values());
    assert_eq!(counted.sum::<u64>(), 9);
    let changes = statistics.iter().filter_map(|part| part.lanes.get(&lane));
    let changes: Vec<_> = changes.map(|own| (own.count, own.span)).collect();
    assert_eq!(changes, [(1, span(2, 3))]);
}

/// After [`Store::close`] nothing is taken, and everybody who waits learns it.
pub fn a_closed_store_takes_nothing(store: Arc<dyn Store>) {
    let (source, orders) = shop(&store);
    let receipt = store
        .append(source, draft(orders, 1, "x"))
        .expect("there is room");
    store.close().expect("the store closes");
    assert!(receipt.is_durable(), "closing writes out what waits");
    assert!(matches!(
        store.append(source, draft(orders, 1, "x")),
        Err(Refusal::Failed(_))
    ));
    assert!(store.remember(source, vec![change("a", "b")]).is_err());
    assert!(store.record(&[]).is_err());
    assert!(store.stage(source).is_err());
    assert!(store.register_source("crm").is_err());
    assert!(store.durable().wait_past(Position(1), WAIT).is_err());
}
