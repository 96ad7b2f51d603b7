//! A lane that is far behind: a log that holds a whole backlog, of which nothing is loaded.

use super::backlog::{Backlog, Way};
use super::build::Build;
use super::program::{Program, Sink};
use super::reading::Reading;
use super::{Result, ceiling, child, folder, log, words};

/// A log that holds a whole backlog.
#[derive(Debug)]
pub struct Behind<'a> {
    backlog: &'a Backlog,
    sink: Sink,
    program: Program,
}

impl<'a> Behind<'a> {
    /// Has our program's gateway take the backlog in, and nothing load it.
    ///
    /// # Errors
    /// When it fails.
    pub fn make(backlog: &'a Backlog, build: &Build, sink: Sink) -> Result<Behind<'a>> {
        let gateway = ["--service", "gateway"];
        let (program, _) = backlog.ours(build, sink, Way::Batches, &gateway)?;
        let name = format!("behind-{}-{}", sink.name(), build.label());
        let kept = backlog.folder.join(name);
        let program = program.copied_to(&kept)?;
        Ok(Behind {
            backlog,
            sink,
            program,
        })
    }

    /// Whether it is of this build, for this sink.
    #[must_use]
    pub fn is_of(&self, build: &Build, sink: Sink) -> bool {
        self.program.build() == build && self.sink == sink
    }

    /// Our program's scheduler alone, from its start until everything is loaded.
    ///
    /// # Errors
    /// When it fails, or not every change is in the lake.
    pub fn load(&self) -> Result<Reading> {
        let program = self.program.copied_to(&self.backlog.folder.join("life"))?;
        ceiling::settle_disk();
        let ended = program.catch_up(&["--service", "scheduler"])?;
        let mut reading = Reading {
            rows: self.backlog.work.changes,
            seconds: ended.seconds,
            own: ended.usage,
            ..Reading::default()
        };
        self.backlog.check(self.sink, &program, &mut reading)?;
        Ok(reading)
    }

    /// The log read from its beginning to its end, checksums and nothing else.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn replay(&self) -> Result<Reading> {
        let store = self.program.store();
        let mut reading = child::measure(&[log::REPLAY, words::word(&store)?])?;
        reading.rows = self.backlog.work.changes;
        Ok(reading)
    }
}

impl Drop for Behind<'_> {
    fn drop(&mut self) {
        if let Err(why) = folder::remove(self.program.folder()) {
            eprintln!("{why}");
        }
    }
}
