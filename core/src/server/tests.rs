//! What a server answers, refuses and survives, over real sockets.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::middleware::{self, Next};
use axum::routing::{get, post};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;

use super::client::Client;
use super::*;

/// A server of `router` with what every service answers, on a free port.
async fn start(router: Router, limits: Limits) -> Running {
    let (health, metrics) = (Arc::default(), Arc::default());
    serve(house(router, &health, &metrics), limits).await
}

async fn serve(router: Router, limits: Limits) -> Running {
    let address = "127.0.0.1:0".parse().unwrap();
    let server = Server::new("test", address, router).limits(limits);
    server.start().await.unwrap()
}

/// Answers with the number of bytes it was sent.
fn measure() -> Router {
    Router::new().route(
        "/measure",
        post(async |body: axum::body::Bytes| success(&body.len().to_string())),
    )
}

/// ADM-07 SVC-06
#[tokio::test]
async fn health_says_live_and_readiness_says_why_not() {
    let (health, metrics) = (Arc::new(Health::default()), Arc::default());
    let server = serve(house(Router::new(), &health, &metrics), Limits::default()).await;
    let mut client = Client::connect(server.address()).await;
    let live = client.ask("GET /_health", "", b"").await;
    assert_eq!(live.status, 200);
    assert_eq!(
        live.json(),
        serde_json::json!({"statusCode": 200, "message": "Successful"})
    );
    assert_eq!(client.ask("GET /_health/ready", "", b"").await.status, 200);

    health.add(|reasons| reasons.push(Reason::new(["store"], "fenced")));
    let reply = client.ask("GET /_health/ready", "", b"").await;
    let object = reply.fault(503);
    let expected = serde_json::json!([{"message": "fenced", "path": ["store"]}]);
    assert_eq!(object["validations"], expected);
    assert!(reply.head.contains("retry-after: "), "{}", reply.head);
    assert_eq!(client.ask("GET /_health", "", b"").await.status, 200);
}

#[tokio::test]
async fn metrics_count_requests_by_service() {
    let (health, metrics) = (Arc::default(), Arc::new(Metrics::default()));
    let router = house(Router::new(), &health, &metrics);
    let server = Server::new("test", "127.0.0.1:0".parse().unwrap(), router).metrics(&metrics);
    let server = server.start().await.unwrap();
    let mut client = Client::connect(server.address()).await;
    client.ask("GET /nowhere", "", b"").await.fault(404);
    let page = client.ask("GET /metrics", "", b"").await;
    let line = "blacksmith_http_replies_total{service=\"test\",status=\"4xx\"} 1";
    assert!(page.body.lines().any(|own| own == line), "{}", page.body);
}

/// CON-16
#[tokio::test]
async fn every_refusal_of_the_server_itself_is_the_error_object() {
    let limits = Limits {
        body_bytes_max: 1 << 20,
        header_bytes_max: 2 << 10,
        ..Limits::default()
    };
    let panicking = get(async || -> String { panic!("as the test wants") });
    let server = start(measure().route("/panic", panicking), limits).await;
    let connect = || Client::connect(server.address());
    let long = "x".repeat(3 << 10);

    connect()
        .await
        .ask("GET /nowhere", "", b"")
        .await
        .fault(404);
    connect()
        .await
        .ask("DELETE /measure", "", b"")
        .await
        .fault(405);
    connect().await.ask("GET /panic", "", b"").await.fault(500);
    connect()
        .await
        .ask("POST /measure", "expect: tea\r\n", b"")
        .await
        .fault(417);
    connect()
        .await
        .ask("POST /measure", &format!("x: {long}\r\n"), b"")
        .await
        .fault(431);
    connect()
        .await
        .ask(&format!("GET /{long}"), "", b"")
        .await
        .fault(414);
    let much = format!("x: {}\r\n", "x".repeat(100 << 10));
    connect()
        .await
        .ask("POST /measure", &much, b"")
        .await
        .fault(431);
    for nonsense in [
        "GET\r\n\r\n",
        "\u{1}\u{2} / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\na b: c\r\n\r\n",
    ] {
        let mut client = connect().await;
        client.write(nonsense.as_bytes()).await;
        client.reply().await.unwrap().fault(400);
        assert!(client.is_closed().await, "{nonsense:?}");
    }
    // One that panicked serves on.
    let mut client = connect().await;
    client.ask("GET /panic", "", b"").await.fault(500);
    assert_eq!(
        client.ask("POST /measure", "", b"four").await.json()["message"],
        "4"
    );
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_while_its_sender_still_sends() {
    let limits = Limits {
        body_bytes_max: 1 << 20,
        ..Limits::default()
    };
    let server = start(measure(), limits).await;
    let body = vec![b'x'; 100 << 20];
    let mut client = Client::connect(server.address()).await;
    client.ask("POST /measure", "", &body).await.fault(413);
    // By its head alone, before anything is sent.
    let mut client = Client::connect(server.address()).await;
    client.write(b"POST /measure HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 104857600\r\n\r\n").await;
    client.reply().await.unwrap().fault(413);
}

#[tokio::test]
async fn a_client_that_sends_byte_by_byte_or_nothing_is_cut_off() {
    let limits = Limits {
        header_timeout: Duration::from_millis(100),
        request_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = start(measure(), limits).await;
    let mut idle = Client::connect(server.address()).await;
    assert!(idle.is_closed().await);

    let mut slow_head = Client::connect(server.address()).await;
    slow_head.write(b"POST /measure HTTP/1.1\r\nhost: t").await;
    slow_head.reply().await.unwrap().fault(408);
    assert!(slow_head.is_closed().await);

    let mut slow_body = Client::connect(server.address()).await;
    slow_body
        .write(b"POST /measure HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\n\r\nx")
        .await;
    slow_body.reply().await.unwrap().fault(408);

    let mut kept = Client::connect(server.address()).await;
    assert_eq!(kept.ask("POST /measure", "", b"").await.status, 200);
    assert!(kept.is_closed().await, "idle between requests for too long");
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_answered_503() {
    let limits = Limits {
        request_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let hang = Router::new().route(
        "/hang",
        get(async || std::future::pending::<String>().await),
    );
    let server = start(hang, limits).await;
    let mut client = Client::connect(server.address()).await;
    client.ask("GET /hang", "", b"").await.fault(503);
}

#[tokio::test]
async fn connections_are_bounded_and_one_too_many_is_told_so() {
    let limits = Limits {
        connections_max: 2,
        ..Limits::default()
    };
    let server = start(measure(), limits).await;
    let mut first = Client::connect(server.address()).await;
    let mut second = Client::connect(server.address()).await;
    for client in [&mut first, &mut second] {
        assert_eq!(client.ask("POST /measure", "", b"").await.status, 200);
    }
    let mut third = Client::connect(server.address()).await;
    third.reply().await.unwrap().fault(503);
    assert_eq!(first.ask("POST /measure", "", b"").await.status, 200);
}

/// SVC-10
#[tokio::test]
async fn a_stop_finishes_requests_in_hand_and_takes_no_new_connection() {
    let (begun, told) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (begun, told) = (Arc::clone(&begun), Arc::clone(&told));
        get(async move || {
            begun.notify_one();
            told.notified().await;
            success("done")
        })
    };
    let server = start(Router::new().route("/wait", handler), Limits::default()).await;
    let address = server.address().clone();
    let mut idle = Client::connect(&address).await;
    let mut client = Client::connect(&address).await;
    client.send("GET /wait", "", b"").await;
    begun.notified().await;
    let stopping = tokio::spawn(server.stop());
    assert!(
        idle.is_closed().await,
        "a connection without a request goes at once"
    );
    assert!(TcpStream::connect(address.to_string()).await.is_err());
    told.notify_one();
    let reply = client.reply().await.unwrap();
    assert_eq!(reply.json()["message"], "done");
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_off_when_the_stop_takes_too_long() {
    let limits = Limits {
        stop_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let begun = Arc::new(Notify::new());
    let handler = {
        let begun = Arc::clone(&begun);
        get(async move || {
            begun.notify_one();
            std::future::pending::<String>().await
        })
    };
    let server = start(Router::new().route("/wait", handler), limits).await;
    let mut client = Client::connect(server.address()).await;
    client.send("GET /wait", "", b"").await;
    begun.notified().await;
    server.stop().await;
    assert!(client.is_closed().await);
}

/// SVC-06
#[tokio::test]
async fn a_unix_socket_belongs_to_its_owner_alone_and_is_not_taken_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    // What a crash left there is no hindrance.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = || Server::new("test", Address::Unix(path.clone()), measure());
    let running = server().start().await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut client = Client::over(UnixStream::connect(&path).await.unwrap());
    assert_eq!(
        client.ask("POST /measure", "", b"four").await.json()["message"],
        "4"
    );
    let error = server().start().await.unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    running.stop().await;
    assert!(!path.exists());
}

/// SVC-06
#[tokio::test]
async fn tls_is_spoken_with_the_certificate_of_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let files = TlsFiles {
        certificate: folder.path().join("certificate.pem"),
        key: folder.path().join("key.pem"),
    };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let server = Server::new("test", address, measure()).tls(Some(files));
    let server = server.start().await.unwrap();

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(server.address().to_string())
        .await
        .unwrap();
    let name = "localhost".try_into().unwrap();
    let mut client = Client::over(connector.connect(name, stream).await.unwrap());
    assert_eq!(
        client.ask("POST /measure", "", b"four").await.json()["message"],
        "4"
    );

    // Who speaks no TLS gets no answer, and harms nobody.
    let mut plain = Client::connect(server.address()).await;
    plain.write(b"GET / HTTP/1.1\r\n\r\n").await;
    plain.reply().await;
    assert_eq!(client.ask("POST /measure", "", b"").await.status, 200);
}

#[test]
fn a_certificate_that_cannot_be_used_is_a_problem_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.pem");
    std::fs::write(&path, "").unwrap();
    for certificate in [path.clone(), folder.path().join("none.pem")] {
        let files = TlsFiles {
            certificate,
            key: path.clone(),
        };
        let error = files.acceptor().map(drop).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Config, "{error:?}");
    }
}

/// SVC-07 SVC-08
#[tokio::test]
async fn layers_and_routes_of_others_are_served_like_our_own() {
    async fn stamp(request: Request<Body>, next: Next) -> axum::response::Response {
        let mut response = next.run(request).await;
        response
            .headers_mut()
            .insert("x-stamp", "here".parse().unwrap());
        response
    }
    let router = Router::new()
        .nest("/api", measure())
        .layer(middleware::from_fn(stamp));
    let server = start(router, Limits::default()).await;
    let mut client = Client::connect(server.address()).await;
    let reply = client.ask("POST /api/measure", "", b"four").await;
    assert_eq!(reply.json()["message"], "4");
    assert!(reply.head.contains("x-stamp: here"));
}

#[test]
fn an_address_is_host_and_port_or_a_socket() {
    for (text, expected) in [
        (":9090", "0.0.0.0:9090"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("[::1]:80", "[::1]:80"),
        ("unix:/run/x.sock", "unix:/run/x.sock"),
    ] {
        assert_eq!(text.parse::<Address>().unwrap().to_string(), expected);
    }
    for text in ["", "9090", "host:", "host:99999", "unix:"] {
        assert!(text.parse::<Address>().is_err(), "{text}");
    }
}
