//! A TCP proxy that can lose connections the way networks do: one side learns, the other does not.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// The client's and the server's end of each connection.
type Ends = Arc<Mutex<Vec<(TcpStream, TcpStream)>>>;

/// A proxy before a server on 127.0.0.1. Its threads end with the connections they serve; the
/// accepting one with the test process.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    ends: Ends,
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
        let ends = Ends::default();
        let shared = Arc::clone(&ends);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                    join(client, server, &shared);
                }
            }
        });
        Proxy { port: own, ends }
    }

    /// Its own port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts every connection on the client's side; the server's side stays open, silent, and
    /// keeps whatever the server holds for it.
    pub fn cut_clients(&self) {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        for (client, _) in ends.iter() {
            client.shutdown(Shutdown::Both).ok(); // one that has ended is cut already
        }
    }
}

/// Carries bytes both ways until either side ends. The sockets stay open as long as the proxy.
fn join(client: TcpStream, server: TcpStream, ends: &Ends) {
    let copies = (
        client.try_clone(),
        server.try_clone(),
        client.try_clone(),
        server.try_clone(),
    );
    let (Ok(from_client), Ok(to_server), Ok(to_client), Ok(from_server)) = copies else {
        return;
    };
    let mut held = ends.lock().unwrap_or_else(PoisonError::into_inner);
    held.push((client, server));
    std::thread::spawn(move || carry(from_client, to_server));
    std::thread::spawn(move || {
        carry(from_server, &to_client);
        to_client.shutdown(Shutdown::Both).ok(); // the client sees the server's end
    });
}

fn carry(mut from: TcpStream, mut to: impl Write) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
}
