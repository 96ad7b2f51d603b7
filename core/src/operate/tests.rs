//! What an operator does where no lane runs: what it selects, what it counts, and what it leaves alone.

use std::sync::Arc;

use super::*;
use crate::clock::Timestamp;
use crate::flow::Pattern;
use crate::id::Id;
use crate::job::{Command, Status, Transition};
use crate::log::Retention;
use crate::position::{Position, Span};
use crate::query::tests::house::House;
use crate::query::{Filter, Names, Noun, Words};
use crate::store::Store;
use crate::store::memory::MemoryStore;

const AT: Timestamp = Timestamp(1_700_000_000_000_000);

/// Kinds of the house, in the order of [`crate::query::tests::house::KINDS`].
const SIGNUP: usize = 0;
const VISIT: usize = 1;
const ORDER: usize = 2;
const USERS: usize = 3;
const LOGS: usize = 4;

struct Lab {
    house: House,
    operator: Operator,
}

impl Lab {
    fn new() -> Lab {
        let store = MemoryStore::new(Retention::default()).unwrap();
        let house = House::over(Arc::new(store) as Arc<dyn Store>);
        let clock = crate::clock::SystemClock::shared();
        let operator = Operator::new(house.query.clone(), Plans::new(), clock);
        Lab { house, operator }
    }

    fn at(&self, positions: (u64, u64), status: Status) -> Transition {
        Transition {
            lane: self.house.lanes[0],
            span: Span::new(Position(positions.0), Position(positions.1)),
            status,
            attempt: 1,
            at: AT,
            error: None,
            command: None,
        }
    }

    fn status(&self, position: u64) -> Status {
        let lane = self.house.store.lane(self.house.lanes[0]).unwrap();
        lane.state(Position(position)).status
    }

    async fn order(&self, command: Command, jobs: impl Into<Selection>) -> Outcome {
        let order = Order {
            command,
            jobs: jobs.into(),
            reason: None,
        };
        let rehearsed = self.operator.rehearse(&order).await.unwrap();
        let before = self.house.store.statistics().len();
        let outcome = self.operator.order(&order).await.unwrap();
        assert_eq!(rehearsed, outcome, "the rehearsal says what the order does");
        assert_eq!(before, self.house.store.statistics().len());
        outcome
    }
}

fn only(trigger: &str) -> Filter {
    Filter {
        triggers: Names {
            only: vec![Pattern::new(trigger)],
            not: Vec::new(),
        },
        ..Filter::default()
    }
}

/// STO-05
#[tokio::test]
async fn jobs_are_selected_by_trigger_also_where_changes_of_several_triggers_lie_in_one_block() {
    let lab = Lab::new();
    // Users are routed to crm/register, logs to nobody.
    lab.house.append(
        lab.house
            .rows(&[USERS, LOGS, LOGS, USERS, LOGS, USERS], AT, 100),
    );
    lab.house
        .append(lab.house.documents(&[SIGNUP, ORDER, VISIT, SIGNUP], AT));
    lab.house.record(&[lab.at((1, 10), Status::Failed)]);
    let outcome = lab.order(Command::Discard, only("public.users")).await;
    assert_eq!((outcome.taken, outcome.refused), (3, 0));
    assert_eq!(lab.status(1), Status::Discarded);
    assert_eq!(lab.status(6), Status::Discarded);
    assert_eq!(lab.status(7), Status::Failed, "a signup is not meant");
    let outcome = lab.order(Command::Discard, only("order")).await;
    let actions: Vec<_> = outcome
        .actions
        .iter()
        .map(|own| (&*own.action, own.taken))
        .collect();
    assert_eq!(actions, [("crm/register", 1), ("crm/notify", 1)]);
    assert_eq!(
        (lab.status(7), lab.status(8), lab.status(10)),
        (Status::Failed, Status::Discarded, Status::Failed)
    );
}

#[tokio::test]
async fn what_is_not_taken_is_told_with_its_number_and_the_reason() {
    let lab = Lab::new();
    lab.house.append(
        lab.house
            .documents(&[SIGNUP, VISIT, SIGNUP, SIGNUP, VISIT], AT),
    );
    lab.house.record(&[
        lab.at((1, 2), Status::Succeeded),
        lab.at((3, 3), Status::Executing),
        lab.at((4, 5), Status::Discarded),
    ]);
    let id = |position| {
        Id::of_job(
            lab.house.store.id(),
            lab.house.lanes[0],
            Position(position),
            AT,
        )
    };
    let ids = [1, 2, 3, 4, 9].map(id);
    let outcome = lab
        .order(Command::Retry, Selection::Ids(ids.to_vec()))
        .await;
    assert_eq!((outcome.taken, outcome.refused), (1, 2));
    let refused = &outcome.actions[0].refused;
    let told: Vec<_> = refused.iter().map(|own| (&*own.status, own.jobs)).collect();
    assert_eq!(told, [("executing", 1), ("succeeded", 1)]);
    let unknown: Vec<_> = outcome.unknown.iter().map(|own| own.id.clone()).collect();
    assert_eq!(
        unknown,
        [id(2).to_string(), id(9).to_string()],
        "a visit makes no job"
    );
    assert_eq!(lab.status(4), Status::Awaiting);
    // A filter that names no state means those with which something can be done.
    let outcome = lab.order(Command::Discard, Filter::default()).await;
    assert_eq!((outcome.taken, outcome.refused), (2, 0));
}

#[tokio::test]
async fn a_filter_in_words_that_fits_nothing_does_nothing() {
    let lab = Lab::new();
    lab.house.append(lab.house.documents(&[SIGNUP], AT));
    let words = Words {
        source: vec!["elsewhere".into()],
        ..Words::default()
    };
    let filter = words.filter(Noun::Jobs, &lab.house.query, AT).unwrap();
    assert_eq!(
        lab.order(Command::Discard, filter).await,
        Outcome::default()
    );
}

#[tokio::test]
async fn a_paused_action_says_since_when_and_why_until_it_is_resumed() {
    let lab = Lab::new();
    lab.house
        .append(lab.house.documents(&[SIGNUP, SIGNUP, SIGNUP, VISIT], AT));
    let failed = Transition {
        error: Some("no such customer".into()),
        ..lab.at((2, 2), Status::Failed)
    };
    lab.house.record(&[failed]);
    let crm = [Pattern::new("crm/reg*")];
    let paused = lab
        .operator
        .pause(&crm, Some("the CRM moves"))
        .await
        .unwrap();
    assert_eq!(paused, [Arc::from("crm/register")]);
    let standing = lab.operator.standings().await.unwrap().remove(0);
    let pause = standing.paused.unwrap();
    assert_eq!(pause.reason.as_deref(), Some("the CRM moves"));
    assert!(pause.since().is_some());
    assert_eq!((standing.pending, standing.failed), (2, 1));
    assert_eq!(&*standing.last_error.unwrap().1, "no such customer");
    lab.operator.resume(&crm).await.unwrap();
    let standing = lab.operator.standings().await.unwrap().remove(0);
    assert_eq!(
        (standing.paused, standing.state),
        (None, State::Unconfigured)
    );
}
