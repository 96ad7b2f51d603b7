//! What others do between two steps of ours.

use blacksmith_tests::wait;

use crate::arrange::{SOON, arrange};

#[test]
fn a_table_that_somebody_publishes_while_we_are_about_to_is_no_reason_to_stop() {
    let (db, pipeline) = arrange(
        "published_meanwhile",
        "create table a (id int primary key); insert into a values (1);
         create table b (id int primary key); insert into b values (1), (2);
         create publication blacksmith for table a",
    );
    let mark = pipeline.path().join("about-to");
    let plan = format!("publication.read=pause:{}", mark.display());
    let program = pipeline.spawn_armed(&plan, &["run"]);
    wait::until(SOON, "the publication to be read", || {
        mark.exists().then_some(())
    });
    db.execute("alter publication blacksmith add table b");
    std::fs::remove_file(&mark).unwrap();
    pipeline.wait_equal(&db, &["public.a", "public.b"], SOON);
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &["public.a", "public.b"]);
}

/// What a failed load announced is past the head that the store had when the process began.
#[test]
fn a_load_that_fails_after_its_files_appeared_is_done_again_by_the_same_process() {
    let (db, pipeline) = arrange(
        "failed_late",
        "create table a (id int primary key); insert into a select generate_series(1, 100)",
    );
    let program = pipeline.spawn_armed("parquet.published=error", &["run"]);
    pipeline.wait_equal(&db, &["public.a"], SOON);
    assert!(program.terminate().success());
    assert!(
        pipeline
            .said()
            .contains("failpoint parquet.published: error at 1")
    );
    pipeline.assert_equal(&db, &["public.a"]);
}
