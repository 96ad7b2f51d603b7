//! What the fuzz targets do with a server's bytes, and with what names a server. See [`crate::fuzzing`].

use super::lump::{check, walk};
use super::message::{HEADER_BYTES, Row, header};
use super::{
    ConnectOptions, During, Lsn, Lump, Message, Refusal, ServerError, ServerVersion, quote,
};

/// Bytes of one message, at most, here.
const LIMIT_BYTES: usize = 4 << 10;

/// Bytes off the wire: a lump of the stream, then whatever message stands behind it; and the same as a text.
pub(crate) fn wire(input: &[u8]) {
    if let Ok(walked) = walk(input, LIMIT_BYTES, check) {
        let (whole, rest) = input.split_at(walked.whole_bytes);
        let messages = Lump::new(whole).messages();
        let bytes = messages.map(|message| match message {
            Message::Data { payload, .. } => HEADER_BYTES + 25 + payload.len(),
            Message::Keepalive { .. } => HEADER_BYTES + 18,
        });
        assert!(bytes.sum::<usize>() <= whole.len());
        assert_eq!(header(rest, LIMIT_BYTES).ok(), Some(walked.next));
    }
    body(input.get(HEADER_BYTES..).unwrap_or_default());
    if let Ok(text) = std::str::from_utf8(input) {
        names(text);
    }
}

fn body(bytes: &[u8]) {
    if let Ok(row) = Row::read(bytes) {
        assert!(row.len() <= bytes.len());
        assert_eq!(row.get(row.len()), None);
    }
    if let Ok(error) = ServerError::read(bytes) {
        let _meaning: Refusal = Refusal::of(&error, During::Slot("it"));
        let told = error.into_error(During::Login, "it").report();
        assert!(!told.is_empty());
    }
}

fn names(text: &str) {
    if let Ok(lsn) = text.parse::<Lsn>() {
        assert_eq!(lsn.to_string().parse::<Lsn>().ok(), Some(lsn));
    }
    let _version = ServerVersion::parse(text);
    let _options = ConnectOptions::parse(text);
    for (quoted, quote) in [(quote::literal(text), '\''), (quote::identifier(text), '"')] {
        let inside = quoted
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote));
        let inside = inside.expect("it is in quotes");
        let pair = [quote, quote].iter().collect::<String>();
        assert!(
            !inside.replace(&pair, "").contains(quote),
            "{quoted} ends early"
        );
    }
}
