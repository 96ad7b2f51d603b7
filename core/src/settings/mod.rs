//! Settings: one file, validated whole, before anything starts.
//!
//! The file is TOML ([`Section`] reads it table by table), values may come from the environment
//! (`${VAR}` in strings, `BLACKSMITH__STORE__PATH` for any key), and every mistake is gathered in
//! [`Problems`] and told at once, with file, line, key and remedy. The engine knows its own keys; those of
//! a source or destination driver stay in its `section` until the driver reads them, into the same list:
//!
//! 1. [`Settings::load`] reads the file and the engine's keys.
//! 2. Each driver reads its section and calls [`Section::finish`].
//! 3. [`Problems::check`] on [`Settings::problems`] decides whether anything starts.
//!
//! Limits: the file is at most 1 MiB; a name of a source, destination or action at most 63 characters.

mod address;
mod batch;
mod component;
mod document;
mod environment;
mod flow;
mod interpolation;
mod json;
mod limits;
mod overrides;
mod problem;
mod section;
mod service;
mod size;
mod store;
mod taken;
mod versions;
mod wrong;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use address::Address;
pub use batch::Batch;
pub(crate) use component::is_name;
pub use component::{ActionSettings, DestinationSettings, SourceSettings};
pub use environment::Environment;
pub use limits::HttpLimits;
pub use problem::{Place, Problem, Problems, suggestion};
pub use section::Section;
pub use service::{
    GATEWAY_ADDRESS, GatewaySettings, Keeping, SchedulerSettings, ServiceSettings, TlsFiles,
};
pub use size::{parse_size, write_size};
pub use store::{PurgeSettings, Retention, StoreDriver, StoreSettings};
pub use taken::Taken;

use crate::error::{Error, Result};
use crate::flow::Route;

/// Memory that events and batches may take when nothing else is said: 512 MiB.
pub const MEMORY_BYTES_DEFAULT: u64 = 512 << 20;
/// The least memory that works at all: 64 MiB.
pub const MEMORY_BYTES_MIN: u64 = 64 << 20;

/// Everything a configuration file says.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `application.name`, as it is logged. Default: `blacksmith`.
    pub application: String,
    /// `[store]`.
    pub store: StoreSettings,
    /// `[gateway]`.
    pub gateway: GatewaySettings,
    /// `[scheduler]`: health, metrics and the admin side; it listens only where it is told to.
    pub scheduler: SchedulerSettings,
    /// `memory.cap`: bytes that the process may take. Default: 512 MiB, at least 64 MiB.
    pub memory_bytes: u64,
    /// `[sources.<name>]`, in the order of the file.
    pub sources: Vec<SourceSettings>,
    /// `[destinations.<name>]`, in the order of the file.
    pub destinations: Vec<DestinationSettings>,
    /// `[[flows]]`, in the order of the file.
    pub flows: Vec<Route>,
    /// What is wrong so far; drivers add to it.
    pub problems: Problems,
}

/// Names of components that the program brings itself: flows of the file may name them.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// Of its sources.
    pub sources: Vec<String>,
    /// Of its destinations.
    pub destinations: Vec<String>,
}

impl Settings {
    /// Reads `file`. What is wrong with its content stands in [`Settings::problems`].
    ///
    /// # Errors
    /// [`crate::error::Kind::Config`] when the file cannot be read or is not TOML.
    pub fn load(file: &Path, environment: &Environment) -> Result<Self> {
        Settings::load_beside(file, environment, &Beside::default())
    }

    /// Reads `file` for a program that brings components itself.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn load_beside(file: &Path, environment: &Environment, beside: &Beside) -> Result<Self> {
        let name = file.display().to_string();
        let bytes = std::fs::read(file).map_err(|error| {
            Error::config(format!("cannot read the configuration file {name}"))
                .help("name it with --config FILE; the README has one to start from")
                .because(error)
        })?;
        if bytes.len() > document::FILE_BYTES_MAX {
            return Err(Error::config(format!("{name} is larger than 1 MiB")));
        }
        let text = String::from_utf8(bytes)
            .map_err(|error| Error::config(format!("{name} is not UTF-8")).because(error))?;
        Settings::parse_beside(&name, &text, environment, beside)
    }

    /// Reads `text`, called `file` in messages.
    ///
    /// # Errors
    /// [`crate::error::Kind::Config`] when `text` is not TOML.
    pub fn parse(file: &str, text: &str, environment: &Environment) -> Result<Self> {
        Settings::parse_beside(file, text, environment, &Beside::default())
    }

    /// Reads `text` for a program that brings components itself.
    ///
    /// # Errors
    /// As [`Settings::parse`].
    pub fn parse_beside(
        file: &str,
        text: &str,
        environment: &Environment,
        beside: &Beside,
    ) -> Result<Self> {
        let (mut root, problems) = Section::parse(file, text, environment)?;
        let mut application = root.take_section("application");
        let mut memory = root.take_section("memory");
        let sources = component::read_sources(root.take_sections("sources"));
        let destinations = component::read_destinations(root.take_sections("destinations"));
        let own = beside.sources.iter().map(String::as_str);
        let source_names: Vec<&str> = sources.iter().map(|own| &*own.name).chain(own).collect();
        let own = beside.destinations.iter().map(String::as_str);
        let names = destinations.iter().map(|own| &*own.name).chain(own);
        let flows = flow::read(
            root.take_tables("flows"),
            &source_names,
            &names.collect::<Vec<_>>(),
        );
        let settings = Settings {
            application: application
                .take_str("name")
                .checked(
                    |name| component::is_name(name),
                    component::NAME_WRONG,
                    component::NAME_FIX,
                )
                .or("blacksmith".into()),
            store: StoreSettings::read(root.take_section("store")),
            gateway: GatewaySettings::read(root.take_section("gateway")),
            scheduler: SchedulerSettings::read(root.take_section("scheduler")),
            memory_bytes: memory
                .take_size("cap")
                .checked(
                    |bytes| *bytes >= MEMORY_BYTES_MIN,
                    "too little memory",
                    "at least 64MiB",
                )
                .or(MEMORY_BYTES_DEFAULT),
            sources,
            destinations,
            flows,
            problems,
        };
        application.finish();
        memory.finish();
        root.finish();
        Ok(settings)
    }
}
