//! The admin socket of a running process: one request at a time, each over a connection of its own.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use blacksmith_core::error::{Error, Result};
use serde_json::Value;

/// How long an order may take: as long as the process gives it, and a moment.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(620);
/// Bytes of an answer, at most: one of an order that names 10,000 ids has 3 MiB.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Where a process listens.
#[derive(Debug)]
pub(crate) struct Socket(PathBuf);

impl Socket {
    /// The socket at `path`, if somebody listens there.
    pub(crate) fn of(path: &Path) -> Option<Socket> {
        UnixStream::connect(path).ok()?;
        Some(Socket(path.to_owned()))
    }

    /// Sends `body` to `path`, and returns the data of the answer.
    ///
    /// # Errors
    /// What the process answers; `Unavailable` when it does not.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.exchange(path, body.to_string().as_bytes());
        let answer = answer.map_err(|error| {
            Error::unavailable(format!("no answer on {}", self.0.display()))
                .help("the process is stopping or very busy; what was ordered may be done all the same: look before you order again")
                .because(error)
        })?;
        let unreadable = || {
            Error::invalid(format!(
                "what listens on {} is not Blacksmith",
                self.0.display()
            ))
        };
        let (status, body) = read(&answer).ok_or_else(unreadable)?;
        match status {
            200 => body.get("data").cloned().ok_or_else(unreadable),
            status => Err(told(status, &body)),
        }
    }

    fn exchange(&self, path: &str, body: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.0)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// Status and body of an answer.
fn read(answer: &[u8]) -> Option<(u16, Value)> {
    let status = str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((status, serde_json::from_slice(answer.get(end + 4..)?).ok()?))
}

/// The error object, as an error of this process.
fn told(status: u16, body: &Value) -> Error {
    let message = body["message"].as_str().unwrap_or("no reason was given");
    let error = match status {
        500.. => Error::unavailable(format!("the running process answers {status}: {message}"))
            .help("its log says more"),
        _ => Error::invalid(message),
    };
    let validations = body["validations"].as_array().into_iter().flatten();
    validations.fold(error, |error, own| {
        let path = own["path"].as_array().into_iter().flatten();
        let path: Vec<&str> = path.filter_map(Value::as_str).collect();
        error.validation(own["message"].as_str().unwrap_or_default(), path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_what_is_none_is_not() {
        let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(read(answer).unwrap().0, 404);
        for none in [&b""[..], b"HTTP/1.1 200 OK\r\n\r\n", b"SSH-2.0-x\r\n\r\n{}"] {
            assert!(read(none).is_none());
        }
    }

    #[test]
    fn an_error_object_is_told_with_everything_in_it() {
        let object = serde_json::json!({
            "message": "the store has no such job",
            "validations": [{"message": "no job has this id", "path": ["ids", "x"]}],
        });
        let error = told(404, &object);
        assert_eq!(error.to_string(), "the store has no such job");
        assert_eq!(error.validations()[0].path, ["ids", "x"]);
    }
}
