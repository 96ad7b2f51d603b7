use blacksmith_core::error::Kind;
use blacksmith_tests::server::{Server, Stop};

use super::*;

/// The text of the first column of an Insert message.
fn first_column(insert: &[u8]) -> &str {
    let bytes = u32::from_be_bytes(insert[9..13].try_into().unwrap()) as usize;
    std::str::from_utf8(&insert[13..13 + bytes]).unwrap()
}

fn hundred_thousand_rows(db: &Db, url: &str) {
    let name = unique(db, "lumps");
    db.execute("create table t (id int primary key, word text)");
    let mut stream = stream_of(db, url, &name);
    for part in 0..10 {
        let (from, to) = (part * 10_000 + 1, (part + 1) * 10_000);
        db.execute(&format!(
            "insert into t select g, repeat('x', g % 300) from generate_series({from}, {to}) g"
        ));
    }
    let (mut lumps, mut seen, mut commits, deadline) = (0, 0_u32, 0, soon());
    while commits < 10 {
        let lump = stream.receive(deadline).unwrap();
        lumps += u32::from(!lump.is_empty());
        for message in lump {
            let Message::Data {
                payload,
                start,
                end,
                sent_at,
            } = message
            else {
                continue;
            };
            match payload[0] {
                b'I' => {
                    seen += 1;
                    assert_eq!(
                        first_column(payload),
                        seen.to_string(),
                        "in order, none missing"
                    );
                    assert!(
                        start > Lsn::ZERO
                            && end > Lsn::ZERO
                            && sent_at > Timestamp(1_500_000_000_000_000)
                    );
                }
                b'C' => commits += 1,
                _ => {}
            }
        }
    }
    assert_eq!(seen, 100_000);
    assert!(
        lumps < 10_000,
        "{lumps} lumps for 100,000 messages: the reader woke for nearly each"
    );
    assert!(stream.close(PATIENCE));
}

#[test]
fn a_hundred_thousand_rows_arrive_in_order_and_in_lumps_over_tcp() {
    let db = Server::shared().database("tcp");
    hundred_thousand_rows(&db, &db.url());
}

#[test]
fn a_hundred_thousand_rows_arrive_in_order_and_in_lumps_over_a_unix_socket() {
    let db = Server::shared().database("unix");
    let folder = db
        .server()
        .socket_dir()
        .display()
        .to_string()
        .replace('/', "%2F");
    let url = format!(
        "postgres://postgres@/{}?host={folder}&port={}",
        db.name(),
        db.server().port()
    );
    hundred_thousand_rows(&db, &url);
}

#[test]
fn a_status_moves_the_slot_and_a_keepalive_answers_it() {
    let db = Server::shared().database("status");
    let name = unique(&db, "status");
    db.execute("create table t (id int)");
    let mut stream = stream_of(&db, &db.url(), &name);
    db.execute("insert into t values (1)");
    let commit = read(&mut stream, b'C', 1).remove(0);
    let end = u64::from_be_bytes(commit[10..18].try_into().unwrap());
    stream.send_status(&status(end), now()).unwrap();
    let deadline = soon();
    let answered = loop {
        let lump = stream.receive(deadline).unwrap();
        assert!(!lump.is_empty(), "no keepalive in time");
        let keepalive = lump.messages().find_map(|message| match message {
            Message::Keepalive {
                end, reply_wanted, ..
            } => Some((end, reply_wanted)),
            Message::Data { .. } => None,
        });
        if let Some(keepalive) = keepalive {
            break keepalive;
        }
    };
    assert!(answered.0 >= Lsn(end) && !answered.1);
    let confirmed =
        format!("select confirmed_flush_lsn from pg_replication_slots where slot_name = '{name}'");
    assert_eq!(db.value(&confirmed).parse::<Lsn>().unwrap(), Lsn(end));
    assert!(stream.silence() < PATIENCE);
}

#[test]
fn a_wake_from_another_thread_ends_the_wait_and_a_deadline_too() {
    let db = Server::shared().database("wake");
    let mut stream = stream_of(&db, &db.url(), &unique(&db, "wake"));
    let waker = stream.waker();
    let waking = std::thread::spawn(move || waker.wake());
    let start = Instant::now();
    let mut lump_bytes = usize::MAX;
    while lump_bytes > 0 {
        lump_bytes = stream.receive(start + PATIENCE).unwrap().len_bytes(); // keepalives may come first
    }
    assert!(start.elapsed() < PATIENCE);
    waking.join().unwrap();
    let start = Instant::now();
    while stream
        .receive(start + Duration::from_millis(50))
        .unwrap()
        .len_bytes()
        > 0
    {}
    assert!(start.elapsed() >= Duration::from_millis(50) && start.elapsed() < PATIENCE);
}

#[test]
fn a_message_of_many_megabytes_arrives_whole_and_the_next_ones_too() {
    let db = Server::shared().database("huge");
    db.execute("create table t (id int, big text)");
    let mut stream = stream_of(&db, &db.url(), &unique(&db, "huge"));
    db.execute("insert into t values (1, repeat('y', 200000000)), (2, 'small')");
    let large = read(&mut stream, b'I', 1).remove(0);
    assert_eq!((large[0], large.len()), (b'I', 200_000_000 + 19));
    assert!(large.ends_with(&[b'y'; 1000]));
    assert_eq!(first_column(&read(&mut stream, b'I', 1)[0]), "2");
}

#[test]
fn a_server_that_stops_ends_the_stream_with_an_error_worth_a_retry() {
    let server = Server::start(blacksmith_tests::server::Options::default());
    let db = server.existing("postgres");
    db.execute("create table t (id int)");
    let mut stream = stream_of(&db, &db.url(), "ending");
    db.execute("insert into t select generate_series(1, 1000)");
    // A server that stops waits until its walsenders have been heard: say so, from another thread.
    let stopping = {
        let server = server.clone();
        std::thread::spawn(move || server.stop(Stop::Immediate))
    };
    let mut rows = 0;
    let error = loop {
        match stream.receive(soon()) {
            Ok(lump) => {
                rows += lump
                    .messages()
                    .filter(|m| {
                        matches!(
                            m,
                            Message::Data {
                                payload: [b'I', ..],
                                ..
                            }
                        )
                    })
                    .count();
            }
            Err(error) => break error,
        }
    };
    stopping.join().unwrap();
    assert_eq!(error.kind(), Kind::Unavailable, "{}", error.report());
    assert!(rows <= 1000);
    server.resume();
    let streaming = StreamOptions::new(vec!["ending".into()]);
    let mut stream = replication(&db.url())
        .start_replication("ending", Lsn::ZERO, &streaming)
        .unwrap();
    assert_eq!(
        read(&mut stream, b'I', 1000).len(),
        1000,
        "what was not confirmed comes again"
    );
}

#[test]
fn a_server_that_reads_nothing_cannot_make_a_status_wait() {
    let db = Server::shared().database("stuck");
    let name = unique(&db, "stuck");
    let mut stream = stream_of(&db, &db.url(), &name);
    let pid = db.value(&format!(
        "select active_pid from pg_replication_slots where slot_name = '{name}'"
    ));
    let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let start = Instant::now();
    let refused = (0..2_000_000).find_map(|_| stream.send_status(&status(1), now()).err());
    let received = stream.receive(Instant::now() + Duration::from_millis(20));
    let received = received.map(|lump| lump.len_bytes());
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    let refused = refused.expect("nobody reads two million messages");
    assert_eq!(refused.kind(), Kind::Unavailable);
    assert!(
        refused.report().contains("reads no status messages"),
        "{}",
        refused.report()
    );
    assert!(received.is_ok() && start.elapsed() < PATIENCE);
}

#[test]
fn the_exported_snapshot_shows_exactly_what_lies_before_the_slot() {
    let db = Server::shared().database("exported");
    let name = unique(&db, "exported");
    db.execute("create table t (id int); insert into t values (1)");
    let mut connection = replication(&db.url());
    let slot = NewSlot {
        name: &name,
        temporary: true,
        failover: false,
        export_snapshot: true,
    };
    let created = connection.create_slot(&slot, PATIENCE).unwrap();
    db.execute("insert into t values (2)");
    let snapshot = created.snapshot.unwrap();
    let mut session = db.session();
    session.execute(&format!(
        "begin isolation level repeatable read; set transaction snapshot '{snapshot}'"
    ));
    assert_eq!(
        session.value("select string_agg(id::text, ',') from t"),
        "1"
    );
    assert!(created.consistent_point > Lsn::ZERO);
    assert_eq!(created.name, name);
    drop(connection); // a temporary slot goes with it
    let count = format!("select count(*) from pg_replication_slots where slot_name = '{name}'");
    blacksmith_tests::wait::until(PATIENCE, "the temporary slot to go", || {
        (db.value(&count) == "0").then_some(())
    });
}
