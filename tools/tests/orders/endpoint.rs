//! The endpoint that jobs are posted to: it answers as it was told, and tells what it was sent.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// How long a request may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// An endpoint in this process.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    sent: Receiver<Value>,
}

impl Endpoint {
    /// Answers the first requests with these statuses, and then 200.
    pub(crate) fn answering(statuses: &[u16]) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Arc::new(Mutex::new(VecDeque::from(statuses.to_vec())));
        let (sent_in, sent) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answers, sent_in) = (Arc::clone(&answers), sent_in.clone());
                std::thread::spawn(move || serve(stream, &answers, &sent_in));
            }
        });
        Endpoint { address, sent }
    }

    /// The data of the next job that it is sent.
    #[track_caller]
    pub(crate) fn next(&self) -> Value {
        let sent = self.sent.recv_timeout(PATIENCE);
        sent.expect("nothing was sent")["data"].clone()
    }

    /// Whether everything that it was sent was looked at.
    pub(crate) fn is_quiet(&self) -> bool {
        self.sent.try_recv().is_err()
    }
}

/// One connection, request after request, until it is closed.
fn serve(stream: TcpStream, answers: &Mutex<VecDeque<u16>>, sent: &Sender<Value>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(body) = request(&mut reader) {
        let status = answers.lock().unwrap().pop_front().unwrap_or(200);
        // The test may be over.
        if sent.send(serde_json::from_slice(&body).unwrap()).is_err() {
            return;
        }
        let answer = format!("HTTP/1.1 {status} Told\r\ncontent-length: 0\r\n\r\n");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn request(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            return Some(body);
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
    }
}
