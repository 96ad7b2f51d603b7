//! The two services, gateway and scheduler, as others see them; and what they hand to user code.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::clock::Clock;
use crate::id::Id;
use crate::logger::Logger;

/// A running service: the gateway takes events in, the scheduler loads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its own KSUID, new at every start.
    pub id: String,
    /// `blacksmith-gateway` or `blacksmith-scheduler`.
    pub name: &'static str,
    /// The version of Blacksmith.
    pub version: &'static str,
    /// Where it answers, if it does.
    pub address: Option<String>,
    /// Free words for whoever looks services up.
    pub tags: Vec<String>,
    /// Free pairs for whoever looks services up.
    pub meta: BTreeMap<String, String>,
}

impl Service {
    /// The name of the gateway.
    pub const GATEWAY: &'static str = "blacksmith-gateway";
    /// The name of the scheduler.
    pub const SCHEDULER: &'static str = "blacksmith-scheduler";

    /// A service called `name` that does not answer anywhere yet.
    #[must_use]
    pub fn new(id: String, name: &'static str) -> Service {
        Service {
            id,
            name,
            version: env!("CARGO_PKG_VERSION"),
            address: None,
            tags: Vec::new(),
            meta: BTreeMap::new(),
        }
    }
}

/// What a trigger, a flow, a `marshal` or a hook may use.
#[derive(Clone)]
pub struct Toolkit {
    /// Where log lines of user code belong: enter it, or name it as parent.
    pub logger: Logger,
    /// The service that calls.
    pub service: Arc<Service>,
    /// The event that is being extracted, transformed or marshalled. Given before the event has a
    /// position; the event is found by it. None in hooks and in CDC triggers, of which one call
    /// yields many events.
    pub event_id: Option<Id>,
    /// The job that is being marshalled. None elsewhere.
    pub job_id: Option<Id>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for Toolkit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Toolkit")
            .field("service", &self.service.name)
            .field("event_id", &self.event_id)
            .field("job_id", &self.job_id)
            .finish_non_exhaustive()
    }
}
