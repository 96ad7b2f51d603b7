//! A small HTTP server that notes what it is sent and answers by script; 200 when the script is at its end.

use std::collections::VecDeque;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) line: String,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.clone())
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    bytes: Vec<u8>,
    then: After,
}

#[derive(Debug, Clone, Copy)]
enum After {
    /// Waits for the next request.
    GoOn,
    /// Closes the connection.
    HangUp,
    /// Waits until the other side has given up, and answers then.
    OnlyThen,
}

impl Answer {
    pub(super) fn status(status: u16) -> Answer {
        let head = format!("HTTP/1.1 {status} Whatever\r\n");
        Answer {
            bytes: head.into(),
            then: After::GoOn,
        }
    }

    pub(super) fn header(mut self, header: &str) -> Answer {
        write!(self.bytes, "{header}\r\n").unwrap();
        self
    }

    pub(super) fn body(mut self, body: &str) -> Answer {
        write!(self.bytes, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        self
    }

    /// 200, after the other side has stopped waiting.
    pub(super) fn late() -> Answer {
        Answer {
            then: After::OnlyThen,
            ..Answer::status(200)
        }
    }

    /// 200, and half of a body.
    pub(super) fn broken_off() -> Answer {
        let mut answer = Answer::status(200);
        write!(answer.bytes, "Content-Length: 100\r\n\r\nhalf").unwrap();
        answer.then = After::HangUp;
        answer
    }

    /// Nothing at all.
    pub(super) fn hung_up() -> Answer {
        Answer {
            bytes: Vec::new(),
            then: After::HangUp,
        }
    }

    /// All of it, with the end of the head when it has none yet.
    fn finished(mut self) -> Answer {
        if !self.bytes.is_empty() && !self.bytes.windows(4).any(|four| four == b"\r\n\r\n") {
            self.bytes.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        }
        self
    }
}

/// A certificate that vouches for itself, and its files.
pub(super) struct Shown {
    made: rcgen::CertifiedKey<rcgen::KeyPair>,
    pub(super) certificate: tempfile::NamedTempFile,
    pub(super) key: tempfile::NamedTempFile,
}

impl Shown {
    pub(super) fn new(name: &str) -> Shown {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let file = |text: String| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file
        };
        Shown {
            certificate: file(made.cert.pem()),
            key: file(made.signing_key.serialize_pem()),
            made,
        }
    }
}

#[derive(Debug, Default)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    seen: Mutex<Vec<Seen>>,
}

/// The server. Dropping it closes everything.
#[derive(Debug)]
pub(super) struct Server {
    scheme: &'static str,
    address: SocketAddr,
    script: Arc<Script>,
    listening: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(answers: Vec<Answer>) -> Server {
        Server::start_with(answers, None).await
    }

    /// One that has a certificate, and the file of who vouches for it.
    pub(super) async fn start_tls() -> (Server, tempfile::NamedTempFile) {
        Server::start_tls_for(None).await
    }

    /// One that wants the other side's certificate to be this one, if there is one.
    pub(super) async fn start_tls_for(client: Option<&Shown>) -> (Server, tempfile::NamedTempFile) {
        let own = Shown::new("127.0.0.1");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = match client {
            None => config.with_no_client_auth(),
            Some(client) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(client.made.cert.der().clone()).unwrap();
                let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
                    Arc::new(roots),
                    provider,
                );
                config.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = own.made.signing_key.serialize_der().try_into().unwrap();
        let config = config
            .with_single_cert(vec![own.made.cert.der().clone()], key)
            .unwrap();
        let (acceptor, file) = (TlsAcceptor::from(Arc::new(config)), own.certificate);
        (Server::start_with(vec![], Some(acceptor)).await, file)
    }

    async fn start_with(answers: Vec<Answer>, tls: Option<TlsAcceptor>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Script {
            answers: Mutex::new(answers.into()),
            seen: Mutex::default(),
        });
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listening = tokio::spawn(listen(listener, Arc::clone(&script), tls));
        Server {
            scheme,
            address,
            script,
            listening,
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// What it was sent so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.script.seen.lock().unwrap().clone()
    }

    /// Returns when nobody listens any more.
    pub(super) async fn stop(mut self) {
        self.listening.abort();
        (&mut self.listening).await.unwrap_err();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, script: Arc<Script>, tls: Option<TlsAcceptor>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (script, tls) = (Arc::clone(&script), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => serve(stream, &script).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve(stream, &script).await,
                    Err(_) => None,
                },
            }
        });
    }
}

/// Serves one connection until either side ends it.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, script: &Script) -> Option<()> {
    loop {
        let seen = read(&mut stream).await?;
        script.seen.lock().unwrap().push(seen);
        let next = script.answers.lock().unwrap().pop_front();
        let answer = next.unwrap_or_else(|| Answer::status(200)).finished();
        if let After::OnlyThen = answer.then {
            // The other side sends nothing more: this ends when it closes.
            stream.read_u8().await.ok();
        }
        stream.write_all(&answer.bytes).await.ok()?;
        stream.flush().await.ok()?;
        if !matches!(answer.then, After::GoOn) {
            return None;
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Seen> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let line = lines.next()?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    Some(Seen {
        line,
        headers,
        body,
    })
}
