//! Messages to and from one server, and the way to the first of them: socket, then encryption.

use std::time::Instant;

use blacksmith_core::error::{Error, Result};
use bytes::BytesMut;
use postgres_protocol::message::frontend;

use super::channel::{Channel, Pulled};
use super::message::{HEADER_BYTES, garbled, header};
use super::network;
use super::options::{ConnectOptions, Host, SslMode, SslNegotiation};
use super::socket::Socket;
use super::tls;
use super::waker::Waker;

/// Longest message before the server knows who we are.
pub(super) const LOGIN_BYTES_MAX: usize = 64 << 10;
/// The message `Terminate`.
pub(super) const TERMINATE: [u8; 5] = *b"X\0\0\0\x04";
/// Longest message of an ordinary answer.
pub(super) const ANSWER_BYTES_MAX: usize = 64 << 20;

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) channel: Channel,
    /// User, host and database, for errors.
    pub(super) place: String,
    /// Longest message body accepted in the present phase.
    pub(super) limit_bytes: usize,
    /// Whether the server is to be told when we go: it has let us in, and would call it unexpected in its log.
    pub(super) owes_goodbye: bool,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.owes_goodbye {
            let queued = self.channel.queue(&TERMINATE);
            queued.and_then(|()| self.channel.flush()).ok(); // it may be gone before us
        }
    }
}

impl Wire {
    /// Connects to one host and encrypts as `sslmode` asks.
    pub(super) fn open(
        options: &ConnectOptions,
        host: &Host,
        waker: Waker,
        deadline: Instant,
    ) -> Result<Wire> {
        let place = format!("{}@{host}/{}", options.user, options.database);
        let wants_tls = options.ssl_mode != SslMode::Disable && matches!(host, Host::Tcp(..));
        let config = if wants_tls {
            Some(tls::client_config(options)?)
        } else {
            None
        };
        let connect = |waker| {
            let socket = Socket::connect(host, &options.keepalive, deadline, waker);
            socket
                .map_err(|error| network::failure(error, &place))
                .map(Channel::new)
        };
        let mut channel = connect(waker.clone())?;
        if let Some(config) = config
            && offers_tls(&mut channel, options, &place, deadline)?
        {
            let started = channel.start_tls(tls::session(config, host)?, deadline);
            match started {
                Ok(()) => {}
                // "Prefer" takes what it can get: once more, in clear text.
                Err(error)
                    if options.ssl_mode == SslMode::Prefer
                        && network::tls_cause(&error).is_some() =>
                {
                    channel = connect(waker)?;
                }
                Err(error) => return Err(network::failure(error, &place)),
            }
        }
        Ok(Wire {
            channel,
            place,
            limit_bytes: LOGIN_BYTES_MAX,
            owes_goodbye: false,
        })
    }

    /// Sends one or more encoded messages.
    pub(super) fn send(&mut self, messages: &[u8], deadline: Instant) -> Result<()> {
        let sent = self
            .channel
            .queue(messages)
            .and_then(|()| self.channel.flush_by(deadline));
        sent.map_err(|error| network::failure(error, &self.place))
    }

    /// Sends what `encode` writes.
    pub(super) fn send_with(
        &mut self,
        deadline: Instant,
        encode: impl FnOnce(&mut BytesMut) -> std::io::Result<()>,
    ) -> Result<()> {
        let mut message = BytesMut::new();
        encode(&mut message).map_err(|error| {
            Error::invalid("a message for the server contains a zero byte or is too long")
                .because(error)
        })?;
        self.send(&message, deadline)
    }

    /// Writes what the socket takes now of what is queued.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.channel
            .flush()
            .map_err(|error| network::failure(error, &self.place))
    }

    /// Waits for the next message.
    pub(super) fn next(&mut self, deadline: Instant) -> Result<(u8, Vec<u8>)> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(message);
            }
            let pulled = self.channel.pull().and_then(|pulled| match pulled {
                Pulled::Bytes(_) => Ok(()),
                Pulled::Nothing => self.channel.wait_until(1, deadline),
                Pulled::Closed => Err(std::io::ErrorKind::UnexpectedEof.into()),
            });
            pulled.map_err(|error| network::failure(error, &self.place))?;
        }
    }

    /// Takes a message that is there as a whole.
    fn take(&mut self) -> Result<Option<(u8, Vec<u8>)>> {
        let unread = self.channel.unread();
        let Some(header) = header(unread, self.limit_bytes)? else {
            return Ok(None);
        };
        let Some(body) = unread.get(HEADER_BYTES..header.total_bytes) else {
            return Ok(None);
        };
        let body = body.to_vec();
        self.channel.inbox().consume(header.total_bytes);
        Ok(Some((header.tag, body)))
    }
}

/// Asks whether the server encrypts; an error when it must and cannot.
fn offers_tls(
    channel: &mut Channel,
    options: &ConnectOptions,
    place: &str,
    deadline: Instant,
) -> Result<bool> {
    if options.ssl_negotiation == SslNegotiation::Direct {
        return Ok(true);
    }
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    let answer = channel
        .queue(&request)
        .and_then(|()| channel.flush_by(deadline))
        .and_then(|()| channel.read_one_byte(deadline))
        .map_err(|error| network::failure(error, place))?;
    match answer {
        b'S' => Ok(true),
        b'N' if options.ssl_mode == SslMode::Prefer => Ok(false),
        b'N' => Err(network::not_encrypted(place)),
        b'E' => Err(Error::unavailable("the server refuses connections now")
            .at(place)
            .help("it may have no connection left, or be starting; its log says why")),
        _ => Err(garbled("it does not answer the request for encryption").at(place)),
    }
}
