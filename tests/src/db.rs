//! A database of a private server, and blocking sessions on it.
//!
//! Values come as Postgres's own text under the settings that Blacksmith promises to pin: UTC, ISO
//! dates, shortest exact floats.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::roles;
use crate::server::{Server, USER};

/// One row of Postgres text; `None` is NULL.
pub type Row = Vec<Option<String>>;

/// The settings under which text is compared.
const SETTINGS: &str = "-c timezone=UTC -c datestyle=ISO,MDY -c intervalstyle=postgres \
                        -c extra_float_digits=1 -c bytea_output=hex -c statement_timeout=0";

/// A database, dropped together with its replication slots when this value is.
#[derive(Debug)]
pub struct Db {
    server: Server,
    name: String,
    own: bool,
}

impl Db {
    pub(crate) fn create(server: Server, name: String) -> Db {
        server
            .existing("postgres")
            .execute(&format!("create database \"{name}\""));
        Db {
            server,
            name,
            own: true,
        }
    }

    pub(crate) fn existing(server: Server, name: String) -> Db {
        Db {
            server,
            name,
            own: false,
        }
    }

    /// The server of this database.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// URL over TCP, with user and password.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// URL over TCP of the role that follows this database: no superuser, see [`crate::roles`].
    #[must_use]
    pub fn program_url(&self) -> String {
        let role = format!("//{}:", roles::program(&self.name));
        self.url().replace(&format!("//{USER}:"), &role)
    }

    /// Configuration of a session over the Unix socket, with the settings of this bench.
    #[must_use]
    pub fn config(&self) -> Config {
        let mut config = self.server.socket_config(&self.name);
        config.options(SETTINGS);
        config
    }

    /// A new blocking session.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    #[track_caller]
    pub fn session(&self) -> Session {
        Session::try_connect(&self.config())
            .unwrap_or_else(|error| panic!("cannot connect to {}: {error}", self.name))
    }

    /// A new session for asynchronous tests; its connection runs on the current runtime.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn connect(&self) -> Client {
        let (client, connection) = self
            .config()
            .connect(NoTls)
            .await
            .unwrap_or_else(|error| panic!("cannot connect to {}: {error}", self.name));
        tokio::spawn(connection);
        client
    }

    /// Runs statements in a session of their own.
    ///
    /// # Panics
    /// When one fails, with the statement.
    #[track_caller]
    pub fn execute(&self, sql: &str) {
        self.session().execute(sql);
    }

    /// The rows of a query, as Postgres text, from a session of its own.
    ///
    /// # Panics
    /// When it fails, with the statement.
    #[must_use]
    #[track_caller]
    pub fn rows(&self, sql: &str) -> Vec<Row> {
        self.session().rows(sql)
    }

    /// The single value of a query.
    ///
    /// # Panics
    /// When it fails, or its first value is absent or NULL.
    #[must_use]
    #[track_caller]
    pub fn value(&self, sql: &str) -> String {
        self.session().value(sql)
    }

    fn drop_everything(&self) -> Result<(), tokio_postgres::Error> {
        let mut session = Session::try_connect(&self.server.socket_config("postgres"))?;
        let name = &self.name;
        let of_slots = format!("from pg_replication_slots where database = '{name}'");
        // A walsender holds its slot for a moment after it was told to end.
        crate::wait::poll(Duration::from_secs(5), || {
            let end = format!("select pg_terminate_backend(active_pid) {of_slots} and active");
            let drop = format!("select pg_drop_replication_slot(slot_name) {of_slots}");
            let ended = session.try_rows(&end).and_then(|_| session.try_rows(&drop));
            ended.ok()
        });
        session.try_rows(&format!("drop database \"{name}\" with (force)"))?;
        session.try_rows(&roles::dismissal(name))?;
        Ok(())
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        if !self.own || self.server.pid().is_none() {
            return;
        }
        if let Err(error) = self.drop_everything() {
            eprintln!("cannot drop the database {}: {error}", self.name);
        }
    }
}

/// A blocking session. Not for use inside an asynchronous test: see [`Db::connect`].
#[derive(Debug)]
pub struct Session {
    runtime: Runtime,
    client: Client,
}

impl Session {
    /// Connects with `config`.
    ///
    /// # Errors
    /// What the server or the network says.
    ///
    /// # Panics
    /// When this process can have no runtime.
    pub fn try_connect(config: &Config) -> Result<Session, tokio_postgres::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a current-thread runtime needs one file descriptor");
        let client = runtime.block_on(async {
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(connection); // driven whenever this session waits
            Ok(client)
        })?;
        Ok(Session { runtime, client })
    }

    /// Runs statements; the rows of the last that has any.
    ///
    /// # Errors
    /// What the server says.
    pub fn try_rows(&mut self, sql: &str) -> Result<Vec<Row>, tokio_postgres::Error> {
        let messages = self.runtime.block_on(self.client.simple_query(sql))?;
        let mut rows = Vec::new();
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(_) => rows.clear(),
                SimpleQueryMessage::Row(row) => {
                    let values = (0..row.len()).map(|index| row.get(index).map(String::from));
                    rows.push(values.collect());
                }
                _ => {}
            }
        }
        Ok(rows)
    }

    /// Runs statements.
    ///
    /// # Panics
    /// When one fails, with the statement.
    #[track_caller]
    pub fn execute(&mut self, sql: &str) {
        if let Err(error) = self.runtime.block_on(self.client.batch_execute(sql)) {
            panic!("{}\nin: {sql}", explain(&error));
        }
    }

    /// Runs statements.
    ///
    /// # Errors
    /// What the server says.
    pub fn try_execute(&mut self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.runtime.block_on(self.client.batch_execute(sql))
    }

    /// The rows of a query, as Postgres text.
    ///
    /// # Panics
    /// When it fails, with the statement.
    #[track_caller]
    pub fn rows(&mut self, sql: &str) -> Vec<Row> {
        match self.try_rows(sql) {
            Ok(rows) => rows,
            Err(error) => panic!("{}\nin: {sql}", explain(&error)),
        }
    }

    /// The single value of a query.
    ///
    /// # Panics
    /// When it fails, or its first value is absent or NULL.
    #[track_caller]
    pub fn value(&mut self, sql: &str) -> String {
        let rows = self.rows(sql);
        let first = rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next());
        match first.flatten() {
            Some(value) => value,
            None => panic!("no value from: {sql}"),
        }
    }
}

/// An error with what the server said: severity, message, detail.
#[must_use]
pub fn explain(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!(
            "{} {}: {}",
            said.code().code(),
            said,
            said.detail().unwrap_or("")
        ),
        None => error.to_string(),
    }
}
