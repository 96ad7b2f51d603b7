//! A TCP proxy that treats connections the way networks do: slow, cut at any byte, dead without a word.
//!
//! What a line does to bytes is [`Faults`], which hold from the moment they are set, for open connections
//! and new ones. A connection that lost bytes never gets well again, whatever is set later: what follows
//! would be another stream.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::dice::Dice;

/// Bytes that are carried at once when nothing limits them.
const LUMP_BYTES: usize = 64 * 1024;
/// A throttled line carries a twentieth of a second at once.
const SLICES_PER_SECOND: u64 = 20;

/// What a line does to the bytes of each connection. By default it carries them all, at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Each lump comes so much later.
    pub delay: Duration,
    /// At most so much comes through in a second, each way.
    pub bytes_per_second: Option<u64>,
    /// Both ends of a connection are closed when the server has sent so much over it.
    pub cut_after_bytes: Option<u64>,
    /// What the client sends is taken and goes nowhere; nobody is told.
    pub loses_requests: bool,
    /// What the server sends is taken and goes nowhere; nobody is told.
    pub loses_answers: bool,
}

impl Faults {
    /// Connections are accepted, and nothing goes through, either way.
    #[must_use]
    pub fn dead() -> Faults {
        Faults {
            loses_requests: true,
            loses_answers: true,
            ..Faults::default()
        }
    }

    /// Some fault, as the dice say.
    #[must_use]
    pub fn random(dice: &mut Dice) -> Faults {
        let mut faults = Faults::default();
        match dice.below(6) {
            0 => faults.delay = Duration::from_millis(dice.between(1, 60)),
            1 => faults.bytes_per_second = Some(dice.between(2_000, 200_000)),
            2 => faults.cut_after_bytes = Some(dice.below(2_000)), // in the middle of a login
            3 => faults.cut_after_bytes = Some(dice.below(300_000)),
            4 => faults.loses_requests = true,
            _ => return Faults::dead(),
        }
        faults
    }
}

/// A proxy before a server on 127.0.0.1. Its threads end with the connections they serve; the
/// accepting one with the test process.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    line: Arc<Line>,
}

/// What all connections share.
#[derive(Debug, Default)]
struct Line {
    faults: Mutex<Faults>,
    connections: Mutex<Vec<Arc<Connection>>>,
    accepted: AtomicU64,
}

/// Both ends of one connection.
#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: TcpStream,
    /// Bytes were lost: nothing goes through any more, not even an end.
    lost: AtomicBool,
    bytes_to_client: AtomicU64,
}

impl Proxy {
    /// A proxy before `port`.
    ///
    /// # Panics
    /// When the machine has no free port.
    #[must_use]
    pub fn before(port: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("this machine has a free port");
        let own = listener
            .local_addr()
            .expect("a bound socket has an address")
            .port();
        let line = Arc::new(Line::default());
        let shared = Arc::clone(&line);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                shared.accepted.fetch_add(1, Ordering::Relaxed);
                if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                    join(client, server, &shared);
                }
            }
        });
        Proxy { port: own, line }
    }

    /// Its own port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL `url` of the server at `port`, by way of this proxy.
    #[must_use]
    pub fn url(&self, url: &str, port: u16) -> String {
        url.replace(&format!(":{port}/"), &format!(":{}/", self.port))
    }

    /// How many connections were accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.line.accepted.load(Ordering::Relaxed)
    }

    /// From now on the line does this.
    pub fn set(&self, faults: Faults) {
        *self.line.faults() = faults;
        if faults.cut_after_bytes.is_some() {
            self.line.held().retain(|one| !one.is_cut_by(&faults)); // also those that are idle
        }
    }

    /// From now on the line carries everything. What lost bytes stays lost.
    pub fn heal(&self) {
        self.set(Faults::default());
    }

    /// Cuts every connection on the client's side; the server's side stays open, silent, and
    /// keeps whatever the server holds for it.
    pub fn cut_clients(&self) {
        for one in self.line.held().iter() {
            one.lost.store(true, Ordering::Relaxed);
            one.client.shutdown(Shutdown::Both).ok(); // one that has ended is cut already
        }
    }
}

impl Line {
    fn faults(&self) -> std::sync::MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Connection>>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn cut(&self) {
        for end in [&self.client, &self.server] {
            end.shutdown(Shutdown::Both).ok(); // one that has ended is cut already
        }
    }

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Cuts it if it has carried more than it may.
    fn is_cut_by(&self, faults: &Faults) -> bool {
        let carried = self.bytes_to_client.load(Ordering::Relaxed);
        let over = faults.cut_after_bytes.is_some_and(|most| carried >= most);
        if over && !self.is_lost() {
            self.cut();
        }
        over
    }
}

/// Carries bytes both ways until either side ends. Sockets of lost connections stay open as long as
/// the proxy.
fn join(client: TcpStream, server: TcpStream, line: &Arc<Line>) {
    let connection = Arc::new(Connection {
        client,
        server,
        lost: AtomicBool::new(false),
        bytes_to_client: AtomicU64::new(0),
    });
    line.held().push(Arc::clone(&connection));
    for to_client in [false, true] {
        let (line, connection) = (Arc::clone(line), Arc::clone(&connection));
        std::thread::spawn(move || {
            carry(&connection, &line, to_client).ok(); // an error is an end as good as any
            if !connection.is_lost() {
                connection.cut();
                line.held().retain(|one| !Arc::ptr_eq(one, &connection));
            }
        });
    }
}

fn carry(connection: &Connection, line: &Line, to_client: bool) -> std::io::Result<()> {
    let (mut from, mut to) = match to_client {
        true => (&connection.server, &connection.client),
        false => (&connection.client, &connection.server),
    };
    let mut buffer = vec![0; LUMP_BYTES];
    loop {
        from.peek(&mut [0])?; // how much is taken is decided when there is something: faults may be set meanwhile
        let limit = line.faults().bytes_per_second;
        let most = limit.map_or(LUMP_BYTES as u64, |limit| limit / SLICES_PER_SECOND);
        let most = usize::try_from(most).map_or(LUMP_BYTES, |most| most.clamp(1, LUMP_BYTES));
        let count = from.read(&mut buffer[..most])?;
        if count == 0 {
            return Ok(());
        }
        let faults = *line.faults();
        let loses = match to_client {
            true => faults.loses_answers,
            false => faults.loses_requests,
        };
        if loses || connection.is_lost() {
            connection.lost.store(true, Ordering::Relaxed);
            continue;
        }
        pause(&faults);
        if !to_client {
            to.write_all(&buffer[..count])?;
            continue;
        }
        let carried = connection.bytes_to_client.load(Ordering::Relaxed);
        let left = faults
            .cut_after_bytes
            .map_or(u64::MAX, |most| most.saturating_sub(carried));
        let fit = usize::try_from(left).map_or(count, |left| left.min(count));
        to.write_all(&buffer[..fit])?;
        let carried = fit as u64;
        connection
            .bytes_to_client
            .fetch_add(carried, Ordering::Relaxed);
        if connection.is_cut_by(&faults) {
            return Ok(());
        }
    }
}

/// The time that a lump takes.
fn pause(faults: &Faults) {
    let slice = Duration::from_secs(1) / u32::try_from(SLICES_PER_SECOND).unwrap_or(u32::MAX);
    let throttled = faults.bytes_per_second.map_or(Duration::ZERO, |_| slice);
    let pause = faults.delay + throttled;
    if !pause.is_zero() {
        std::thread::sleep(pause);
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    /// Ends of one connection through a proxy.
    fn connected() -> (Proxy, TcpStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let proxy = Proxy::before(listener.local_addr().unwrap().port());
        let client = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        let (server, _) = listener.accept().unwrap();
        (proxy, client, server)
    }

    fn hears(end: &mut TcpStream, expected: &[u8]) {
        let mut heard = vec![0; expected.len()];
        end.read_exact(&mut heard).unwrap();
        assert_eq!(heard, expected);
    }

    fn hears_nothing(end: &mut TcpStream) {
        let soon = Some(Duration::from_millis(200));
        end.set_read_timeout(soon).unwrap();
        let error = end.read(&mut [0]).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            "{error}"
        );
    }

    #[test]
    fn a_cut_comes_at_exactly_that_byte_and_both_ends_learn_of_it() {
        for most in [0, 1, 5] {
            let (proxy, mut client, mut server) = connected();
            proxy.set(Faults {
                cut_after_bytes: Some(most),
                ..Faults::default()
            });
            server.write_all(b"answer").ok(); // cut before, with none to carry
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).ok(); // an end or a reset: cut in either case
            assert_eq!(heard, b"answer"[..most as usize]);
            assert!(matches!(server.read(&mut [0]), Ok(0) | Err(_)));
        }
    }

    #[test]
    fn a_dead_line_takes_everything_says_nothing_and_stays_dead() {
        let (proxy, mut client, mut server) = connected();
        client.write_all(b"a").unwrap();
        hears(&mut server, b"a");
        proxy.set(Faults::dead());
        client.write_all(b"b").unwrap();
        server.write_all(b"c").unwrap();
        hears_nothing(&mut server);
        proxy.heal();
        client.write_all(b"d").unwrap();
        hears_nothing(&mut server);
        hears_nothing(&mut client);
        drop(client);
        hears_nothing(&mut server); // no end either
    }

    #[test]
    fn one_way_can_be_lost_alone() {
        let (proxy, mut client, mut server) = connected();
        proxy.set(Faults {
            loses_requests: true,
            ..Faults::default()
        });
        server.write_all(b"a").unwrap();
        hears(&mut client, b"a");
        client.write_all(b"b").unwrap();
        hears_nothing(&mut server);
    }

    #[test]
    fn a_throttled_line_carries_everything_in_its_time() {
        let (proxy, mut client, mut server) = connected();
        server.write_all(b"a").unwrap();
        hears(&mut client, b"a"); // the line is open, and waits
        proxy.set(Faults {
            bytes_per_second: Some(10_000),
            ..Faults::default()
        });
        let began = std::time::Instant::now();
        let sent = vec![7; 3_000];
        server.write_all(&sent).unwrap();
        hears(&mut client, &sent);
        assert!(began.elapsed() >= Duration::from_millis(150), "{began:?}");
    }
}
