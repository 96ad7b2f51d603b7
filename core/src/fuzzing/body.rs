//! Bodies of requests: gathered within their bounds, and made into an event by a source of each form.

use std::io::Read;
use std::sync::Arc;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, HeaderValue};
use bytes::Bytes;
use futures_util::{FutureExt, stream};
use serde_json::Value;

use super::Input;
use crate::clock::SystemClock;
use crate::gateway::http::{HttpOptions, HttpSource};
use crate::logger::Logger;
use crate::server::{Budget, Gathered};
use crate::service::{Service, Toolkit};
use crate::settings::{Environment, Section};
use crate::source::{Event, ExtractHttp, Mode, Request, Source};

/// Small, so that a bomb is one soon.
const BODY_BYTES_MAX: usize = 64 << 10;
const HELD_BYTES_MAX: usize = 80 << 10;

/// A byte that chooses form and encoding, one for the size of pieces, then the body as it is sent.
pub(super) fn run(input: &[u8]) {
    let mut input = Input(input);
    let (choice, piece) = (input.u8(), usize::from(input.u8()) * 8 + 1);
    let gzip = choice & 0x80 != 0;
    let Some(body) = gather(input.0, gzip, piece) else {
        return;
    };
    let form = FORMS[usize::from(choice) % FORMS.len()];
    let Some(event) = extract(form, &body) else {
        return;
    };
    assert_documents(form, &event, &body);
}

/// The body as the gateway gets it; none when it is refused.
fn gather(sent: &[u8], gzip: bool, piece: usize) -> Option<Bytes> {
    let mut headers = HeaderMap::new();
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let pieces = sent.chunks(piece).map(Bytes::copy_from_slice);
    let pieces: Vec<_> = pieces.map(Ok::<_, std::convert::Infallible>).collect();
    let body = Body::from_stream(stream::iter(pieces));
    let budget = Budget::new(HELD_BYTES_MAX);
    let receiving = Gathered::receive(&headers, body, BODY_BYTES_MAX, &budget);
    let gathered = receiving.now_or_never().expect("all pieces are there");
    let gathered = gathered
        .inspect_err(|_| assert_eq!(budget.held_bytes(), 0))
        .ok()?;
    let bytes = gathered.bytes.clone();
    assert!(bytes.len() <= BODY_BYTES_MAX);
    assert_eq!(budget.held_bytes(), bytes.len());
    drop(gathered);
    assert_eq!(budget.held_bytes(), 0);
    match gzip {
        false => assert_eq!(bytes, sent),
        true => assert_eq!(bytes, unpacked(sent)),
    }
    Some(bytes)
}

/// The same by the reading half of the library.
fn unpacked(sent: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let limit = BODY_BYTES_MAX as u64 + 1;
    let read = flate2::read::GzDecoder::new(sent)
        .take(limit)
        .read_to_end(&mut bytes);
    read.expect("what was unpacked while it arrived is gzip");
    bytes
}

const FORMS: [&str; 3] = ["json", "batch", "ndjson"];

/// The event that a route of this form makes of the body; none when it refuses it.
fn extract(form: &str, body: &Bytes) -> Option<Event> {
    let text = format!("[routes.any]\npath = '/any'\nbody = '{form}'\n");
    let (section, _) = Section::parse("fuzzing", &text, &Environment::default()).ok()?;
    let source = HttpSource::new(HttpOptions::read("web", section)?);
    let trigger = source.triggers().pop()?;
    let Mode::Http { extract, .. } = trigger.mode() else {
        return None;
    };
    let request = Request {
        method: "POST".to_owned(),
        path: "/any".to_owned(),
        parameters: Default::default(),
        query: String::new(),
        headers: vec![("content-length".to_owned(), body.len().to_string().into())],
        body: body.clone(),
        peer: None,
    };
    extracted(extract.as_ref(), request)
}

fn extracted(extract: &dyn ExtractHttp, request: Request) -> Option<Event> {
    let toolkit = Toolkit {
        logger: Logger::none(),
        service: Arc::new(Service::new(String::new(), Service::GATEWAY)),
        event_id: None,
        job_id: None,
        clock: SystemClock::shared(),
    };
    let event = extract.extract(&toolkit, request).now_or_never();
    event.expect("it waits for nothing").ok().flatten()
}

/// The documents of the event are those of the body, as serde_json reads it.
fn assert_documents(form: &str, event: &Event, body: &Bytes) {
    let tree = |text: &[u8]| serde_json::from_slice::<Value>(text).ok();
    let own: Vec<Option<Value>> = match form {
        "json" => vec![tree(event.data.bytes())],
        _ => event
            .sub_events
            .iter()
            .map(|own| tree(own.data.bytes()))
            .collect(),
    };
    let expected: Vec<Option<Value>> = match form {
        "json" => vec![tree(body)],
        "batch" => match tree(body) {
            Some(Value::Array(items)) => items.into_iter().map(Some).collect(),
            Some(_) => panic!("a batch that is no list was taken"),
            None => return, // deeper than serde_json's tree may be
        },
        _ => {
            let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            lines.filter(|line| !line.is_empty()).map(tree).collect()
        }
    };
    assert_eq!(own, expected);
}
