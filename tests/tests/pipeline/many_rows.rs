//! One transaction larger than memory: streamed while it runs, sent whole, rolled back.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use blacksmith_tests::db::Db;
use blacksmith_tests::server::Server;
use blacksmith_tests::stream::{Pipeline, Running};
use blacksmith_tests::wait;

use crate::arrange::{SOON, full, options};

/// Default cap of the program's memory.
const MEMORY_BYTES_MAX: u64 = 512 << 20;

/// `logical_decoding_work_mem` above which the server streams, and in steps of which: in full its
/// default.
fn streamed() -> &'static str {
    if full() { "64MB" } else { "4MB" }
}

/// One that no transaction of this file reaches: the server keeps it until its commit.
const WHOLE: &str = "16GB";

/// In full: more than 2 GiB on the wire.
fn rows() -> u64 {
    if full() { 10_000_000 } else { 400_000 }
}

fn patience() -> Duration {
    Duration::from_secs(if full() { 1800 } else { 120 })
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => folder_bytes(&entry.path()),
        _ => entry.metadata().map_or(0, |data| data.len()),
    });
    sizes.sum()
}

/// A running pipeline from a server of its own, with one row in the lake.
struct Begun {
    db: Db,
    pipeline: Pipeline,
    program: Running,
    at: Instant,
}

impl Begun {
    fn new(name: &str, work_mem: &str) -> Begun {
        let server = Server::start(options().set("logical_decoding_work_mem", work_mem));
        let db = server.database(name);
        db.execute("create table t (id bigint primary key, v text)");
        let pipeline = Pipeline::new(&db);
        let program = pipeline.start();
        db.execute(&format!("insert into t values (0, '{}')", value(0)));
        pipeline.wait_equal(&db, &["public.t"], SOON);
        let at = Instant::now();
        Begun {
            db,
            pipeline,
            program,
            at,
        }
    }

    /// Bytes of transactions that the store has and nobody may see.
    fn staged_bytes(&self) -> u64 {
        folder_bytes(&self.pipeline.path().join("data/staged"))
    }

    fn store_bytes(&self) -> u64 {
        folder_bytes(&self.pipeline.path().join("data"))
    }

    /// Parquet files that anyone who lists the lake would find.
    fn files(&self) -> usize {
        let table = fs::read_dir(self.pipeline.lake_path().join("public.t"));
        let entries = table.into_iter().flatten().flatten();
        let visible = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
        visible.count()
    }

    /// Waits until most of the open transaction is in the store, and checks that the lake shows
    /// nothing of it.
    fn assert_hidden(&self) -> u64 {
        let most = rows() * if full() { 210 } else { 150 };
        let staged = wait::until(patience(), "the transaction in the store", || {
            Some(self.staged_bytes()).filter(|bytes| *bytes >= most)
        });
        assert_eq!((self.pipeline.lake().rows(), self.files()), (1, 1));
        staged
    }

    fn assert_modest(&self, what: &str) {
        let memory = self.program.memory_bytes_peak();
        let seconds = self.at.elapsed().as_secs();
        eprintln!(
            "{what}: {} rows, {memory} bytes of memory at most, {seconds} s",
            rows()
        );
        assert!(memory < MEMORY_BYTES_MAX, "{memory} bytes of memory");
    }

    fn wait_whole(&self) {
        let expected = rows() + 1;
        wait::until(patience(), "the huge transaction", || {
            (self.pipeline.lake().rows() >= expected).then_some(())
        });
    }

    /// Ends the program, and checks that every row is in the lake once with its own value.
    fn assert_all_there(self) {
        let Begun {
            db,
            pipeline,
            program,
            ..
        } = self;
        assert!(program.terminate().success());
        if !full() {
            assert_eq!(
                pipeline.assert_equal(&db, &["public.t"])[0].rows,
                rows() + 1
            );
        }
        let mut seen = vec![false; rows() as usize + 1];
        let read = pipeline
            .lake()
            .each_batch("public.t", &mut |batch| mark(batch, &mut seen));
        read.unwrap_or_else(|why| panic!("{why}"));
        let missing = seen.iter().filter(|seen| !**seen).count();
        assert_eq!(missing, 0, "{missing} rows are not in the lake");
    }
}

/// What the row `id` holds; too many to fold, they are known instead.
fn value(id: u64) -> String {
    format!("{:016x}", id * 2_654_435_761).repeat(12)
}

fn insert() -> String {
    format!(
        "insert into t select n, repeat(lpad(to_hex(n * 2654435761), 16, '0'), 12)
         from generate_series(1::bigint, {}) n",
        rows()
    )
}

/// Marks the rows of a batch as seen, each once and with its own value.
fn mark(batch: &RecordBatch, seen: &mut [bool]) {
    let column = |name| batch.column_by_name(name).expect("the table has it");
    let (ids, values) = (column("id").as_primitive::<Int64Type>(), column("v"));
    let values = values.as_string::<i32>();
    for row in 0..batch.num_rows() {
        let id = ids.value(row) as u64;
        assert!(!seen[id as usize], "row {id} is in the lake twice");
        assert_eq!(values.value(row), value(id), "row {id}");
        seen[id as usize] = true;
    }
}

#[test]
fn a_huge_transaction_is_hidden_until_its_commit_and_arrives_whole_within_the_memory_cap() {
    let begun = Begun::new("huge", streamed());
    let mut session = begun.db.session();
    session.execute(&format!("begin; {}", insert()));
    let staged = begun.assert_hidden();
    begun.assert_modest(&format!("streamed, {staged} bytes staged"));
    session.execute("commit");
    begun.wait_whole();
    begun.assert_modest("streamed and loaded");
    begun.assert_all_there();
}

#[test]
fn a_huge_transaction_that_is_sent_at_its_commit_arrives_whole_within_the_memory_cap() {
    let begun = Begun::new("huge_whole", WHOLE);
    begun.db.execute(&insert());
    begun.wait_whole();
    begun.assert_modest("sent whole and loaded");
    let streamed = "select coalesce(sum(stream_txns), 0) from pg_stat_replication_slots";
    assert_eq!(begun.db.value(streamed), "0");
    begun.assert_all_there();
}

#[test]
fn a_huge_transaction_rolled_back_leaves_no_row_and_frees_its_space() {
    let begun = Begun::new("huge_back", streamed());
    let before = begun.store_bytes();
    let mut session = begun.db.session();
    session.execute(&format!("begin; {}", insert()));
    let staged = begun.assert_hidden();
    session.execute("rollback");
    wait::until(patience(), "the staged bytes to be gone", || {
        (begun.staged_bytes() == 0).then_some(())
    });
    session.execute("insert into t values (-1, 'after')");
    begun
        .pipeline
        .wait_equal(&begun.db, &["public.t"], patience());
    assert_eq!(begun.pipeline.lake().rows(), 2);
    // One more segment may have been begun, none of the transaction's bytes may have stayed.
    let after = begun.store_bytes();
    assert!(
        after <= before + (160 << 20),
        "{after} bytes, {before} before"
    );
    begun.assert_modest(&format!("rolled back, {staged} bytes staged"));
    assert!(begun.program.terminate().success());
    begun.pipeline.assert_equal(&begun.db, &["public.t"]);
}

/// Each row has a savepoint of its own, as in a PL/pgSQL loop that catches exceptions; every tenth
/// is rolled back.
#[test]
fn a_transaction_of_very_many_savepoints_arrives_within_the_memory_cap() {
    let begun = Begun::new("savepoints", streamed());
    let savepoints = rows() / 10;
    begun.db.execute(&format!(
        "do $$ begin for n in 1..{savepoints} loop begin
             insert into t values (n, repeat('x', 200));
             if n % 10 = 0 then raise exception 'not this one'; end if;
         exception when others then null; end; end loop; end $$"
    ));
    let (committed, expected) = (Instant::now(), 1 + savepoints - savepoints / 10);
    wait::until(patience(), "the transaction of many savepoints", || {
        (begun.pipeline.lake().rows() >= expected).then_some(())
    });
    let (seconds, memory) = (
        committed.elapsed().as_secs(),
        begun.program.memory_bytes_peak(),
    );
    eprintln!(
        "{savepoints} savepoints, {memory} bytes of memory, loaded {seconds} s after the commit"
    );
    assert!(memory < MEMORY_BYTES_MAX, "{memory} bytes of memory");
    assert!(begun.program.terminate().success());
    assert_eq!(
        begun.pipeline.assert_equal(&begun.db, &["public.t"])[0].rows,
        expected
    );
}
