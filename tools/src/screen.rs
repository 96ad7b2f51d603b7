//! The terminal on stderr, shared by log lines and progress bars so that neither tears the other.

use std::io::{self, IsTerminal, Write};

use indicatif::{MultiProgress, ProgressDrawTarget};
use tracing_subscriber::fmt::MakeWriter;

/// Stderr and the bars on it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Screen {
    bars: MultiProgress,
    is_terminal: bool,
}

impl Screen {
    /// Stderr as it is.
    pub(crate) fn stderr() -> Self {
        let is_terminal = io::stderr().is_terminal();
        let target = match is_terminal {
            true => ProgressDrawTarget::stderr_with_hz(5),
            false => ProgressDrawTarget::hidden(),
        };
        Screen {
            bars: MultiProgress::with_draw_target(target),
            is_terminal,
        }
    }

    /// Whether a person watches.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Where bars are added; hidden when nobody watches.
    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }
}

/// One write to stderr, above the bars.
#[derive(Debug)]
pub(crate) struct Line<'a>(&'a Screen);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A log line comes in one piece: the formatter buffers it.
        let all = || io::stderr().lock().write_all(bytes);
        match self.0.is_terminal {
            true => self.0.bars.suspend(all)?,
            false => all()?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Screen {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}
