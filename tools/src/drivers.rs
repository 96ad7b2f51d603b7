//! Which driver stands behind each name of the configuration.
//!
//! A driver reads its own keys from its section and reports what is wrong there; nothing comes back then.

use std::sync::Arc;

use blacksmith_cdc::decoder::PostgresFormat;
use blacksmith_cdc::{PostgresOptions, PostgresSource};
use blacksmith_core::app;
use blacksmith_core::destination::Destination;
use blacksmith_core::document::Documents;
use blacksmith_core::error::Result;
use blacksmith_core::gateway::cron::Ticks;
use blacksmith_core::gateway::http::{HttpOptions, HttpSource};
use blacksmith_core::settings::{
    DestinationSettings, Problem, Section, SourceSettings, suggestion,
};
use blacksmith_core::source::{Format, Mode, Source};
use blacksmith_sinks::blackhole::{Blackhole, BlackholeOptions};
use blacksmith_sinks::file::{FileOptions, FileSink};
use blacksmith_sinks::http::{Http, HttpOptions as EndpointOptions};
use blacksmith_sinks::parquet::{Parquet, ParquetOptions};
use blacksmith_sinks::stdout::{Stdout, StdoutOptions};

use crate::program::Program;

/// The stock drivers of sources.
const SOURCES: [&str; 3] = ["cron", "http", "postgres"];
/// The stock drivers of destinations.
const DESTINATIONS: [&str; 5] = ["parquet", "file", "http", "stdout", "blackhole"];

/// How events are read: those of every stock driver, whether it is configured or not, and those of sources with a format of their own.
pub(crate) fn formats(program: &Program, configured: &[SourceSettings]) -> Vec<Arc<dyn Format>> {
    let stock: [Arc<dyn Format>; 2] = [Arc::new(PostgresFormat), Arc::new(Documents)];
    let configured = configured.iter().filter_map(|own| source(program, own));
    let own = program.sources().iter();
    let sources = own.map(|own| Arc::clone(&own.source)).chain(configured);
    let own = sources.flat_map(|source| source.formats());
    stock.into_iter().chain(own).collect()
}

/// The source that `settings` describe.
pub(crate) fn source(program: &Program, settings: &SourceSettings) -> Option<Arc<dyn Source>> {
    let mut own = program.source_drivers();
    if let Some((_, make)) = own.find(|(name, _)| *name == settings.driver) {
        let mut section = settings.section.clone();
        let source = make(&settings.name, &mut section);
        section.finish();
        return source;
    }
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
            let own = program.source_drivers().map(|(name, _)| name);
            report_driver(&section, other, SOURCES.into_iter().chain(own));
            None
        }
    }
}

/// Reports what is wrong with a route of the application at its own line, if the configuration is where it is from.
pub(crate) fn report_route(sources: &[SourceSettings], problem: &Problem) -> bool {
    let Some((source, trigger, field)) = route_of(&problem.key) else {
        return false;
    };
    let Some(settings) = sources.iter().find(|own| own.name == source) else {
        return false;
    };
    let mut section = settings.section.clone();
    let mut own = section.take_sections("routes").into_iter();
    let Some((_, own)) = own.find(|(own, _)| own == trigger) else {
        return false;
    };
    // A key that is missing is reported as missing.
    if own.has(field) {
        own.report(field, &*problem.what, &*problem.fix);
    }
    true
}

/// Source, trigger and field of `sources/web/triggers/signup/route.path`.
fn route_of(key: &str) -> Option<(&str, &str, &str)> {
    let (place, field) = key.strip_prefix("sources/")?.rsplit_once("/route.")?;
    let (source, trigger) = place.split_once("/triggers/")?;
    Some((source, trigger, field))
}

/// Reports columns that are declared for triggers that there are not: nothing would ever fill them.
pub(crate) fn report_columns(
    sources: &[app::SourceSettings],
    destinations: &[DestinationSettings],
) {
    let lakes = destinations.iter().filter(|own| own.driver == "parquet");
    for (address, section) in lakes.flat_map(|own| own.section.clone().take_sections("columns")) {
        // An address that is none is reported already.
        let Some((name, trigger)) = address.split_once('/') else {
            continue;
        };
        let known: Vec<&str> = sources.iter().map(|own| own.source.name()).collect();
        let Some(source) = sources.iter().find(|own| own.source.name() == name) else {
            section.report_itself("there is no such source", suggestion(name, &known));
            continue;
        };
        let triggers = source.source.triggers();
        if triggers
            .iter()
            .any(|own| matches!(Arc::clone(own).mode(), Mode::Cdc(_)))
        {
            let fix = "take them out: rows of tables have the columns of their table";
            section.report_itself("the source has tables", fix);
        } else if !triggers.iter().any(|own| own.name() == trigger) {
            let known: Vec<&str> = triggers.iter().map(|own| own.name()).collect();
            section.report_itself("there is no such trigger", suggestion(trigger, &known));
        }
    }
}

/// The destination that `settings` describe.
pub(crate) fn destination(
    program: &Program,
    settings: &DestinationSettings,
) -> Option<Arc<dyn Destination>> {
    let mut own = program.destination_drivers();
    let destination = match own.find(|(name, _)| *name == settings.driver) {
        Some((_, make)) => {
            let mut section = settings.section.clone();
            let destination = make(&settings.name, &mut section);
            section.finish();
            destination?
        }
        None => stock_destination(program, settings)?,
    };
    check_actions(settings, destination.as_ref());
    Some(destination)
}

fn stock_destination(
    program: &Program,
    settings: &DestinationSettings,
) -> Option<Arc<dyn Destination>> {
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
            let own = program.destination_drivers().map(|(name, _)| name);
            report_driver(&section, other, DESTINATIONS.into_iter().chain(own));
            return None;
        }
    };
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
fn report_driver<'a>(section: &Section, driver: &str, known: impl Iterator<Item = &'a str>) {
    if !driver.is_empty() {
        section.report_unknown("driver", driver, &known.collect::<Vec<_>>());
    }
}
