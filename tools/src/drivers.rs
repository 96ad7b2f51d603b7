//! Which driver stands behind each name of the configuration.
//!
//! A driver reads its own keys from its section and reports what is wrong there; nothing comes back then.

use std::sync::Arc;

use blacksmith_cdc::decoder::PostgresFormat;
use blacksmith_cdc::{PostgresOptions, PostgresSource};
use blacksmith_core::destination::Destination;
use blacksmith_core::document::Documents;
use blacksmith_core::gateway::http::{HttpOptions, HttpSource};
use blacksmith_core::settings::{DestinationSettings, SourceSettings};
use blacksmith_core::source::{Format, Source};
use blacksmith_sinks::parquet::{Parquet, ParquetOptions};

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
        other => {
            report_driver(&section, other, &["postgres", "http"]);
            None
        }
    }
}

/// The destination that `settings` describe.
pub(crate) fn destination(settings: &DestinationSettings) -> Option<Arc<dyn Destination>> {
    let section = settings.section.clone();
    let destination = match settings.driver.as_str() {
        "parquet" => parquet(settings)?,
        other => {
            report_driver(&section, other, &["parquet"]);
            return None;
        }
    };
    check_actions(settings, destination.as_ref());
    Some(destination)
}

fn parquet(settings: &DestinationSettings) -> Option<Arc<dyn Destination>> {
    let section = settings.section.clone();
    let options = ParquetOptions::read(&settings.name, section.clone())?;
    match Parquet::new(&options) {
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
fn report_driver(section: &blacksmith_core::settings::Section, driver: &str, known: &[&str]) {
    if !driver.is_empty() {
        section.report_unknown("driver", driver, known);
    }
}
