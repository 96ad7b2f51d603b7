use std::time::Duration;

use proptest::prelude::*;

use super::super::options::{ChannelBinding, Host, SslMode, SslRoots, TargetSession};
use super::*;

fn parsed(text: &str) -> ConnectOptions {
    ConnectOptions::parse_text(text).unwrap()
}

fn refused(text: &str) -> String {
    let error = ConnectOptions::parse_text(text).unwrap_err();
    assert_eq!(error.kind(), blacksmith_core::error::Kind::Config);
    error.report()
}

#[test]
fn a_full_url_is_read_into_every_part() {
    let options = parsed(
        "postgres://al%40ice:p%40ss%2Fw@db1:6000,[::1],db3:7000/shop%20two?sslmode=verify-full\
         &sslrootcert=/etc/ca.pem&sslcert=/c.pem&sslkey=/k.pem&connect_timeout=3&application_name=me\
         &options=-c%20work_mem%3D1MB&target_session_attrs=read-write&channel_binding=require\
         &keepalives_idle=5&tcp_user_timeout=2500",
    );
    assert_eq!(
        options.hosts,
        [
            Host::Tcp("db1".into(), 6000),
            Host::Tcp("::1".into(), 5432),
            Host::Tcp("db3".into(), 7000)
        ]
    );
    assert_eq!(options.user, "al@ice");
    assert_eq!(options.password.as_ref().unwrap().expose(), "p@ss/w");
    assert_eq!(options.database, "shop two");
    assert_eq!(options.ssl_mode, SslMode::VerifyFull);
    assert_eq!(options.ssl_roots, SslRoots::File("/etc/ca.pem".into()));
    assert_eq!(options.connect_timeout, Duration::from_secs(3));
    assert_eq!(options.options.as_deref(), Some("-c work_mem=1MB"));
    assert_eq!(options.target_session, TargetSession::Primary);
    assert_eq!(options.channel_binding, ChannelBinding::Require);
    assert_eq!(options.keepalive.idle, Duration::from_secs(5));
    assert_eq!(options.keepalive.user_timeout, Duration::from_millis(2500));
    assert_eq!(
        options.to_string(),
        "al@ice@db1:6000,[::1]:5432,db3:7000/shop two"
    );
}

#[test]
fn defaults_are_those_of_libpq_where_they_are_not_ours() {
    let options = parsed("postgresql://bob@db");
    assert_eq!(options.hosts, [Host::Tcp("db".into(), 5432)]);
    assert_eq!(options.database, "bob");
    assert_eq!(options.ssl_roots, SslRoots::System);
    assert!(options.password.is_none());
    assert_eq!(options.application_name, "blacksmith");
}

#[test]
fn a_server_on_another_machine_has_to_prove_who_it_is_unless_the_url_says_otherwise() {
    for (host, expected) in [
        ("db", SslMode::VerifyFull),
        ("10.0.0.7", SslMode::VerifyFull),
        ("localhost.example.com", SslMode::VerifyFull),
        ("127.0.0.1,db", SslMode::VerifyFull),
        ("127.0.0.2", SslMode::Prefer),
        ("LocalHost", SslMode::Prefer),
        ("[::1]:5433", SslMode::Prefer),
        ("[::ffff:127.0.0.1]", SslMode::Prefer),
        ("%2Frun%2Fpostgresql", SslMode::Prefer),
    ] {
        assert_eq!(
            parsed(&format!("postgres://u@{host}/d")).ssl_mode,
            expected,
            "{host}"
        );
        let chosen = parsed(&format!("postgres://u@{host}/d?sslmode=disable"));
        assert_eq!(chosen.ssl_mode, SslMode::Disable, "{host}");
    }
    assert_eq!(parsed("host=db user=u").ssl_mode, SslMode::VerifyFull);
}

#[test]
fn words_and_sockets_are_read_as_libpq_does() {
    let options = parsed(r"host=/run/pg,db2 port=5433 user='o\'x y' password=a\ b dbname=d");
    assert_eq!(
        options.hosts,
        [
            Host::Unix("/run/pg".into(), 5433),
            Host::Tcp("db2".into(), 5433)
        ]
    );
    assert_eq!(options.user, "o'x y");
    assert_eq!(options.password.unwrap().expose(), "a b");
    let options = parsed("postgres://u@/d?host=/tmp/sock&port=5434");
    assert_eq!(options.hosts, [Host::Unix("/tmp/sock".into(), 5434)]);
    let options = parsed("postgres://u@%2Ftmp%2Fsock:5435/d");
    assert_eq!(options.hosts[0].to_string(), "/tmp/sock/.s.PGSQL.5435");
}

#[test]
fn each_wrong_part_is_named() {
    for (text, part) in [
        ("mysql://u@h/d", "postgres://"),
        ("just words", "key=value"),
        ("postgres://h/d", "no user"),
        ("postgres://u@/d", "no host"),
        ("postgres://u@h:99999/d", "port of host 1"),
        ("postgres://u@h:0/d", "port of host 1"),
        ("postgres://u@[::1/d", "closing ]"),
        ("postgres://u@h/d?sslmode=on", "sslmode"),
        ("postgres://u@h/d?colour=red", "\"colour\""),
        ("postgres://u@h/d?connect_timeout=soon", "connect_timeout"),
        ("postgres://u%zz@h/d", "user"),
        ("postgres://u@h/d%00", "database"),
        ("postgres://u@h/d?sslcert=/c", "sslkey"),
        (
            "postgres://u@h/d?sslmode=prefer&sslnegotiation=direct",
            "sslnegotiation",
        ),
        ("postgres://u@h/d?replication=database", "replication"),
        ("host=a,b port=1,2,3 user=u", "2 hosts and 3 ports"),
        ("host=a user='u", "closing quote"),
        ("host=a user=u stray", "\"user\""),
    ] {
        let report = refused(text);
        assert!(report.contains(part), "{text}: {report}");
    }
}

#[test]
fn a_password_that_was_not_encoded_never_shows_in_the_error() {
    for text in [
        "postgres://u:can/ary@h/d",
        "postgres://u:can:ary/x@h:1/d",
        "postgres://u:x@can@ary/d",
        "postgres://u:can#ary@h/d",
        "postgres://u:x?canary=y@h/d",
        "postgres://u:canary%@h/d",
        "postgres://u:can/ary@h:port/d",
        "postgres://u:1/2?canary@h/d",
        "host=h user=u password=x canary",
        "host=h user=u password=x canary=y",
        "host=h user=u password='canary",
        "postgres://u:canary@h:1x/d",
        "postgres://u:canary@h/d?sslmode=x",
    ] {
        let error = ConnectOptions::parse_text(text).unwrap_err();
        let shown = format!("{error} {error:?} {}", error.report());
        for piece in ["canary", "can@", "can/", "ary@", "\"can\"", "\"ary\""] {
            assert!(!shown.contains(piece), "{text}: {shown}");
        }
    }
    let options = parsed("postgres://u:canary@h/d");
    assert!(!format!("{options} {options:?}").contains("canary"));
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

proptest! {
    #[test]
    fn any_name_and_password_survives_percent_encoding(user in "[^\0]{1,12}", password in "[^\0]{1,12}") {
        let options = parsed(&format!("postgres://{}:{}@h/d", encoded(&user), encoded(&password)));
        prop_assert_eq!(&options.user, &user);
        let read = options.password.unwrap();
        prop_assert_eq!(read.expose(), &password);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,60}", tail in "[a-z:@/?&=%,'\\[\\]0-9 ]{0,40}") {
        for text in [text.clone(), format!("postgres://{tail}"), format!("host={tail}"), tail.clone()] {
            if let Err(error) = ConnectOptions::parse_text(&text) {
                prop_assert!(!error.report().is_empty());
            }
        }
    }
}
