//! What a trigger extracts.

use std::sync::Arc;

use crate::call::Actions;
use crate::clock::Timestamp;
use crate::flow::Flow;
use crate::json::Json;

/// An event on its way in, as a trigger returns it. The gateway adds id, position and time.
///
/// An event with everything that comes with it is stored whole or not at all, in one block of at most 48 MiB.
#[derive(Debug, Clone, Default)]
pub struct Event {
    /// The source's version it is written in; none takes the source's default.
    pub version: Option<Arc<str>>,
    /// Metadata, meant to have one shape across triggers. Kept as it is.
    pub context: Json,
    /// The data. Kept as it is.
    pub data: Json,
    /// Actions called directly.
    pub actions: Actions,
    /// Flows that call further actions.
    pub flows: Vec<Arc<dyn Flow>>,
    /// Events that came with this one, such as the items of a batch. At most 100,000.
    pub sub_events: Vec<SubEvent>,
    /// When it was sent originally, if that is known; when it was received the gateway adds.
    pub sent_at: Option<Timestamp>,
}

/// An event that came with another one. Source, version and time are its parent's; the jobs it
/// makes are its own.
#[derive(Debug, Clone, Default)]
pub struct SubEvent {
    /// The trigger it counts for; none for its parent's.
    pub trigger: Option<Arc<str>>,
    /// Metadata.
    pub context: Json,
    /// The data.
    pub data: Json,
    /// Actions called directly.
    pub actions: Actions,
    /// Flows that call further actions.
    pub flows: Vec<Arc<dyn Flow>>,
}

impl Event {
    /// An event with these data and no context.
    #[must_use]
    pub fn of(data: Json) -> Event {
        Event {
            data,
            ..Event::default()
        }
    }

    /// The same event with metadata.
    #[must_use]
    pub fn context(mut self, context: Json) -> Event {
        self.context = context;
        self
    }

    /// The same event, calling an action of `destination` besides.
    #[must_use]
    pub fn call(mut self, destination: impl Into<Arc<str>>, call: crate::call::Call) -> Event {
        self.actions.push(destination, call);
        self
    }

    /// The same event, naming a flow besides.
    #[must_use]
    pub fn flow(mut self, flow: impl Flow) -> Event {
        self.flows.push(Arc::new(flow));
        self
    }

    /// The same event with another one that came with it.
    #[must_use]
    pub fn sub_event(mut self, event: SubEvent) -> Event {
        self.sub_events.push(event);
        self
    }
}
