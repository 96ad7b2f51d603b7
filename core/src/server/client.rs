//! A client for tests: what it sends is written out, so that it can also misbehave.

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Address;

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Client<Io> {
    io: Io,
    read: Vec<u8>,
}

/// A reply, read whole.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Status line and headers, in small letters.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        let parsed = serde_json::from_str(&self.body);
        parsed.unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that it is this status with the model's error object, and returns the object.
    pub(crate) fn fault(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert!(
            self.head.contains("content-type: application/json"),
            "{self:?}"
        );
        let object = self.json();
        assert_eq!(object["statusCode"], status, "{self:?}");
        assert!(
            object["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{self:?}"
        );
        object
    }
}

impl Client<TcpStream> {
    pub(crate) async fn connect(address: &Address) -> Client<TcpStream> {
        Client::over(TcpStream::connect(address.to_string()).await.unwrap())
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Client<Io> {
    pub(crate) fn over(io: Io) -> Client<Io> {
        let read = Vec::new();
        Client { io, read }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
    }

    /// Sends a request with its length, and reads the reply.
    pub(crate) async fn ask(&mut self, line: &str, headers: &str, body: &[u8]) -> Reply {
        self.send(line, headers, body).await;
        self.reply()
            .await
            .expect("the server closed the connection")
    }

    pub(crate) async fn send(&mut self, line: &str, headers: &str, body: &[u8]) {
        let length = body.len();
        let head =
            format!("{line} HTTP/1.1\r\nhost: test\r\n{headers}content-length: {length}\r\n\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        // A server that refuses may close before it has read everything.
        _ = self.io.write_all(&bytes).await;
    }

    /// The next reply that is not 100; none when the server closed the connection first.
    pub(crate) async fn reply(&mut self) -> Option<Reply> {
        loop {
            let end = loop {
                match self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                    Some(end) => break end + 4,
                    None => self.more().await?,
                }
            };
            let head = String::from_utf8(self.read.drain(..end).collect())
                .unwrap()
                .to_lowercase();
            let status: u16 = head[9..12].parse().unwrap();
            if status == 100 {
                continue;
            }
            let length = head.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.split("\r\n").next());
            let length: usize = length.unwrap_or("0").parse().unwrap();
            while self.read.len() < length {
                self.more().await?;
            }
            let body = String::from_utf8(self.read.drain(..length).collect()).unwrap();
            return Some(Reply { status, head, body });
        }
    }

    /// Whether the server has closed the connection, once it says anything at all.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && self.more().await.is_none()
    }

    async fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 4096];
        let count = self.io.read(&mut buffer).await.ok()?;
        self.read.extend_from_slice(&buffer[..count]);
        (count > 0).then_some(())
    }
}
