//! Gateway and scheduler one after the other, on one store.

use super::*;

/// SVC-01 SVC-02 SVC-04
#[tokio::test]
async fn what_a_gateway_alone_kept_is_loaded_by_a_scheduler_alone_later() {
    let store = store_with_events();
    let caught_up = || Run {
        until_caught_up: true,
        ..Run::default()
    };
    let (gateway, harbours) = application(&store, &["north"]);
    gateway.run_gateway(caught_up()).await.unwrap();
    assert!(
        store.lanes()[0].open().next().is_none(),
        "nothing is loaded by it"
    );
    drop((gateway, harbours));
    let (scheduler, harbours) = application(&store, &["north"]);
    for _ in 0..3 {
        harbours[0].told.notify_one();
    }
    let told = Arc::clone(&harbours[0].told);
    let begun = Arc::clone(&harbours[0].begun);
    let telling = tokio::spawn(async move {
        loop {
            begun.notified().await;
            told.notify_one();
        }
    });
    scheduler.run_scheduler(caught_up()).await.unwrap();
    telling.abort();
    assert_eq!(store.settled_upto(), Position(3));
}
