//! The program from end to end, beside what the same machine gives in the same minutes.
//!
//! `cargo x bench` builds everything in release and runs [`run`]: a private Postgres, the stock `blacksmith-stream` as a
//! process with configuration files, and the ceilings, in turn, round by round. A *trial* is a set of contenders
//! that do the same work; each run of one is a *reading*; figures are medians over rounds, and ratios are formed within
//! a round before the median is taken, because machines differ and are noisy.
//!
//! In reading order: what was asked ([`arguments`], [`size`]), where we are ([`stop`], [`machine`], [`folder`]), what a
//! process costs ([`meter`], [`reading`]), the server and what is in it ([`postgres`] to [`lake`]), our program, of this tree and
//! of another revision ([`repository`] to [`program`]),
//! parts and ceilings that are processes of their own ([`framing`] to [`ceiling`]), what is drained ([`backlog`], [`behind`]), rounds
//! ([`trial`]), the scenarios ([`scenario`]) and what is made of them ([`report`]).

pub mod arguments;
pub mod size;
pub mod stop;
pub mod machine;
pub mod folder;
pub mod meter;
pub mod reading;
pub mod words;
pub mod postgres;
pub mod data;
pub mod work;
pub mod lake;
pub mod repository;
pub mod build;
pub mod before;
pub mod program;
pub mod framing;
pub mod log;
pub mod jobs;
pub mod restart;
pub mod bare;
pub mod child;
pub mod client;
pub mod scrape;
pub mod ceiling;
pub mod peers;
pub mod backlog;
pub mod behind;
pub mod trial;
pub mod scenario;
pub mod report;

use std::process::ExitCode;

use arguments::Arguments;

/// Done, or a sentence that says what went wrong.
pub type Result<T> = std::result::Result<T, String>;

/// The whole program: reads the command line, measures, reports.
#[must_use]
pub fn run() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match carry_out(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(words: &[String]) -> Result<()> {
    if let Some(done) = child::carry_out(words) {
        return done;
    }
    let arguments = Arguments::parse(words)?;
    stop::listen()?;
    let report = scenario::measure(&arguments)?;
    report.publish(&arguments)
}
