//! Which actions are paused as a whole: remembered in the store, so that a restart does not forget it.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::event::{Refusal, StateChange};
use crate::log::Receipt;
use crate::store::Store;

/// The source under which it is remembered: no source of a user can be called so.
const MEMORY: &str = "@operator";
const PREFIX: &str = "paused/";
/// Bytes of a reason, at most.
const REASON_BYTES_MAX: usize = 512;

/// How an action came to be paused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pause {
    /// When, in microseconds since 1970; none when it is not known.
    at_us: Option<i64>,
    /// Why, if somebody said.
    pub reason: Option<String>,
}

impl Pause {
    pub(super) fn new(at: Timestamp, reason: Option<&str>) -> Pause {
        let cut = |reason: &str| {
            let kept = reason.floor_char_boundary(REASON_BYTES_MAX);
            reason[..kept].to_owned()
        };
        Pause {
            at_us: Some(at.0),
            reason: reason.filter(|reason| !reason.is_empty()).map(cut),
        }
    }

    /// Since when.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        self.at_us.map(Timestamp)
    }
}

/// How the action `destination/action` came to be paused; none when it is not.
pub(crate) fn paused(store: &dyn Store, action: &str) -> Option<Pause> {
    let mut sources = store.sources().into_iter();
    let (memory, _) = sources.find(|(_, name)| &**name == MEMORY)?;
    let value = store.recall(memory, &key(action))?;
    // Whatever stands there, the action is paused.
    Some(serde_json::from_slice(&value).unwrap_or_default())
}

/// Remembers that these actions are paused, or with none that they are not.
///
/// # Errors
/// When the store cannot be written.
pub(super) fn remember(
    store: &dyn Store,
    actions: &[Arc<str>],
    pause: Option<&Pause>,
) -> Result<Receipt> {
    let value = pause.map(|pause| serde_json::to_vec(pause).map(Bytes::from));
    let value = value
        .transpose()
        .map_err(|error| Error::invalid("the reason cannot be remembered").because(error))?;
    let changes = actions.iter().map(|action| StateChange {
        key: key(action),
        value: value.clone().unwrap_or_default(),
    });
    let source = store.register_source(MEMORY)?;
    let remembered = store.remember(source, changes.collect());
    remembered.map_err(|refusal| match refusal {
        Refusal::Full(_) => Error::unavailable("the store is full").help("try again"),
        Refusal::Failed(error) => error,
    })
}

fn key(action: &str) -> String {
    format!("{PREFIX}{action}")
}
