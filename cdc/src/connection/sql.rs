//! SQL connections: the client library, with the same options, session settings, certificate checks and
//! errors as the replication connections.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use blacksmith_core::error::{Error, Result};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, Statement, ToStatement, config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::network;
use super::options::{
    ChannelBinding, ConnectOptions, Host, SslMode, SslNegotiation, TargetSession,
};
use super::refusal::{During, ServerError};
use super::session::{AS_STORED, as_options, knows_no_encoding};
use super::sql_connection::too_old;
use super::tls;
use super::version::ServerVersion;

/// An SQL connection. It ends when this is dropped; needs a tokio runtime.
pub struct SqlClient {
    client: tokio_postgres::Client,
    version: ServerVersion,
    place: String,
    tls: MakeRustlsConnect,
    silence_max: Duration,
}

impl SqlClient {
    /// Connects to the first host that will do.
    ///
    /// # Errors
    /// As [`super::ReplicationConnection::connect`].
    pub async fn connect(options: &ConnectOptions) -> Result<Self> {
        match Self::connect_in_time(options, options.ssl_mode).await {
            // "Prefer" takes what it can get: once more, in clear text.
            Err(error)
                if options.ssl_mode == SslMode::Prefer && network::tls_cause(&error).is_some() =>
            {
                Self::connect_in_time(options, SslMode::Disable).await
            }
            connected => connected,
        }
    }

    /// The client library's own limit ends with the TCP handshake; who accepts and then says nothing would
    /// keep us for ever.
    async fn connect_in_time(options: &ConnectOptions, ssl_mode: SslMode) -> Result<Self> {
        let hosts = u32::try_from(options.hosts.len()).unwrap_or(u32::MAX);
        let limit = options.connect_timeout.saturating_mul(hosts);
        let connected = tokio::time::timeout(limit, Self::connect_as(options, ssl_mode)).await;
        connected.unwrap_or_else(|_| {
            let late = std::io::ErrorKind::TimedOut.into();
            Err(network::failure(late, &options.to_string()))
        })
    }

    async fn connect_as(options: &ConnectOptions, ssl_mode: SslMode) -> Result<Self> {
        let place = options.to_string();
        let tls = MakeRustlsConnect::new(Arc::unwrap_or_clone(tls::client_config(options)?));
        let failed = |error| failure(error, During::Login, &place);
        let (client, connection) = config_of(options, ssl_mode)
            .connect(tls.clone())
            .await
            .map_err(failed)?;
        let version = connection
            .parameter("server_version")
            .and_then(ServerVersion::parse);
        let version = version
            .ok_or_else(|| Error::unavailable("the server reports no version").at(&place))?;
        if !version.at_least(ServerVersion::OLDEST) {
            return Err(too_old(version).at(&place));
        }
        let as_stored = knows_no_encoding(connection.parameter("server_encoding"));
        tokio::spawn(async move {
            // The query that is running learns of it too, and says it to the one who asked.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an SQL connection ended");
            }
        });
        if as_stored {
            let asked = client.batch_execute(AS_STORED).await;
            asked.map_err(|error| failure(error, During::Login, &place))?;
        }
        Ok(SqlClient {
            client,
            version,
            place,
            tls,
            silence_max: options.silence_max,
        })
    }

    /// The server's version.
    #[must_use]
    pub fn version(&self) -> ServerVersion {
        self.version
    }

    /// User, hosts and database, for messages.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The rows of a query, as text or prepared on this connection. `doing` says what for, in a few words, for errors.
    ///
    /// # Errors
    /// What the server refused, or a lost connection.
    pub async fn query<S: ToStatement + ?Sized>(
        &self,
        doing: &str,
        sql: &S,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>> {
        let rows = self.hear(doing, self.client.query(sql, parameters)).await?;
        rows.map_err(|error| self.explain(doing, error))
    }

    /// Prepares a statement that will be asked often.
    ///
    /// # Errors
    /// As [`SqlClient::query`].
    pub async fn prepare(&self, doing: &str, sql: &str) -> Result<Statement> {
        let prepared = self.hear(doing, self.client.prepare(sql)).await?;
        prepared.map_err(|error| self.explain(doing, error))
    }

    /// Runs statements that return nothing. Names and values in them must be quoted by [`super::quote`].
    ///
    /// # Errors
    /// As [`SqlClient::query`].
    pub async fn execute(&self, doing: &str, sql: &str) -> Result<()> {
        let done = self.hear(doing, self.client.batch_execute(sql)).await?;
        done.map_err(|error| self.explain(doing, error))
    }

    /// Waits for `answer`, but not for longer than the server may be silent. A statement that waits over there
    /// all the while, for a lock say, is cancelled, so that the next one does not queue up behind it.
    ///
    /// # Errors
    /// [`blacksmith_core::error::Kind::Unavailable`] when it does not come in time.
    async fn hear<T>(&self, doing: &str, answer: impl Future<Output = T>) -> Result<T> {
        let heard = tokio::time::timeout(self.silence_max, answer).await;
        heard.map_err(|_| {
            let (token, tls) = (self.client.cancel_token(), self.tls.clone());
            let cancel = async move { token.cancel_query(tls).await };
            // Whoever does not answer us may not take the cancel request either.
            tokio::spawn(tokio::time::timeout(self.silence_max, cancel));
            let seconds = self.silence_max.as_secs();
            Error::unavailable(format!("the server said nothing for {seconds} s, {doing}"))
                .at(&self.place)
                .help("check the network between here and the server, and pg_locks for who holds a table")
        })
    }

    /// An error of the client library in our words.
    fn explain(&self, doing: &str, error: tokio_postgres::Error) -> Error {
        failure(error, During::Doing(doing), &self.place)
    }
}

impl std::fmt::Debug for SqlClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlClient")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

fn failure(error: tokio_postgres::Error, during: During<'_>, place: &str) -> Error {
    if let Some(server) = error.as_db_error() {
        let error = ServerError {
            severity: server.severity().to_owned(),
            code: server.code().code().to_owned(),
            message: server.message().to_owned(),
            hint: server.hint().unwrap_or_default().to_owned(),
            routine: server.routine().unwrap_or_default().to_owned(),
        };
        return error.into_error(during, place);
    }
    let what = error.to_string();
    match error
        .into_source()
        .map(|cause| cause.downcast::<std::io::Error>())
    {
        Some(Ok(cause)) => network::failure(*cause, place),
        Some(Err(cause)) => match network::tls_cause(cause.as_ref()) {
            Some(tls) => network::failure(std::io::Error::other(tls.clone()), place),
            // The library's only word for it is its text.
            None if cause.to_string().contains("does not support TLS") => {
                network::not_encrypted(place)
            }
            None => Error::refused(what).at(place).because(cause),
        },
        None => Error::unavailable(format!("the connection ended ({what})")).at(place),
    }
}

/// Our options in the client library's form.
fn config_of(options: &ConnectOptions, ssl_mode: SslMode) -> Config {
    let mut config = Config::new();
    for host in &options.hosts {
        match host {
            Host::Tcp(name, port) => config.host(name).port(*port),
            Host::Unix(folder, port) => config.host_path(folder).port(*port),
        };
    }
    config
        .user(&options.user)
        .dbname(&options.database)
        .application_name(&options.application_name)
        .connect_timeout(options.connect_timeout)
        .options(as_options(options.options.as_deref()))
        .ssl_mode(match ssl_mode {
            SslMode::Disable => config::SslMode::Disable,
            SslMode::Prefer => config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => config::SslMode::Require,
        })
        .ssl_negotiation(match options.ssl_negotiation {
            SslNegotiation::Postgres => config::SslNegotiation::Postgres,
            SslNegotiation::Direct => config::SslNegotiation::Direct,
        })
        .channel_binding(match options.channel_binding {
            ChannelBinding::Disable => config::ChannelBinding::Disable,
            ChannelBinding::Prefer => config::ChannelBinding::Prefer,
            ChannelBinding::Require => config::ChannelBinding::Require,
        })
        .target_session_attrs(match options.target_session {
            TargetSession::Any | TargetSession::PreferStandby => config::TargetSessionAttrs::Any,
            TargetSession::Primary => config::TargetSessionAttrs::ReadWrite,
            TargetSession::Standby => config::TargetSessionAttrs::ReadOnly,
        })
        .keepalives(!options.keepalive.idle.is_zero())
        .keepalives_interval(options.keepalive.interval)
        .keepalives_retries(options.keepalive.count);
    if !options.keepalive.idle.is_zero() {
        config.keepalives_idle(options.keepalive.idle);
    }
    if !options.keepalive.user_timeout.is_zero() {
        config.tcp_user_timeout(options.keepalive.user_timeout);
    }
    if let Some(password) = &options.password {
        config.password(password.expose());
    }
    config
}
