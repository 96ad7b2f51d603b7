//! How a command ends: its exit code, and what it says when it failed.
//!
//! 0 done, 1 failed, 2 wrong usage (clap), 78 wrong configuration.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use blacksmith_core::error::{Error, Kind, Result};
use blacksmith_core::query::Noun;

use crate::cli::{Cli, Command, Global};
use crate::logging::{self, Style};
use crate::look::look;
use crate::program::Program;
use crate::screen::Screen;
use crate::{check, order, run, store};

const FAILED: u8 = 1;
/// Exit code of wrong usage, as clap has it.
pub(crate) const WRONG_USAGE: u8 = 2;
/// Exit code of a wrong configuration.
pub(crate) const WRONG_CONFIGURATION: u8 = 78;

/// How results on stdout look: for a person on a terminal, for a program elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Text,
    Json,
}

impl Output {
    fn of(global: &Global) -> Self {
        match io::stdout().is_terminal() && !global.json {
            true => Output::Text,
            false => Output::Json,
        }
    }
}

/// Runs what was typed and turns its outcome into the exit code.
pub(crate) fn with(program: &Program, cli: Cli) -> ExitCode {
    let screen = Screen::stderr();
    let style = match screen.is_terminal() && !cli.global.json {
        true => Style::Human,
        false => Style::Json,
    };
    let outcome = logging::start(&screen, style, cli.global.verbose, program.log_target())
        .and_then(|()| command(program, cli.command, &cli.global, &screen));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            tell(&error, style);
            ExitCode::from(code(error.kind()))
        }
    }
}

fn command(
    program: &Program,
    command: Command,
    global: &Global,
    screen: &Screen,
) -> Result<ExitCode> {
    let output = Output::of(global);
    match command {
        Command::Run(options) => run::run(program, global, &options, screen),
        Command::Check => check::check(program, global, output),
        Command::Events(listing) => look(Noun::Events, program, global, listing, output),
        Command::Jobs(jobs) => order::jobs(program, global, jobs, output),
        Command::Actions { command } => order::actions(program, global, command, output),
        Command::Transitions(listing) => look(Noun::Transitions, program, global, listing, output),
        Command::Store { command } => store::store(program, global, &command, output),
    }
}

fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Config => WRONG_CONFIGURATION,
        _ => FAILED,
    }
}

/// Says what failed: in paragraphs to a person, as one log line to a program.
fn tell(error: &Error, style: Style) {
    match style {
        Style::Json => {
            let advised = error.advised().unwrap_or_default();
            tracing::error!(kind = ?error.kind(), help = advised, "{}", story(error));
        }
        Style::Human => {
            let mut text = format!("error: {}\n", story(error));
            if let Some(advised) = error.advised() {
                text.push_str(&format!(" help: {advised}\n"));
            }
            // Nothing is left to do when stderr is gone, too.
            io::stderr().write_all(text.as_bytes()).ok();
        }
    }
}

/// Says what was typed wrongly, as clap says it.
pub(crate) fn tell_usage(wrong: &str) {
    // Nothing is left to do when stderr is gone, too.
    io::stderr()
        .write_all(format!("error: {wrong}\n").as_bytes())
        .ok();
}

/// The message, what is wrong one by one, and the causes.
fn story(error: &Error) -> String {
    let mut text = error.to_string();
    for wrong in error.validations() {
        text.push_str(&format!("\n  {}: {}", wrong.path.join(" "), wrong.message));
    }
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Writes to stdout. A reader that went away (`| head`) has what it wanted.
pub(crate) fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::unavailable("cannot write to stdout").because(error))
        }
        _ => Ok(()),
    }
}
