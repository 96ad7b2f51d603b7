//! Flows: which events go to which actions.
//!
//! A [`Route`] is one written as data, `shop/public.*` to `lake`; a [`Flow`] is one written as code, between
//! the triggers that name it and the actions that it calls.

mod route;

use std::collections::BTreeMap;
use std::fmt;

use crate::call::Actions;
use crate::error::Result;
use crate::service::Toolkit;

pub use route::{Pattern, Route};

/// How a flow is to be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowOptions {
    /// Whether it runs at all. Default: true, so that a flow whose author says nothing is not silently idle.
    pub enabled: bool,
    /// Free pairs for whoever looks at flows.
    pub context: BTreeMap<String, String>,
}

impl Default for FlowOptions {
    fn default() -> FlowOptions {
        FlowOptions {
            enabled: true,
            context: BTreeMap::new(),
        }
    }
}

/// A reusable step from an event to actions: a value that holds what several actions share.
///
/// # Contract
/// The gateway calls [`Flow::transform`] once for each event that names the flow, before the event is
/// stored, unless the flow is disabled. It must not wait. Destinations that are not registered
/// are passed over, so that one flow serves applications with different destinations.
pub trait Flow: fmt::Debug + Send + Sync + 'static {
    /// Its name, as it is logged.
    fn name(&self) -> &str;

    /// How it is to be used.
    fn options(&self) -> FlowOptions {
        FlowOptions::default()
    }

    /// The calls that this event makes.
    ///
    /// # Errors
    /// Whatever makes the event useless: it is refused as if its extraction had failed.
    fn transform(&self, toolkit: &Toolkit) -> Result<Actions>;
}
