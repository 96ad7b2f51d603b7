//! The connection to an endpoint: pooled, with TLS that is verified, and bounded in time.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use blacksmith_core::error::{Error, Result};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, RETRY_AFTER};
use hyper::{Method, Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tower_service::Service;

use super::chunk::Outgoing;
use super::options::HttpOptions;
use super::template::Template;
use super::verdict::Reply;

/// Bytes of a response that are read; what is longer closes the connection.
const BODY_BYTES_MAX: usize = 64 << 10;
/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(30);

/// Sends requests to one endpoint.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    connector: HttpsConnector<HttpConnector>,
    uri: Uri,
    method: Method,
    headers: HeaderMap,
    timeout: Duration,
    /// The endpoint, as it may be shown.
    place: Arc<str>,
}

impl Client {
    /// # Errors
    /// `Config` when the URL, a header or the certificates make no sense.
    pub(super) fn new(options: &HttpOptions) -> Result<Client> {
        let none =
            || Error::config("the URL of the endpoint is none").help("write https://host/path");
        let url = Template::parse(options.url.expose()).map_err(|_| none())?;
        // With something at each place that jobs fill: good for host and port.
        let uri: Uri = url.plain("0").parse().map_err(|_| none())?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(options.connect_timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(options)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector.clone());
        Ok(Client {
            pool,
            connector,
            place: place(&options.method, options.url.expose()).into(),
            uri,
            method: options.method.clone(),
            headers: headers(options)?,
            timeout: options.timeout,
        })
    }

    /// The endpoint, as it may be shown: method, host and path.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Sends a request and reads what comes back.
    ///
    /// # Errors
    /// Unavailable when there is no answer in time. The other side may have taken the request all the same.
    pub(super) async fn send(&self, outgoing: Outgoing) -> Result<Reply> {
        match tokio::time::timeout(self.timeout, self.exchange(outgoing)).await {
            Ok(exchanged) => exchanged,
            Err(_) => Err(Error::unavailable(format!(
                "{} did not answer within {:?}",
                self.place, self.timeout
            ))
            .help("it may have taken the request: what is sent again carries the same Idempotency-Key")),
        }
    }

    async fn exchange(&self, outgoing: Outgoing) -> Result<Reply> {
        let mut request = Request::new(Full::new(outgoing.body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = outgoing.uri.unwrap_or_else(|| self.uri.clone());
        *request.headers_mut() = outgoing.headers;
        request.headers_mut().extend(self.headers.clone());
        let response = self.pool.request(request).await;
        let response = response.map_err(|error| {
            Error::unavailable(format!("{} cannot be reached", self.place)).because(error)
        })?;
        self.reply(response).await
    }

    async fn reply(&self, response: Response<Incoming>) -> Result<Reply> {
        let (head, mut incoming) = response.into_parts();
        let mut body = BytesMut::new();
        while body.len() < BODY_BYTES_MAX
            && let Some(frame) = incoming.frame().await
        {
            let frame = frame.map_err(|error| {
                Error::unavailable(format!("{} broke off its answer", self.place)).because(error)
            })?;
            if let Some(data) = frame.data_ref() {
                body.extend_from_slice(data);
            }
        }
        let retry_after = head.headers.get(RETRY_AFTER);
        Ok(Reply {
            status: head.status,
            retry_after: retry_after.and_then(|value| Some(value.to_str().ok()?.to_owned())),
            body: body.into(),
        })
    }

    /// Connects, and sends nothing.
    ///
    /// # Errors
    /// Unavailable, with the reason.
    pub(super) async fn reach(&self) -> Result<()> {
        let connecting = self.connector.clone().call(self.uri.clone());
        match tokio::time::timeout(self.timeout, connecting).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                Err(Error::unavailable(format!("{} cannot be reached", self.place)).because(error))
            }
            Err(_) => Err(Error::unavailable(format!(
                "{} cannot be reached within {:?}",
                self.place, self.timeout
            ))),
        }
    }
}

/// A query may hold a secret.
fn place(method: &Method, url: &str) -> String {
    let (shown, _) = url.split_once('?').unwrap_or((url, ""));
    format!("{method} {shown}")
}

fn headers(options: &HttpOptions) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let basic = options.basic.iter();
    let basic = basic.map(|(user, password)| ("authorization".to_owned(), password.basic(user)));
    for (name, value) in options.headers.iter().cloned().chain(basic) {
        let wrong = || Error::config(format!("the header {name} is not one that can be sent"));
        let parsed = hyper::header::HeaderName::try_from(name.as_str()).map_err(|_| wrong())?;
        let mut value =
            hyper::header::HeaderValue::try_from(value.expose()).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.append(parsed, value);
    }
    Ok(headers)
}

fn tls(options: &HttpOptions) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions.map_err(|error| Error::config("TLS cannot be set up").because(error))?;
    let config = config.with_root_certificates(roots(options)?);
    let Some((certificate, key)) = &options.client_files else {
        return Ok(config.with_no_client_auth());
    };
    let wrong = |file: &Path, error: &dyn std::fmt::Display| {
        Error::config(format!("{} cannot be used: {error}", file.display())).help(
            "set certificate_file and key_file to a certificate and its private key, in PEM form",
        )
    };
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|error| wrong(certificate, &error))?;
    let own = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
    let config = config.with_client_auth_cert(chain, own);
    config.map_err(|error| wrong(certificate, &error))
}

fn roots(options: &HttpOptions) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match &options.ca_file {
        Some(file) => {
            let wrong = |error: Box<dyn std::error::Error + Send + Sync>| {
                Error::config(format!(
                    "no certificates can be read from {}",
                    file.display()
                ))
                .help("set ca_file to a file of certificates in PEM form")
                .because(error)
            };
            let pem = fs::read(file).map_err(|error| wrong(error.into()))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|error| wrong(error.into()))?;
                roots
                    .add(certificate)
                    .map_err(|error| wrong(error.into()))?;
            }
            if roots.is_empty() {
                return Err(wrong(io::Error::other("there are none in it").into()));
            }
        }
        None if options.url.expose().starts_with("https") => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        None => {}
    }
    Ok(roots)
}
