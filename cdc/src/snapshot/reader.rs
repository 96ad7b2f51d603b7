//! A connection that reads tables, on a thread of its own.
//!
//! The thread only reads, and who asked it writes: when that one is dropped, as when the source stops, nothing of the
//! range is written any more, however long the thread takes to notice.

use std::time::{Duration, Instant};

use blacksmith_core::error::{Error, Result};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::blocking::Interrupt;
use crate::body::Body;
use crate::connection::{ConnectOptions, Copied, During, LargeMemory, Row, SqlConnection, Waker};
use crate::protocol::{CopyFormat, CopyRows};

/// A chunk is handed over from this size on, so that it is at least this large unless it is the last.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// How long the server is asked to give up a copy that does not come.
const CANCEL_PATIENCE: Duration = Duration::from_secs(2);

/// What is being done, in errors.
const COPYING: &str = "copying a table";

/// Rows that came one behind the other.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) body: Body,
    pub(super) rows: u32,
}

impl Chunk {
    /// Adds the content of one message: a row, maybe behind the head of the file, or its trailer.
    fn push(&mut self, format: CopyFormat, payload: &[u8]) -> Result<()> {
        let rows = CopyRows::count(format, payload).map_err(|error| {
            Error::unavailable("the server sent a copy that cannot be read").because(error)
        })?;
        if rows > 0 {
            self.body.push(payload);
            self.rows += rows;
        }
        Ok(())
    }

    /// Takes everything, and begins anew.
    fn split(&mut self) -> Chunk {
        Chunk {
            body: self.body.split(),
            rows: std::mem::take(&mut self.rows),
        }
    }

    /// Adds a row of many MiB, in pieces: no message has more than one.
    fn push_large(&mut self, row: &[Bytes]) {
        self.body.push_large(row);
        self.rows += 1;
    }
}

/// A chunk, or none behind the last.
type Answer = Result<Option<Chunk>>;

/// What the thread is asked for.
#[derive(Debug)]
enum Request {
    Run {
        doing: &'static str,
        sql: String,
        answer: oneshot::Sender<Result<Vec<Row>>>,
    },
    Copy {
        format: CopyFormat,
        sql: String,
        chunks: mpsc::Sender<Answer>,
    },
}

/// The connection, as async code sees it. Dropping it ends the connection.
#[derive(Debug)]
pub(super) struct Reader {
    requests: mpsc::Sender<Request>,
    _interrupt: Interrupt,
}

impl Reader {
    /// Connects. Large rows are gathered in `large`.
    ///
    /// # Errors
    /// As [`SqlConnection::connect`].
    pub(super) async fn open(options: &ConnectOptions, large: LargeMemory) -> Result<Reader> {
        let waker = Waker::new()?;
        let interrupt = Interrupt(waker.clone());
        let options = options.clone();
        let (requests, inbox) = mpsc::channel(1);
        let (opened_in, opened) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let connected = SqlConnection::connect(&options, &waker);
            let silence_max = options.silence_max;
            let (connection, opened) = match connected {
                Ok(connection) => (Some(connection), Ok(())),
                Err(error) => (None, Err(error)),
            };
            opened_in.send(opened).ok(); // whoever asked may have gone
            if let Some(mut connection) = connection {
                connection.share(large);
                let desk = Desk {
                    connection,
                    silence_max,
                };
                desk.serve(inbox);
            }
        });
        opened.await.unwrap_or_else(|_| Err(gone()))?;
        Ok(Reader {
            requests,
            _interrupt: interrupt,
        })
    }

    /// Runs statements; the rows of all of them.
    ///
    /// # Errors
    /// What the server refused, or a lost connection.
    pub(super) async fn run(&self, doing: &'static str, sql: String) -> Result<Vec<Row>> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Run { doing, sql, answer };
        self.requests.send(request).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Begins to copy what `sql`, a `COPY … TO STDOUT`, gives.
    ///
    /// # Errors
    /// When the connection has ended. What the server refuses is told by [`Chunks::next`].
    pub(super) async fn copy(&self, format: CopyFormat, sql: String) -> Result<Chunks> {
        let (chunks, received) = mpsc::channel(1);
        let request = Request::Copy {
            format,
            sql,
            chunks,
        };
        self.requests.send(request).await.map_err(|_| gone())?;
        Ok(Chunks(received))
    }
}

/// What a copy brings.
#[derive(Debug)]
pub(super) struct Chunks(mpsc::Receiver<Answer>);

impl Chunks {
    /// The next chunk; none when the copy is complete, and the connection can be used again.
    ///
    /// # Errors
    /// What the server refused: the connection can be used again. Or a lost connection, or a server that says nothing.
    pub(super) async fn next(&mut self) -> Answer {
        self.0.recv().await.unwrap_or_else(|| Err(gone()))
    }
}

/// The connection, on its thread.
#[derive(Debug)]
struct Desk {
    connection: SqlConnection,
    silence_max: Duration,
}

impl Desk {
    /// Does what it is asked, until nobody is there to ask.
    fn serve(mut self, mut inbox: mpsc::Receiver<Request>) {
        while let Some(request) = inbox.blocking_recv() {
            match request {
                Request::Run { doing, sql, answer } => {
                    let rows = self.connection.simple_query(doing, &sql);
                    answer.send(rows).ok(); // whoever asked may have gone
                }
                Request::Copy {
                    format,
                    sql,
                    chunks,
                } => {
                    let end = self.copy(format, &sql, &chunks).map(|()| None);
                    chunks.blocking_send(end).ok(); // whoever asked may have gone
                }
            }
        }
    }

    /// Reads a copy and hands it over, chunk by chunk.
    fn copy(&mut self, format: CopyFormat, sql: &str, chunks: &mpsc::Sender<Answer>) -> Result<()> {
        let silent = self.silent();
        let mut copy = self.connection.copy_out(sql, During::Doing(COPYING))?;
        let mut chunk = Chunk::default();
        loop {
            let until = Instant::now() + self.silence_max;
            match copy.receive(until)? {
                Copied::Rows(rows) if rows.is_empty() => {
                    if chunks.is_closed() {
                        return Err(gone());
                    }
                    if Instant::now() >= until {
                        // It may wait for a lock; the next statement is not to queue up behind this one.
                        copy.cancel(CANCEL_PATIENCE);
                        return Err(silent);
                    }
                }
                Copied::Rows(rows) => {
                    for payload in rows {
                        chunk.push(format, payload)?;
                    }
                }
                Copied::Large(row) => chunk.push_large(&row),
                Copied::End => break,
            }
            if chunk.body.len() >= CHUNK_BYTES {
                let whole = chunk.split();
                chunks.blocking_send(Ok(Some(whole))).map_err(|_| gone())?;
            }
        }
        match chunk.rows {
            0 => Ok(()),
            _ => chunks.blocking_send(Ok(Some(chunk))).map_err(|_| gone()),
        }
    }

    fn silent(&self) -> Error {
        let seconds = self.silence_max.as_secs();
        Error::unavailable(format!(
            "the server said nothing for {seconds} s, {COPYING}"
        ))
        .at(self.connection.place())
        .help("check the network between here and the server, and pg_locks for who holds a table")
    }
}

/// One end of the conversation is not there any more.
fn gone() -> Error {
    Error::stopped("the connection of a copy has ended")
}
