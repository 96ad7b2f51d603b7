//! Requests over loopback to a listener of this process: the gateway's own, which answers when the log has the events on disk, and a
//! bare handler.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use blacksmith_core::destination::{Action, Queue, Thens, Toolkit};
use blacksmith_core::error::{Error, Result};
use blacksmith_core::gateway::http::{Gateway, HttpOptions, HttpSource, HttpTrigger, Options};
use blacksmith_core::server::{Address, Server};
use blacksmith_core::settings::{Environment, Section};
use blacksmith_core::source::{Mode, Source};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::e2e::bare;
use crate::e2e::client::Load;
use crate::house::{House, runtime};

/// A source with a route for each form of request that [`Load`] knows.
const SOURCE: &str = "routes.events = { path = '/events' }
routes.lines = { path = '/lines', body = 'ndjson' }";

/// A listener, asked as often as somebody measures; gone when dropped.
#[derive(Debug)]
pub struct Listening {
    address: String,
    // Before the folder: what is taken in goes there.
    _runtime: Runtime,
    _folder: Option<TempDir>,
}

impl Listening {
    /// Our gateway on a port of its own, with a new log below `parent`: 202 is said when the disk has the event.
    ///
    /// # Errors
    /// When there is no port, or the disk refuses.
    pub fn ours(parent: &Path) -> Result<Listening> {
        let folder = tempfile::tempdir_in(parent)
            .map_err(|error| Error::unavailable("no folder").because(error))?;
        let router = gateway(folder.path())?.router();
        let runtime = runtime()?;
        let server = Server::new("bench", Address::Tcp("127.0.0.1:0".into()), router);
        let running = runtime.block_on(server.start())?;
        let address = running.address().to_string();
        // It is stopped with its runtime.
        runtime.spawn(async move {
            let _running = running;
            std::future::pending::<()>().await;
        });
        Ok(Listening {
            address,
            _runtime: runtime,
            _folder: Some(folder),
        })
    }

    /// A bare handler of axum, which does nothing with what it is sent.
    ///
    /// # Errors
    /// When there is no port.
    pub fn bare() -> Result<Listening> {
        let runtime = runtime()?;
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)));
        let no_port = |error| Error::unavailable("no port on loopback").because(error);
        let listener = listener.map_err(no_port)?;
        let address = listener.local_addr().map_err(no_port)?.to_string();
        runtime.spawn(bare::serve(listener));
        Ok(Listening {
            address,
            _runtime: runtime,
            _folder: None,
        })
    }

    /// Sends all of `load` over connections that are kept open; how long it took until the last reply, once they were.
    ///
    /// # Panics
    /// When a reply is another than 202.
    #[must_use]
    pub fn turn(&self, load: &Load) -> Duration {
        let answer = load.send(&self.address).expect("every reply is 202");
        Duration::from_secs_f64(answer.seconds)
    }
}

/// An action that is never asked: its lane has no runner here.
#[derive(Debug)]
struct Later;

#[async_trait]
impl Action for Later {
    fn name(&self) -> &str {
        "later"
    }

    async fn load(&self, _: &Toolkit, _: &mut Queue, _: &Thens) -> Result<()> {
        Err(Error::refused("nothing is loaded here"))
    }
}

fn gateway(folder: &Path) -> Result<Gateway> {
    let house = House::open(folder, "web", "void")?;
    let action: Arc<dyn Action> = Arc::new(Later);
    let intake = Arc::new(house.intake(&action)?);
    let (section, problems) = Section::parse("bench", SOURCE, &Environment::default())?;
    let options = HttpOptions::read("web", section);
    problems.check()?;
    let options = options.ok_or(Error::config("the source has no route"))?;
    let triggers = HttpSource::new(options).triggers();
    let triggers = triggers.into_iter().filter_map(|trigger| {
        let name = Arc::from(trigger.name());
        match trigger.mode() {
            Mode::Http { route, extract } => Some(HttpTrigger {
                name,
                route,
                extract,
                intake: Arc::clone(&intake),
            }),
            _ => None,
        }
    });
    Gateway::new(triggers.collect(), Options::default())
}
