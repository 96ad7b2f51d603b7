//! What `docs/first-application.md` makes: a program that greets.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use blacksmith_core::app::DestinationSettings;
use blacksmith_core::destination::{
    Action, Destination, Jobs, Then, Thens, Toolkit, TypedAction, TypedQueue,
};
use blacksmith_core::error::{Error, Result};
use blacksmith_stream::Program;
use serde::{Deserialize, Serialize};

fn main() -> ExitCode {
    let desk = DestinationSettings::from(Desk).realtime(Duration::from_millis(100));
    Program::new()
        .named("first_application", env!("CARGO_PKG_VERSION"))
        .destination(desk)
        .main()
}

/// The destination `desk`, with its one action.
#[derive(Debug)]
struct Desk;

impl Destination for Desk {
    fn name(&self) -> &str {
        "desk"
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        vec![Greet.into_action()]
    }
}

/// What `greet` is given: the data of an event, read into this type.
#[derive(Debug, Serialize, Deserialize)]
struct Visitor {
    name: String,
}

/// The action `greet`.
#[derive(Debug)]
struct Greet;

#[async_trait]
impl TypedAction for Greet {
    type Payload = Visitor;
    const NAME: &'static str = "greet";

    async fn load(
        &self,
        _: &Toolkit,
        queue: &mut TypedQueue<'_, Visitor>,
        then: &Thens,
    ) -> Result<()> {
        while let Some(jobs) = queue.next_jobs().await? {
            for job in jobs {
                let name = &job.payload.name;
                if name.is_empty() {
                    let error = Error::invalid("nobody to greet");
                    then.send(Then::discarded(&job.job, error));
                    continue;
                }
                tracing::info!(name, "hello");
            }
        }
        // All others. The first report of a job wins.
        then.send(Then::succeeded(Jobs::All));
        Ok(())
    }
}
