//! Servers that are none, or mean harm: whatever they say, we end with an error, in time, and believe nothing.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use blacksmith_core::error::{Advice, Error};

use super::*;

const AUTH_OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";
const READY: &[u8] = b"Z\0\0\0\x05I";

/// Something that listens, says what `play` says to the first that connects, and then hangs up.
fn impostor(play: impl FnOnce(&mut TcpStream) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let playing = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        play(&mut peer);
    });
    (
        format!("postgres://u:canary@127.0.0.1:{port}/d?connect_timeout=5"),
        playing,
    )
}

fn connect(url: &str) -> Result<ReplicationConnection, Error> {
    ReplicationConnection::connect(
        &ConnectOptions::parse_text(url).unwrap(),
        &Waker::new().unwrap(),
    )
}

/// The error of connecting, over an unencrypted connection, to a server that answers the login with `answer`.
fn answered(answer: Vec<u8>) -> Error {
    let (url, playing) = impostor(move |peer| {
        startup(peer);
        peer.write_all(&answer).unwrap();
    });
    let error = connect(&format!("{url}&sslmode=disable")).unwrap_err();
    playing.join().unwrap();
    assert!(!format!("{error:?}").contains("canary"));
    error
}

/// Reads one startup packet, whose first four bytes are its length.
fn startup(peer: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    peer.read_exact(&mut length).unwrap();
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    peer.read_exact(&mut body).unwrap();
    body
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![tag];
    message.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    message.extend(body);
    message
}

#[test]
fn a_web_server_is_told_from_a_postgres() {
    let error = answered(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec());
    assert!(
        error.report().contains("makes no sense"),
        "{}",
        error.report()
    );
    assert!(
        error.report().contains("check that host and port"),
        "{}",
        error.report()
    );
}

#[test]
fn an_old_server_and_a_pooler_are_named() {
    let old = [AUTH_OK, &message(b'S', b"server_version\x0013.5\0"), READY].concat();
    let error = answered(old);
    assert!(
        error.report().contains("version is 13.5; 14 is the oldest"),
        "{}",
        error.report()
    );
    assert_eq!(error.advice(), Advice::Stop);
    let pooler = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: intervalstyle\0\0";
    let error = answered(message(b'E', pooler));
    assert!(
        error.report().contains("connection poolers"),
        "{}",
        error.report()
    );
}

#[test]
fn a_length_without_bounds_is_refused_before_it_is_waited_for() {
    let error = answered(b"R\x7f\xff\xff\xff".to_vec());
    assert!(
        error.report().contains("are the limit"),
        "{}",
        error.report()
    );
}

#[test]
fn a_server_that_does_not_prove_it_knows_the_password_is_not_believed() {
    let (url, playing) = impostor(|peer| {
        startup(peer);
        peer.write_all(&message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0"))
            .unwrap();
        let mut first = [0; 1024];
        assert!(peer.read(&mut first).unwrap() > 0);
        peer.write_all(&[AUTH_OK, &message(b'S', b"server_version\x0015.1\0"), READY].concat())
            .unwrap();
    });
    let error = connect(&format!("{url}&sslmode=disable")).unwrap_err();
    assert!(
        error.report().contains("SCRAM messages are out of order"),
        "{}",
        error.report()
    );
    playing.join().unwrap();
}

/// What is said, behind the startup packet, to a server that answers it with `answer`, until we are gone.
fn said_to(answer: Vec<u8>) -> Vec<u8> {
    let (sender, said) = std::sync::mpsc::channel();
    let (url, playing) = impostor(move |peer| {
        startup(peer);
        peer.write_all(&answer).unwrap();
        let mut said = Vec::new();
        peer.read_to_end(&mut said).unwrap();
        sender.send(said).unwrap();
    });
    drop(connect(&format!("{url}&sslmode=disable")));
    playing.join().unwrap();
    said.recv().unwrap()
}

#[test]
fn a_server_is_told_when_we_go_if_it_has_let_us_in() {
    let version = message(b'S', b"server_version\x0015.1\0");
    let let_in = [AUTH_OK, &version, READY].concat();
    assert_eq!(said_to(let_in), message(b'X', b""));
    let refused = message(b'E', b"SFATAL\0VFATAL\0C28000\0Mno entry\0\0");
    assert_eq!(said_to(refused), b"");
}

#[test]
fn clear_text_sent_before_encryption_is_not_taken_for_its_beginning() {
    let (url, playing) = impostor(|peer| {
        startup(peer); // the request for encryption
        let stuffed = [
            b"S".as_slice(),
            AUTH_OK,
            &message(b'S', b"server_version\x0015.1\0"),
            READY,
        ]
        .concat();
        peer.write_all(&stuffed).unwrap();
        let mut hello = [0; 4096];
        while peer.read(&mut hello).is_ok_and(|bytes| bytes > 0) {}
    });
    let error = connect(&format!("{url}&sslmode=require")).unwrap_err();
    assert!(
        error.report().contains("encryption cannot be set up"),
        "{}",
        error.report()
    );
    playing.join().unwrap();
}

#[test]
fn a_login_can_be_interrupted() {
    let (url, playing) = impostor(|peer| {
        startup(peer);
        let mut nothing = [0];
        assert_eq!(peer.read(&mut nothing).unwrap_or(0), 0, "we hang up");
    });
    let waker = Waker::new().unwrap();
    waker.wake();
    let options = ConnectOptions::parse_text(&format!("{url}&sslmode=disable")).unwrap();
    let error = ReplicationConnection::connect(&options, &waker).unwrap_err();
    assert_eq!(
        error.kind(),
        blacksmith_core::error::Kind::Stopped,
        "{}",
        error.report()
    );
    playing.join().unwrap();
}
