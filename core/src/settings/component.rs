//! `[sources.<name>]`, `[destinations.<name>]` and their actions: what the engine reads of them.
//!
//! The engine takes the driver's name, the schedule and the batch. All other keys are the driver's.

use super::batch::Batch;
use super::section::Section;
use super::versions;
use crate::destination::{CONCURRENCY_MAX, OnUnknown, PartialLoadLimits, Rate};
use crate::schedule::{Backoff, Interval, PartialSchedule, Schedule};
use crate::version::Versions;

pub(super) const NAME_WRONG: &str = "not a name";
pub(super) const NAME_FIX: &str = "use letters, digits, _ and -, at most 63";

/// `[sources.<name>]`.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// Its name, by which flows and commands know it.
    pub name: String,
    /// `driver`, as in `postgres`. Empty when missing, which is among the problems.
    pub driver: String,
    /// `schedule.interval`: when triggers that run on time do. Default: `@every 1h`.
    pub interval: Interval,
    /// `versions` and `default_version`, when they are set.
    pub versions: Option<Versions>,
    /// The driver's own keys.
    pub section: Section,
}

/// `[destinations.<name>]`.
#[derive(Debug, Clone)]
pub struct DestinationSettings {
    /// Its name, by which flows and commands know it.
    pub name: String,
    /// `driver`, as in `parquet`. Empty when missing, which is among the problems.
    pub driver: String,
    /// `versions` and `default_version`, when they are set.
    pub versions: Option<Versions>,
    /// `schedule`: what its actions follow unless they say otherwise.
    pub schedule: PartialSchedule,
    /// `batch`: what its actions follow unless they say otherwise.
    pub batch: Batch,
    /// `max_concurrency`, `timeout`, `rate_limit`, `on_unknown`: what its actions follow unless they say otherwise.
    pub limits: PartialLoadLimits,
    /// `[destinations.<name>.actions.<action>]`.
    pub actions: Vec<ActionSettings>,
    /// The driver's own keys.
    pub section: Section,
}

/// `[destinations.<name>.actions.<action>]`: what one action does differently.
#[derive(Debug, Clone)]
pub struct ActionSettings {
    /// The action's name. Whether the driver has such an action, the driver says.
    pub name: String,
    /// `schedule`, over the destination's.
    pub schedule: PartialSchedule,
    /// `batch`, over the destination's.
    pub batch: Batch,
    /// `max_concurrency`, `timeout`, `rate_limit`, `on_unknown`, over everything else.
    pub limits: PartialLoadLimits,
    /// The driver's own keys for this action.
    pub section: Section,
}

impl DestinationSettings {
    /// The schedule of `action`, field by field: its own settings, else what the action `declared` in
    /// code, else the destination's, else the default.
    #[must_use]
    pub fn schedule_of(&self, action: &str, declared: &PartialSchedule) -> Schedule {
        let below = declared.over(&self.schedule);
        match self.action(action) {
            Some(settings) => settings.schedule.over(&below).settle(),
            None => below.settle(),
        }
    }

    /// The batch of `action`: its own settings, else the destination's.
    #[must_use]
    pub fn batch_of(&self, action: &str) -> Batch {
        self.action(action)
            .map_or(self.batch, |settings| settings.batch)
    }

    fn action(&self, name: &str) -> Option<&ActionSettings> {
        self.actions.iter().find(|action| action.name == name)
    }
}

pub(super) fn read_sources(sections: Vec<(String, Section)>) -> Vec<SourceSettings> {
    sections
        .into_iter()
        .map(|(name, mut section)| {
            check_name(&section, &name);
            let mut schedule = section.take_section("schedule");
            let interval = schedule
                .take_interval("interval")
                .or(Schedule::default().interval);
            schedule.finish();
            SourceSettings {
                driver: section.take_str("driver").required().unwrap_or_default(),
                versions: versions::read(&mut section),
                name,
                interval,
                section,
            }
        })
        .collect()
}

pub(super) fn read_destinations(sections: Vec<(String, Section)>) -> Vec<DestinationSettings> {
    sections
        .into_iter()
        .map(|(name, mut section)| {
            check_name(&section, &name);
            let batch = Batch::read(section.take_section("batch"), Batch::default());
            DestinationSettings {
                driver: section.take_str("driver").required().unwrap_or_default(),
                versions: versions::read(&mut section),
                schedule: read_schedule(section.take_section("schedule")),
                limits: read_limits(&mut section),
                batch,
                actions: read_actions(section.take_sections("actions"), batch),
                name,
                section,
            }
        })
        .collect()
}

fn read_actions(sections: Vec<(String, Section)>, below: Batch) -> Vec<ActionSettings> {
    sections
        .into_iter()
        .map(|(name, mut section)| {
            check_name(&section, &name);
            ActionSettings {
                schedule: read_schedule(section.take_section("schedule")),
                limits: read_limits(&mut section),
                batch: Batch::read(section.take_section("batch"), below),
                name,
                section,
            }
        })
        .collect()
}

/// What the table says of its loads; the other keys are left.
fn read_limits(section: &mut Section) -> PartialLoadLimits {
    let max_concurrency = section
        .take_u64("max_concurrency")
        .within(1, u64::from(CONCURRENCY_MAX))
        .optional();
    PartialLoadLimits {
        max_concurrency: max_concurrency.and_then(|most| u32::try_from(most).ok()),
        timeout: section.take_duration("timeout").optional(),
        rate_limit: read_rate(section),
        on_unknown: section
            .take_enum(
                "on_unknown",
                &[("hold", OnUnknown::Hold), ("retry", OnUnknown::Retry)],
            )
            .optional(),
    }
}

fn read_rate(section: &mut Section) -> Option<Rate> {
    let text = section.take_str("rate_limit").optional()?;
    let rate = text.parse();
    let wrong = |error: crate::error::Error| {
        let fix = error.advised().unwrap_or_default().to_owned();
        section.report("rate_limit", error.to_string(), fix);
    };
    rate.map_err(wrong).ok()
}

fn read_schedule(mut section: Section) -> PartialSchedule {
    let schedule = PartialSchedule {
        realtime: section.take_bool("realtime").optional(),
        interval: section.take_interval("interval").optional(),
        max_retries: section
            .take_u64("max_retries")
            .within(0, u64::from(u32::MAX))
            .optional()
            .and_then(|retries| u32::try_from(retries).ok()),
        backoff: section
            .has("backoff")
            .then(|| read_backoff(section.take_section("backoff")))
            .flatten(),
    };
    section.finish();
    schedule
}

fn read_backoff(mut section: Section) -> Option<Backoff> {
    let initial = section
        .take_duration("initial")
        .checked(
            |pause| !pause.is_zero(),
            "a pause of nothing would retry without end",
            "at least 1ms",
        )
        .required();
    let max = section.take_duration("max").required();
    let backoff = initial
        .zip(max)
        .map(|(initial, max)| Backoff { initial, max });
    if backoff.is_some_and(|backoff| backoff.max < backoff.initial) {
        section.report("max", "less than initial", "make it at least as long");
    }
    section.finish();
    backoff
}

fn check_name(section: &Section, name: &str) {
    if !is_name(name) {
        section.report_itself(NAME_WRONG, NAME_FIX);
    }
}

pub(crate) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=63).contains(&name.len()) && name.chars().all(fits)
}
