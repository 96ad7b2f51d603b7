//! Replies in the model's two shapes: `{statusCode, message, data}` and the error object.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::fault::Fault;

/// Seconds after which a client should try again what is 429 or 503.
const RETRY_AFTER_SECONDS: &str = "1";

/// A reply of JSON.
#[must_use]
pub fn json<T: Serialize + ?Sized>(status: u16, value: &T) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => bytes_of(status, bytes),
        Err(error) => {
            tracing::error!(%error, "a reply cannot be written as JSON");
            fault(&Fault::of_status(500))
        }
    }
}

/// A reply of 200 that says `message` and nothing else.
#[must_use]
pub fn success(message: &str) -> Response<Body> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Success<'a> {
        status_code: u16,
        message: &'a str,
    }
    let status_code = 200;
    json(
        200,
        &Success {
            status_code,
            message,
        },
    )
}

/// A reply of 200 with `data`.
#[must_use]
pub fn data<T: Serialize + ?Sized>(data: &T) -> Response<Body> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Found<'a, T: ?Sized> {
        status_code: u16,
        message: &'a str,
        data: &'a T,
    }
    let found = Found {
        status_code: 200,
        message: "Successful",
        data,
    };
    json(200, &found)
}

/// A reply that tells what is wrong.
#[must_use]
pub fn fault(fault: &Fault) -> Response<Body> {
    let bytes = serde_json::to_vec(fault).unwrap_or_default();
    let mut response = bytes_of(fault.status_code, bytes);
    let extra = match fault.status_code {
        429 | 503 => Some((RETRY_AFTER, RETRY_AFTER_SECONDS)),
        401 => Some((WWW_AUTHENTICATE, "Bearer, Basic")),
        _ => None,
    };
    if let Some((name, value)) = extra {
        let headers = response.headers_mut();
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn bytes_of(status: u16, bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// The bytes of a whole reply, for clients that no handler ever saw. The connection is closed behind it.
pub(super) fn raw(status: u16) -> Vec<u8> {
    let fault = Fault::of_status(status);
    let body = serde_json::to_vec(&fault).unwrap_or_default();
    let retry = match status {
        503 => format!("retry-after: {RETRY_AFTER_SECONDS}\r\n"),
        _ => String::new(),
    };
    let mut reply = format!(
        "HTTP/1.1 {status} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{retry}connection: close\r\n\r\n",
        fault.message,
        body.len()
    )
    .into_bytes();
    reply.extend_from_slice(&body);
    reply
}
