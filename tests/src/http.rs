//! Requests as strangers send them: bytes on a socket, so that no client library hides what a server does.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// How long a reply may take.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// What is sent to a path.
#[derive(Debug, Clone)]
pub struct Post<'a> {
    /// Where, from the first slash on.
    pub path: &'a str,
    /// `content-type`.
    pub kind: &'a str,
    /// `Idempotency-Key`, if it has one.
    pub key: Option<&'a str>,
    /// The body.
    pub body: &'a str,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body; null when it is not JSON.
    pub body: Value,
}

impl Post<'_> {
    /// Sends it to `address`, on a connection of its own.
    ///
    /// # Errors
    /// When no whole reply comes back: the other side may have the request, or not.
    pub fn send(&self, address: &str) -> std::io::Result<Reply> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        let Post {
            path, kind, body, ..
        } = self;
        let key = self.key.map(|key| format!("idempotency-key: {key}\r\n"));
        let key = key.unwrap_or_default();
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: {kind}\r\n\
             {key}content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes())?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        parse(&reply).ok_or_else(|| std::io::Error::other(format!("half a reply: {reply:?}")))
    }
}

/// All that `GET path` brings over `stream`, head and body; `host` is what the server is called.
///
/// # Errors
/// When the connection fails.
pub fn get(mut stream: impl Read + Write, host: &str, path: &str) -> std::io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply)
}

/// The reply, if all of it is there.
fn parse(text: &str) -> Option<Reply> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    let length: usize = length.1.trim().parse().ok()?;
    (body.len() == length).then(|| Reply {
        status,
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_reply_is_none() {
        let whole = "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(parse(whole).unwrap().status, 202);
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).is_none(), "{end}");
        }
    }
}
