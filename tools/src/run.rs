//! `run`: the application, until it is stopped or has caught up.
//!
//! The first SIGTERM or SIGINT stops it gracefully: what is executing comes to its end, exit code 0. The
//! second one stops it at once; the next start takes up where it was.

use std::process::ExitCode;
use std::time::Duration;

use blacksmith_core::app::{self, Application};
use blacksmith_core::error::{Error, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::assemble::{Assembled, Components};
use crate::cli::{self, Global};
use crate::program::Program;
use crate::progress;
use crate::screen::Screen;

/// How long work on blocking threads may hold up the end of the process after it was told to stop at once.
const LINGER_MAX: Duration = Duration::from_millis(500);

/// Runs the application that the configuration describes.
pub(crate) fn run(
    program: &Program,
    global: &Global,
    options: &cli::Run,
    screen: &Screen,
) -> Result<ExitCode> {
    let Assembled { application, store } = Components::read(program, global)?.assemble(program)?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(serve(&application, options, screen));
    runtime.shutdown_timeout(LINGER_MAX);
    outcome.and(store.close())?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// The threads that everything asynchronous runs on.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    built.map_err(|error| Error::unavailable("cannot start the runtime's threads").because(error))
}

async fn serve(application: &Application, options: &cli::Run, screen: &Screen) -> Result<()> {
    let run = app::Run {
        service: match options.service {
            None => app::Service::All,
            Some(cli::Service::Gateway) => app::Service::Gateway,
            Some(cli::Service::Scheduler) => app::Service::Scheduler,
        },
        until_caught_up: options.until.is_some(),
        stop: CancellationToken::new(),
        abort: CancellationToken::new(),
    };
    let signals = Signals::listen()?;
    let obeying = tokio::spawn(signals.obey(run.stop.clone(), run.abort.clone()));
    tracing::info!(service = ?run.service, until_caught_up = run.until_caught_up, "running");
    let running = Box::pin(application.run(run));
    let outcome = tokio::select! {
        outcome = running => outcome,
        () = progress::watch(application, screen) => Ok(()),
    };
    obeying.abort();
    outcome
}

/// SIGTERM and SIGINT.
#[derive(Debug)]
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Signals> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Error::unavailable("cannot listen for signals").because(error))
        };
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// The first signal cancels `stop`, the second `abort`.
    async fn obey(mut self, stop: CancellationToken, abort: CancellationToken) {
        self.next().await;
        tracing::info!(
            "stopping: what is executing comes to its end; a second signal stops at once"
        );
        stop.cancel();
        self.next().await;
        tracing::warn!("stopping at once");
        abort.cancel();
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
