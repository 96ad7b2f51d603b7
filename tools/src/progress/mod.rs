//! How far everything has come, for whoever watches: bars on a terminal, log lines elsewhere.
//!
//! The application is asked four times a second for bars and every ten seconds for lines; what is
//! shown is computed from two snapshots ([`view`]), and drawn by [`bars`] or logged by [`lines`].

mod bars;
mod lines;
mod view;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use blacksmith_core::app::{Application, Progress};
use blacksmith_core::clock::SystemClock;

use self::bars::Bars;
use self::view::View;
use crate::screen::Screen;

/// How often bars move.
const DRAW_EVERY: Duration = Duration::from_millis(250);
/// How often a log line says how far it is.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Moments that rates are computed over when bars are drawn, together 10 s: loads come in lumps, people
/// want a pace.
const MOMENTS_MAX: usize = 40;

/// Shows the progress of `application` until dropped.
pub(crate) async fn watch(application: &Application, screen: &Screen) {
    let mut bars = screen.is_terminal().then(|| Bars::on(screen));
    let (every, moments_max) = match bars {
        Some(_) => (DRAW_EVERY, MOMENTS_MAX),
        None => (LOG_EVERY, 1),
    };
    let clock = SystemClock::shared();
    let mut moments = VecDeque::from([Moment::of(application)]);
    loop {
        tokio::time::sleep(every).await;
        let now = Moment::of(application);
        if let Some(before) = moments.front() {
            let elapsed = now.at - before.at;
            let view = View::between(&before.progress, &now.progress, elapsed, clock.now());
            match &mut bars {
                Some(bars) => bars.draw(&view),
                None => lines::log(&view),
            }
        }
        moments.push_back(now);
        if moments.len() > moments_max {
            moments.pop_front();
        }
    }
}

struct Moment {
    at: Instant,
    progress: Progress,
}

impl Moment {
    fn of(application: &Application) -> Self {
        Moment {
            at: Instant::now(),
            progress: application.progress(),
        }
    }
}
