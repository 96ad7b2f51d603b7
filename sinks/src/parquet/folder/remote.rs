//! Which object store a URL means, and its settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use blacksmith_core::error::{Error, Result};
use blacksmith_core::secret::Secret;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreScheme};
use url::Url;

use super::object::ObjectFolder;

/// The folder at `url`.
///
/// # Errors
/// When it is not the URL of an object store that this build knows, or a setting is not one of its.
pub(crate) fn open(url: &str, storage: &BTreeMap<String, Secret>) -> Result<ObjectFolder> {
    let parsed = Url::parse(url).map_err(|error| {
        let what = format!("\"{}\" is not a URL", shown(url));
        Error::config(what)
            .help("write it as s3://bucket/folder")
            .because(error)
    })?;
    let (scheme, prefix) = ObjectStoreScheme::parse(&parsed).map_err(|_| unknown(url))?;
    let store = store(&scheme, &parsed, storage)?.ok_or_else(|| unknown(url))?;
    let prefix = Path::parse(prefix.as_ref()).map_err(|error| {
        let what = format!("the path in \"{}\" is not one", shown(url));
        Error::config(what).because(error)
    })?;
    Ok(ObjectFolder::new(store, prefix, shown(url)))
}

/// What may be shown of a URL: nothing that could carry a credential.
fn shown(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    match path.split_once("://") {
        Some((_, rest)) if rest.split('/').next().unwrap_or(rest).contains('@') => "the URL given",
        _ => path,
    }
}

fn unknown(url: &str) -> Error {
    Error::config(format!(
        "\"{}\" is not a folder that this build can reach",
        shown(url)
    ))
    .help(format!("use a path, file://{}", super::remote_schemes()))
}

fn store(
    scheme: &ObjectStoreScheme,
    url: &Url,
    storage: &BTreeMap<String, Secret>,
) -> Result<Option<Arc<dyn ObjectStore>>> {
    match scheme {
        #[cfg(feature = "s3")]
        ObjectStoreScheme::AmazonS3 => Ok(Some(s3(url, storage)?)),
        #[cfg(feature = "gcs")]
        ObjectStoreScheme::GoogleCloudStorage => Ok(Some(gcs(url, storage)?)),
        #[cfg(feature = "azure-blob")]
        ObjectStoreScheme::MicrosoftAzure => Ok(Some(azure(url, storage)?)),
        _ => {
            // Without any of the features nothing asks for them.
            let _ = (url, storage);
            Ok(None)
        }
    }
}

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure-blob"))]
mod cloud {
    use std::str::FromStr;
    use std::time::Duration;

    use object_store::RetryConfig;

    use super::{BTreeMap, Error, Result, Secret};

    /// A request is tried for this long before the load fails, which is tried again for ever.
    const RETRY_SECONDS_MAX: u64 = 30;

    pub(super) fn retry() -> RetryConfig {
        RetryConfig {
            retry_timeout: Duration::from_secs(RETRY_SECONDS_MAX),
            ..RetryConfig::default()
        }
    }

    /// The settings by the store's own names.
    pub(super) fn settings<K: FromStr>(
        storage: &BTreeMap<String, Secret>,
    ) -> Result<Vec<(K, String)>> {
        let known = storage.iter().map(|(name, value)| {
            let key = name.to_ascii_lowercase().parse();
            let key = key.map_err(|_| {
                Error::config(format!("\"{name}\" is no setting of this object store"))
                    .help("its settings are named as its own tools name them: region, endpoint, access_key_id, …")
            })?;
            Ok((key, value.expose().to_owned()))
        });
        known.collect()
    }

    /// Whether the settings name an endpoint without TLS, which then must be allowed.
    pub(super) fn is_plain(storage: &BTreeMap<String, Secret>) -> bool {
        let endpoints = storage
            .iter()
            .filter(|(name, _)| name.to_ascii_lowercase().contains("endpoint"));
        endpoints
            .into_iter()
            .any(|(_, value)| value.expose().starts_with("http://"))
    }

    pub(super) fn wrong(error: object_store::Error) -> Error {
        Error::config("the settings of the object store are incomplete").because(error)
    }
}

#[cfg(feature = "s3")]
fn s3(url: &Url, storage: &BTreeMap<String, Secret>) -> Result<Arc<dyn ObjectStore>> {
    let mut builder = object_store::aws::AmazonS3Builder::from_env()
        .with_url(url.as_str())
        .with_retry(cloud::retry());
    if cloud::is_plain(storage) {
        builder = builder.with_allow_http(true);
    }
    for (key, value) in cloud::settings(storage)? {
        builder = builder.with_config(key, value);
    }
    Ok(Arc::new(builder.build().map_err(cloud::wrong)?))
}

#[cfg(feature = "gcs")]
fn gcs(url: &Url, storage: &BTreeMap<String, Secret>) -> Result<Arc<dyn ObjectStore>> {
    let mut builder = object_store::gcp::GoogleCloudStorageBuilder::from_env()
        .with_url(url.as_str())
        .with_retry(cloud::retry());
    for (key, value) in cloud::settings(storage)? {
        builder = builder.with_config(key, value);
    }
    Ok(Arc::new(builder.build().map_err(cloud::wrong)?))
}

#[cfg(feature = "azure-blob")]
fn azure(url: &Url, storage: &BTreeMap<String, Secret>) -> Result<Arc<dyn ObjectStore>> {
    let mut builder = object_store::azure::MicrosoftAzureBuilder::from_env()
        .with_url(url.as_str())
        .with_retry(cloud::retry());
    if cloud::is_plain(storage) {
        builder = builder.with_allow_http(true);
    }
    for (key, value) in cloud::settings(storage)? {
        builder = builder.with_config(key, value);
    }
    Ok(Arc::new(builder.build().map_err(cloud::wrong)?))
}

#[cfg(feature = "s3")]
#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use blacksmith_core::error::{Error, Kind};

    use super::*;
    use crate::parquet::folder::Folder;

    fn settings(endpoint: &str) -> BTreeMap<String, Secret> {
        let settings = [
            ("endpoint", endpoint),
            ("region", "eu-west-1"),
            ("access_key_id", "key"),
            ("secret_access_key", "hunter2"),
        ];
        settings
            .map(|(name, value)| (name.to_owned(), Secret::new(value)))
            .into()
    }

    /// What comes of a request to a server that gives this answer to everything.
    async fn failure(status: &'static str, body: &'static str) -> Error {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                // One request fits into one read; what it says does not matter.
                let asked = stream.read(&mut [0; 8192]).unwrap();
                assert!(asked > 0);
                let head = format!("HTTP/1.1 {status}\r\nconnection: close");
                let length = body.len();
                write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
            }
        });
        let folder = open("s3://bucket/lake", &settings(&endpoint)).unwrap();
        folder.create().await.unwrap_err()
    }

    #[tokio::test]
    async fn a_denied_request_is_retried_for_ever_and_says_what_to_check() {
        let error = failure("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>").await;
        assert_eq!(error.kind(), Kind::Unavailable);
        let report = error.report();
        assert!(
            report.contains("credentials") && report.contains("s3://bucket/lake"),
            "{report}"
        );
        assert!(!report.contains("hunter2"), "{report}");
    }

    #[tokio::test]
    async fn a_missing_bucket_is_called_one() {
        let error = failure("404 Not Found", "<Error><Code>NoSuchBucket</Code></Error>").await;
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(
            error.report().contains("does the bucket exist"),
            "{}",
            error.report()
        );
    }

    #[test]
    fn a_wrong_setting_or_url_is_an_error_of_the_configuration_without_its_value() {
        let mut unknown = settings("http://127.0.0.1:1");
        unknown.insert("regoin".into(), Secret::new("hunter2"));
        let cases = [
            ("s3://bucket/lake", unknown),
            (
                "ftp://user:hunter2@host/lake",
                settings("http://127.0.0.1:1"),
            ),
            ("s3://bucket:x?hunter2", settings("http://127.0.0.1:1")),
        ];
        for (url, storage) in cases {
            let error = open(url, &storage).unwrap_err();
            assert_eq!(error.kind(), Kind::Config, "{url}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[cfg(feature = "s3-server")]
    #[tokio::test(flavor = "multi_thread")]
    async fn s3_conforms() {
        let endpoint = std::env::var("BLACKSMITH_S3_ENDPOINT").expect(
            "BLACKSMITH_S3_ENDPOINT names a running S3 server with a bucket \"conformance\"",
        );
        let unique = std::process::id();
        let folder = open(&format!("s3://conformance/{unique}"), &settings(&endpoint)).unwrap();
        crate::parquet::folder::conformance::conforms(&folder).await;
    }
}
