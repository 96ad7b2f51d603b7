//! Requests that are sent until they are answered, under a key each, whoever dies meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use blacksmith_tests::http::Post;
use blacksmith_tests::lake::Lake;
use serde_json::json;

/// How many there are.
pub(super) const REQUESTS: usize = 120;
/// Who sends them, at once.
const CLIENTS: usize = 3;

/// The requests, and the event's id of each that was answered 202.
#[derive(Debug, Default)]
pub(super) struct Requests(Mutex<BTreeMap<usize, String>>);

impl Requests {
    /// Sends each that was not answered once; those of a client end with its first failure.
    pub(super) fn send(&self, address: &str) {
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                scope.spawn(move || {
                    let mut open = (client..REQUESTS).step_by(CLIENTS);
                    while let Some(number) = open.next()
                        && self.send_one(number, address)
                    {}
                });
            }
        });
    }

    /// Whether the other side is still there.
    fn send_one(&self, number: usize, address: &str) -> bool {
        if self.0.lock().unwrap().contains_key(&number) {
            return true;
        }
        let (key, body) = (
            format!("request-{number}"),
            json!({"number": number}).to_string(),
        );
        let post = Post {
            path: "/signups",
            kind: "application/json",
            key: Some(&key),
            body: &body,
        };
        let Ok(reply) = post.send(address) else {
            return false;
        };
        if reply.status != 202 {
            assert!(reply.status >= 500, "{reply:?}"); // a log that failed refuses
            return false;
        }
        let id = reply.body["data"]["event"]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        self.0.lock().unwrap().insert(number, id);
        true
    }

    pub(super) fn are_answered(&self) -> bool {
        self.0.lock().unwrap().len() == REQUESTS
    }

    /// Checks that everything answered is in the lake once, under the id that was said, and nothing else is.
    pub(super) fn assert_stored(&self, lake: &Lake) {
        let violations = lake.violations().unwrap();
        assert!(violations.is_empty(), "{violations:#?}");
        let answered = self.0.lock().unwrap();
        let stored = lake.documents("web.signups").unwrap();
        let ids: BTreeMap<usize, &String> = stored
            .iter()
            .map(|one| (one.data["number"].as_u64().unwrap() as usize, &one.id))
            .collect();
        assert_eq!(stored.len(), REQUESTS, "none twice, none missing");
        assert_eq!(
            stored
                .iter()
                .map(|one| &one.id)
                .collect::<BTreeSet<_>>()
                .len(),
            REQUESTS
        );
        for (number, id) in answered.iter() {
            assert_eq!(
                ids.get(number),
                Some(&id),
                "request {number} was answered 202"
            );
        }
    }
}
