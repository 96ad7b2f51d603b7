//! Log lines on stderr: for people on a terminal, JSON everywhere else.
//!
//! `BLACKSMITH_LOG` says what is logged: a level (`debug`), or levels by module
//! (`info,blacksmith_cdc=trace`). Without it our own crates log at `info`, with `--verbose` at `debug`,
//! and the libraries below them at `warn`. For people a line per load would push the progress bars
//! around that say the same: those lines need `--verbose`. A JSON line has `timestamp`, `level`, `target`, `message` and
//! the event's own fields at the top; lines of user code besides `span`, which
//! names the action, or the source, trigger and event.

use blacksmith_core::error::{Error, Result};
use blacksmith_core::settings::Environment;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::screen::Screen;

const VARIABLE: &str = "BLACKSMITH_LOG";

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Human,
    Json,
}

/// Starts logging for this process; the first call decides. What `own`, a crate, says counts as ours.
pub(crate) fn start(
    screen: &Screen,
    style: Style,
    verbose: bool,
    own: Option<String>,
) -> Result<()> {
    let targets = targets(&Environment::process(), style, verbose, own)?;
    let registry =
        tracing_subscriber::registry().with(layer(screen.clone(), style).with_filter(targets));
    // Only a second call in one process fails, and the first one's logging goes on.
    registry.try_init().ok();
    Ok(())
}

fn layer<S>(screen: Screen, style: Style) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(screen.clone());
    match style {
        Style::Human => layer
            .with_ansi(screen.is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .with_target(false)
            .boxed(),
        Style::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed(),
    }
}

fn targets(
    environment: &Environment,
    style: Style,
    verbose: bool,
    own_crate: Option<String>,
) -> Result<Targets> {
    match environment.get(VARIABLE).filter(|text| !text.is_empty()) {
        Some(text) => text.parse().map_err(|error| {
            Error::config(format!("{VARIABLE} is not a log level"))
                .help(
                    "write error, warn, info, debug or trace, or MODULE=LEVEL separated by commas",
                )
                .because(Box::<dyn std::error::Error + Send + Sync>::from(format!(
                    "{error}"
                )))
        }),
        None => {
            let (own, loads) = match (verbose, style) {
                (true, _) => (LevelFilter::DEBUG, LevelFilter::DEBUG),
                (false, Style::Json) => (LevelFilter::INFO, LevelFilter::INFO),
                (false, Style::Human) => (LevelFilter::INFO, LevelFilter::WARN),
            };
            Ok(Targets::new()
                .with_default(LevelFilter::WARN)
                .with_target("blacksmith", own)
                .with_targets(own_crate.map(|name| (name, own)))
                .with_target("blacksmith_core::scheduler", loads))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn our_crates_log_at_info_and_libraries_at_warn() {
        let targets = targets(&Environment::default(), Style::Json, false, None).unwrap();
        assert!(targets.would_enable("blacksmith_cdc::stream", &Level::INFO));
        assert!(!targets.would_enable("blacksmith_cdc::stream", &Level::DEBUG));
        assert!(targets.would_enable("tokio_postgres", &Level::WARN));
        assert!(!targets.would_enable("tokio_postgres", &Level::INFO));
    }

    #[test]
    fn the_crate_of_an_own_program_logs_as_ours_do() {
        let own = Some("crm".to_owned());
        let targets = targets(&Environment::default(), Style::Human, false, own).unwrap();
        assert!(targets.would_enable("crm::signups", &Level::INFO));
        assert!(!targets.would_enable("hyper", &Level::INFO));
    }

    #[test]
    fn people_with_progress_bars_see_no_line_per_load() {
        let loads = "blacksmith_core::scheduler::runner";
        let human = targets(&Environment::default(), Style::Human, false, None).unwrap();
        assert!(
            !human.would_enable(loads, &Level::INFO) && human.would_enable(loads, &Level::WARN)
        );
        let json = targets(&Environment::default(), Style::Json, false, None).unwrap();
        assert!(json.would_enable(loads, &Level::INFO));
    }

    #[test]
    fn verbose_means_debug_and_the_variable_decides_over_both() {
        let verbose = targets(&Environment::default(), Style::Human, true, None).unwrap();
        assert!(verbose.would_enable("blacksmith_core::log", &Level::DEBUG));
        let environment = Environment::of([(VARIABLE, "error,blacksmith_cdc=trace")]);
        let exact = targets(&environment, Style::Json, true, None).unwrap();
        assert!(exact.would_enable("blacksmith_cdc", &Level::TRACE));
        assert!(!exact.would_enable("blacksmith_core", &Level::DEBUG));
    }

    #[test]
    fn a_wrong_level_is_a_configuration_error_with_a_remedy() {
        let environment = Environment::of([(VARIABLE, "blacksmith=loudly")]);
        let error = targets(&environment, Style::Json, false, None).unwrap_err();
        assert_eq!(error.kind(), blacksmith_core::error::Kind::Config);
        assert!(error.report().contains("error, warn, info"), "{error:?}");
    }
}
