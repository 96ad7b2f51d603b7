//! An action for Arrow record batches: it is given columns, up to a million rows a load.
//!
//! ```sh
//! cargo run -p blacksmith-stream --example batch_action -- run
//! curl -d '[{"celsius": 20.5}, {"celsius": 21.5}]' http://127.0.0.1:9090/readings
//! ```

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Array, StringArray};
use async_trait::async_trait;
use blacksmith_core::app::DestinationSettings;
use blacksmith_core::destination::{Action, Destination, Jobs, Queue, Then, Thens, Toolkit};
use blacksmith_core::error::{Error, Result};
use blacksmith_core::json::Json;
use blacksmith_core::service;
use blacksmith_core::source::{
    Event, ExtractHttp, Mode, Request, Route, Source, SubEvent, Takes, Trigger,
};
use blacksmith_stream::Program;
use serde::{Deserialize, Serialize};

fn main() -> ExitCode {
    Program::new()
        .named("batch_action", env!("CARGO_PKG_VERSION"))
        .source(Station)
        .destination(DestinationSettings::from(Lab).realtime(Duration::from_millis(100)))
        .flow("station/reading", "lab/average")
        .main()
}

#[derive(Debug, Serialize, Deserialize)]
struct Reading {
    celsius: f64,
}

#[derive(Debug)]
struct Station;

impl Source for Station {
    fn name(&self) -> &str {
        "station"
    }

    fn triggers(&self) -> Vec<Arc<dyn Trigger>> {
        vec![Arc::new(Upload)]
    }
}

/// A request brings many readings. Each is an event of its own, which counts for `reading`, where the flow begins.
#[derive(Debug)]
struct Upload;

impl Trigger for Upload {
    fn name(&self) -> &str {
        "upload"
    }

    fn mode(self: Arc<Self>) -> Mode {
        Mode::Http {
            route: Route::post("/readings"),
            extract: self,
        }
    }
}

#[async_trait]
impl ExtractHttp for Upload {
    async fn extract(&self, _: &service::Toolkit, request: Request) -> Result<Option<Event>> {
        let readings: Vec<Reading> = Json::parse(request.body)?.read()?;
        let mut upload = Event::of(Json::of(&readings.len())?);
        for reading in &readings {
            upload = upload.sub_event(SubEvent {
                trigger: Some(Arc::from("reading")),
                data: Json::of(reading)?,
                ..SubEvent::default()
            });
        }
        Ok(Some(upload))
    }
}

#[derive(Debug)]
struct Lab;

impl Destination for Lab {
    fn name(&self) -> &str {
        "lab"
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        vec![Arc::new(Average)]
    }
}

#[derive(Debug)]
struct Average;

#[async_trait]
impl Action for Average {
    fn name(&self) -> &str {
        "average"
    }

    fn takes(&self) -> Takes {
        Takes::Rows
    }

    async fn load(&self, toolkit: &Toolkit, queue: &mut Queue, then: &Thens) -> Result<()> {
        let (mut sum, mut rows) = (0.0, 0);
        while let Some(batch) = queue.next().await? {
            // Rows of a Postgres table have the table's columns here; other events have these:
            // _event_id _seq _received_at _source _trigger _version context data.
            let data = batch.rows.column_by_name("data");
            let data = data.and_then(|data| data.as_any().downcast_ref::<StringArray>());
            let data = data.ok_or_else(|| Error::invalid("rows without a column of data"))?;
            for text in data.iter().flatten() {
                let reading: Reading = serde_json::from_str(text)
                    .map_err(|error| Error::invalid("not a reading").because(error))?;
                sum += reading.celsius;
            }
            rows += data.len();
        }
        let celsius = sum / rows as f64;
        tracing::info!(parent: &toolkit.logger, rows, celsius, "average");
        then.send(Then::succeeded(Jobs::All));
        Ok(())
    }
}
