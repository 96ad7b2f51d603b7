//! Where a Postgres is and how to be let in: one description for both kinds of connection.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use blacksmith_core::secret::Secret;

/// Everything needed to connect; made by [`ConnectOptions::parse`](crate::connection::ConnectOptions::parse).
///
/// The same options open replication connections and SQL connections. Printing them never shows the
/// password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectOptions {
    /// The servers, tried in this order; never empty.
    pub hosts: Vec<Host>,
    /// The role to log in as.
    pub user: String,
    /// Its password, when there is one.
    pub password: Option<Secret>,
    /// The database; by default it has the role's name.
    pub database: String,
    /// Whether and how the connection is encrypted. Default: [`SslMode::VerifyFull`], or
    /// [`SslMode::Prefer`], as in libpq, when every host is this machine.
    pub ssl_mode: SslMode,
    /// Whose signatures are trusted. Default: the system's certificate store.
    pub ssl_roots: SslRoots,
    /// Our own certificate chain (PEM), for servers that ask for one. Comes with `ssl_key`.
    pub ssl_cert: Option<PathBuf>,
    /// The private key (PEM) of `ssl_cert`.
    pub ssl_key: Option<PathBuf>,
    /// How the encrypted part begins.
    pub ssl_negotiation: SslNegotiation,
    /// Whether SCRAM is bound to the encrypted channel. Default: [`ChannelBinding::Prefer`].
    pub channel_binding: ChannelBinding,
    /// Longest wait for one server to connect, encrypt and authenticate. Default 10 s.
    pub connect_timeout: Duration,
    /// The name that `pg_stat_activity` shows. Default: `blacksmith`.
    pub application_name: String,
    /// Command line options for the server process, such as `-c work_mem=64MB`. Our own settings win.
    pub options: Option<String>,
    /// Which of several servers will do.
    pub target_session: TargetSession,
    /// How a peer that vanished without a word is noticed.
    pub keepalive: Keepalive,
    /// How long the server may say nothing while we wait for it. Default [`SILENCE_MAX`]; no part of the text,
    /// because libpq has no word for it.
    pub silence_max: Duration,
}

/// A server that says nothing for this long is taken for gone, unless the user says otherwise. The stream asks
/// it for a sign of life every second.
pub const SILENCE_MAX: Duration = Duration::from_secs(90);

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name or IP address, and a port.
    Tcp(String, u16),
    /// The folder of a unix socket, and the port that is part of the socket's file name.
    Unix(PathBuf, u16),
}

impl Host {
    /// The name that a certificate must carry.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Host::Tcp(name, _) => name,
            Host::Unix(..) => "localhost",
        }
    }

    /// Whether what is sent there stays on this machine: a socket's folder, `localhost`, a loopback address.
    #[must_use]
    pub fn is_this_machine(&self) -> bool {
        match self {
            Host::Unix(..) => true,
            Host::Tcp(name, _) => match name.parse::<IpAddr>() {
                Ok(address) => address.to_canonical().is_loopback(),
                Err(_) => name.eq_ignore_ascii_case("localhost"),
            },
        }
    }

    /// The file of a unix socket: `<folder>/.s.PGSQL.<port>`.
    pub(crate) fn socket_file(folder: &std::path::Path, port: u16) -> PathBuf {
        folder.join(format!(".s.PGSQL.{port}"))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Tcp(name, port) if name.contains(':') => write!(f, "[{name}]:{port}"),
            Host::Tcp(name, port) => write!(f, "{name}:{port}"),
            Host::Unix(folder, port) => {
                f.write_str(&Host::socket_file(folder, *port).to_string_lossy())
            }
        }
    }
}

/// Whether and how a connection is encrypted, as in libpq. Unix sockets are never encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Never.
    Disable,
    /// When the server can; its certificate is not checked. (`allow` means this as well.)
    Prefer,
    /// Always; its certificate is checked only when `sslrootcert` names a file, as in libpq.
    Require,
    /// Always, with a certificate signed by one of the roots, for whatever host.
    VerifyCa,
    /// Always, with a certificate signed by one of the roots for this host name.
    VerifyFull,
}

/// Whose signatures under a server's certificate are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SslRoots {
    /// The certificate store of the operating system.
    System,
    /// A PEM file of certificates.
    File(PathBuf),
}

/// How the encrypted part of a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslNegotiation {
    /// Ask in clear text first: every server understands this.
    Postgres,
    /// Start with TLS at once; version 17 and later.
    Direct,
}

/// Whether a SCRAM login is bound to the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// When the connection is encrypted and the server offers it.
    Prefer,
    /// Always; anything else is refused.
    Require,
}

/// Which of several servers will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetSession {
    /// The first that answers.
    Any,
    /// One that accepts writes (`read-write` and `primary`).
    Primary,
    /// One in recovery (`read-only` and `standby`).
    Standby,
    /// One in recovery if there is one, else any.
    PreferStandby,
}

/// TCP's own probes of a silent connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe. Default 30 s; zero turns probing off.
    pub idle: Duration,
    /// Time between probes. Default 10 s.
    pub interval: Duration,
    /// Unanswered probes before the connection counts as dead. Default 3.
    pub count: u32,
    /// Longest time that sent bytes may stay unacknowledged. Default 60 s; zero leaves it to the system.
    pub user_timeout: Duration,
}

impl Default for Keepalive {
    fn default() -> Self {
        Keepalive {
            idle: Duration::from_secs(30),
            interval: Duration::from_secs(10),
            count: 3,
            user_timeout: Duration::from_secs(60),
        }
    }
}

/// `user@host:port/database`, without the password.
impl fmt::Display for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.hosts.iter().map(Host::to_string).collect();
        write!(f, "{}@{}/{}", self.user, hosts.join(","), self.database)
    }
}
