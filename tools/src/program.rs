//! A program: what its configuration file says, and what its author brings besides.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use blacksmith_core::app::{Application, DestinationSettings, SourceSettings};
use blacksmith_core::destination::Destination;
use blacksmith_core::error::Result;
use blacksmith_core::flow::Route;
use blacksmith_core::pubsub::PubSub;
use blacksmith_core::settings::{Beside, Environment, Section, Settings};
use blacksmith_core::source::Source;
use clap::{CommandFactory, FromArgMatches};

use crate::cli::{CONFIG_DEFAULT, Cli};
use crate::exit;
use crate::pages;

/// Makes a source of `[sources.<name>]` from its name and the driver's own keys; none when something is wrong, which it
/// reports in the section. Keys that it leaves are reported as mistakes.
pub type SourceDriver = dyn Fn(&str, &mut Section) -> Option<Arc<dyn Source>> + Send + Sync;
/// Makes a destination of `[destinations.<name>]`, as [`SourceDriver`] makes a source.
pub type DestinationDriver =
    dyn Fn(&str, &mut Section) -> Option<Arc<dyn Destination>> + Send + Sync;
/// The last word on an application before it runs.
type Finish = dyn Fn(Application) -> Application + Send + Sync;

/// The command line of an application: the stock program's, with components of your own.
///
/// What is added here stands beside what the configuration file names: flows of either may lead from and to
/// components of both. The stock program needs a configuration file; one with components of its own also runs
/// without, as long as nobody names one.
///
/// ```no_run
/// use blacksmith_core::gateway::cron::{Tick, Ticks};
/// use blacksmith_stream::Program;
///
/// fn main() -> std::process::ExitCode {
///     let hourly = Tick { name: "hourly".into(), ..Tick::default() };
///     Program::new()
///         .source(Ticks::new("clock", [hourly]))
///         .flow("clock", "lake") // [destinations.lake] is in blacksmith.toml
///         .main()
/// }
/// ```
#[derive(Clone, Default)]
pub struct Program {
    /// What it is called, and its version, when it is not the stock program.
    own: Option<(&'static str, &'static str)>,
    sources: Vec<SourceSettings>,
    destinations: Vec<DestinationSettings>,
    routes: Vec<Route>,
    source_drivers: Vec<(&'static str, Arc<SourceDriver>)>,
    destination_drivers: Vec<(&'static str, Arc<DestinationDriver>)>,
    pubsub: Option<Arc<dyn PubSub>>,
    finish: Vec<Arc<Finish>>,
}

impl Program {
    /// The stock program.
    #[must_use]
    pub fn new() -> Program {
        Program::default()
    }

    /// Gives it a name and a version, which `--help` and `--version` say. What the crate of this name logs is shown from
    /// `info` on, as the platform's own lines are; other crates' from `warn` on.
    #[must_use]
    pub fn named(mut self, name: &'static str, version: &'static str) -> Program {
        self.own = Some((name, version));
        self
    }

    /// Adds a source.
    #[must_use]
    pub fn source(mut self, source: impl Into<SourceSettings>) -> Program {
        self.sources.push(source.into());
        self
    }

    /// Adds a destination, alone or with how it is to be loaded.
    #[must_use]
    pub fn destination(mut self, destination: impl Into<DestinationSettings>) -> Program {
        self.destinations.push(destination.into());
        self
    }

    /// Adds a flow, from a source or `source/trigger` to a destination or `destination/action`; `*` in the trigger or
    /// action stands for any text.
    #[must_use]
    pub fn flow(mut self, from: &str, to: &str) -> Program {
        self.routes.push(Route::between(from, to));
        self
    }

    /// Lets the configuration say `driver = "name"` of a source. The stock driver called so, if there is one, is replaced.
    #[must_use]
    pub fn source_driver(
        mut self,
        name: &'static str,
        make: impl Fn(&str, &mut Section) -> Option<Arc<dyn Source>> + Send + Sync + 'static,
    ) -> Program {
        self.source_drivers.push((name, Arc::new(make)));
        self
    }

    /// Lets the configuration say `driver = "name"` of a destination, as [`Program::source_driver`] does of a source. So
    /// the configuration decides on a destination's schedule, batches and limits.
    #[must_use]
    pub fn destination_driver(
        mut self,
        name: &'static str,
        make: impl Fn(&str, &mut Section) -> Option<Arc<dyn Destination>> + Send + Sync + 'static,
    ) -> Program {
        self.destination_drivers.push((name, Arc::new(make)));
        self
    }

    /// The broker of subscription triggers, and of what the gateway tells the scheduler. Default: none.
    #[must_use]
    pub fn pubsub(mut self, pubsub: Arc<dyn PubSub>) -> Program {
        self.pubsub = Some(pubsub);
        self
    }

    /// Has the last word on the application before `run` runs it: middleware, attached handlers, checks of health.
    #[must_use]
    pub fn finish(
        mut self,
        finish: impl Fn(Application) -> Application + Send + Sync + 'static,
    ) -> Program {
        self.finish.push(Arc::new(finish));
        self
    }

    /// Does what the command line says, and returns the exit code: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration.
    #[must_use]
    pub fn main(self) -> ExitCode {
        pages::only_small();
        // Two providers may be linked in; the first one installed decides. An error means it is installed.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let command = match self.own {
            Some((name, version)) => Cli::command().name(name).version(version),
            None => Cli::command(),
        };
        let typed = command.get_matches();
        let cli = Cli::from_arg_matches(&typed).unwrap_or_else(|wrong| wrong.exit());
        exit::with(&self, cli)
    }
}

impl Program {
    /// What the configuration says, with the program's own flows behind those of the file.
    pub(crate) fn settings(&self, file: &Path) -> Result<Settings> {
        let sources = self.sources.iter().map(|own| own.source.name());
        let destinations = self.destinations.iter();
        let destinations = destinations.map(|own| own.destination.name());
        let beside = Beside {
            sources: sources.map(str::to_owned).collect(),
            destinations: destinations.map(str::to_owned).collect(),
        };
        let environment = Environment::process();
        let mut settings = match self.does_without(file) {
            true => Settings::parse_beside("the application", "", &environment, &beside)?,
            false => Settings::load_beside(file, &environment, &beside)?,
        };
        settings.flows.extend(self.routes.iter().cloned());
        Ok(settings)
    }

    /// Whether it runs without this file: nobody made it, nobody named it, and there is something to run.
    pub(crate) fn does_without(&self, file: &Path) -> bool {
        let has_own = !(self.sources.is_empty() && self.destinations.is_empty());
        has_own && file == Path::new(CONFIG_DEFAULT) && !file.exists()
    }

    /// The crate whose log lines are shown as the platform's own, if there is one.
    pub(crate) fn log_target(&self) -> Option<String> {
        self.own.map(|(name, _)| name.replace('-', "_"))
    }

    /// The sources in code.
    pub(crate) fn sources(&self) -> &[SourceSettings] {
        &self.sources
    }

    /// The destinations in code.
    pub(crate) fn destinations(&self) -> &[DestinationSettings] {
        &self.destinations
    }

    /// The broker, if there is one.
    pub(crate) fn broker(&self) -> Option<&Arc<dyn PubSub>> {
        self.pubsub.as_ref()
    }

    /// The program's own drivers of sources, the newest first.
    pub(crate) fn source_drivers(&self) -> impl Iterator<Item = (&'static str, &SourceDriver)> {
        let drivers = self.source_drivers.iter().rev();
        drivers.map(|(name, make)| (*name, &**make))
    }

    /// The program's own drivers of destinations, the newest first.
    pub(crate) fn destination_drivers(
        &self,
    ) -> impl Iterator<Item = (&'static str, &DestinationDriver)> {
        let drivers = self.destination_drivers.iter().rev();
        drivers.map(|(name, make)| (*name, &**make))
    }

    /// The application as it will run.
    pub(crate) fn finished(&self, application: Application) -> Application {
        let finish = self.finish.iter();
        finish.fold(application, |application, finish| finish(application))
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("own", &self.own)
            .field("sources", &self.sources)
            .field("destinations", &self.destinations)
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}
