//! An action for a type of its own: it is given orders, already read, and never sees anything else.
//!
//! ```sh
//! cargo run -p blacksmith-stream --example typed_action -- run
//! curl -d '{"number": 7, "item": "anvil"}' http://127.0.0.1:9090/orders
//! curl -d '{"item": "an order without a number"}' http://127.0.0.1:9090/orders
//! cargo run -p blacksmith-stream --example typed_action -- jobs
//! ```

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use blacksmith_core::app::DestinationSettings;
use blacksmith_core::destination::{
    Action, Destination, Jobs, Then, Thens, Toolkit, TypedAction, TypedQueue,
};
use blacksmith_core::error::{Error, Result};
use blacksmith_core::json::Json;
use blacksmith_core::service;
use blacksmith_core::source::{Event, ExtractHttp, Mode, Request, Route, Source, Trigger};
use blacksmith_stream::Program;
use serde::{Deserialize, Serialize};

fn main() -> ExitCode {
    Program::new()
        .named("typed_action", env!("CARGO_PKG_VERSION"))
        .source(Shop)
        .destination(DestinationSettings::from(Warehouse).realtime(Duration::from_millis(100)))
        .flow("shop/order", "warehouse/ship")
        .main()
}

/// What `ship` is given.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    number: u64,
    item: String,
}

#[derive(Debug)]
struct Shop;

impl Source for Shop {
    fn name(&self) -> &str {
        "shop"
    }

    fn triggers(&self) -> Vec<Arc<dyn Trigger>> {
        vec![Arc::new(Ordered)]
    }
}

/// Whatever is JSON is kept; whether it is an order, the action finds out.
#[derive(Debug)]
struct Ordered;

impl Trigger for Ordered {
    fn name(&self) -> &str {
        "order"
    }

    fn mode(self: Arc<Self>) -> Mode {
        Mode::Http {
            route: Route::post("/orders"),
            extract: self,
        }
    }
}

#[async_trait]
impl ExtractHttp for Ordered {
    async fn extract(&self, _: &service::Toolkit, request: Request) -> Result<Option<Event>> {
        Ok(Some(Event::of(Json::parse(request.body)?)))
    }
}

#[derive(Debug)]
struct Warehouse;

impl Destination for Warehouse {
    fn name(&self) -> &str {
        "warehouse"
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        vec![Ship.into_action()]
    }
}

#[derive(Debug)]
struct Ship;

#[async_trait]
impl TypedAction for Ship {
    type Payload = Order;
    const NAME: &'static str = "ship";

    async fn load(
        &self,
        toolkit: &Toolkit,
        queue: &mut TypedQueue<'_, Order>,
        then: &Thens,
    ) -> Result<()> {
        while let Some(jobs) = queue.next_jobs().await? {
            for job in jobs {
                let Order { number, item } = &job.payload;
                match item.as_str() {
                    "" => then.send(Then::discarded(&job.job, Error::invalid("no item"))),
                    item => tracing::info!(parent: &toolkit.logger, number, item, "shipped"),
                }
            }
        }
        // The first report of a job wins, so this speaks of all that were shipped.
        then.send(Then::succeeded(Jobs::All));
        Ok(())
    }
}
