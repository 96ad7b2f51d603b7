//! Bytes to and from one server, encrypted or not, with a time limit on everything.
//!
//! Nothing here knows messages. Sending is queued first and written as the socket takes it, so that a peer
//! which stopped reading cannot hold the caller beyond its deadline.

use std::io;
use std::time::Instant;

use super::inbox::Inbox;
use super::socket::{Socket, Wait};
use super::tls;

/// Most bytes taken from the socket by one call.
const READ_BYTES: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Channel {
    socket: Socket,
    tls: Option<Tls>,
    inbox: Inbox,
    outbox: Vec<u8>,
}

#[derive(Debug)]
struct Tls {
    session: tls::Session,
    records: Box<[u8]>,
    /// The peer has said that nothing more comes.
    ended: bool,
}

/// What one look at the socket brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pulled {
    /// So many bytes came from the network (as encrypted, if they are).
    Bytes(usize),
    /// Nothing is there now.
    Nothing,
    /// The peer has closed.
    Closed,
}

impl Channel {
    pub(super) fn new(socket: Socket) -> Self {
        Channel {
            socket,
            tls: None,
            inbox: Inbox::default(),
            outbox: Vec::new(),
        }
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn inbox(&mut self) -> &mut Inbox {
        &mut self.inbox
    }

    pub(super) fn unread(&self) -> &[u8] {
        self.inbox.unread()
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// See [`tls::Session::server_end_point`].
    pub(super) fn server_end_point(&self) -> Option<Vec<u8>> {
        self.tls.as_ref()?.session.server_end_point()
    }

    /// Reads exactly one byte that precedes encryption, and not one more: whatever else was sent in clear
    /// text must not be taken for the beginning of the encrypted part.
    pub(super) fn read_one_byte(&mut self, deadline: Instant) -> io::Result<u8> {
        let mut byte = [0];
        loop {
            match self.socket.read(&mut byte)? {
                Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(_) => return Ok(byte[0]),
                None => self.wait_until(1, deadline)?,
            }
        }
    }

    /// Encrypts from here on.
    pub(super) fn start_tls(&mut self, session: tls::Session, deadline: Instant) -> io::Result<()> {
        let records = vec![0; READ_BYTES].into_boxed_slice();
        self.tls = Some(Tls {
            session,
            records,
            ended: false,
        });
        loop {
            self.collect_records()?;
            self.flush_by(deadline)?;
            if self
                .tls
                .as_ref()
                .is_some_and(|tls| !tls.session.is_handshaking())
            {
                return Ok(());
            }
            match self.pull() {
                Ok(Pulled::Bytes(_)) => {}
                Ok(Pulled::Nothing) => self.wait_until(1, deadline)?,
                Ok(Pulled::Closed) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) => {
                    // Our alert tells the server why; that it arrives is not essential.
                    let _told = self.collect_records().and_then(|()| self.flush());
                    return Err(error);
                }
            }
        }
    }

    /// Takes once what the socket has.
    pub(super) fn pull(&mut self) -> io::Result<Pulled> {
        let Some(tls) = &mut self.tls else {
            let pulled = pulled(self.socket.read(self.inbox.room(READ_BYTES))?);
            if let Pulled::Bytes(bytes) = pulled {
                self.inbox.arrived(bytes);
            }
            return Ok(pulled);
        };
        if tls.ended {
            return Ok(Pulled::Closed);
        }
        let pulled = pulled(self.socket.read(&mut tls.records)?);
        if let Pulled::Bytes(bytes) = pulled {
            tls.ended = tls
                .session
                .decrypt(&tls.records[..bytes], &mut self.inbox)?;
        }
        Ok(pulled)
    }

    /// Queues `bytes` for sending.
    pub(super) fn queue(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.outbox.extend_from_slice(bytes),
            Some(tls) => {
                tls.session.encrypt(bytes)?;
                self.collect_records()?;
            }
        }
        Ok(())
    }

    fn collect_records(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.session.take_records(&mut self.outbox),
            None => Ok(()),
        }
    }

    /// Bytes queued and not yet taken by the socket.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.outbox.len()
    }

    /// Writes what the socket takes now.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.outbox.is_empty() {
            match self.socket.write(&self.outbox)? {
                Some(0) => return Err(io::ErrorKind::WriteZero.into()),
                Some(bytes) => drop(self.outbox.drain(..bytes)),
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Writes everything, waiting no longer than `deadline`.
    pub(super) fn flush_by(&mut self, deadline: Instant) -> io::Result<()> {
        loop {
            self.flush()?;
            if self.outbox.is_empty() {
                return Ok(());
            }
            self.wait_until(1, deadline)?;
        }
    }

    /// Sleeps until the socket is ready or, an error, it is `deadline` or the waker was used.
    pub(super) fn wait_until(
        &mut self,
        low_mark_bytes: usize,
        deadline: Instant,
    ) -> io::Result<()> {
        match self.wait(low_mark_bytes, deadline)? {
            Wait::Ready => Ok(()),
            Wait::TimedOut => Err(io::ErrorKind::TimedOut.into()),
            Wait::Woken => Err(io::ErrorKind::Interrupted.into()),
        }
    }

    /// Sleeps until there is something to read or, when something waits to be sent, to write.
    pub(super) fn wait(&mut self, low_mark_bytes: usize, until: Instant) -> io::Result<Wait> {
        self.socket
            .wait(low_mark_bytes, !self.outbox.is_empty(), until)
    }
}

fn pulled(read: Option<usize>) -> Pulled {
    match read {
        Some(0) => Pulled::Closed,
        Some(bytes) => Pulled::Bytes(bytes),
        None => Pulled::Nothing,
    }
}
