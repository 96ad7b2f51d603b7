//! Connection options while they are being read: one table says what each setting does, and one place checks
//! how they go together. What errors may say is told in [`super::url`].

use std::path::PathBuf;
use std::time::Duration;

use blacksmith_core::error::{Error, Result};
use blacksmith_core::secret::Secret;

use super::options::{
    ChannelBinding, ConnectOptions, Host, Keepalive, SILENCE_MAX, SslMode, SslNegotiation,
    SslRoots, TargetSession,
};

/// The settings that a connection text may carry.
const KNOWN: &str = "host, port, dbname, user, password, sslmode, sslrootcert, sslcert, sslkey, \
    sslnegotiation, channel_binding, connect_timeout, application_name, options, target_session_attrs, \
    keepalives, keepalives_idle, keepalives_interval, keepalives_count, tcp_user_timeout";
/// What to say when the parts of a URL cannot be told apart.
pub(super) const ESCAPE: &str = "in the URL, write / as %2F, @ as %40, : as %3A, # as %23, ? as %3F, % as %25 and a \
    space as %20 wherever they are part of a name or password";
const PORT_DEFAULT: u16 = 5432;

/// What has been read so far; texts as they came.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) hosts: Vec<String>,
    pub(super) ports: Vec<String>,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: Option<String>,
    pub(super) ssl_mode: Option<SslMode>,
    pub(super) ssl_roots: Option<SslRoots>,
    pub(super) ssl_cert: Option<PathBuf>,
    pub(super) ssl_key: Option<PathBuf>,
    pub(super) ssl_negotiation: Option<SslNegotiation>,
    pub(super) channel_binding: Option<ChannelBinding>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) application_name: Option<String>,
    pub(super) options: Option<String>,
    pub(super) target_session: Option<TargetSession>,
    pub(super) keepalive: Keepalive,
}

impl Draft {
    /// The table of settings.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "host" => self.hosts = value.split(',').map(str::to_owned).collect(),
            "port" => self.ports = value.split(',').map(str::to_owned).collect(),
            "dbname" => self.database = filled(value.to_owned()),
            "user" => self.user = filled(value.to_owned()),
            "password" => self.password = (!value.is_empty()).then(|| Secret::new(value)),
            "sslmode" => self.ssl_mode = Some(one_of(key, value, SSL_MODES)?),
            "sslrootcert" if value == "system" => self.ssl_roots = Some(SslRoots::System),
            "sslrootcert" => self.ssl_roots = Some(SslRoots::File(value.into())),
            "sslcert" => self.ssl_cert = Some(value.into()),
            "sslkey" => self.ssl_key = Some(value.into()),
            "sslnegotiation" => self.ssl_negotiation = Some(one_of(key, value, NEGOTIATIONS)?),
            "channel_binding" => self.channel_binding = Some(one_of(key, value, BINDINGS)?),
            "connect_timeout" => self.connect_timeout = Some(seconds(key, value)?),
            "application_name" => self.application_name = filled(value.to_owned()),
            "options" => self.options = filled(value.to_owned()),
            "target_session_attrs" => self.target_session = Some(one_of(key, value, TARGETS)?),
            "keepalives" if value == "0" => self.keepalive.idle = Duration::ZERO,
            "keepalives" => {}
            "keepalives_idle" => self.keepalive.idle = seconds(key, value)?,
            "keepalives_interval" => self.keepalive.interval = seconds(key, value)?,
            "keepalives_count" => self.keepalive.count = number(key, value)?,
            "tcp_user_timeout" => {
                self.keepalive.user_timeout = Duration::from_millis(number(key, value)?.into());
            }
            "gssencmode" if value != "require" => {} // we never speak it, which is what these allow
            "replication" => {
                return Err(Error::config("the connection text sets `replication`")
                    .help("leave it out: connections that replicate ask for it themselves"));
            }
            _ => {
                return Err(unknown(key, self.password.is_some()));
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<ConnectOptions> {
        let hosts = self.pair_hosts()?;
        let user = self.user.ok_or_else(|| {
            Error::config("the connection text names no user")
                .help("write postgres://USER@host/database, or user=USER")
        })?;
        if self.ssl_cert.is_some() != self.ssl_key.is_some() {
            return Err(Error::config("of sslcert and sslkey only one is given")
                .help("give the client certificate and its private key, or neither"));
        }
        let ssl_mode = self.ssl_mode.unwrap_or_else(|| default_ssl_mode(&hosts));
        let ssl_negotiation = self.ssl_negotiation.unwrap_or(SslNegotiation::Postgres);
        if ssl_negotiation == SslNegotiation::Direct
            && matches!(ssl_mode, SslMode::Disable | SslMode::Prefer)
        {
            return Err(
                Error::config("sslnegotiation=direct goes with a weak sslmode")
                    .help("set sslmode to require, verify-ca or verify-full"),
            );
        }
        Ok(ConnectOptions {
            hosts,
            database: self.database.unwrap_or_else(|| user.clone()),
            user,
            password: self.password,
            ssl_mode,
            ssl_roots: self.ssl_roots.unwrap_or(SslRoots::System),
            ssl_cert: self.ssl_cert,
            ssl_key: self.ssl_key,
            ssl_negotiation,
            channel_binding: self.channel_binding.unwrap_or(ChannelBinding::Prefer),
            connect_timeout: match self.connect_timeout {
                None | Some(Duration::ZERO) => Duration::from_secs(10),
                Some(timeout) => timeout,
            },
            application_name: self
                .application_name
                .unwrap_or_else(|| "blacksmith".to_owned()),
            options: self.options,
            target_session: self.target_session.unwrap_or(TargetSession::Any),
            keepalive: self.keepalive,
            silence_max: SILENCE_MAX,
        })
    }

    /// Hosts and ports, one by one; a single port serves all hosts.
    fn pair_hosts(&self) -> Result<Vec<Host>> {
        if self.hosts.iter().all(String::is_empty) {
            return Err(Error::config("the connection text names no host")
                .help("write postgres://user@HOST/database, or host=/var/run/postgresql for a local socket"));
        }
        if self.ports.len() > 1 && self.ports.len() != self.hosts.len() {
            return Err(Error::config(format!(
                "the connection text has {} hosts and {} ports",
                self.hosts.len(),
                self.ports.len()
            )));
        }
        let port_of = |index: usize| {
            let only = if self.ports.len() == 1 { 0 } else { index };
            self.ports.get(only).map_or("", String::as_str)
        };
        let pairs = self.hosts.iter().enumerate();
        pairs
            .map(|(index, host)| host_at(index, host, port_of(index)))
            .collect()
    }
}

/// Who is on another machine has to prove who it is; a certificate for this one is rare.
fn default_ssl_mode(hosts: &[Host]) -> SslMode {
    match hosts.iter().all(Host::is_this_machine) {
        true => SslMode::Prefer,
        false => SslMode::VerifyFull,
    }
}

/// One host; a name that starts with `/` is the folder of a unix socket.
fn host_at(index: usize, name: &str, port: &str) -> Result<Host> {
    let port = match port {
        "" => PORT_DEFAULT,
        port => port.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
            Error::config(format!(
                "the port of host {} is not a number from 1 to 65535",
                index + 1
            ))
            .help(ESCAPE)
        })?,
    };
    match name {
        "" => Err(bad_host()),
        name if name.starts_with('/') => Ok(Host::Unix(name.into(), port)),
        name if name.contains(char::is_whitespace) => Err(bad_host()),
        name => Ok(Host::Tcp(name.to_owned(), port)),
    }
}

pub(super) fn bad_host() -> Error {
    Error::config("a host in the connection text cannot be read").help(ESCAPE)
}

/// An unknown key; not repeated when it may be a piece of a password.
fn unknown(key: &str, after_password: bool) -> Error {
    let plain = key
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let what = if plain && !after_password {
        format!("the connection text has an unknown setting {key:?}")
    } else {
        "the connection text has an unknown setting".to_owned()
    };
    Error::config(what).help(format!("known are {KNOWN}; {ESCAPE}"))
}

const SSL_MODES: &[(&str, SslMode)] = &[
    ("disable", SslMode::Disable),
    ("allow", SslMode::Prefer),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];
const NEGOTIATIONS: &[(&str, SslNegotiation)] = &[
    ("postgres", SslNegotiation::Postgres),
    ("direct", SslNegotiation::Direct),
];
const BINDINGS: &[(&str, ChannelBinding)] = &[
    ("disable", ChannelBinding::Disable),
    ("prefer", ChannelBinding::Prefer),
    ("require", ChannelBinding::Require),
];
const TARGETS: &[(&str, TargetSession)] = &[
    ("any", TargetSession::Any),
    ("read-write", TargetSession::Primary),
    ("primary", TargetSession::Primary),
    ("read-only", TargetSession::Standby),
    ("standby", TargetSession::Standby),
    ("prefer-standby", TargetSession::PreferStandby),
];

fn one_of<T: Copy>(key: &str, value: &str, words: &[(&str, T)]) -> Result<T> {
    let found = words.iter().find(|(word, _)| *word == value);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        Error::config(format!(
            "{key} in the connection text is not one of {}",
            allowed.join(", ")
        ))
    })
}

fn number(key: &str, value: &str) -> Result<u32> {
    value.trim().parse().map_err(|_| {
        Error::config(format!(
            "{key} in the connection text is not a whole number"
        ))
    })
}

fn seconds(key: &str, value: &str) -> Result<Duration> {
    Ok(Duration::from_secs(number(key, value)?.into()))
}

pub(super) fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
