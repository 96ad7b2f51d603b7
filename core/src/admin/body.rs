//! Bodies of requests.

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// What a request says. It has to call itself JSON, which no form of a web page does.
///
/// # Errors
/// `Invalid` with status 415 or 400.
pub(super) fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("application/json") {
        let wrong = Error::invalid("the body is not called JSON").status(415);
        return Err(wrong.help("send content-type: application/json"));
    }
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| Error::invalid(format!("the body cannot be read: {error}")))
}
