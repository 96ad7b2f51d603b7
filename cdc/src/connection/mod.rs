//! Connections to Postgres: where, how encrypted, as whom, and what the server says no with.
//!
//! Three kinds share one [`ConnectOptions`]. [`ReplicationConnection`] is our own, blocking, and becomes a
//! [`CopyBoth`] stream: client libraries have none, and how its socket is read decides how fast the server
//! sends. Below it is [`SqlConnection`], which also reads tables as a [`CopyOut`]. [`SqlClient`] is the client library,
//! async, for catalog questions. All pin the same session settings, check certificates the same way, and turn
//! refusals into the same errors.
//!
//! In reading order: `options`, `draft`, `url` (what was asked for), `quote` and `session` (what goes into
//! commands), `socket`, `tls`, `channel` (bytes), `message`, `wire`, `auth` (messages), `refusal` and `network`
//! (errors), `pace`, `large_memory`, `pieces`, `lump`, `gather` (how long answers are read), `sql_connection`, `copy_out`, `replication`,
//! `slot_command`, `copy_both` (the stream), and `sql` (the client library).
//!
//! Unix only, as Postgres's own deployments are.

mod auth;
mod channel;
mod copy_both;
mod copy_out;
mod draft;
mod gather;
mod inbox;
mod large_memory;
mod low_mark;
mod lsn;
mod lump;
mod message;
mod network;
mod options;
mod pace;
mod pieces;
pub mod quote;
mod refusal;
mod replication;
mod session;
mod slot_command;
mod socket;
mod sql;
mod sql_connection;
mod stream_options;
mod tls;
mod url;
mod version;
mod waker;
mod wire;

pub use copy_both::{CopyBoth, MESSAGE_BYTES_MAX, Status};
pub use copy_out::{Copied, CopiedRows, CopyOut};
pub use large_memory::LargeMemory;
pub use lsn::Lsn;
pub use lump::{LargeMessage, Lump, Message, Messages};
pub use message::Row;
pub use options::{
    ChannelBinding, ConnectOptions, Host, Keepalive, SILENCE_MAX, SslMode, SslNegotiation,
    SslRoots, TargetSession,
};
pub use pieces::LARGE_MESSAGE_BYTES;
pub use refusal::{During, Refusal, ServerError, refusal_of, server_error};
pub use replication::{ReplicationConnection, SystemIdentity};
pub(crate) use slot_command::check_slot_name;
pub use slot_command::{CreatedSlot, NewSlot, SlotStanding};
pub use sql::SqlClient;
pub use sql_connection::SqlConnection;
pub use stream_options::{StreamOptions, Streaming};
pub use version::ServerVersion;
pub use waker::Waker;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
#[cfg(test)]
mod impostor_tests;
