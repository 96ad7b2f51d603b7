//! A source of cron triggers that needs no code: what each event says is written down once.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::clock::Timestamp;
use crate::error::Result;
use crate::json::Json;
use crate::schedule::{Interval, Missed};
use crate::service::Toolkit;
use crate::settings::Section;
use crate::source::{Event, ExtractCron, Mode, Source, Trigger};

/// Stands for the time that was due, in any string of a tick's context and data.
const DUE: &str = "{due}";

/// A source whose triggers tick.
#[derive(Debug)]
pub struct Ticks {
    name: String,
    ticks: Vec<Arc<Tick>>,
}

/// One trigger of [`Ticks`].
#[derive(Debug, Clone, Default)]
pub struct Tick {
    /// Its name inside the source.
    pub name: String,
    /// When; none for the source's interval.
    pub interval: Option<Interval>,
    /// What becomes of times that passed while the process was down.
    pub missed: Missed,
    /// The context of each event; `{due}` in a string stands for the time that was due.
    pub context: Value,
    /// The data of each event, as its context.
    pub data: Value,
}

impl Ticks {
    /// The source `name` with these triggers.
    #[must_use]
    pub fn new(name: impl Into<String>, ticks: impl IntoIterator<Item = Tick>) -> Ticks {
        Ticks {
            name: name.into(),
            ticks: ticks.into_iter().map(Arc::new).collect(),
        }
    }

    /// Reads `[sources.<name>.triggers.<trigger>]` with `interval`, `missed`, `context` and `data`; each mistake goes into the section's problems.
    #[must_use]
    pub fn read(name: &str, mut section: Section) -> Ticks {
        let mut ticks = Vec::new();
        for (name, mut section) in section.take_sections("triggers") {
            ticks.push(Tick {
                name,
                interval: section.take_interval("interval").optional(),
                missed: section
                    .take_enum("missed", &[("skip", Missed::Skip), ("once", Missed::Once)])
                    .or(Missed::Skip),
                context: section.take_json("context").or(Value::Null),
                data: section
                    .take_json("data")
                    .or(serde_json::json!({ "due": DUE })),
            });
            section.finish();
        }
        if ticks.is_empty() {
            section.report_itself(
                "it has no triggers",
                format!("add [{}.triggers.<name>]", section.path()),
            );
        }
        section.finish();
        Ticks::new(name, ticks)
    }
}

impl Source for Ticks {
    fn name(&self) -> &str {
        &self.name
    }

    fn triggers(&self) -> Vec<Arc<dyn Trigger>> {
        let ticks = self.ticks.iter();
        ticks
            .map(|tick| Arc::clone(tick) as Arc<dyn Trigger>)
            .collect()
    }
}

impl Trigger for Tick {
    fn name(&self) -> &str {
        &self.name
    }

    fn mode(self: Arc<Self>) -> Mode {
        Mode::Cron {
            interval: self.interval.clone(),
            extract: self,
        }
    }
}

#[async_trait]
impl ExtractCron for Tick {
    async fn extract(&self, _: &Toolkit, due: Timestamp) -> Result<Option<Event>> {
        let due = due.to_string();
        let context = Json::of(&filled(&self.context, &due))?;
        let data = Json::of(&filled(&self.data, &due))?;
        Ok(Some(Event::of(data).context(context)))
    }

    fn missed(&self) -> Missed {
        self.missed
    }
}

/// `value` with the time in it.
fn filled(value: &Value, due: &str) -> Value {
    match value {
        Value::String(text) => text.replace(DUE, due).into(),
        Value::Array(items) => items.iter().map(|item| filled(item, due)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter();
            fields
                .map(|(key, value)| (key.clone(), filled(value, due)))
                .collect()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::logger::Logger;
    use crate::service::Service;
    use crate::settings::Environment;

    fn read(text: &str) -> (Ticks, crate::settings::Problems) {
        let (section, problems) = Section::parse("b.toml", text, &Environment::default()).unwrap();
        (Ticks::read("ticks", section), problems)
    }

    async fn event(tick: &Tick) -> (String, String) {
        let toolkit = Toolkit {
            logger: Logger::none(),
            service: Arc::new(Service::new(String::new(), Service::GATEWAY)),
            event_id: None,
            job_id: None,
            clock: SystemClock::shared(),
        };
        let extracted = tick
            .extract(&toolkit, Timestamp(1_777_636_800_000_000))
            .await;
        let event = extracted.unwrap().unwrap();
        (
            event.context.as_str().to_owned(),
            event.data.as_str().to_owned(),
        )
    }

    /// TRG-04
    #[tokio::test]
    async fn what_the_configuration_writes_down_is_the_event_with_the_time_in_it() {
        let (ticks, problems) = read(
            r#"
            [triggers.nightly]
            interval = "0 3 * * *"
            missed = "once"
            context = { by = "clock" }
            data = { report = ["sales of {due}", 1, 2.5, true] }
            [triggers.hourly]
            "#,
        );
        problems.check().unwrap();
        let (context, data) = event(&ticks.ticks[0]).await;
        assert_eq!(context, r#"{"by":"clock"}"#);
        let expected = r#"{"report":["sales of 2026-05-01T12:00:00.000000Z",1,2.5,true]}"#;
        assert_eq!(data, expected);
        let (context, data) = event(&ticks.ticks[1]).await;
        assert_eq!(context, "null");
        assert_eq!(data, r#"{"due":"2026-05-01T12:00:00.000000Z"}"#);
        assert_eq!(ticks.ticks[1].interval, None);
        let missed = ticks.ticks.iter().map(|tick| tick.missed());
        assert_eq!(missed.collect::<Vec<_>>(), [Missed::Once, Missed::Skip]);
    }

    #[test]
    fn a_source_of_ticks_without_any_is_a_mistake() {
        let report = |text| read(text).1.check().unwrap_err().to_string();
        assert!(report("").contains("it has no triggers"));
        let wrong = report("[triggers.a]\nmissed = \"all\"");
        assert!(
            wrong.contains("triggers.a.missed: \"all\": not a known value (known: skip, once)"),
            "{wrong}"
        );
        assert!(report("[triggers.a]\nintervall = \"@daily\"").contains("interval"));
    }
}
