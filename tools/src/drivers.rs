//! Which driver stands behind each name of the configuration.
//!
//! A driver reads its own keys from its section and reports what is wrong there; nothing comes back then.

use std::sync::Arc;

use blacksmith_cdc::decoder::PostgresFormat;
use blacksmith_cdc::{PostgresOptions, PostgresSource};
use blacksmith_core::destination::Destination;
use blacksmith_core::document::Documents;
use blacksmith_core::error::Result;
use blacksmith_core::gateway::cron::Ticks;
use blacksmith_core::gateway::http::{HttpOptions, HttpSource};
use blacksmith_core::settings::{DestinationSettings, Section, SourceSettings};
use blacksmith_core::source::{Format, Source};
use blacksmith_sinks::blackhole::{Blackhole, BlackholeOptions};
use blacksmith_sinks::file::{FileOptions, FileSink};
use blacksmith_sinks::http::{Http, HttpOptions as EndpointOptions};
use blacksmith_sinks::parquet::{Parquet, ParquetOptions};
use blacksmith_sinks::stdout::{Stdout, StdoutOptions};

/// The drivers of destinations.
const DESTINATIONS: [&str; 5] = ["parquet", "file", "http", "stdout", "blackhole"];

/// How the events of every driver are read, whether it is configured or not.
pub(crate) fn formats() -> Vec<Arc<dyn Format>> {
    vec![Arc::new(PostgresFormat), Arc::new(Documents)]
}

/// The source that `settings` describe.
pub(crate) fn source(settings: &SourceSettings) -> Option<Arc<dyn Source>> {
    let section = settings.section.clone();
    match settings.driver.as_str() {
        "postgres" => {
            let options = PostgresOptions::read(&settings.name, section)?;
            Some(Arc::new(PostgresSource::new(options)))
        }
        "http" => {
            let options = HttpOptions::read(&settings.name, section)?;
            Some(Arc::new(HttpSource::new(options)))
        }
        "cron" => Some(Arc::new(Ticks::read(&settings.name, section))),
        other => {
            report_driver(&section, other, &["cron", "http", "postgres"]);
            None
        }
    }
}

/// The destination that `settings` describe.
pub(crate) fn destination(settings: &DestinationSettings) -> Option<Arc<dyn Destination>> {
    let section = settings.section.clone();
    let name = settings.name.as_str();
    let destination: Arc<dyn Destination> = match settings.driver.as_str() {
        "parquet" => {
            let options = ParquetOptions::read(name, section.clone())?;
            built(Parquet::new(&options), &section)?
        }
        "http" => {
            let options = EndpointOptions::read(name, section.clone())?;
            built(Http::new(&options), &section)?
        }
        "file" => Arc::new(FileSink::new(&FileOptions::read(name, section)?)),
        "stdout" => Arc::new(Stdout::new(&StdoutOptions::read(name, section))),
        "blackhole" => Arc::new(Blackhole::new(&BlackholeOptions::read(name, section))),
        other => {
            report_driver(&section, other, &DESTINATIONS);
            return None;
        }
    };
    check_actions(settings, destination.as_ref());
    Some(destination)
}

/// The destination, unless what was read makes no sense together: that is a problem of the section then.
fn built<D: Destination>(built: Result<D>, section: &Section) -> Option<Arc<dyn Destination>> {
    match built {
        Ok(destination) => Some(Arc::new(destination)),
        Err(error) => {
            section.report_itself(error.to_string(), error.advised().unwrap_or_default());
            None
        }
    }
}

/// Every action in the configuration must be one that the destination has.
fn check_actions(settings: &DestinationSettings, destination: &dyn Destination) {
    let actions = destination.actions();
    let known: Vec<&str> = actions.iter().map(|action| action.name()).collect();
    for action in &settings.actions {
        if !known.contains(&action.name.as_str()) {
            let fix = blacksmith_core::settings::suggestion(&action.name, &known);
            action
                .section
                .report_itself("the destination has no such action", fix);
        }
        action.section.clone().finish();
    }
}

/// A driver that is missing is reported already, as a key that is required.
fn report_driver(section: &Section, driver: &str, known: &[&str]) {
    if !driver.is_empty() {
        section.report_unknown("driver", driver, known);
    }
}
