//! Two ways to write an action: for a type of your own, and for Arrow record batches. Both are given the same events.
//!
//! A till rings once a second. Each sale calls the typed action `receipt` with a payload of its own, and a route leads it to the
//! batch action `journal` as it is. Run it with `cargo run -p blacksmith-core --example actions`.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Array, StringArray};
use async_trait::async_trait;
use blacksmith_core::app::{Application, DestinationSettings, Run};
use blacksmith_core::clock::Timestamp;
use blacksmith_core::destination::{
    Action, Destination, Jobs, Queue, Then, Thens, Toolkit, TypedAction, TypedQueue,
};
use blacksmith_core::error::{Error, Result};
use blacksmith_core::json::Json;
use blacksmith_core::log::Retention;
use blacksmith_core::queue::BatchLimits;
use blacksmith_core::schedule::{Interval, PartialSchedule};
use blacksmith_core::service;
use blacksmith_core::source::{Event, ExtractCron, Mode, Source, Takes, Trigger};
use blacksmith_core::store::memory::MemoryStore;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// What a sale is, as an event.
#[derive(Debug, Serialize, Deserialize)]
struct Sale {
    item: String,
    cents: u64,
}

/// What a receipt is printed from.
#[derive(Debug, Serialize, Deserialize)]
struct Paid {
    text: String,
}

/// The source `till` with its only trigger, `sale`.
#[derive(Debug)]
struct Till;

impl Source for Till {
    fn name(&self) -> &str {
        "till"
    }

    fn triggers(&self) -> Vec<Arc<dyn Trigger>> {
        vec![Arc::new(Rings)]
    }
}

#[derive(Debug)]
struct Rings;

impl Trigger for Rings {
    fn name(&self) -> &str {
        "sale"
    }

    fn mode(self: Arc<Self>) -> Mode {
        Mode::Cron {
            interval: Some(Interval::every(Duration::from_secs(1))),
            extract: self,
        }
    }
}

#[async_trait]
impl ExtractCron for Rings {
    async fn extract(&self, _: &service::Toolkit, _due: Timestamp) -> Result<Option<Event>> {
        let sale = Sale {
            item: "pear".into(),
            cents: 55,
        };
        let paid = Paid {
            text: format!("1 {}: {} cents", sale.item, sale.cents),
        };
        // One type names the action and what it takes.
        let event = Event::of(Json::of(&sale)?);
        Ok(Some(event.call("shop", Receipt::call(&paid)?)))
    }
}

/// The destination `shop`, which tells what it was given.
#[derive(Debug)]
struct Shop {
    told: mpsc::Sender<String>,
}

impl Destination for Shop {
    fn name(&self) -> &str {
        "shop"
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        let told = || self.told.clone();
        vec![
            Receipt { told: told() }.into_action(),
            Arc::new(Journal { told: told() }),
        ]
    }
}

/// An action for a type of its own: it is given payloads, already read. A job with other data never comes here.
#[derive(Debug)]
struct Receipt {
    told: mpsc::Sender<String>,
}

#[async_trait]
impl TypedAction for Receipt {
    type Payload = Paid;
    const NAME: &'static str = "receipt";

    async fn load(
        &self,
        _toolkit: &Toolkit,
        queue: &mut TypedQueue<'_, Paid>,
        then: &Thens,
    ) -> Result<()> {
        while let Some(jobs) = queue.next_jobs().await? {
            for job in jobs {
                tell(&self.told, format!("receipt: {}", job.payload.text)).await?;
            }
        }
        then.send(Then::succeeded(Jobs::All));
        Ok(())
    }
}

/// An action for record batches: it is given columns, thousands of rows at a time.
#[derive(Debug)]
struct Journal {
    told: mpsc::Sender<String>,
}

#[async_trait]
impl Action for Journal {
    fn name(&self) -> &str {
        "journal"
    }

    fn takes(&self) -> Takes {
        Takes::Rows
    }

    async fn load(&self, _toolkit: &Toolkit, queue: &mut Queue, then: &Thens) -> Result<()> {
        while let Some(rows) = queue.next().await? {
            let data = rows.rows.column_by_name("data");
            let data = data.and_then(|data| data.as_any().downcast_ref::<StringArray>());
            let data = data.ok_or_else(|| Error::invalid("rows without a column data"))?;
            let mut cents = 0;
            for text in data.iter().flatten() {
                let sale: Sale = serde_json::from_str(text)
                    .map_err(|error| Error::invalid("not a sale").because(error))?;
                cents += sale.cents;
            }
            let line = format!(
                "journal: {} sales of {}, {cents} cents",
                data.len(),
                rows.trigger
            );
            tell(&self.told, line).await?;
        }
        then.send(Then::succeeded(Jobs::All));
        Ok(())
    }
}

async fn tell(told: &mpsc::Sender<String>, line: String) -> Result<()> {
    let sent = told.send(line).await;
    sent.map_err(|_| Error::stopped("nobody listens any more"))
}

/// Runs the shop until both actions have been told of a sale; gives back what they said.
async fn trade() -> Result<Vec<String>> {
    let (told, mut heard) = mpsc::channel(64);
    let store = Arc::new(MemoryStore::new(Retention::default())?);
    let shop = DestinationSettings {
        schedule: PartialSchedule {
            realtime: Some(true),
            ..PartialSchedule::default()
        },
        batch: BatchLimits {
            age_max: Duration::from_millis(10),
            ..BatchLimits::default()
        },
        ..DestinationSettings::from(Shop { told })
    };
    let application = Application::builder()
        .store(store)
        .source(Till)
        .destination(shop)
        .flow("till", "shop/journal")
        .build()?;
    let run = Run::default();
    let stop = run.stop.clone();
    let listening = async {
        let mut said: Vec<String> = Vec::new();
        let is_told = |said: &[String], who: &str| said.iter().any(|line| line.starts_with(who));
        while !(is_told(&said, "receipt") && is_told(&said, "journal")) {
            let Some(line) = heard.recv().await else {
                break;
            };
            said.push(line);
        }
        stop.cancel();
        // What is being loaded comes to its end, and is heard.
        while let Some(line) = heard.recv().await {
            said.push(line);
        }
        said
    };
    let running = async {
        let ran = application.run(run).await;
        drop(application);
        ran
    };
    let (ran, said) = tokio::join!(running, listening);
    ran.map(|()| said)
}

/// Both actions, told of at least one sale.
#[tokio::main]
pub(crate) async fn main() -> Result<()> {
    for line in trade().await? {
        writeln!(std::io::stdout(), "{line}")
            .map_err(|error| Error::stopped("nobody reads this").because(error))?;
        assert!(
            line == "receipt: 1 pear: 55 cents" || line.contains("sales of till.sale, "),
            "{line}"
        );
    }
    Ok(())
}
