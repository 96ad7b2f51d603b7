//! A server: listens, accepts, stops.

use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::connection::{Shared, serve};
use super::metrics::{Metrics, Traffic};
use super::{Address, Limits, TlsFiles, reply};
use crate::error::{Error, Result};

/// After a connection could not be accepted, such as for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that is not listening yet.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    address: Address,
    tls: Option<TlsFiles>,
    limits: Limits,
    router: Router,
    traffic: Arc<Traffic>,
}

/// A server that listens. Dropping it cuts everything off.
#[derive(Debug)]
pub struct Running {
    address: Address,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    /// A server of `router`, called `name` in logs and metrics.
    #[must_use]
    pub fn new(name: &'static str, address: Address, router: Router) -> Server {
        Server {
            name,
            address,
            tls: None,
            limits: Limits::default(),
            router,
            traffic: Arc::new(Traffic::new(name)),
        }
    }

    /// The same server with TLS.
    #[must_use]
    pub fn tls(mut self, files: Option<TlsFiles>) -> Server {
        self.tls = files;
        self
    }

    /// The same server with other limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Server {
        self.limits = limits;
        self
    }

    /// The same server, counting its requests into `metrics`.
    #[must_use]
    pub fn metrics(self, metrics: &Metrics) -> Server {
        let traffic = Arc::clone(&self.traffic);
        metrics.add(move |page| traffic.expose(page));
        self
    }

    /// Begins to listen.
    ///
    /// # Errors
    /// `Config` when the TLS files cannot be used, `Refused` when another process listens there, `Unavailable` when the
    /// address cannot be had.
    pub async fn start(self) -> Result<Running> {
        let tls = self.tls.as_ref().map(TlsFiles::acceptor).transpose()?;
        let (socket, address) = Socket::bind(&self.address).await?;
        let shared = Arc::new(Shared {
            router: self.router,
            limits: self.limits,
            traffic: self.traffic,
        });
        tracing::info!(service = self.name, %address, tls = tls.is_some(), "listening");
        let stop = CancellationToken::new();
        let accepting = Accepting {
            shared,
            tls,
            stop: stop.clone(),
            connections: JoinSet::new(),
        };
        Ok(Running {
            address,
            stop,
            task: tokio::spawn(accepting.run(socket)),
        })
    }
}

impl Running {
    /// Where it listens, with the port that it was given.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Takes no new connection from now on; requests in hand go on.
    pub fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    /// Takes no new connection, lets requests in hand come to their end within the limit, and returns.
    pub async fn stop(mut self) {
        self.ask_to_stop();
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "a server panicked");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where connections come from.
enum Socket {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        _unlink: Unlink,
    },
}

/// Removes a socket's file when the server is gone.
struct Unlink(PathBuf);

impl Drop for Unlink {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.0);
    }
}

impl Socket {
    async fn bind(address: &Address) -> Result<(Socket, Address)> {
        let failed = |error: std::io::Error| {
            Error::unavailable(format!("cannot listen on {address}"))
                .help("choose another address, or stop what listens there")
                .because(error)
        };
        match address {
            Address::Tcp(text) => {
                let listener = TcpListener::bind(text.as_str()).await.map_err(failed)?;
                let given = listener.local_addr().map_err(failed)?;
                Ok((Socket::Tcp(listener), Address::Tcp(given.to_string())))
            }
            Address::Unix(path) => {
                if UnixStream::connect(path).await.is_ok() {
                    let what = format!("another process listens on {address}");
                    return Err(Error::refused(what).help("stop it first"));
                }
                let listener = bind_private(path).map_err(failed)?;
                let _unlink = Unlink(path.clone());
                Ok((Socket::Unix { listener, _unlink }, address.clone()))
            }
        }
    }
}

/// Nobody else can connect at any moment: the socket gets its place when its mode is right. What a crash left there goes.
fn bind_private(path: &Path) -> std::io::Result<UnixListener> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push("~");
    let unfinished = PathBuf::from(unfinished);
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&unfinished)?;
    std::fs::set_permissions(&unfinished, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&unfinished, path)?;
    Ok(listener)
}

struct Accepting {
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
    connections: JoinSet<()>,
}

impl Accepting {
    async fn run(mut self, socket: Socket) {
        let stop = self.stop.clone();
        loop {
            tokio::select! {
                biased;
                // Stopping goes before everything: who connects now finds nobody.
                () = stop.cancelled() => break,
                // Connections that ended make room.
                Some(_) = self.connections.join_next() => {}
                accepted = accept(&socket) => match accepted {
                    Ok(accepted) => self.take(accepted),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(socket);
        self.finish().await;
    }

    fn take(&mut self, accepted: Accepted) {
        if self.connections.len() >= self.shared.limits.connections_max {
            return turn_away(accepted, self.tls.is_some());
        }
        let shared = Arc::clone(&self.shared);
        let stop = self.stop.clone();
        match accepted {
            Accepted::Unix(stream) => {
                drop(self.connections.spawn(serve(stream, None, shared, stop)))
            }
            Accepted::Tcp(stream, peer) => {
                // Replies are small and written whole.
                _ = stream.set_nodelay(true);
                let Some(tls) = self.tls.clone() else {
                    drop(
                        self.connections
                            .spawn(serve(stream, Some(peer), shared, stop)),
                    );
                    return;
                };
                self.connections.spawn(async move {
                    let handshake = tls.accept(stream);
                    let timeout = shared.limits.header_timeout;
                    let done = until(&stop, tokio::time::timeout(timeout, handshake)).await;
                    if let Some(Ok(Ok(stream))) = done {
                        Box::pin(serve(stream, Some(peer), shared, stop)).await;
                    }
                });
            }
        }
    }

    async fn finish(mut self) {
        let ending = async { while self.connections.join_next().await.is_some() {} };
        let limit = self.shared.limits.stop_timeout;
        if tokio::time::timeout(limit, ending).await.is_err() {
            let left = self.connections.len();
            tracing::warn!(
                connections = left,
                "requests did not end in time and are cut off"
            );
            self.connections.shutdown().await;
        }
    }
}

enum Accepted {
    Tcp(TcpStream, std::net::SocketAddr),
    Unix(UnixStream),
}

async fn accept(socket: &Socket) -> std::io::Result<Accepted> {
    match socket {
        Socket::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            Ok(Accepted::Tcp(stream, peer))
        }
        Socket::Unix { listener, .. } => Ok(Accepted::Unix(listener.accept().await?.0)),
    }
}

/// What `future` gives, unless `stop` comes first.
async fn until<F: Future>(stop: &CancellationToken, future: F) -> Option<F::Output> {
    tokio::select! {
        () = stop.cancelled() => None,
        output = future => Some(output),
    }
}

/// One connection too many is told so, as far as that can be done without waiting.
fn turn_away(accepted: Accepted, tls: bool) {
    let reply = reply::raw(503);
    match accepted {
        Accepted::Tcp(stream, _) if !tls => tokio::spawn(say(stream, reply)),
        Accepted::Unix(stream) => tokio::spawn(say(stream, reply)),
        Accepted::Tcp(..) => return,
    };
}

async fn say(mut stream: impl tokio::io::AsyncWrite + Unpin, reply: Vec<u8>) {
    // The reply fits into what the system buffers for a new connection: this never waits.
    _ = stream.write_all(&reply).await;
    _ = stream.shutdown().await;
}
