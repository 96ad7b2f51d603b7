//! A run that ends by itself.

use std::path::Path;

use super::*;
use crate::door::Door;
use crate::log::LogOptions;
use crate::log::sim::{Fault, SimDisk};
use crate::source::{Listen, Listening, Mode};
use crate::store::log::LogStore;

/// A source of one event, which the disk is slow to take.
#[derive(Debug, Clone)]
struct Quay {
    disk: SimDisk,
    appended: Arc<Notify>,
}

impl Source for Quay {
    fn name(&self) -> &str {
        "quay"
    }

    fn triggers(&self) -> Vec<Arc<dyn Trigger>> {
        vec![Arc::new(self.clone())]
    }
}

impl Trigger for Quay {
    fn name(&self) -> &str {
        "*"
    }

    fn mode(self: Arc<Self>) -> Mode {
        Mode::Cdc(self)
    }
}

#[async_trait]
impl Listen for Quay {
    async fn listen(&self, door: Door, _: Listening) -> Result<()> {
        let schema = door.define(About::trigger("crates", Bytes::new()))?;
        self.disk.fault_in(1, Fault::Slow);
        let draft = Draft {
            format: FormatId::JSON,
            received_at: door.now(),
            tally: vec![Tally {
                schema,
                group: 0,
                count: 1,
            }],
            envelope: Bytes::new(),
            body: Bytes::from_static(b"1"),
            state: Vec::new(),
        };
        door.append(draft).unwrap();
        self.appended.notify_one();
        Ok(())
    }
}

#[tokio::test]
async fn what_a_source_appended_at_its_very_end_is_loaded_before_the_run_ends() {
    let disk = SimDisk::default();
    let (options, retention) = (LogOptions::default(), Retention::default());
    let opened = LogStore::open(Path::new("/store"), options, disk.shared(), retention);
    let store: Arc<dyn Store> = Arc::new(opened.unwrap().0);
    let quay = Quay {
        disk: disk.clone(),
        appended: Arc::default(),
    };
    let harbour = Arc::new(Harbour {
        name: "north".to_owned(),
        ..Harbour::default()
    });
    let application = Application::builder()
        .store(Arc::clone(&store))
        .source(quay.clone())
        .destination(realtime(Arc::clone(&harbour) as Arc<dyn Destination>))
        .flow("quay", "north")
        .build();
    let run = Run {
        until_caught_up: true,
        ..Run::default()
    };
    let running = start(&Arc::new(application.unwrap()), &run);
    quay.appended.notified().await;
    disk.wait_until_slow();
    // Everything that could go on without the disk does.
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    let is_early = running.is_finished();
    harbour.told.notify_one();
    disk.go_on();
    assert!(!is_early, "it ended before the event was durable");
    running.await.unwrap().unwrap();
    assert_eq!(store.settled_upto(), Position(1));
}
