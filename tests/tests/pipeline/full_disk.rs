//! The disk of the store is full. Nothing is lost, and nobody starts anything again.
//!
//! The store lies on a small disk of its own, in memory, which only root may mount: as somebody else these tests
//! say so and leave the matter to the log's own (`log::tests::full`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use blacksmith_tests::db::Db;
use blacksmith_tests::stream::Pipeline;
use blacksmith_tests::wait;

use crate::arrange::{SOON, arrange};

/// Room on the small disk. Of it 16 MiB are the reserve.
const DISK: &str = "48m";

/// How long it may take to load what fits the disk, and the rest after it.
const LANDED: Duration = Duration::from_secs(120);

/// A small disk, while this lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, having said so, when it cannot be mounted.
    fn below(folder: &Path) -> Option<SmallDisk> {
        let path = folder.join("small");
        std::fs::create_dir(&path).expect("our own folder is writable");
        let size = format!("size={DISK}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&path)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(SmallDisk(path)),
            refused => {
                eprintln!("no small disk can be mounted, so nothing was tested: {refused:?}");
                None
            }
        }
    }

    fn fill(&self) {
        let rest = Command::new("dd")
            .args(["if=/dev/zero", "bs=64k"])
            .arg(format!("of={}", self.0.join("somebody's").display()))
            .output();
        assert!(
            !rest.expect("dd can be run").status.success(),
            "the disk was not filled"
        );
    }

    fn clear(&self) {
        std::fs::remove_file(self.0.join("somebody's"))
            .expect("the file that filled the disk is ours");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("cannot unmount {}", self.0.display());
        }
    }
}

fn on_small_disk(name: &str) -> Option<(Db, Pipeline, SmallDisk)> {
    let (db, mut pipeline) = arrange(name, "create table t (id serial primary key, v text)");
    let disk = SmallDisk::below(pipeline.path())?;
    pipeline.set("store", "path", "\"small/data\"");
    pipeline.set("store", "segment_bytes", "\"4MiB\"");
    pipeline.set("store", "reserve_bytes", "\"16MiB\"");
    pipeline.set(
        "store",
        "retention",
        "{ max_age = \"0s\", max_bytes = \"8MiB\" }",
    );
    Some((db, pipeline, disk))
}

/// About a MiB of rows.
fn insert_mib(db: &Db) {
    db.execute("insert into t (v) select string_agg(md5(n || '.' || m), '') from generate_series(1, 64) n, generate_series(1, 512) m group by n");
}

fn wait_full(pipeline: &Pipeline) {
    wait::until(SOON, "word that the disk is full", || {
        pipeline
            .said()
            .contains("the disk of the store is full")
            .then_some(())
    });
}

#[test]
fn on_a_full_disk_the_source_waits_loading_goes_on_and_room_is_enough() {
    let Some((db, pipeline, _disk)) = on_small_disk("full_disk") else {
        return;
    };
    let mut program = pipeline.start();
    insert_mib(&db);
    pipeline.wait_equal(&db, &["public.t"], SOON);
    assert_eq!(
        pipeline.run(&["actions", "pause", "lake/append"]),
        Some(0),
        "{}",
        pipeline.said_last()
    );
    for _ in 0..60 {
        insert_mib(&db);
    }
    wait_full(&pipeline);
    assert!(program.runs());
    let waits = format!(
        "select pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn) > 8 * 1048576, active
         from pg_replication_slots where slot_name = '{}'",
        pipeline.slot()
    );
    assert_eq!(
        db.rows(&waits),
        [[Some("t".to_owned()), Some("t".to_owned())]]
    );

    assert_eq!(
        pipeline.run(&["actions", "resume", "lake/append"]),
        Some(0),
        "{}",
        pipeline.said_last()
    );
    pipeline.wait_equal(&db, &["public.t"], LANDED);
    assert!(
        pipeline
            .said()
            .contains("there is room on the disk of the store again")
    );
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &["public.t"]);
}

#[test]
fn a_disk_that_somebody_else_filled_stops_nothing_for_good_and_a_kill_meanwhile_loses_nothing() {
    let Some((db, pipeline, disk)) = on_small_disk("filled_disk") else {
        return;
    };
    let program = pipeline.start();
    insert_mib(&db);
    pipeline.wait_equal(&db, &["public.t"], SOON);
    disk.fill();
    for _ in 0..12 {
        insert_mib(&db);
    }
    wait_full(&pipeline);
    program.kill9();
    let mut program = pipeline.start();
    for _ in 0..12 {
        insert_mib(&db);
    }
    assert!(program.runs(), "{}", pipeline.said_last());
    disk.clear();
    pipeline.wait_equal(&db, &["public.t"], LANDED);
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &["public.t"]);
}
