//! Jobs as lines of JSON on standard output: for looking, and for pipes.
//!
//! ```toml
//! [destinations.screen]
//! driver = "stdout"
//! content = "job"                # job: the line described in docs/destinations.md | data: its data alone
//! ```
//!
//! Lines come in order, and each load is flushed before its jobs are reported. A load that fails half-way is written
//! again from its beginning, with a higher `attempt`. Log lines of Blacksmith go to standard error.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use async_trait::async_trait;
use blacksmith_core::destination::{
    Action, Destination, Jobs, Ordering, Queue, Then, Thens, Toolkit,
};
use blacksmith_core::error::{Error, Result};
use blacksmith_core::finding::{Finding, Severity};
use blacksmith_core::job::QueuedJob;
use blacksmith_core::settings::Section;
use tokio::sync::Mutex;

use crate::line::Content;

/// How standard output is written.
#[derive(Debug, Clone)]
pub struct StdoutOptions {
    /// The destination's name in the configuration.
    pub name: String,
    /// What is written of a job. Default: everything.
    pub content: Content,
}

impl StdoutOptions {
    /// Reads the destination `name` from its section; what is wrong goes into the section's problems.
    #[must_use]
    pub fn read(name: &str, mut section: Section) -> StdoutOptions {
        let content = Content::read(&mut section);
        section.finish();
        StdoutOptions {
            name: name.to_owned(),
            content,
        }
    }
}

/// Writes jobs as lines of JSON. Its action is `print`.
#[derive(Debug)]
pub struct Stdout {
    name: String,
    print: Arc<Print>,
}

impl Stdout {
    /// The destination that `options` describe, on standard output.
    #[must_use]
    pub fn new(options: &StdoutOptions) -> Stdout {
        Stdout::on(options, Box::new(io::stdout()))
    }

    fn on(options: &StdoutOptions, out: Box<dyn Write + Send>) -> Stdout {
        Stdout {
            name: options.name.clone(),
            print: Arc::new(Print {
                content: options.content,
                out: Arc::new(Mutex::new(out)),
            }),
        }
    }
}

#[async_trait]
impl Destination for Stdout {
    fn name(&self) -> &str {
        &self.name
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        vec![Arc::clone(&self.print) as Arc<dyn Action>]
    }

    async fn check(&self) -> Vec<Finding> {
        vec![Finding {
            severity: Severity::Good,
            what: "lines of JSON go to standard output".into(),
            fix: None,
        }]
    }
}

struct Print {
    content: Content,
    out: Arc<Mutex<Box<dyn Write + Send>>>,
}

impl fmt::Debug for Print {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Print").finish_non_exhaustive()
    }
}

impl Print {
    /// Writes away from the async threads: whoever reads the pipe may be slow.
    async fn write(&self, jobs: Vec<QueuedJob>, attempt: u32) -> Result<()> {
        let content = self.content;
        let mut out = Arc::clone(&self.out).lock_owned().await;
        let writing = tokio::task::spawn_blocking(move || {
            let mut lines = Vec::new();
            for job in &jobs {
                content.write(job, Some(attempt), &mut lines);
                lines.push(b'\n');
            }
            out.write_all(&lines)?;
            out.flush()
        });
        let written = writing
            .await
            .map_err(|error| Error::stopped("writing was cut short").because(error))?;
        written.map_err(explain)
    }
}

fn explain(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => {
            Error::refused("nobody reads standard output any more: the pipe is closed")
                .help("stop this process, and start it again with a reader; what was not read is still in the store")
        }
        _ => Error::unavailable("standard output cannot be written").because(error),
    }
}

#[async_trait]
impl Action for Print {
    fn name(&self) -> &str {
        "print"
    }

    fn ordering(&self) -> Ordering {
        Ordering::Ordered
    }

    async fn load(&self, _: &Toolkit, queue: &mut Queue, then: &Thens) -> Result<()> {
        while let Some(jobs) = queue.next_jobs().await? {
            self.write(jobs, queue.attempt()).await?;
        }
        then.send(Then::succeeded(Jobs::All));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as SyncMutex;

    use blacksmith_core::settings::Environment;

    use super::*;
    use crate::by_hand::{job, jobs, load};

    /// What was written, and how often it was flushed; or a pipe without a reader.
    #[derive(Clone, Default)]
    struct Screen {
        written: Arc<SyncMutex<(String, usize)>>,
        is_closed: bool,
    }

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.is_closed {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let text = std::str::from_utf8(bytes).unwrap();
            self.written.lock().unwrap().0.push_str(text);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.written.lock().unwrap().1 += 1;
            Ok(())
        }
    }

    fn on(screen: &Screen, text: &str) -> Arc<dyn Action> {
        let (section, problems) = Section::parse("b.toml", text, &Environment::default()).unwrap();
        let options = StdoutOptions::read("screen", section);
        problems.check().unwrap();
        Stdout::on(&options, Box::new(screen.clone()))
            .actions()
            .remove(0)
    }

    #[tokio::test]
    async fn each_job_is_a_line_in_order_and_each_load_is_flushed() {
        let screen = Screen::default();
        let loaded = load(&*on(&screen, ""), jobs(1, 7), 4).await;
        assert!(loaded.all_succeeded());
        let (text, flushed) = screen.written.lock().unwrap().clone();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let data: Vec<_> = lines
            .iter()
            .map(|line| line["data"].as_u64().unwrap())
            .collect();
        assert_eq!(data, [1, 2, 3, 4, 5, 6, 7]);
        assert!(lines.iter().all(|line| line["attempt"] == 4));
        assert!(flushed >= 1 && text.ends_with('\n'));
    }

    #[tokio::test]
    async fn the_data_alone_is_written_when_that_is_wanted() {
        let screen = Screen::default();
        load(
            &*on(&screen, "content = 'data'"),
            vec![job(1, "{\n\"a\": 1}")],
            1,
        )
        .await;
        assert_eq!(screen.written.lock().unwrap().0, "{ \"a\": 1}\n");
    }

    #[tokio::test]
    async fn a_pipe_that_nobody_reads_fails_the_load_and_says_so() {
        let screen = Screen {
            is_closed: true,
            ..Screen::default()
        };
        let loaded = load(&*on(&screen, ""), jobs(1, 1), 1).await;
        assert!(loaded.thens.is_empty());
        let error = loaded.error();
        assert!(
            error.contains("pipe is closed") && error.contains("start it again"),
            "{error}"
        );
    }
}
