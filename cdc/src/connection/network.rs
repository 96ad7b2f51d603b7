//! What went wrong below the protocol: names, routes, sockets, TLS. And what to do about it.

use std::error::Error as StdError;
use std::io;

use blacksmith_core::error::Error;
use rustls::CertificateError as Cert;

/// An I/O failure with the server at `place`, in our words.
pub(super) fn failure(error: io::Error, place: &str) -> Error {
    if let Some(tls) = tls_cause(&error) {
        return tls_failure(tls.clone(), place);
    }
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, NotFound,
        PermissionDenied, TimedOut, UnexpectedEof,
    };
    let (what, help) = match error.kind() {
        Interrupted => {
            return Error::stopped("the connection was interrupted on purpose").at(place);
        }
        TimedOut => (
            "no answer in time",
            "check host, port and firewalls; connect_timeout in the connection URL sets how long to wait",
        ),
        ConnectionRefused => (
            "nothing answers there",
            "check host and port, and that the server runs and listens there (listen_addresses)",
        ),
        NotFound => (
            "there is no such host or socket",
            "check the host in the connection URL, and that the server runs",
        ),
        PermissionDenied => (
            "the system does not allow the connection",
            "check the rights on the socket's folder, or the firewall",
        ),
        UnexpectedEof | ConnectionReset | ConnectionAborted => (
            "the server closed the connection",
            "its log says why; it is tried again",
        ),
        _ if error.to_string().contains("failed to lookup address") => (
            "the host name cannot be resolved",
            "check the host in the connection URL and this machine's DNS",
        ),
        _ => (
            "the connection failed",
            "check the network between here and the server",
        ),
    };
    Error::unavailable(what).at(place).help(help).because(error)
}

/// The server has said that it does not encrypt, and `sslmode` insists.
pub(super) fn not_encrypted(place: &str) -> Error {
    Error::refused("the server does not encrypt connections").at(place).help(
        "turn on ssl in postgresql.conf, or, on a network that you trust, set sslmode=disable; without sslmode a server on another machine has to show a certificate",
    )
}

/// The TLS error inside an I/O error, however deep.
pub(super) fn tls_cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut cause: Option<&'a (dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        // An io::Error skips the error it wraps when asked for its source.
        cause = match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn tls_failure(error: rustls::Error, place: &str) -> Error {
    let (what, help) = match &error {
        rustls::Error::InvalidCertificate(reason) => certificate(reason),
        rustls::Error::AlertReceived(_) => (
            "the server refuses our side of the encryption",
            "if it asks for a client certificate, set sslcert and sslkey",
        ),
        _ => (
            "the encryption cannot be set up",
            "check that the server speaks TLS 1.2 or 1.3 on this port",
        ),
    };
    Error::refused(what).at(place).help(help).because(error)
}

fn certificate(reason: &Cert) -> (&'static str, &'static str) {
    match reason {
        Cert::NotValidForName | Cert::NotValidForNameContext { .. } => (
            "the server's certificate is for another host name",
            "connect by a name that the certificate carries (subjectAltName), or use sslmode=verify-ca if the name does not matter",
        ),
        Cert::Expired | Cert::ExpiredContext { .. } => (
            "the server's certificate has expired",
            "renew it on the server",
        ),
        Cert::NotValidYet | Cert::NotValidYetContext { .. } => (
            "the server's certificate is not valid yet",
            "check the clocks of both machines",
        ),
        Cert::UnknownIssuer | Cert::BadSignature => (
            "the server's certificate is not signed by an authority that we trust",
            "set sslrootcert to the certificate of the authority that signed it",
        ),
        _ => (
            "the server's certificate is not acceptable",
            "set sslrootcert to the certificate of the authority that signed it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tls_error_is_found_however_deep_it_is_wrapped() {
        let tls = rustls::Error::InvalidCertificate(Cert::NotValidForName);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
        let error = failure(wrapped, "u@h/d");
        assert_eq!(error.kind(), blacksmith_core::error::Kind::Refused);
        assert!(
            error.report().contains("another host name"),
            "{}",
            error.report()
        );
    }

    #[test]
    fn a_refused_connection_is_worth_another_try() {
        let error = failure(io::ErrorKind::ConnectionRefused.into(), "u@h/d");
        assert_eq!(error.kind(), blacksmith_core::error::Kind::Unavailable);
        assert!(error.report().starts_with("u@h/d: nothing answers there"));
    }
}
