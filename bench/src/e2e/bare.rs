//! A bare axum handler: what a machine answers when nothing is done with what it is sent.

use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use tokio::net::TcpListener;

use super::Result;
use super::client::{EVENTS, LINES};
use super::reading::Answer;

/// The hidden command: ADDRESS.
pub const COMMAND: &str = "--bare-http";
/// As long as our own reply to one event.
const REPLY: &str = r#"{"statusCode":202,"message":"Accepted","data":{"event":{"id":"0ujsszwN8NRY24YaXiTIE2VWDTS"}}}"#;

/// Answers until it is ended.
///
/// # Errors
/// When it cannot listen.
pub fn main(words: &[&str]) -> Result<Answer> {
    let address = words.first().ok_or("an address is missing")?;
    let started = Instant::now();
    let runtime = crate::house::runtime().map_err(|error| error.report())?;
    let serving = async { serve(TcpListener::bind(address).await?).await };
    runtime
        .block_on(serving)
        .map_err(|error| format!("{address}: {error}"))?;
    Ok(Answer::since(started, 0))
}

/// Answers whoever connects, for ever.
///
/// # Errors
/// When it cannot listen any more.
pub async fn serve(listener: TcpListener) -> std::io::Result<()> {
    let answer = |body: Bytes| async move {
        std::hint::black_box(body.len());
        (
            StatusCode::ACCEPTED,
            [(CONTENT_TYPE, "application/json")],
            REPLY,
        )
    };
    let routes = Router::new()
        .route(EVENTS, post(answer))
        .route(LINES, post(answer));
    axum::serve(listener, routes).await
}
