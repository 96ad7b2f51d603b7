use std::path::{Path, PathBuf};

use blacksmith_core::error::Kind;
use blacksmith_tests::server::binaries::versions;
use blacksmith_tests::server::{Options, Server};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;

/// An authority, a server with its certificate for `localhost`, and the files that clients name.
struct Bench {
    server: Server,
    files: tempfile::TempDir,
}

impl Bench {
    fn start(hba: &[&str]) -> Bench {
        Bench::of(None, hba)
    }

    fn of(version: Option<u32>, hba: &[&str]) -> Bench {
        let files = tempfile::tempdir().unwrap();
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.distinguished_name
            .push(DnType::CommonName, "an authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        put(
            &files.path().join("ca.crt"),
            &ca.self_signed(&ca_key).unwrap().pem(),
        );
        let issuer = Issuer::new(ca, ca_key);
        let (certificate, key) = signed(&issuer, "localhost");
        put(&files.path().join("server.crt"), &certificate);
        let (client_certificate, client_key) = signed(&issuer, "client");
        put(&files.path().join("client.crt"), &client_certificate);
        put(&files.path().join("client.key"), &client_key);
        let other = CertificateParams::new(Vec::new()).unwrap();
        let other = other.self_signed(&KeyPair::generate().unwrap()).unwrap();
        put(&files.path().join("other.crt"), &other.pem());
        let ca_pem = std::fs::read(files.path().join("ca.crt")).unwrap();
        let mut options = Options::default()
            .set("ssl", "on")
            .set("ssl_cert_file", "server.crt")
            .set("ssl_key_file", "server.key")
            .set("ssl_ca_file", "ca.crt");
        options.version = version;
        options.hba = hba.iter().map(|line| (*line).to_owned()).collect();
        options.files = vec![
            ("server.crt".into(), certificate.into_bytes()),
            ("server.key".into(), key.into_bytes()),
            ("ca.crt".into(), ca_pem),
        ];
        Bench {
            server: Server::start(options),
            files,
        }
    }

    fn url(&self, host: &str, settings: &str) -> String {
        let url = self.server.url("postgres").replace("127.0.0.1", host);
        format!("{url}?{settings}")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }
}

fn put(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
}

fn signed(issuer: &Issuer<'_, KeyPair>, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (
        params.signed_by(&key, issuer).unwrap().pem(),
        key.serialize_pem(),
    )
}

/// Both kinds of connection must come to the same verdict.
fn verdict(url: &str) -> Result<bool, blacksmith_core::error::Error> {
    let ours = ReplicationConnection::connect(&options(url), &Waker::new().unwrap());
    let library = wait_for(SqlClient::connect(&options(url)));
    match (ours, library) {
        (Ok(ours), Ok(_)) => Ok(ours.is_encrypted()),
        (Err(ours), Err(library)) => {
            assert_eq!(ours.kind(), library.kind(), "{ours:?} {library:?}");
            assert_eq!(ours.advised(), library.advised(), "{ours:?} {library:?}");
            Err(ours)
        }
        (ours, library) => panic!("{url}: {ours:?} but {library:?}"),
    }
}

#[test]
fn a_certificate_is_checked_exactly_as_far_as_sslmode_says() {
    let bench = Bench::start(&[]);
    let ca = bench.file("ca.crt");
    let (ca, other) = (ca.display(), bench.file("other.crt"));
    let full = format!("sslmode=verify-full&sslrootcert={ca}");
    assert!(verdict(&bench.url("localhost", &full)).unwrap());
    assert!(verdict(&bench.url("localhost", "sslmode=prefer")).unwrap());
    assert!(verdict(&bench.url("127.0.0.1", "sslmode=require")).unwrap());
    assert!(!verdict(&bench.url("127.0.0.1", "sslmode=disable")).unwrap());
    assert!(
        verdict(&bench.url("127.0.0.1", &format!("sslmode=verify-ca&sslrootcert={ca}"))).unwrap()
    );

    let error = verdict(&bench.url("127.0.0.1", &full)).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(
        error.report().contains("for another host name"),
        "{}",
        error.report()
    );
    for mode in ["verify-full", "verify-ca", "require"] {
        let settings = format!("sslmode={mode}&sslrootcert={}", other.display());
        let error = verdict(&bench.url("localhost", &settings)).unwrap_err();
        assert!(
            error
                .report()
                .contains("not signed by an authority that we trust"),
            "{}",
            error.report()
        );
    }
    let error = verdict(&bench.url("localhost", "sslmode=verify-full")).unwrap_err();
    assert!(
        error.report().contains("sslrootcert"),
        "the system does not know our authority: {}",
        error.report()
    );
    let error = verdict(&bench.url("localhost", "sslmode=verify-ca&sslrootcert=/no/such/file"))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
}

#[test]
fn a_server_certificate_that_is_itself_the_root_is_trusted_for_its_own_name_only() {
    let bench = Bench::start(&[]);
    let settings = format!(
        "sslmode=verify-full&sslrootcert={}",
        bench.file("server.crt").display()
    );
    assert!(verdict(&bench.url("localhost", &settings)).unwrap());
    let error = verdict(&bench.url("127.0.0.1", &settings)).unwrap_err();
    assert!(
        error.report().contains("for another host name"),
        "{}",
        error.report()
    );
}

#[test]
fn scram_is_bound_to_the_certificate_and_only_there() {
    let bench = Bench::start(&[]);
    assert!(verdict(&bench.url("localhost", "sslmode=require&channel_binding=require")).unwrap());
    assert!(verdict(&bench.url("localhost", "sslmode=require&channel_binding=disable")).unwrap());
    let unbound = refused(&bench.url("localhost", "sslmode=disable&channel_binding=require"));
    assert!(
        unbound.report().contains("channel_binding=require"),
        "{}",
        unbound.report()
    );
}

#[test]
fn a_client_certificate_lets_its_owner_in_and_its_absence_is_named() {
    let bench = Bench::start(&["hostssl all certified 127.0.0.1/32 trust clientcert=verify-ca"]);
    bench
        .server
        .existing("postgres")
        .execute("create role certified login replication");
    let port = bench.server.port();
    let url = format!("postgres://certified@127.0.0.1:{port}/postgres?sslmode=require");
    let with = format!(
        "{url}&sslcert={}&sslkey={}",
        bench.file("client.crt").display(),
        bench.file("client.key").display()
    );
    assert!(verdict(&with).unwrap());
    assert_eq!(verdict(&url).unwrap_err().kind(), Kind::Refused);
}

#[test]
fn a_server_without_encryption_is_refused_when_encryption_is_asked_for() {
    let db = Server::shared().database("plain");
    let error = refused(&format!("{}?sslmode=require", db.url()));
    assert_eq!(error.kind(), Kind::Refused);
    assert!(
        error.report().contains("does not encrypt"),
        "{}",
        error.report()
    );
    let library = wait_for(SqlClient::connect(&options(&format!(
        "{}?sslmode=require",
        db.url()
    ))))
    .unwrap_err();
    assert_eq!(library.kind(), Kind::Refused);
    assert!(
        library.report().contains("does not encrypt"),
        "{}",
        library.report()
    );
    assert!(!replication(&format!("{}?sslmode=prefer", db.url())).is_encrypted());
}

#[test]
fn a_stream_is_the_same_over_tls() {
    let bench = Bench::start(&[]);
    let db = bench.server.existing("postgres");
    db.execute("create table t (id int, word text)");
    let mut stream = stream_of(&db, &bench.url("localhost", "sslmode=require"), "tls");
    db.execute("insert into t select g, repeat('z', g % 500) from generate_series(1, 50000) g");
    db.execute("insert into t values (50001, repeat('y', 30000000))");
    let rows = read(&mut stream, b'I', 50_001);
    assert!(rows.iter().zip(1_usize..).all(|(row, id)| {
        let digits = id.to_string().len();
        let word = if id == 50_001 { 30_000_000 } else { id % 500 };
        row.len() == 8 + 5 + digits + 5 + word && row[13..13 + digits] == *id.to_string().as_bytes()
    }));
    stream.send_status(&status(1), now()).unwrap();
    assert!(stream.close(PATIENCE));
}

#[test]
fn encryption_can_start_at_once_where_the_server_knows_how() {
    for version in versions() {
        let bench = Bench::of(Some(version), &[]);
        let settings = format!(
            "sslmode=verify-full&sslnegotiation=direct&sslrootcert={}",
            bench.file("ca.crt").display()
        );
        let verdict = verdict(&bench.url("localhost", &settings));
        assert_eq!(
            verdict.is_ok_and(|encrypted| encrypted),
            version >= 17,
            "version {version}"
        );
    }
}
