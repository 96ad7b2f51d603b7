//! `check`: every problem at once, before anything is started and without changing anything.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use blacksmith_core::app;
use blacksmith_core::error::Result;
use blacksmith_core::finding::{Finding, Severity};
use blacksmith_core::settings::Place;
use serde_json::json;

use crate::assemble::Components;
use crate::cli::Global;
use crate::exit::{self, Output, print};
use crate::program::Program;
use crate::run::runtime;

/// A finding and the component that it is about.
#[derive(Debug)]
struct Found {
    component: String,
    finding: Finding,
}

/// Looks at everything that the configuration names; the exit code says whether it would run.
pub(crate) fn check(program: &Program, global: &Global, output: Output) -> Result<ExitCode> {
    let components = Components::read(program, global)?;
    let is_without = program.does_without(&global.config);
    let mut found = configuration(&components, &global.config, is_without);
    found.extend(store(&components));
    found.extend(runtime()?.block_on(Box::pin(connections(&components))));
    print(|out| match output {
        Output::Text => write_text(&found, out),
        Output::Json => write_json(&found, out),
    })?;
    match found
        .iter()
        .any(|found| found.finding.severity == Severity::Problem)
    {
        true => Ok(ExitCode::from(exit::WRONG_CONFIGURATION)),
        false => Ok(ExitCode::SUCCESS),
    }
}

fn configuration(components: &Components, file: &Path, is_without: bool) -> Vec<Found> {
    let problems = components.settings.problems.list();
    if problems.is_empty() {
        let what = match is_without {
            true => format!("there is no {}, and none is needed", file.display()),
            false => format!("{} is valid", file.display()),
        };
        return vec![Found::new("configuration", Severity::Good, what, "")];
    }
    let found = problems.into_iter().map(|problem| {
        let place = match &problem.place {
            Place::At { line, column } => format!("{}:{line}:{column}", file.display()),
            elsewhere @ (Place::Variable(_) | Place::Code) => elsewhere.to_string(),
        };
        let what = match problem.key.as_str() {
            "" => format!("{place}: {}", problem.what),
            key => format!("{place}: {key}: {}", problem.what),
        };
        Found::new("configuration", Severity::Problem, what, &problem.fix)
    });
    found.collect()
}

/// Whether the store's folder can be made and written, without making it.
fn store(components: &Components) -> Vec<Found> {
    let path = &components.settings.store.path;
    let existing = path
        .ancestors()
        .find(|folder| folder.exists())
        .unwrap_or(Path::new("."));
    let existing = if existing.as_os_str().is_empty() {
        Path::new(".")
    } else {
        existing
    };
    let writable = rustix::fs::access(
        existing,
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
    );
    let found = match writable {
        Ok(()) if existing.is_dir() => Found::new(
            "store",
            Severity::Good,
            format!("{} can be written", path.display()),
            "",
        ),
        _ => Found::new(
            "store",
            Severity::Problem,
            format!("{} cannot be written", existing.display()),
            "make it a folder that this user may write, or set store.path",
        ),
    };
    vec![found]
}

async fn connections(components: &Components) -> Vec<Found> {
    let mut found = Vec::new();
    for app::SourceSettings { source, .. } in &components.sources {
        let component = format!("source {}", source.name());
        let findings = source.check().await;
        found.extend(
            findings
                .into_iter()
                .map(|finding| Found::about(&component, finding)),
        );
    }
    for app::DestinationSettings { destination, .. } in &components.destinations {
        let component = format!("destination {}", destination.name());
        let findings = destination.check().await;
        found.extend(
            findings
                .into_iter()
                .map(|finding| Found::about(&component, finding)),
        );
    }
    found
}

impl Found {
    fn new(component: &str, severity: Severity, what: String, fix: &str) -> Self {
        let fix = Some(fix.to_owned()).filter(|fix| !fix.is_empty());
        Found::about(
            component,
            Finding {
                severity,
                what,
                fix,
            },
        )
    }

    fn about(component: &str, finding: Finding) -> Self {
        Found {
            component: component.to_owned(),
            finding,
        }
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Good => "ok",
        Severity::Warning => "warning",
        Severity::Problem => "problem",
    }
}

/// One line per finding, its fix below it.
fn write_text(found: &[Found], out: &mut dyn Write) -> io::Result<()> {
    let width = found
        .iter()
        .map(|found| found.component.chars().count())
        .max()
        .unwrap_or(0);
    for Found { component, finding } in found {
        writeln!(
            out,
            "{:<8} {component:<width$}  {}",
            word(finding.severity),
            finding.what
        )?;
        for line in finding.fix.iter().flat_map(|fix| fix.lines()) {
            writeln!(out, "{:8} {:width$}    {line}", "", "")?;
        }
    }
    Ok(())
}

fn write_json(found: &[Found], out: &mut dyn Write) -> io::Result<()> {
    for Found { component, finding } in found {
        let object = json!({
            "severity": word(finding.severity),
            "component": component,
            "what": finding.what,
            "fix": finding.fix,
        });
        writeln!(out, "{object}")?;
    }
    Ok(())
}
