//! Which time of a cron trigger was used last, remembered in the store: so the next process knows what passed meanwhile.
//!
//! It stands in the source's state under `cron/<trigger>`, in the record of the event that the time made. A time counts as used
//! when its call came to its end, with or without an event; one that a crash cut short was not.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::StateChange;
use crate::gateway::Intake;
use crate::json::Json;
use crate::schedule::Interval;

const PREFIX: &str = "cron/";

/// What is remembered of one trigger.
#[derive(Debug)]
pub(super) struct Memory {
    key: String,
    interval: String,
}

#[derive(Serialize, Deserialize)]
struct Used {
    /// As it was written then: times of another pattern say nothing about those of this one.
    interval: String,
    at_us: i64,
}

impl Memory {
    pub(super) fn of(trigger: &Arc<str>, interval: &Interval) -> Memory {
        Memory {
            key: format!("{PREFIX}{trigger}"),
            interval: interval.as_str().to_owned(),
        }
    }

    /// The time that was used last; none when the trigger never ran, or at other times.
    pub(super) fn last(&self, intake: &Intake) -> Option<Timestamp> {
        let all = intake.recall_all(&self.key).into_iter();
        let (_, value) = all.into_iter().find(|(key, _)| *key == self.key)?;
        let used: Used = Json::parse(value).ok()?.read().ok()?;
        (used.interval == self.interval).then_some(Timestamp(used.at_us))
    }

    /// What has the source remember that everything up to `at` is over.
    pub(super) fn used(&self, at: Timestamp) -> StateChange {
        let used = Used {
            interval: self.interval.clone(),
            at_us: at.0,
        };
        StateChange {
            key: self.key.clone(),
            // Text and a number have no way to refuse.
            value: Json::of(&used).unwrap_or_default().bytes().clone(),
        }
    }
}
