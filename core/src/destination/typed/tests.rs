//! An action that adds up what it is given.

use std::sync::Mutex;

use serde::Deserialize;

use super::*;
use crate::clock::{SystemClock, Timestamp};
use crate::destination::{Outcome, Piece};
use crate::event::{LaneId, StoreId};
use crate::id::Id;
use crate::job::{EventHead, Origin};
use crate::json::Json;
use crate::position::Position;

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    total: u64,
}

#[derive(Debug, Default)]
struct AddUp(Mutex<u64>);

#[async_trait]
impl TypedAction for AddUp {
    type Payload = Order;
    const NAME: &'static str = "add-up";

    async fn load(
        &self,
        _: &Toolkit,
        queue: &mut TypedQueue<'_, Order>,
        then: &Thens,
    ) -> Result<()> {
        while let Some(jobs) = queue.next_jobs().await? {
            *self.0.lock().unwrap() += jobs.iter().map(|job| job.payload.total).sum::<u64>();
        }
        then.send(Then::succeeded(Jobs::All));
        Ok(())
    }
}

fn job(position: u64, data: &str) -> QueuedJob {
    let (store, lane, at) = (StoreId(1), LaneId(1), Timestamp(0));
    let position = Position(position);
    QueuedJob {
        id: Id::of_job(store, lane, position, at),
        position,
        parent: None,
        event: EventHead {
            id: Id::of_event(store, position, at),
            parent: None,
            origin: Arc::new(Origin {
                source: "web".into(),
                trigger: "order".into(),
                version: None,
            }),
            received_at: at,
            sent_at: None,
        },
        version: None,
        context: Json::null(),
        data: Json::parse(data.to_owned().into()).unwrap(),
        sent_at: None,
    }
}

/// Runs the action over a queue of these pieces; gives back what it reported, and its sum.
async fn load(pieces: Vec<Vec<QueuedJob>>) -> (Vec<Then>, u64) {
    let own = Arc::new(AddUp::default());
    let action = Typed(Arc::clone(&own));
    let (mut queue, feed) = Queue::new(Span::starting(Position(1), 10), 10, 1);
    let feeding = std::thread::spawn(move || {
        for piece in pieces {
            assert!(feed.push(Ok(Piece::Jobs(piece))));
        }
        feed.finish(None);
    });
    let then = Thens::default();
    let toolkit = Toolkit::by_hand("shop/add-up", StoreId(1), SystemClock::shared());
    action.load(&toolkit, &mut queue, &then).await.unwrap();
    feeding.join().unwrap();
    let sum = *own.0.lock().unwrap();
    (then.take(), sum)
}

#[async_trait]
impl TypedAction for Arc<AddUp> {
    type Payload = Order;
    const NAME: &'static str = AddUp::NAME;

    async fn load(
        &self,
        toolkit: &Toolkit,
        queue: &mut TypedQueue<'_, Order>,
        then: &Thens,
    ) -> Result<()> {
        AddUp::load(self, toolkit, queue, then).await
    }
}

/// CON-11 JOB-03 ACT-05
#[tokio::test]
async fn an_action_is_given_its_own_type_and_what_has_another_shape_is_discarded_alone() {
    let wrong = [
        job(2, r#"{"totl":1}"#),
        job(3, "[]"),
        job(4, r#"{"totl":1}"#),
    ];
    let [second, third, fourth] = wrong;
    let pieces = vec![
        vec![job(1, r#"{"total":20}"#), second, third, fourth],
        vec![job(5, "null")],
        vec![job(6, r#"{"total":22,"more":true}"#)],
    ];
    let (thens, sum) = load(pieces).await;
    assert_eq!(sum, 42);
    let mut discarded = Vec::new();
    for then in &thens {
        if let (Outcome::Discarded(error), Jobs::Spans(spans)) = (&then.outcome, &then.jobs) {
            assert!(
                error.report().contains("another shape"),
                "{}",
                error.report()
            );
            discarded.extend(spans.iter().map(|span| span.first.0));
        }
    }
    discarded.sort_unstable();
    assert_eq!(discarded, [2, 3, 4, 5]);
    assert!(matches!(thens.last().unwrap().outcome, Outcome::Succeeded));
    assert_eq!(
        thens.len(),
        4,
        "jobs that are wrong alike are reported together"
    );
}

/// Whatever stands in a job's data: the action never sees what it cannot take, and no error quotes it.
/// ACT-05
#[tokio::test]
async fn data_that_was_made_to_do_harm_is_discarded_job_by_job_and_quoted_nowhere() {
    let nested = format!(
        "{{\"total\":{}\"hunter2\"{}}}",
        "[".repeat(900),
        "]".repeat(900)
    );
    let beside = format!(
        "{{\"x\":{}1{},\"total\":1}}",
        "[".repeat(900),
        "]".repeat(900)
    );
    let keys: Vec<String> = (0..100_000)
        .map(|number| format!("\"k{number}\":{number}"))
        .collect();
    let keys = format!("{{{},\"total\":1}}", keys.join(","));
    let number = format!("{{\"total\":{}}}", "9".repeat(1 << 20));
    let harmful = [
        nested.as_str(),
        r#"{"total":"hunter2"}"#,
        r#"{"total":1,"total":2,"note":"hunter2"}"#,
        r#"{"total":1e400}"#,
        r#"{"total":-1}"#,
        r#"{"total":"\ud800 hunter2"}"#,
        number.as_str(),
        r#"{"hunter2":1}"#,
    ];
    let mut jobs: Vec<QueuedJob> = (1..).zip(harmful).map(|(at, data)| job(at, data)).collect();
    // Strange, and nothing that the action reads.
    jobs.push(job(9, &keys));
    jobs.push(job(10, &beside));
    let (thens, sum) = load(vec![jobs]).await;
    assert_eq!(sum, 2);
    let mut discarded = Vec::new();
    for then in &thens {
        if let (Outcome::Discarded(error), Jobs::Spans(spans)) = (&then.outcome, &then.jobs) {
            let report = error.report();
            assert!(
                !report.contains("hunter2") && report.len() < 1_000,
                "{report}"
            );
            assert!(report.contains("line 1, column"), "{report}");
            discarded.extend(spans.iter().map(|span| span.first.0));
        }
    }
    discarded.sort_unstable();
    assert_eq!(discarded, [1, 2, 3, 4, 5, 6, 7, 8]);
}

/// CON-04 ACT-01 JOB-03
#[test]
fn one_type_names_the_action_and_what_it_takes() {
    let action = AddUp::default().into_action();
    let call = AddUp::call(&Order { total: 7 }).unwrap();
    assert_eq!((action.name(), &*call.action), ("add-up", "add-up"));
}
