//! A program that runs in a folder: what it says, what it is sent, and its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long anything may take before the test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

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
    /// Where its service listens.
    pub(crate) address: String,
}

impl Running {
    /// Starts `command`; returns when its gateway listens.
    pub(crate) fn of(command: Command) -> Running {
        Running::serving(command, "blacksmith-gateway")
    }

    /// Starts `command`; returns when its service called so listens, with which [`Running::post`] speaks then.
    pub(crate) fn serving(mut command: Command, service: &str) -> Running {
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
        let listening = running.hear(&format!("\"service\":\"{service}\""));
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
        self.post_with("", path, body)
    }

    /// Sends a body with further headers, each with the end of its line.
    pub(crate) fn post_with(&self, headers: &str, path: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (host, length) = (&self.address, body.len());
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\
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
