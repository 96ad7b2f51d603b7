//! An HTTP client for load: many connections that are kept open, one thread, requests that were written beforehand. Both
//! sides of a comparison are asked by the same.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::reading::{Answer, percentiles};
use super::{Result, stop};

/// Where single events go.
pub const EVENTS: &str = "/events";
/// Where events go that are lines.
pub const LINES: &str = "/lines";
/// Bytes of a single event.
const EVENT_BYTES: usize = 1024;
/// Bytes of an event that is a line, and lines of a request.
const LINE_BYTES: usize = 256;
const LINES_OF_A_REQUEST: u64 = 500;
/// Connections.
const CONNECTIONS: usize = 64;
/// The longest a reply may be.
const REPLY_BYTES_MAX: usize = 64 << 10;
/// How long a server may take to begin to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is asked, again and again.
#[derive(Debug, Clone)]
pub struct Load {
    /// The path.
    pub path: &'static str,
    /// `content-type`.
    pub kind: &'static str,
    /// The body of each request.
    pub body: String,
    /// Requests altogether.
    pub requests: u64,
    /// Events in each of them.
    pub events: u64,
}

impl Load {
    /// So many events of 1 KiB, each with a request.
    #[must_use]
    pub fn of_events(events: u64) -> Load {
        Load {
            path: EVENTS,
            kind: "application/json",
            body: document(EVENT_BYTES),
            requests: events,
            events: 1,
        }
    }

    /// About so many events of 256 bytes, 500 lines with each request.
    #[must_use]
    pub fn of_lines(events: u64) -> Load {
        let line = format!("{}\n", document(LINE_BYTES - 1));
        Load {
            path: LINES,
            kind: "application/x-ndjson",
            body: line.repeat(LINES_OF_A_REQUEST as usize),
            requests: events / LINES_OF_A_REQUEST,
            events: LINES_OF_A_REQUEST,
        }
    }

    fn request(&self, address: &str) -> Vec<u8> {
        let Load {
            path, kind, body, ..
        } = self;
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    /// Sends it all, and waits for every reply.
    ///
    /// # Errors
    /// When nobody listens, or a reply is another than 202.
    pub fn send(&self, address: &str) -> Result<Answer> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
        LocalSet::new().block_on(&runtime, self.over_all_connections(address))
    }

    async fn over_all_connections(&self, address: &str) -> Result<Answer> {
        let request: Rc<[u8]> = self.request(address).into();
        let left = Rc::new(Cell::new(self.requests));
        let times = Rc::new(RefCell::new(Vec::new()));
        let mut streams = Vec::new();
        for _ in 0..CONNECTIONS {
            streams.push(connect(address).await?);
        }
        let started = Instant::now();
        let tasks = streams.into_iter().map(|stream| {
            let one = one_connection(
                stream,
                Rc::clone(&request),
                Rc::clone(&left),
                Rc::clone(&times),
            );
            tokio::task::spawn_local(one)
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.map_err(|error| error.to_string())??;
        }
        let answer = Answer::since(started, self.requests * self.events);
        let figures = percentiles("reply", times.take());
        Ok(figures
            .into_iter()
            .fold(answer, |answer, (name, ms)| answer.with(&name, ms)))
    }
}

/// A JSON document of so many bytes.
fn document(bytes: usize) -> String {
    let head = r#"{"order":4711,"customer":"c-004711","status":"paid","currency":"EUR","total":1299,"address":{"city":"Berlin","zip":"10115"},"note":""#;
    let note = "leave it at the door please, ".repeat(bytes / 28 + 1);
    let room = bytes.saturating_sub(head.len() + 2);
    format!("{head}{}\"}}", &note[..room])
}

async fn connect(address: &str) -> Result<TcpStream> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream
                    .set_nodelay(true)
                    .map_err(|error| error.to_string())?;
                return Ok(stream);
            }
            Err(error) if Instant::now() > deadline => return Err(format!("{address}: {error}")),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn one_connection(
    mut stream: TcpStream,
    request: Rc<[u8]>,
    left: Rc<Cell<u64>>,
    times: Rc<RefCell<Vec<f64>>>,
) -> Result<()> {
    let mut reply = Vec::new();
    while let Some(rest) = left.get().checked_sub(1) {
        left.set(rest);
        stop::check()?;
        let began = Instant::now();
        let written = stream.write_all(&request).await;
        written.map_err(|error| format!("sending a request: {error}"))?;
        read_reply(&mut stream, &mut reply).await?;
        times.borrow_mut().push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(())
}

/// Reads one whole reply, which has to be 202.
async fn read_reply(stream: &mut TcpStream, reply: &mut Vec<u8>) -> Result<()> {
    reply.clear();
    loop {
        let read = stream.read_buf(reply).await;
        let read = read.map_err(|error| format!("reading a reply: {error}"))?;
        match whole(reply)? {
            true => return Ok(()),
            false if read == 0 || reply.len() > REPLY_BYTES_MAX => {
                return Err("the server closed within a reply, or its reply has no end".into());
            }
            false => {}
        }
    }
}

/// Whether a reply is there with all of its body.
fn whole(reply: &[u8]) -> Result<bool> {
    let Some(head) = reply.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(false);
    };
    let text = String::from_utf8_lossy(&reply[..head]);
    if !text.starts_with("HTTP/1.1 202") {
        return Err(format!(
            "a reply other than 202: {}",
            String::from_utf8_lossy(reply)
        ));
    }
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.ok_or("a reply without content-length")?;
    Ok(reply.len() >= head + 4 + length)
}

#[cfg(test)]
mod tests {
    use super::{document, whole};

    #[test]
    fn documents_are_json_of_the_size_asked_for() {
        for bytes in [255, 1024] {
            assert_eq!(document(bytes).len(), bytes);
            assert!(serde_json::from_str::<serde_json::Value>(&document(bytes)).is_ok());
        }
    }

    #[test]
    fn a_reply_is_whole_with_the_last_byte_of_its_body() {
        let reply = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(whole(reply), Ok(true));
        for end in 0..reply.len() {
            assert_eq!(whole(&reply[..end]), Ok(false), "{end}");
        }
    }

    #[test]
    fn another_status_is_a_failure() {
        assert!(whole(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").is_err());
    }
}
