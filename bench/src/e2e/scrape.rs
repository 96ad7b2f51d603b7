//! `/metrics` of a running program, asked over its admin socket again and again.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Result;

/// Time between two questions.
const EVERY: Duration = Duration::from_millis(1);
const DURABLE: &str = "blacksmith_log_durable_position ";

/// When the log was seen to be durable up to where: microseconds since 1970, and the position.
type Seen = Vec<(i64, u64)>;

/// A thread that asks.
#[derive(Debug)]
pub struct Scraper {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Seen>>,
}

impl Scraper {
    /// Begins to ask.
    ///
    /// # Errors
    /// When nobody listens at the socket.
    pub fn start(socket: &Path) -> Result<Scraper> {
        let stream = UnixStream::connect(socket);
        let stream = stream.map_err(|error| format!("{}: {error}", socket.display()))?;
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = thread::spawn(move || ask(stream, &asked));
        Ok(Scraper { stop, thread })
    }

    /// Asks once more, and says what was seen whenever it changed.
    ///
    /// # Errors
    /// When an answer could not be read.
    pub fn stop(self) -> Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.join();
        seen.map_err(|_| "asking for metrics panicked".to_owned())?
    }
}

fn ask(stream: UnixStream, stop: &AtomicBool) -> Result<Seen> {
    let mut stream = BufReader::new(stream);
    let mut seen: Seen = Vec::new();
    loop {
        let last = stop.load(Ordering::Relaxed);
        let text = once(&mut stream).map_err(|error| format!("asking for metrics: {error}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(DURABLE));
        let position = line.and_then(|number| number.trim().parse().ok());
        let position = position.ok_or("the metrics do not say how far the log is durable")?;
        if seen.last().is_none_or(|(_, before)| *before < position) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            seen.push((now.map_or(0, |since| since.as_micros() as i64), position));
        }
        if last {
            return Ok(seen);
        }
        thread::sleep(EVERY);
    }
}

fn once(stream: &mut BufReader<UnixStream>) -> std::io::Result<String> {
    stream
        .get_mut()
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}
