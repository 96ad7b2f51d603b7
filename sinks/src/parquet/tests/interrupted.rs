//! What happens to a load that fails, at every step, and to the next one.

use blacksmith_core::destination::Piece;
use blacksmith_core::error::Kind;

use super::*;
use crate::parquet::folder::Folder;
use crate::parquet::folder::memory::{MemoryFolder, Step};

fn two_tables() -> Vec<blacksmith_core::destination::Rows> {
    vec![rows(1, "a.t", 1, 3), rows(2, "a.u", 4, 6)]
}

const EXPECTED: [&str; 3] = [
    "_commits/00000000000000000006.json",
    "a.t/00000000000000000001-00000000000000000003.parquet",
    "a.u/00000000000000000004-00000000000000000006.parquet",
];

#[tokio::test]
async fn a_failure_at_any_step_leaves_nothing_and_the_retry_the_same_names() {
    for step in [Step::Write, Step::Publish, Step::Settle, Step::Put] {
        for times in 0..2 {
            let folder = MemoryFolder::default();
            let lake = lake(folder.clone());
            init(&lake, &toolkit()).await.unwrap();
            folder.fail_at(step, times);
            let failed = load(&lake, Batch::new(1, 6, two_tables())).await;
            if matches!(step, Step::Settle) && times == 1 {
                assert!(failed.unwrap(), "one settling is all a load does");
            } else {
                assert_eq!(
                    failed.unwrap_err().kind(),
                    Kind::Unavailable,
                    "{step:?} {times}"
                );
                assert_eq!(folder.paths(), Vec::<String>::new(), "{step:?} {times}");
            }
            folder.heal();
            assert!(
                load(&lake, Batch::new(1, 6, two_tables()).attempt(2))
                    .await
                    .unwrap()
            );
            assert_eq!(folder.paths(), EXPECTED, "{step:?} {times}");
        }
    }
}

#[tokio::test]
async fn what_a_crash_published_without_a_record_is_taken_back_at_the_next_start() {
    let folder = MemoryFolder::default();
    let before = lake(folder.clone());
    // Publishing succeeds, confirming fails, and so does taking back: as good as a crash.
    folder.fail_at(Step::Put, 1);
    load(&before, Batch::new(1, 6, two_tables()))
        .await
        .unwrap_err();
    assert_eq!(folder.paths(), Vec::<String>::new());
    folder.heal();

    load(&before, Batch::new(1, 6, two_tables())).await.unwrap();
    let mut announced = record(&folder, 6).await;
    announced.first_position = 7;
    announced.last_position = 9;
    announced.files.truncate(1);
    announced.files[0].path = "a.t/00000000000000000007-00000000000000000009.parquet".into();
    let left = announced.files[0].path.clone();
    folder.put(&left, "published".into()).await.unwrap();
    crate::parquet::commit::announce(&folder, &announced)
        .await
        .unwrap();
    let after = lake(folder.clone());
    init(&after, &toolkit()).await.unwrap();
    assert_eq!(folder.paths(), EXPECTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_is_dropped_while_it_publishes_is_finished_before_the_next() {
    let folder = MemoryFolder::default();
    let lake = std::sync::Arc::new(lake(folder.clone()));
    let barrier = folder.hold_publications();
    let dropped = tokio::spawn({
        let lake = std::sync::Arc::clone(&lake);
        async move { load(&lake, Batch::new(1, 6, two_tables())).await }
    });
    barrier.reached.acquire().await.unwrap().forget();
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    let again = tokio::spawn({
        let lake = std::sync::Arc::clone(&lake);
        async move { load(&lake, Batch::new(1, 6, two_tables()).attempt(2)).await }
    });
    barrier.open.add_permits(16);
    assert!(again.await.unwrap().unwrap());
    assert_eq!(folder.paths(), EXPECTED);
    assert_eq!(sequence(&folder).await, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_failure_that_cannot_be_taken_back_now_is_before_the_next_load() {
    let folder = MemoryFolder::default();
    let lake = lake(folder.clone());
    init(&lake, &toolkit()).await.unwrap();
    let barrier = folder.hold_publications();
    let failing = load(&lake, Batch::new(1, 6, two_tables()));
    let breaking = async {
        // Both files appear; then neither the record nor a removal works.
        barrier.reached.acquire_many(2).await.unwrap().forget();
        folder.fail_at(Step::Settle, 0);
        barrier.open.add_permits(2);
    };
    let (failed, ()) = tokio::join!(failing, breaking);
    failed.unwrap_err();
    barrier.open.add_permits(16);
    folder.heal();
    // The retry is formed differently: other files, other names, and none of the old ones.
    let retry = vec![
        rows(3, "a.t", 1, 2),
        rows(4, "a.t", 3, 3),
        rows(2, "a.u", 4, 6),
    ];
    assert!(
        load(&lake, Batch::new(1, 6, retry).attempt(2))
            .await
            .unwrap()
    );
    assert_eq!(sequence(&folder).await, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn an_error_of_the_queue_is_the_loads_and_leaves_nothing() {
    let folder = MemoryFolder::default();
    let lake = lake(folder.clone());
    let (mut queue, feed) = blacksmith_core::destination::Queue::new(span(1, 6), 6, 1);
    let feeding = std::thread::spawn(move || {
        assert!(feed.push(Ok(Piece::Rows(rows(1, "a.t", 1, 3)))));
        assert!(feed.push(Err(blacksmith_core::error::Error::damaged("segment 7"))));
        feed.finish(None);
    });
    let then = blacksmith_core::destination::Thens::default();
    let actions = blacksmith_core::destination::Destination::actions(&lake);
    let error = actions[0]
        .load(&toolkit(), &mut queue, &then)
        .await
        .unwrap_err();
    feeding.join().unwrap();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (Kind::Damaged, "segment 7")
    );
    assert!(then.take().is_empty());
    assert_eq!(folder.paths(), Vec::<String>::new());
}
