//! An HTTP server that destinations post to, and that misbehaves as the test says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
    /// When all of it was there.
    pub at: Instant,
}

/// What is done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// This status.
    Status(u16),
    /// 429, to come back after so many seconds.
    TooMany(u64),
    /// The effect takes place, and the connection ends without an answer.
    TakenAndHungUp,
    /// The effect takes place, and the answer is 500.
    TakenAndFailed,
    /// Nothing, until the other side gives up.
    Silence,
}

/// What came, and what was done with it, in order.
pub type Seen = Vec<(Request, Answer)>;

/// The server. Its threads end with their connections; the accepting one with the test process.
#[derive(Debug)]
pub struct Endpoint {
    port: u16,
    seen: Arc<Mutex<Seen>>,
}

impl Endpoint {
    /// A server that asks `script` what to do with request number 0, 1, …
    ///
    /// # Panics
    /// When the machine has no free port.
    #[must_use]
    pub fn start(script: fn(usize) -> Answer) -> Endpoint {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("this machine has a free port");
        let address = listener.local_addr();
        let port = address.expect("a bound socket has an address").port();
        let seen = Arc::<Mutex<Seen>>::default();
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, script, &seen));
            }
        });
        Endpoint { port, seen }
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// What came so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        locked(&self.seen).clone()
    }

    /// The idempotency keys that were told 2xx: they are not sent again.
    #[must_use]
    pub fn accepted(&self) -> BTreeSet<String> {
        let seen = locked(&self.seen);
        let accepted = seen
            .iter()
            .filter(|(_, answer)| matches!(answer, Answer::Status(200..300)));
        accepted
            .filter_map(|(request, _)| request.headers.get("idempotency-key").cloned())
            .collect()
    }
}

fn locked(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers requests of one connection until either side ends it.
fn serve(stream: TcpStream, script: fn(usize) -> Answer, seen: &Mutex<Seen>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let request = read(&mut reader)?;
        let answer = {
            let mut seen = locked(seen);
            let answer = script(seen.len());
            seen.push((request, answer));
            answer
        };
        let (status, header) = match answer {
            Answer::Status(status) => (status, String::new()),
            Answer::TooMany(seconds) => (429, format!("Retry-After: {seconds}\r\n")),
            Answer::TakenAndFailed => (500, String::new()),
            Answer::TakenAndHungUp => return None,
            Answer::Silence => {
                reader.read_exact(&mut [0]).ok()?; // ends when the other side does
                return None;
            }
        };
        let reply = format!("HTTP/1.1 {status} Said\r\n{header}Content-Length: 0\r\n\r\n");
        stream.write_all(reply.as_bytes()).ok()?;
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut headers = BTreeMap::new();
    let mut line = String::new();
    reader
        .read_line(&mut line)
        .ok()
        .filter(|count| *count > 0)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
        at: Instant::now(),
    })
}
