//! Ctrl-C and SIGTERM: whatever waits sees it, and everything that was started is ended on the way out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use super::Result;

static ASKED: AtomicBool = AtomicBool::new(false);

/// Listens for both signals from now on; the second of them has no further effect, because the first is obeyed soon.
///
/// # Errors
/// When this process can have no runtime.
pub fn listen() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime to listen for signals: {error}"))?;
    thread::spawn(move || runtime.block_on(heed()));
    Ok(())
}

async fn heed() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return;
    };
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        eprintln!("stopping");
        ASKED.store(true, Ordering::Relaxed);
    }
}

/// Passes while nobody has asked to stop.
///
/// # Errors
/// When somebody has.
pub fn check() -> Result<()> {
    match ASKED.load(Ordering::Relaxed) {
        true => Err("stopped, as asked; nothing was written".into()),
        false => Ok(()),
    }
}
