//! What the gateway tells the scheduler: that there is something up to a position.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::position::Position;
use crate::source::{Message, Subscription};

/// The topic and the subscription of notices, unless the application says otherwise.
pub const NOTICES: &str = "blacksmith";

/// Everything up to a position is durable in a store. Published only when it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Which store.
    pub store: u32,
    /// The highest durable position.
    pub upto: u64,
}

impl Notice {
    /// The highest durable position.
    #[must_use]
    pub fn upto(&self) -> Position {
        Position(self.upto)
    }

    /// Where notices are heard.
    #[must_use]
    pub fn subscription() -> Subscription {
        Subscription {
            topic: NOTICES.to_owned(),
            subscription: NOTICES.to_owned(),
        }
    }

    /// The notice as a message.
    #[must_use]
    pub fn message(&self) -> Message {
        let body = format!(r#"{{"store":{},"upto":{}}}"#, self.store, self.upto);
        Message {
            body: Bytes::from(body),
            metadata: BTreeMap::new(),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// `Invalid` when it is no notice.
    pub fn read(message: &Message) -> Result<Notice> {
        serde_json::from_slice(&message.body)
            .map_err(|error| Error::invalid("not a notice of the gateway").because(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_survives_its_message_and_nothing_else_is_one() {
        let notice = Notice {
            store: 7,
            upto: u64::MAX,
        };
        assert_eq!(Notice::read(&notice.message()).unwrap(), notice);
        let message = Message {
            body: Bytes::from_static(b"{\"upto\":1}"),
            metadata: BTreeMap::new(),
        };
        assert!(Notice::read(&message).is_err());
    }
}
