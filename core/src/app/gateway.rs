//! The gateway as a running service: hooks of sources and triggers, and whatever lets events in.
//!
//! One place for each mode of trigger, in [`open`]. What extracts goes through one [`Intake`] per source; what
//! listens by itself has the source's door.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::bridge::announce;
use super::hooks::{HookedSource, HookedTrigger, Ready, Step};
use super::{Application, SourceSettings};
use crate::door::Door;
use crate::error::{Error, Result};
use crate::gateway::cron::CronTrigger;
use crate::gateway::subscription::SubscriptionTrigger;
use crate::gateway::{Intake, Registry};
use crate::schedule::{INTERVAL_DEFAULT, Interval};
use crate::service::Toolkit;
use crate::source::{Listen, Listening, Mode, Source};

/// The gateway, running. Dropping it drops what is being extracted, as a crash would.
#[derive(Debug)]
pub(super) struct Gateway {
    /// One task per trigger that needs one; each ends when `listening.stop` is cancelled.
    running: JoinSet<Result<()>>,
    listening: Listening,
    /// Tells the scheduler over a pubsub, when there is one.
    announcing: JoinSet<()>,
    ready: Ready,
}

impl Gateway {
    /// Prepares sources and triggers, and begins to take events in.
    ///
    /// # Errors
    /// What could not be prepared or opened; everything before it was let go.
    pub(super) async fn start(app: &Application, listening: Listening) -> Result<Gateway> {
        let ready = Ready::of(steps(app)).await?;
        match Box::pin(open(app, &listening)).await {
            Ok(running) => Ok(Gateway {
                running,
                announcing: announcing(app, &listening),
                listening,
                ready,
            }),
            Err(error) => {
                ready.let_go().await;
                Err(error)
            }
        }
    }

    /// Returns when every trigger has come to its end; with nothing that could end, when it is to stop.
    ///
    /// # Errors
    /// That of the first trigger that failed, after the others were stopped.
    pub(super) async fn ended(&mut self) -> Result<()> {
        if self.running.is_empty() && !self.listening.until_end {
            self.listening.stop.cancelled().await;
        }
        let mut first = Ok(());
        while let Some(ended) = self.running.join_next().await {
            let ended = ended
                .unwrap_or_else(|error| Err(Error::stopped("a trigger panicked").because(error)));
            if ended.is_err() {
                self.listening.stop.cancel();
            }
            first = first.and(ended);
        }
        first
    }

    /// Takes nothing in any more, lets what is being extracted come to its end, and lets go.
    ///
    /// # Errors
    /// As [`Gateway::ended`].
    pub(super) async fn stop(mut self) -> Result<()> {
        self.listening.stop.cancel();
        let ended = self.ended().await;
        while self.announcing.join_next().await.is_some() {}
        self.ready.let_go().await;
        ended
    }
}

fn announcing(app: &Application, listening: &Listening) -> JoinSet<()> {
    let mut announcing = JoinSet::new();
    if let Some(pubsub) = &app.pubsub {
        let (store, pubsub) = (Arc::clone(&app.store), Arc::clone(pubsub));
        announcing.spawn(announce(store, pubsub, listening.stop.clone()));
    }
    announcing
}

/// Sources before their triggers.
fn steps(app: &Application) -> Vec<Step> {
    let mut steps = Vec::new();
    for SourceSettings { source, .. } in &app.sources {
        let own = toolkit(app, source, None);
        steps.push(Step {
            name: format!("source {}", source.name()),
            hooked: Box::new(HookedSource(Arc::clone(source), own)),
        });
        for trigger in source.triggers() {
            let own = toolkit(app, source, Some(trigger.name()));
            steps.push(Step {
                name: format!("trigger {}/{}", source.name(), trigger.name()),
                hooked: Box::new(HookedTrigger(trigger, own)),
            });
        }
    }
    steps
}

/// What hooks are given: no event has been extracted.
fn toolkit(app: &Application, source: &Arc<dyn Source>, trigger: Option<&str>) -> Toolkit {
    Toolkit {
        logger: tracing::info_span!("hook", source = source.name(), trigger).into(),
        service: Arc::clone(&app.gateway),
        event_id: None,
        job_id: None,
        clock: Arc::clone(&app.clock),
    }
}

async fn open(app: &Application, listening: &Listening) -> Result<JoinSet<Result<()>>> {
    // Known to the store, lanes keep retention from dropping what was never loaded, also when only the
    // gateway runs.
    let registry = Arc::new(app.registry()?);
    let mut running = JoinSet::new();
    #[cfg(feature = "http")]
    let mut routed = Vec::new();
    for settings in &app.sources {
        let source = &settings.source;
        let intake = intake(app, settings, &registry)?;
        for trigger in source.triggers() {
            let name: Arc<str> = Arc::from(trigger.name());
            match trigger.mode() {
                Mode::Cdc(listen) => cdc(app, source, listen, listening, &mut running)?,
                // What comes by the clock is caught up at any time.
                Mode::Cron { .. } if listening.until_end => {}
                Mode::Cron { interval, extract } => {
                    let cron = CronTrigger {
                        intake: Arc::clone(&intake),
                        trigger: name,
                        interval: interval_of(settings, interval),
                        extract,
                    };
                    running.spawn(cron.run(listening.stop.clone()));
                }
                // What comes by request is caught up at any time.
                Mode::Http { .. } if listening.until_end => {}
                #[cfg(feature = "http")]
                Mode::Http { route, extract } => routed.push(crate::gateway::http::HttpTrigger {
                    intake: Arc::clone(&intake),
                    name,
                    route,
                    extract,
                }),
                // Of what a broker holds nobody knows the end: taken as caught up.
                Mode::Subscription { .. } if listening.until_end => {}
                Mode::Subscription {
                    subscription,
                    extract,
                } => {
                    let Some(pubsub) = &app.pubsub else {
                        return Err(without_pubsub(&intake, &name));
                    };
                    let subscribed = SubscriptionTrigger {
                        intake: Arc::clone(&intake),
                        trigger: name,
                        pubsub: Arc::clone(pubsub),
                        subscription,
                        extract,
                    };
                    running.spawn(subscribed.run(listening.stop.clone()));
                }
                #[cfg(not(feature = "http"))]
                Mode::Http { .. } => return Err(unserved(&intake, &name)),
            }
        }
    }
    #[cfg(feature = "http")]
    super::http::gateway(app, routed, listening, &mut running).await?;
    Ok(running)
}

fn intake(
    app: &Application,
    settings: &SourceSettings,
    registry: &Arc<Registry>,
) -> Result<Arc<Intake>> {
    let intake = Intake::new(
        Arc::clone(&app.store),
        settings.source.name(),
        settings.versions(),
        Arc::clone(registry),
        Arc::clone(&app.gateway),
        Arc::clone(&app.clock),
    );
    intake.map(Arc::new)
}

/// A CDC trigger has a task of its own for as long as it listens.
fn cdc(
    app: &Application,
    source: &Arc<dyn Source>,
    listen: Arc<dyn Listen>,
    listening: &Listening,
    running: &mut JoinSet<Result<()>>,
) -> Result<()> {
    let door = Door::open(
        Arc::clone(&app.store),
        source.name(),
        Arc::clone(&app.clock),
    )?;
    let (name, listening) = (source.name().to_owned(), listening.clone());
    running.spawn(async move {
        let listened = listen.listen(door, listening).await;
        listened.map_err(|error| error.at(format!("source {name}")))
    });
    Ok(())
}

/// The trigger's own interval, else its source's, else the default.
fn interval_of(settings: &SourceSettings, own: Option<Interval>) -> Interval {
    own.or_else(|| settings.interval())
        .unwrap_or_else(|| Interval::every(INTERVAL_DEFAULT))
}

fn without_pubsub(intake: &Intake, trigger: &str) -> Error {
    let source = intake.source();
    Error::config(format!("trigger {source}/{trigger}: there is no pubsub"))
        .help("hand one in with pubsub()")
}

#[cfg(not(feature = "http"))]
fn unserved(intake: &Intake, trigger: &str) -> Error {
    let source = intake.source();
    Error::config(format!(
        "trigger {source}/{trigger}: this build serves no HTTP triggers"
    ))
    .help("build with the feature http")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Source, SourceOptions, Trigger};

    #[derive(Debug)]
    struct Ticks(Option<Interval>);

    impl Source for Ticks {
        fn name(&self) -> &str {
            "ticks"
        }

        fn options(&self) -> SourceOptions {
            SourceOptions {
                interval: self.0.clone(),
                ..SourceOptions::default()
            }
        }

        fn triggers(&self) -> Vec<Arc<dyn Trigger>> {
            Vec::new()
        }
    }

    /// SRC-02 TRG-05
    #[test]
    fn a_cron_trigger_runs_at_its_own_interval_else_its_sources_else_hourly() {
        let daily = || Interval::parse("@daily").ok();
        let weekly = || Interval::parse("@weekly").ok();
        let of = |source, own| {
            let settings = SourceSettings::of(Arc::new(Ticks(source)));
            interval_of(&settings, own).as_str().to_owned()
        };
        assert_eq!(of(daily(), weekly()), "@weekly");
        assert_eq!(of(daily(), None), "@daily");
        assert_eq!(of(None, None), "@every 1h");
    }
}
