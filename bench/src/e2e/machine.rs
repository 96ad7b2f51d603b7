//! What the figures were seen on.

use std::fs;
use std::process::Command;

use serde::Serialize;

/// The load up to which a machine counts as quiet.
const LOAD_OF_NOTHING: f64 = 0.5;

/// The machine, and what was running on it.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Processors that this process may use.
    pub cores: usize,
    /// Their model, as the kernel calls it.
    pub processor: String,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// The kernel's release.
    pub kernel: String,
    /// TCP's congestion control, which decides what a `send` on loopback costs, and so how fast a walsender is.
    pub congestion_control: String,
    /// The load of the last minute before anything was measured: above 0.5, read ratios only.
    pub load_before: f64,
    /// The commit that was built, with `+` when there were changes beside it.
    pub commit: String,
    /// When it began, seconds since 1970.
    pub began_at: u64,
}

impl Machine {
    /// Looks.
    #[must_use]
    pub fn look() -> Machine {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Machine {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into()),
            memory_bytes: kib("/proc/meminfo", "MemTotal").unwrap_or(0) * 1024,
            kernel: first_word("/proc/sys/kernel/osrelease"),
            congestion_control: first_word("/proc/sys/net/ipv4/tcp_congestion_control"),
            load_before: first_word("/proc/loadavg").parse().unwrap_or(0.0),
            commit: commit(),
            began_at: now.map_or(0, |since| since.as_secs()),
        }
    }

    /// A paragraph for whoever reads figures that were seen beside other work; empty when there was none.
    #[must_use]
    pub fn warning(&self) -> &'static str {
        match self.load_before > LOAD_OF_NOTHING {
            true => {
                "**Other work shared this machine:** read ratios and processor seconds, not rates, and distrust what is spread far.\n\n"
            }
            false => "",
        }
    }
}

/// The value behind `name:` in a file of such lines.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    let (_, value) = line.split_once(':')?;
    Some(value.trim().to_owned())
}

fn kib(path: &str, name: &str) -> Option<u64> {
    let value = field(path, name)?;
    value.strip_suffix(" kB")?.trim().parse().ok()
}

fn first_word(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().next().unwrap_or_default().into()
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    };
    let head = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".into());
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    match changed.is_some_and(|changed| !changed.is_empty()) {
        true => format!("{head}+"),
        false => head,
    }
}
