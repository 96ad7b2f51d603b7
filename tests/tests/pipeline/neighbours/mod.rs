//! Neighbours that do not behave: the server, the line to it, its standby, destinations, object stores.
//!
//! Each test goes on writing while its neighbour does what neighbours do on a bad day, and ends with the lake
//! folded equal to Postgres, or with an error that says what happened.

mod destination;
mod network;
mod server;
mod standby;
mod writer;
