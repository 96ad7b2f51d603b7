//! A running server and the shell that outlives us to stop it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Stdio};

use super::cluster::Cluster;

/// Starts the server, says its pid, and waits for a word: the signal to end it with. When no word
/// comes but the end of the pipe, the tests are over, in whatever way: the folders go too.
const WATCH: &str = r#"
"$1" -D "$2" </dev/null >>"$3" 2>&1 &
pid=$!
echo "$pid"
exec >/dev/null
if read -r signal; then
    kill -s "$signal" "$pid"
    wait "$pid"
else
    kill -s QUIT "$pid"
    wait "$pid"
    rm -rf "$4" "$5"
fi
"#;

/// A started server.
#[derive(Debug)]
pub(super) struct Process {
    shell: Child,
    pipe: Option<ChildStdin>,
    pid: u32,
}

impl Process {
    pub(super) fn spawn(cluster: &Cluster) -> Result<Process, String> {
        let mut command = cluster.account.command("/bin/sh");
        command
            .args(["-c", WATCH, "watch"])
            .arg(cluster.binaries.program("postgres"))
            .arg(cluster.data_dir())
            .arg(cluster.log_path())
            .arg(cluster.folder())
            .arg(cluster.socket_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0); // Ctrl-C at the tests is not for the server
        let shell = command.spawn();
        let mut shell = shell.map_err(|error| format!("cannot run /bin/sh: {error}"))?;
        let pipe = shell.stdin.take();
        let said = shell.stdout.take().map(BufReader::new);
        let mut line = String::new();
        let read = said.map(|mut said| said.read_line(&mut line));
        match (read, line.trim().parse()) {
            (Some(Ok(_)), Ok(pid)) => Ok(Process { shell, pipe, pid }),
            _ => Err("the watching shell did not say the server's pid".into()),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the server has ended by itself. It stays a zombie of the shell until the shell is
    /// told to end, so its pid cannot be another process's.
    pub(super) fn has_ended(&mut self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid));
        stat.is_ok_and(|stat| {
            stat.rsplit(") ")
                .next()
                .is_some_and(|rest| rest.starts_with('Z'))
        }) || !std::path::Path::new(&format!("/proc/{}", self.pid)).exists()
    }

    /// Ends the server with `signal` and waits for it.
    pub(super) fn stop(mut self, signal: &str) {
        if let Some(pipe) = &mut self.pipe
            && let Err(error) = writeln!(pipe, "{signal}")
        {
            eprintln!("the shell that watches Postgres is gone: {error}");
        }
        self.wait();
    }

    fn wait(&mut self) {
        if let Err(error) = self.shell.wait() {
            eprintln!("cannot wait for the shell that watches Postgres: {error}");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.pipe.take()); // the shell's signal to stop the server and remove the folders
        self.wait();
    }
}
