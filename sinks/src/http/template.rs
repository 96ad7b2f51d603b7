//! Texts with places that each job fills: URLs and headers of a request for one job.
//!
//! ```text
//! https://crm.example.com/users/{/user/id}/events?source={source}
//! ```
//! `{/…}` is a JSON pointer into the job's data; `{id}`, `{event_id}`, `{source}`, `{trigger}` and `{version}` are the job's own. `{{` and `}}` stand for
//! braces.

use std::fmt;

use blacksmith_core::error::{Error, Result};
use blacksmith_core::job::QueuedJob;
use blacksmith_core::json::{Pointer, Pointers};
use blacksmith_core::settings::suggestion;

/// Places that are not in the data.
const OWN: [(&str, Own); 5] = [
    ("id", Own::Id),
    ("event_id", Own::EventId),
    ("source", Own::Source),
    ("trigger", Own::Trigger),
    ("version", Own::Version),
];
/// Bytes that one place is filled with, at most.
const FILLED_BYTES_MAX: usize = 4 << 10;

/// A text that each job fills.
#[derive(Clone)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone)]
enum Piece {
    Plain(String),
    Own(Own),
    /// A place in the data, and its name.
    Data(Pointers, Pointer),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    Id,
    EventId,
    Source,
    Trigger,
    Version,
}

impl Template {
    /// # Errors
    /// What is wrong, and what to do about it; neither tells what stands between places, which may be a secret.
    pub(super) fn parse(text: &str) -> Result<Template, (String, String)> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let (brace, behind) = rest[at..].split_at(1);
            if let Some(behind) = behind.strip_prefix(brace) {
                plain.push_str(brace);
                rest = behind;
                continue;
            }
            let place = behind.split_once('}').filter(|_| brace == "{");
            let Some((name, behind)) = place else {
                return Err((
                    "a brace stands alone".into(),
                    "write {{ or }} for a brace".into(),
                ));
            };
            pieces.push(Piece::Plain(std::mem::take(&mut plain)));
            pieces.push(place_of(name)?);
            rest = behind;
        }
        plain.push_str(rest);
        pieces.push(Piece::Plain(plain));
        pieces.retain(|piece| !matches!(piece, Piece::Plain(text) if text.is_empty()));
        Ok(Template(pieces))
    }

    /// Whether a job fills any of it.
    pub(super) fn has_places(&self) -> bool {
        self.0.iter().any(|piece| !matches!(piece, Piece::Plain(_)))
    }

    /// The text with every place filled by `job`, through `escape`.
    ///
    /// # Errors
    /// `Invalid`, naming the place and never what is there, when it is missing, null, no plain value, or too long.
    pub(super) fn fill(
        &self,
        job: &QueuedJob,
        escape: fn(&str) -> Option<String>,
    ) -> Result<String> {
        let mut text = String::new();
        for piece in &self.0 {
            let value = match piece {
                Piece::Plain(plain) => {
                    text.push_str(plain);
                    continue;
                }
                Piece::Own(own) => own.of(job),
                Piece::Data(pointers, _) => pointers.find(&job.data).pop().flatten().and_then(said),
            };
            let value = value.filter(|value| value.len() <= FILLED_BYTES_MAX);
            let escaped = value.as_deref().and_then(escape);
            text.push_str(&escaped.ok_or_else(|| unfit(piece))?);
        }
        Ok(text)
    }

    /// The text with `stand_in` at every place.
    pub(super) fn plain(&self, stand_in: &str) -> String {
        let plain = |piece: &Piece| match piece {
            Piece::Plain(plain) => plain.clone(),
            _ => stand_in.to_owned(),
        };
        self.0.iter().map(plain).collect()
    }
}

fn place_of(name: &str) -> Result<Piece, (String, String)> {
    if name.starts_with('/') {
        let pointer = Pointer::parse(name).map_err(|error| {
            (
                error.to_string(),
                error.advised().unwrap_or_default().to_owned(),
            )
        })?;
        return Ok(Piece::Data(Pointers::of([&pointer]), pointer));
    }
    let own = OWN.iter().find(|(own, _)| *own == name);
    own.map(|(_, own)| Piece::Own(*own)).ok_or_else(|| {
        let known = OWN.map(|(name, _)| name);
        let fix = format!(
            "{}; or a pointer into the data, such as {{/user/id}}",
            suggestion(name, &known)
        );
        ("there is no such placeholder".into(), fix)
    })
}

impl Own {
    fn of(self, job: &QueuedJob) -> Option<String> {
        let origin = &job.event.origin;
        match self {
            Own::Id => Some(job.id.to_string()),
            Own::EventId => Some(job.event.id.to_string()),
            Own::Source => Some(origin.source.to_string()),
            Own::Trigger => Some(origin.trigger.to_string()),
            Own::Version => origin.version.as_deref().map(str::to_owned),
        }
    }
}

/// A plain value as text: what a string says, a number or a boolean as it is written.
fn said(raw: &str) -> Option<String> {
    match raw.as_bytes().first()? {
        b'"' => serde_json::from_str(raw).ok(),
        b'{' | b'[' => None,
        _ if raw == "null" => None,
        _ => Some(raw.to_owned()),
    }
}

fn unfit(piece: &Piece) -> Error {
    let place = match piece {
        Piece::Data(_, pointer) => pointer.to_string(),
        Piece::Own(own) => {
            let name = OWN.iter().find(|(_, known)| known == own);
            name.map_or(String::new(), |(name, _)| (*name).to_owned())
        }
        Piece::Plain(_) => String::new(),
    };
    Error::invalid(format!("no request can be made of the job: what is at {place} does not go into it"))
        .help("it must be a text, a number or a boolean, not empty, and nothing that a URL or header cannot hold; mend whoever makes the job")
}

/// Names places only: what stands between them may be a secret.
impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self
            .0
            .iter()
            .filter(|piece| !matches!(piece, Piece::Plain(_)));
        f.debug_list().entries(places).finish()
    }
}

/// A value as a part of a URL, percent-encoded; none for those that would lead to another place.
pub(super) fn in_url(value: &str) -> Option<String> {
    use fmt::Write;
    if matches!(value, "" | "." | "..") {
        return None;
    }
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte))
            }
            // Memory takes whatever is written.
            _ => write!(text, "%{byte:02X}").unwrap_or_default(),
        }
    }
    Some(text)
}

/// A value as a part of a header; none when it holds anything but visible ASCII and spaces.
pub(super) fn in_header(value: &str) -> Option<String> {
    let fits = !value.is_empty() && value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    fits.then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::by_hand::job;

    fn fill(template: &str, data: &str) -> Result<String> {
        Template::parse(template)
            .unwrap()
            .fill(&job(7, data), in_url)
    }

    #[test]
    fn places_are_filled_from_the_job_and_its_data() {
        let data = r#"{"user":{"id":"a/b c?é","n":1.50,"ok":true},"x":[{"y":0}]}"#;
        let filled = fill(
            "/u/{/user/id}/{/user/n}/{/user/ok}/{/x/0/y}?s={source}&t={trigger}&{{}}",
            data,
        );
        assert_eq!(
            filled.unwrap(),
            "/u/a%2Fb%20c%3F%C3%A9/1.50/true/0?s=web&t=signup&{}"
        );
        let own = job(7, "1");
        assert_eq!(
            fill("{id} {event_id}", "1").unwrap(),
            format!("{} {}", own.id, own.event.id)
        );
        assert!(!Template::parse("a{{b}}").unwrap().has_places());
    }

    #[test]
    fn what_does_not_go_into_a_request_is_named_by_its_place_only() {
        let long = format!("\"{}\"", "x".repeat(FILLED_BYTES_MAX + 1));
        for value in [
            "null",
            "{}",
            "[\"hunter2\"]",
            "\"\"",
            "\"..\"",
            "\".\"",
            "\"\\ud800\"",
            &long,
        ] {
            let error = fill("/u/{/id}", &format!("{{\"id\":{value}}}")).unwrap_err();
            assert!(error.to_string().contains("what is at /id does"), "{error}");
            assert!(!error.report().contains("hunter2"), "{error:?}");
        }
        assert!(fill("{/id}", "{}").is_err() && fill("{version}", "{}").is_err());
        let header = Template::parse("{/id}").unwrap();
        for value in ["\"a\\r\\nX: y\"", "\"é\"", "\"\\u0000\""] {
            assert!(
                header
                    .fill(&job(1, &format!("{{\"id\":{value}}}")), in_header)
                    .is_err(),
                "{value}"
            );
        }
    }

    #[test]
    fn what_is_no_template_is_told_without_what_stands_around() {
        for (text, expected) in [
            ("hunter2{", "a brace stands alone"),
            ("hunter2}", "a brace stands alone"),
            ("{sorce}hunter2", "did you mean \"source\"?"),
            ("{/~}", "a ~ stands alone"),
            ("{}", "no such placeholder"),
        ] {
            let (what, fix) = Template::parse(text).unwrap_err();
            let told = format!("{what} ({fix})");
            assert!(
                told.contains(expected) && !told.contains("hunter2"),
                "{told}"
            );
        }
        let shown = format!("{:?}", Template::parse("hunter2{source}").unwrap());
        assert!(
            shown.contains("Source") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
