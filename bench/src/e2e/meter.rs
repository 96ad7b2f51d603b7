//! What processes take: processor time, memory, bytes written, as the kernel counts them.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Result, stop};

/// The kernel's unit of processor time in `/proc`, on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;
/// How often a process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What a process took from its start on.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Usage {
    /// User and system time, in seconds.
    pub cpu_seconds: f64,
    /// The most memory it ever held, in bytes.
    pub rss_peak_bytes: u64,
    /// Bytes that it handed to `write` and its kin. What the kernel says of disks would be of no use: where the page
    /// cache has large pages, one byte dirties a megabyte.
    pub written_bytes: u64,
}

impl Usage {
    /// What the process has taken so far; nothing when it is gone.
    #[must_use]
    pub fn of(pid: u32) -> Usage {
        Usage {
            cpu_seconds: Stat::of(pid).map_or(0.0, |stat| stat.own()),
            rss_peak_bytes: number(pid, "status", "VmHWM:") * 1024,
            written_bytes: number(pid, "io", "wchar:"),
        }
    }

    /// What it took since `before`; the peak of memory is that of its whole life.
    #[must_use]
    pub fn since(self, before: Usage) -> Usage {
        Usage {
            cpu_seconds: self.cpu_seconds - before.cpu_seconds,
            rss_peak_bytes: self.rss_peak_bytes,
            written_bytes: self.written_bytes.saturating_sub(before.written_bytes),
        }
    }

    /// Of two processes that ran at the same time.
    #[must_use]
    pub fn and(self, other: Usage) -> Usage {
        Usage {
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
            rss_peak_bytes: self.rss_peak_bytes + other.rss_peak_bytes,
            written_bytes: self.written_bytes + other.written_bytes,
        }
    }

    /// The larger of everything: a process that is ending loses some of its figures before others.
    fn or_more(self, other: Usage) -> Usage {
        Usage {
            cpu_seconds: self.cpu_seconds.max(other.cpu_seconds),
            rss_peak_bytes: self.rss_peak_bytes.max(other.rss_peak_bytes),
            written_bytes: self.written_bytes.max(other.written_bytes),
        }
    }
}

/// Processor seconds of a Postgres server since its start: the postmaster, its children that live, and those that have
/// ended, which the kernel adds up in their parent.
#[must_use]
pub fn server_cpu_seconds(postmaster: Option<u32>) -> f64 {
    let Some(pid) = postmaster else { return 0.0 };
    let children = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(children).unwrap_or_default();
    let children = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok());
    let living: f64 = children.filter_map(Stat::of).map(|stat| stat.own()).sum();
    living + Stat::of(pid).map_or(0.0, |stat| stat.own() + stat.ended_children())
}

/// The fields of `/proc/PID/stat` behind the name.
struct Stat(Vec<String>);

impl Stat {
    fn of(pid: u32) -> Option<Stat> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, fields) = text.rsplit_once(") ")?;
        Some(Stat(fields.split_whitespace().map(String::from).collect()))
    }

    fn seconds(&self, fields: [usize; 2]) -> f64 {
        let ticks = fields.map(|field| self.0.get(field)?.parse::<f64>().ok());
        ticks.into_iter().flatten().sum::<f64>() / TICKS_PER_SECOND
    }

    fn own(&self) -> f64 {
        self.seconds([11, 12])
    }

    fn ended_children(&self) -> f64 {
        self.seconds([13, 14])
    }

    fn has_ended(&self) -> bool {
        self.0.first().is_some_and(|state| state == "Z")
    }
}

/// The number behind `field` in a file of `/proc/PID`; 0 when there is none.
fn number(pid: u32, file: &str, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// A process of ours; ended when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
    started: Instant,
    seen: Usage,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// After so many seconds.
    pub seconds: f64,
    /// With this taken.
    pub usage: Usage,
    /// What it printed, where that was asked for: little, because nobody reads it before the end.
    pub printed: String,
}

impl Running {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn start(name: &str, command: &mut Command) -> Result<Running> {
        let started = Instant::now();
        let child = command.spawn();
        let child = child.map_err(|error| {
            let program = command.get_program().display();
            format!("cannot run {name}, {program}: {error}")
        })?;
        Ok(Running {
            child,
            name: name.into(),
            started,
            seen: Usage::default(),
        })
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has taken so far.
    pub fn usage(&mut self) -> Usage {
        self.seen = Usage::of(self.pid()).or_more(self.seen);
        self.seen
    }

    /// Asks it to end, as an operator does.
    ///
    /// # Errors
    /// When there is no `kill`.
    pub fn terminate(&self) -> Result<()> {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status();
        status
            .map(drop)
            .map_err(|error| format!("cannot run kill: {error}"))
    }

    /// Waits for its end, looking at it until then.
    ///
    /// # Errors
    /// When `timeout` passes first, or somebody asks us to stop.
    pub fn wait(mut self, timeout: Duration) -> Result<Ended> {
        loop {
            // A process that has ended but was not waited for still shows what it took.
            let over = Stat::of(self.pid()).is_none_or(|stat| stat.has_ended());
            let usage = self.usage();
            if over {
                let seconds = self.started.elapsed().as_secs_f64();
                let status = self.child.wait();
                let status =
                    status.map_err(|error| format!("waiting for {}: {error}", self.name))?;
                let mut printed = String::new();
                if let Some(mut output) = self.child.stdout.take() {
                    let read = output.read_to_string(&mut printed);
                    read.map_err(|error| format!("what {} printed: {error}", self.name))?;
                }
                return Ok(Ended {
                    status,
                    seconds,
                    usage,
                    printed,
                });
            }
            stop::check()?;
            if self.started.elapsed() > timeout {
                return Err(format!("{} still runs after {timeout:?}", self.name));
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait()
            && let Err(error) = self.child.kill().and_then(|()| self.child.wait())
        {
            eprintln!("cannot end {}: {error}", self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_took_is_known_when_it_has_ended() {
        let mut command = Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"]);
        let running = Running::start("a loop", &mut command).unwrap();
        let ended = running.wait(Duration::from_secs(60)).unwrap();
        assert!(ended.status.success());
        assert!(ended.usage.cpu_seconds > 0.0 && ended.usage.cpu_seconds <= ended.seconds + 0.1);
        assert!(ended.usage.rss_peak_bytes > 0);
    }

    #[test]
    fn a_process_that_takes_too_long_is_ended() {
        let running = Running::start("sleep", Command::new("sleep").arg("600")).unwrap();
        let pid = running.pid();
        assert!(running.wait(Duration::from_millis(20)).is_err());
        assert!(Stat::of(pid).is_none());
    }
}
