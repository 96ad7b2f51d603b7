//! The error object of the model: how an error looks to whoever sent the input.
//!
//! `{statusCode, message, validations: [{message, path}], meta: {event: {id}}}`, each field left out when it is
//! empty. What the sender did wrong is told whole; what went wrong here is logged, and told as its status only.

use serde::Serialize;

use crate::error::{Error, Kind, Validation};
use crate::id::Id;

/// An error as it is told to the outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// The HTTP status, from 400 to 599.
    pub status_code: u16,
    /// What went wrong.
    pub message: String,
    /// What is wrong with the input, one by one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub validations: Vec<Validation>,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<Meta>,
}

/// What a fault is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Meta {
    /// The event.
    pub event: EventMeta,
}

/// The event that a fault is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventMeta {
    /// The id under which the event was extracted: the one in log lines.
    pub id: String,
}

impl Fault {
    /// A fault of this status, with the words that belong to it.
    #[must_use]
    pub fn of_status(status_code: u16) -> Fault {
        Fault::new(status_code, reason(status_code))
    }

    /// A fault of this status that says `message`.
    #[must_use]
    pub fn new(status_code: u16, message: impl Into<String>) -> Fault {
        Fault {
            status_code,
            message: message.into(),
            validations: Vec::new(),
            meta: None,
        }
    }

    /// How `error` is told: `Invalid` is 400, `Refused` 403, `Unavailable` 503, all others 500, unless it names a
    /// status itself. What is 500 or more says no more than its status, unless it names that itself.
    #[must_use]
    pub fn of(error: &Error) -> Fault {
        let by_kind = match error.kind() {
            Kind::Invalid => 400,
            Kind::Refused => 403,
            Kind::Unavailable => 503,
            Kind::Config | Kind::Damaged | Kind::Stopped => 500,
        };
        let own = error.status_code();
        let status_code = match own {
            Some(status) if !(400..600).contains(&status) => 500,
            own => own.unwrap_or(by_kind),
        };
        if status_code >= 500 && own.is_none() {
            return Fault::of_status(status_code);
        }
        Fault {
            validations: error.validations().to_vec(),
            ..Fault::new(status_code, error.report())
        }
    }

    /// The same fault, about the event called so.
    #[must_use]
    pub fn event(mut self, id: Option<Id>) -> Fault {
        let event = id.map(|id| EventMeta { id: id.to_string() });
        self.meta = event.map(|event| Meta { event });
        self
    }
}

/// The words of a status, as the protocol has them.
#[must_use]
pub fn reason(status_code: u16) -> &'static str {
    match status_code {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ if status_code < 500 => "The request cannot be served",
        _ => "The server failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CON-16
    #[test]
    fn what_the_sender_did_wrong_is_told_whole_and_empty_fields_are_left_out() {
        let error = Error::invalid("two lines are wrong").validation("no name", ["line 2", "name"]);
        let told = serde_json::to_value(Fault::of(&error)).unwrap();
        let expected = serde_json::json!({
            "statusCode": 400,
            "message": "two lines are wrong",
            "validations": [{"message": "no name", "path": ["line 2", "name"]}],
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn what_went_wrong_here_is_told_as_its_status_only() {
        let error =
            Error::damaged("segment 7 of /var/lib/blacksmith is cut").validation("x", ["y"]);
        assert_eq!(Fault::of(&error), Fault::of_status(500));
        assert_eq!(
            Fault::of(&Error::unavailable("disk")).message,
            "Service Unavailable"
        );
        let own = Error::unavailable("come back at nine").status(503);
        assert_eq!(Fault::of(&own).message, "come back at nine");
        assert_eq!(Fault::of(&Error::invalid("x").status(200)).status_code, 500);
    }
}
