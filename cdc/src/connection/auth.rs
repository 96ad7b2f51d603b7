//! Logging in: the startup message, the password in the form the server asks for, and what it then reports.
//!
//! SCRAM-SHA-256 (bound to the server's certificate when the connection is encrypted and the server offers
//! it), MD5 and clear text. The order of the messages is the program: a server that says "authenticated"
//! without having proved, under SCRAM, that it knows the password too is not believed.

use std::collections::BTreeMap;
use std::time::Instant;

use blacksmith_core::error::{Error, Result};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{self, ScramSha256};
use postgres_protocol::message::frontend;

use super::message::{Fields, garbled};
use super::options::{ChannelBinding, ConnectOptions};
use super::refusal::{During, ServerError};
use super::session::PINNED;
use super::wire::Wire;

const SCRAM: &str = "SCRAM-SHA-256";
const SCRAM_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// What the server reports about a session.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// Its settings that clients should know: `server_version`, `in_hot_standby`, ...
    pub(super) parameters: BTreeMap<String, String>,
    /// Process and secret for a cancel request.
    pub(super) key: Option<(i32, i32)>,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Statements.
    Sql,
    /// Replication commands and statements.
    Replication,
}

/// Logs in and waits until the server is ready.
pub(super) fn login(
    wire: &mut Wire,
    purpose: Purpose,
    options: &ConnectOptions,
    deadline: Instant,
) -> Result<Session> {
    let mut parameters = vec![
        ("user", options.user.as_str()),
        ("database", options.database.as_str()),
        ("application_name", options.application_name.as_str()),
    ];
    if purpose == Purpose::Replication {
        parameters.push(("replication", "database"));
    }
    parameters.extend(options.options.as_deref().map(|value| ("options", value)));
    parameters.extend_from_slice(PINNED);
    wire.send_with(deadline, |message| {
        frontend::startup_message(parameters, message)
    })?;
    authenticate(wire, options, deadline)?;
    read_session(wire, deadline)
}

/// The next message of the login; an error response becomes an error, notices are passed over.
fn next(wire: &mut Wire, deadline: Instant) -> Result<(u8, Vec<u8>)> {
    loop {
        match wire.next(deadline)? {
            (b'E', body) => {
                return Err(ServerError::read(&body)?.into_error(During::Login, &wire.place));
            }
            (b'N', _) => {}
            message => return Ok(message),
        }
    }
}

/// What the server asks for.
fn next_request(wire: &mut Wire, deadline: Instant) -> Result<(i32, Vec<u8>)> {
    loop {
        match next(wire, deadline)? {
            (b'R', body) => {
                let mut fields = Fields(&body);
                return Ok((fields.i32()?, fields.0.to_vec()));
            }
            (b'v', _) => {} // it knows fewer protocol options than we named; we named none that matter
            _ => return Err(garbled("a login without a request").at(&wire.place)),
        }
    }
}

fn authenticate(wire: &mut Wire, options: &ConnectOptions, deadline: Instant) -> Result<()> {
    let (request, body) = next_request(wire, deadline)?;
    if request != 10 && options.channel_binding == ChannelBinding::Require {
        return Err(unbound(wire));
    }
    match request {
        0 => return Ok(()),
        3 => {
            let password = password(wire, options)?;
            wire.send_with(deadline, |message| {
                frontend::password_message(password.as_bytes(), message)
            })?;
        }
        5 => {
            let salt = body
                .try_into()
                .map_err(|_| garbled("the salt has not four bytes"))?;
            let hash = md5_hash(
                options.user.as_bytes(),
                password(wire, options)?.as_bytes(),
                salt,
            );
            wire.send_with(deadline, |message| {
                frontend::password_message(hash.as_bytes(), message)
            })?;
        }
        10 => scram(wire, options, &body, deadline)?,
        other => {
            let method = match other {
                7..=9 => "Kerberos, GSSAPI or SSPI".to_owned(),
                other => format!("an unknown method ({other})"),
            };
            return Err(
                Error::refused(format!("the server asks for login by {method}"))
                    .at(&wire.place)
                    .help("let this role log in with scram-sha-256 in pg_hba.conf"),
            );
        }
    }
    match next_request(wire, deadline)? {
        (0, _) => Ok(()),
        _ => Err(garbled("it asks for a second login").at(&wire.place)),
    }
}

fn scram(wire: &mut Wire, options: &ConnectOptions, offer: &[u8], deadline: Instant) -> Result<()> {
    let mut offered = Vec::new();
    let mut fields = Fields(offer);
    while !matches!(fields.0, [] | [0, ..]) {
        offered.push(fields.text()?);
    }
    let offers = |name: &str| offered.iter().any(|mechanism| mechanism == name);
    let end_point = match options.channel_binding {
        ChannelBinding::Disable => None,
        ChannelBinding::Prefer | ChannelBinding::Require => wire.channel.server_end_point(),
    };
    let (mechanism, binding) = match end_point {
        Some(digest) if offers(SCRAM_PLUS) => (
            SCRAM_PLUS,
            sasl::ChannelBinding::tls_server_end_point(digest),
        ),
        _ if options.channel_binding == ChannelBinding::Require => return Err(unbound(wire)),
        // "We could have, you did not offer": the server notices if somebody in between removed the offer.
        Some(_) if offers(SCRAM) => (SCRAM, sasl::ChannelBinding::unrequested()),
        None if offers(SCRAM) => (SCRAM, sasl::ChannelBinding::unsupported()),
        _ => {
            return Err(
                Error::refused("the server offers no login method that we know")
                    .at(&wire.place)
                    .help("let this role log in with scram-sha-256 in pg_hba.conf"),
            );
        }
    };
    let mut exchange = ScramSha256::new(password(wire, options)?.as_bytes(), binding);
    wire.send_with(deadline, |message| {
        frontend::sasl_initial_response(mechanism, exchange.message(), message)
    })?;
    let body = expect_request(wire, 11, deadline)?;
    exchange
        .update(&body)
        .map_err(|error| scram_failed(wire, error))?;
    wire.send_with(deadline, |message| {
        frontend::sasl_response(exchange.message(), message)
    })?;
    let body = expect_request(wire, 12, deadline)?;
    exchange
        .finish(&body)
        .map_err(|error| scram_failed(wire, error))
}

fn expect_request(wire: &mut Wire, wanted: i32, deadline: Instant) -> Result<Vec<u8>> {
    match next_request(wire, deadline)? {
        (request, body) if request == wanted => Ok(body),
        _ => Err(garbled("the SCRAM messages are out of order").at(&wire.place)),
    }
}

fn scram_failed(wire: &Wire, error: std::io::Error) -> Error {
    Error::refused("the server could not prove that it knows the password")
        .at(&wire.place)
        .because(error)
        .help("check that this is the server you mean")
}

fn unbound(wire: &Wire) -> Error {
    Error::refused(
        "channel_binding=require, and the server cannot bind the login to its certificate",
    )
    .at(&wire.place)
    .help("it takes an encrypted connection (sslmode=require or stronger) and a SCRAM password")
}

fn password<'a>(wire: &Wire, options: &'a ConnectOptions) -> Result<&'a str> {
    match &options.password {
        Some(password) => Ok(password.expose()),
        None => Err(
            Error::refused("the server asks for a password and none is set")
                .at(&wire.place)
                .help("put it into the connection URL, or into PGPASSWORD"),
        ),
    }
}

/// Reads everything up to "ready for query".
fn read_session(wire: &mut Wire, deadline: Instant) -> Result<Session> {
    let mut session = Session::default();
    loop {
        let (tag, body) = next(wire, deadline)?;
        let mut fields = Fields(&body);
        match tag {
            b'S' => {
                let name = fields.text()?;
                session.parameters.insert(name, fields.text()?);
            }
            b'K' => session.key = Some((fields.i32()?, fields.i32()?)),
            b'Z' => return Ok(session),
            _ => return Err(garbled("an unknown message after login").at(&wire.place)),
        }
    }
}
