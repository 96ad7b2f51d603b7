//! TLS: what a certificate must show, and the session that turns records into bytes.
//!
//! The four strengths of libpq's `sslmode` are one verifier with two switches: is the chain checked, is the
//! host name checked. A server certificate that stands in the roots file itself is trusted as it is, since
//! small installations do exactly that (and mark it as an authority, which a chain check would refuse).
//! Unlike libpq, a host name is matched with the certificate's alternative names only, not its common name.
//!
//! [`Session`] reads records from memory: the socket is read in large pieces first, so that one system
//! call, not four kilobytes, is the unit.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use blacksmith_core::error::{Error, Result};
use ring::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use x509_cert::der::Decode;

use super::inbox::Inbox;
use super::options::{ConnectOptions, Host, SslMode, SslRoots};

/// The TLS configuration for these options.
pub(super) fn client_config(options: &ConnectOptions) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Verifier::new(options, Arc::clone(&provider))?);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::config("TLS cannot be set up").because(error))?
        .dangerous() // "dangerous" is any verifier of one's own; what ours checks is said at the head
        .with_custom_certificate_verifier(verifier);
    let mut config = match (&options.ssl_cert, &options.ssl_key) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(certificates(cert, "sslcert")?, private_key(key)?)
            .map_err(|error| {
                Error::config("sslcert and sslkey do not go together").because(error)
            })?,
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(Arc::new(config))
}

/// A TLS session for one connection to `host`, before its handshake.
pub(super) fn session(config: Arc<ClientConfig>, host: &Host) -> Result<Session> {
    let name = ServerName::try_from(host.name().to_owned()).map_err(|_| {
        Error::config(format!(
            "{host} is not a host name that a certificate can carry"
        ))
    })?;
    let mut connection = ClientConnection::new(config, name)
        .map_err(|error| Error::config("TLS cannot be set up").because(error))?;
    connection.set_buffer_limit(None); // what we send is small, and already bounded by its callers
    Ok(Session { connection })
}

/// One TLS session; all input and output is memory.
pub(super) struct Session {
    connection: ClientConnection,
}

impl Session {
    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Takes all of `records` and appends what they carry to `into`. True when the peer ended the session.
    pub(super) fn decrypt(&mut self, mut records: &[u8], into: &mut Inbox) -> io::Result<bool> {
        loop {
            // A few kilobytes at a time: the session holds no more than one unfinished record.
            if !records.is_empty() && self.connection.read_tls(&mut records)? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a TLS record has no legal length",
                ));
            }
            let state = self
                .connection
                .process_new_packets()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let bytes = state.plaintext_bytes_to_read();
            self.connection
                .reader()
                .read_exact(&mut into.room(bytes)[..bytes])?;
            into.arrived(bytes);
            if records.is_empty() || state.peer_has_closed() {
                return Ok(state.peer_has_closed());
            }
        }
    }

    /// Encrypts `bytes`; [`Session::take_records`] gives the records.
    pub(super) fn encrypt(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.connection.writer().write_all(bytes)
    }

    /// Appends all records that wait to be sent.
    pub(super) fn take_records(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(into)?;
        }
        Ok(())
    }

    /// What SCRAM binds to (RFC 5929, `tls-server-end-point`): a digest of the server's certificate, by the
    /// hash of its signature and at least SHA-256. None where the RFC defines none.
    pub(super) fn server_end_point(&self) -> Option<Vec<u8>> {
        let certificate = self.connection.peer_certificates()?.first()?;
        let parsed = x509_cert::Certificate::from_der(certificate).ok()?;
        let algorithm = match parsed.signature_algorithm.oid.to_string().as_str() {
            // sha1, sha256 with RSA; ECDSA with sha1, sha256
            "1.2.840.113549.1.1.5"
            | "1.2.840.113549.1.1.11"
            | "1.2.840.10045.4.1"
            | "1.2.840.10045.4.3.2" => &digest::SHA256,
            "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &digest::SHA384,
            "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &digest::SHA512,
            _ => return None,
        };
        Some(digest::digest(algorithm, certificate).as_ref().to_vec())
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("handshaking", &self.is_handshaking())
            .finish_non_exhaustive()
    }
}

/// Checks a server's certificate as far as `sslmode` asks.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// None: any certificate will do.
    roots: Option<Roots>,
    check_name: bool,
}

#[derive(Debug)]
struct Roots {
    anchors: RootCertStore,
    /// The certificates themselves, for a server whose own certificate is one of them.
    trusted: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(options: &ConnectOptions, provider: Arc<CryptoProvider>) -> Result<Self> {
        let roots = match (options.ssl_mode, &options.ssl_roots) {
            (SslMode::Disable | SslMode::Prefer, _) | (SslMode::Require, SslRoots::System) => None,
            (_, SslRoots::System) => Some(system_roots()?),
            (_, SslRoots::File(file)) => Some(Roots::of(certificates(file, "sslrootcert")?)),
        };
        let check_name = options.ssl_mode == SslMode::VerifyFull;
        Ok(Verifier {
            provider,
            roots,
            check_name,
        })
    }

    fn check_chain(
        &self,
        roots: &Roots,
        parsed: &ParsedCertificate<'_>,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let checked = verify_server_cert_signed_by_trust_anchor(
            parsed,
            &roots.anchors,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        );
        match checked {
            Err(_) if roots.trusted.contains(certificate) => still_valid(certificate, now),
            checked => checked,
        }
    }
}

impl Roots {
    fn of(trusted: Vec<CertificateDer<'static>>) -> Self {
        let mut anchors = RootCertStore::empty();
        anchors.add_parsable_certificates(trusted.iter().cloned());
        Roots { anchors, trusted }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let parsed = ParsedCertificate::try_from(end_entity)?;
            self.check_chain(roots, &parsed, end_entity, intermediates, now)?;
            if self.check_name {
                verify_server_name(&parsed, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A trusted certificate is checked for its dates only.
fn still_valid(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let bad = |kind| Err(rustls::Error::InvalidCertificate(kind));
    let Ok(parsed) = x509_cert::Certificate::from_der(certificate) else {
        return bad(rustls::CertificateError::BadEncoding);
    };
    let validity = parsed.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return bad(rustls::CertificateError::NotValidYet);
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return bad(rustls::CertificateError::Expired);
    }
    Ok(())
}

fn system_roots() -> Result<Roots> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err(
            Error::config("this system has no certificate store to check the server with").help(
                "install ca-certificates, or name the authority's certificate with sslrootcert",
            ),
        );
    }
    Ok(Roots::of(found.certs))
}

fn certificates(file: &Path, setting: &str) -> Result<Vec<CertificateDer<'static>>> {
    let unreadable = || {
        Error::config(format!(
            "{setting}: {} cannot be read as PEM",
            file.display()
        ))
    };
    let found: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable().because(error))?;
    if found.is_empty() {
        return Err(unreadable().help("the file holds no CERTIFICATE section"));
    }
    Ok(found)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| {
        Error::config(format!(
            "sslkey: {} cannot be read as a PEM private key",
            file.display()
        ))
        .because(error)
        .help("an encrypted key must be decrypted first: openssl pkey -in KEY -out PLAIN_KEY")
    })
}
