//! TLS from a certificate's and a key's files.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::error::{Error, Result};
use crate::settings::TlsFiles;

impl TlsFiles {
    /// Reads both files.
    ///
    /// # Errors
    /// `Config` when one cannot be read, or they do not belong together.
    pub fn acceptor(&self) -> Result<TlsAcceptor> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::config("TLS cannot be set up").because(error))?
            .with_no_client_auth()
            .with_single_cert(self.chain()?, self.private_key()?);
        let mut config = config.map_err(|error| {
            Error::config("the certificate and the key do not belong together").because(error)
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>> {
        let wrong = |error| unreadable("certificate", &self.certificate, error);
        let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&self.certificate)
            .map_err(wrong)?
            .collect();
        let chain = chain.map_err(wrong)?;
        match chain.is_empty() {
            true => Err(wrong(rustls::pki_types::pem::Error::NoItemsFound)),
            false => Ok(chain),
        }
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>> {
        let key = PrivateKeyDer::from_pem_file(&self.key);
        key.map_err(|error| unreadable("key", &self.key, error))
    }
}

fn unreadable(what: &str, path: &std::path::Path, error: rustls::pki_types::pem::Error) -> Error {
    Error::config(format!("cannot read the TLS {what} {}", path.display()))
        .help("name a file in PEM that this user may read")
        .because(std::io::Error::other(error.to_string()))
}
