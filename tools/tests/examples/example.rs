//! An example in a folder of its own: its commands, and its process while it runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take before the test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// An example and the folder that it works in.
#[derive(Debug)]
pub(crate) struct Example {
    program: PathBuf,
    folder: TempDir,
}

impl Example {
    /// The example `name` in an empty folder. Cargo builds the examples before it runs the tests.
    pub(crate) fn new(name: &str) -> Example {
        let own = std::env::current_exe().unwrap();
        let target = own.ancestors().nth(2).unwrap();
        let program = target.join("examples").join(name);
        assert!(
            program.exists(),
            "{} is not built: run cargo test -p blacksmith-stream without --test, or build --examples",
            program.display()
        );
        let folder = tempfile::tempdir().unwrap();
        Example { program, folder }
    }

    /// Where it works.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The program, which listens at a port that is free.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(self.folder())
            .env("BLACKSMITH__GATEWAY__ADDRESS", "127.0.0.1:0");
        command
    }

    /// What a command that succeeds lists.
    #[track_caller]
    pub(crate) fn listed(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        json_lines(&String::from_utf8(output.stdout).unwrap())
    }

    /// Starts `run`; returns when its gateway listens.
    pub(crate) fn start(&self) -> Running {
        Running::of(self.command(&["run"]))
    }
}

/// Each line of `text` as JSON.
pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A program that runs; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    said: Receiver<String>,
    /// Where its gateway listens.
    pub(crate) address: String,
}

impl Running {
    /// Starts `command`; returns when its gateway listens.
    pub(crate) fn of(mut command: Command) -> Running {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (said_in, said) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if said_in.send(line).is_err() {
                    break;
                }
            }
        });
        let mut running = Running {
            child,
            said,
            address: String::new(),
        };
        let listening = running.hear("\"service\":\"blacksmith-gateway\"");
        running.address = listening["address"].as_str().unwrap().to_owned();
        running
    }

    /// The next log line with `text` in it.
    #[track_caller]
    pub(crate) fn hear(&mut self, text: &str) -> Value {
        loop {
            let line = self.said.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|why| panic!("it never said {text}: {why}"));
            if line.contains(text) {
                return serde_json::from_str(&line).unwrap();
            }
        }
    }

    /// Sends a body; the status and the reply.
    pub(crate) fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (host, length) = (&self.address, body.len());
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }

    /// SIGTERM, and the graceful end it comes to.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.hear("\"message\":\"stopped\"");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended when the test went well.
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}
