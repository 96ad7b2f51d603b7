//! The same key again.

use super::*;

const KEY: &str = "idempotency-key: 8e03978e-40d5-43dd-bc93-6894a57f9324\r\n";

#[tokio::test]
async fn a_repeated_key_is_answered_with_the_first_ids_and_stores_nothing() {
    let house = House::in_memory(Options::default()).await;
    let first = house.ask("POST /open", KEY, b"1").await;
    let again = house.ask("POST /open", KEY, b"1").await;
    assert_eq!(event_id(&first), event_id(&again));
    assert!(
        again.head.contains("idempotency-replayed: true"),
        "{}",
        again.head
    );
    assert!(!first.head.contains("idempotency-replayed"));
    assert_eq!(house.events(), 1);
    // Another trigger, another key.
    event_id(&house.ask("POST /plain/1", KEY, b"1").await);
    assert_eq!(house.events(), 2);
    // The same key with something else is a mistake of the client's.
    house.ask("POST /open", KEY, b"2").await.fault(422);
    house.ask("POST /open?x=1", KEY, b"1").await.fault(422);
}

#[tokio::test]
async fn many_at_once_with_one_key_make_one_event() {
    let mut house = House::in_memory(Options::default()).await;
    let mut clients = Vec::new();
    for _ in 0..16 {
        let mut client = house.client().await;
        client.send("POST /open", KEY, b"\"wait\"").await;
        clients.push(client);
    }
    house.begun.recv().await;
    house.told.notify_one();
    let mut ids = HashSet::new();
    for client in &mut clients {
        ids.insert(event_id(&client.reply().await.unwrap()));
    }
    assert_eq!((ids.len(), house.events()), (1, 1));
    assert!(house.begun.try_recv().is_err(), "user code ran once");
}

#[tokio::test]
async fn a_request_that_failed_leaves_its_key_free() {
    let house = House::in_memory(Options::default()).await;
    house.ask("POST /open", KEY, b"\"panic\"").await.fault(500);
    house.ask("POST /open", KEY, b"{").await.fault(400);
    event_id(&house.ask("POST /open", KEY, b"1").await);
}

/// Scenario 45: the client is gone before it hears of its event, and comes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_drops_before_the_reply_and_repeats_has_one_event() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::new();
    let opened = LogStore::open(
        folder.path(),
        LogOptions::default(),
        gate.disk(),
        Retention::default(),
    );
    let mut house = House::open(Arc::new(opened.unwrap().0), Options::default()).await;
    event_id(&house.ask("POST /plain/1", "", b"0").await);
    house.begun.recv().await;
    // Waits in user code until told: dropped there, nothing is stored and the key is free.
    let mut gone = house.client().await;
    gone.send("POST /plain/1", KEY, b"\"wait\"").await;
    house.begun.recv().await;
    drop(gone);
    // Offered, but not durable while the gate is shut: dropped there, the event stays.
    gate.shut();
    let mut second = house.client().await;
    second.send("POST /plain/1", KEY, b"\"wait\"").await;
    house.begun.recv().await;
    house.told.notify_one();
    house.store_has_taken(2).await;
    drop(second);
    let mut third = house.client().await;
    third.send("POST /plain/1", KEY, b"\"wait\"").await;
    gate.open();
    let reply = third.reply().await.unwrap();
    assert_eq!(event_id(&reply).position(), Some(Position(2)));
    assert!(
        reply.head.contains("idempotency-replayed: true"),
        "{}",
        reply.head
    );
    assert_eq!(house.events(), 2);
}

impl House {
    /// Returns when the next event would get a position behind `count`: it is probed with schema definitions, which take none.
    async fn store_has_taken(&self, count: u64) {
        let source = self.store.register_source("web").unwrap();
        loop {
            let receipt = self.store.remember(source, Vec::new()).unwrap();
            if receipt.first.0 > count {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn keys_survive_a_restart_and_lead_to_the_same_ids() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::open(log_store(folder.path()), Options::default()).await;
    let mut first = Vec::new();
    for number in 0..20 {
        event_id(&house.ask("POST /open", "", b"0").await);
        let key = format!("idempotency-key: {number}\r\n");
        first.push(event_id(&house.ask("POST /open", &key, b"1").await));
    }
    house.server.stop().await;
    house.store.close().unwrap();
    drop((house.store, house.gateway));

    let house = House::open(log_store(folder.path()), Options::default()).await;
    for (number, id) in first.into_iter().enumerate() {
        let key = format!("idempotency-key: {number}\r\n");
        assert_eq!(event_id(&house.ask("POST /open", &key, b"1").await), id);
        house.ask("POST /open", &key, b"2").await.fault(422);
    }
    assert_eq!(house.events(), 40);
}

#[tokio::test]
async fn keys_are_forgotten_when_they_are_too_old_or_too_many() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Retention::default()).unwrap());
    let clock = Arc::new(ManualClock::default());
    let options = Options {
        keeping: Keeping {
            window: Duration::from_secs(60),
            keys_max: 3,
        },
        ..Options::default()
    };
    let own = Arc::clone(&clock) as Arc<dyn Clock>;
    let house = House::with_clock(Arc::clone(&store), options, own).await;
    let ask = async |number: usize| {
        let key = format!("idempotency-key: {number}\r\n");
        event_id(&house.ask("POST /plain/1", &key, b"1").await)
    };
    let first = ask(0).await;
    assert_eq!(ask(0).await, first);
    for number in 1..4 {
        ask(number).await;
    }
    assert_ne!(ask(0).await, first, "four keys were used, three are kept");
    let third = ask(3).await;
    clock.advance(Duration::from_secs(61));
    let anew = ask(3).await;
    assert_ne!(anew, third);
    assert_eq!(ask(3).await, anew);
    let source = store.register_source("web").unwrap();
    let kept = store.recall_all(source, "idempotency/").len();
    assert!(kept <= 3, "the store forgets them too: {kept}");
}
