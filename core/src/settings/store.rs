//! `[store]`: where events are kept, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use super::section::Section;
use crate::job::Status;
use crate::schedule::Interval;
use crate::store::Purge;

const DAY: Duration = Duration::from_secs(86_400);

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// `driver`: `log`, the embedded event log, or `memory`, of which nothing is left when the
    /// process ends.
    pub driver: StoreDriver,
    /// `path`: the log's folder. Default: `blacksmith-data`, in the working directory.
    pub path: PathBuf,
    /// `segment_bytes`: bytes of one file of the log, 1 MiB to 4 GiB. Default: 64 MiB.
    pub segment_bytes: u64,
    /// `reserve_bytes`: bytes set aside for the day that the disk is full; 0 for none. Default: 64 MiB.
    pub reserve_bytes: u64,
    /// `[store.retention]`.
    pub retention: Retention,
    /// Each `[[store.purge]]`: what may go before that.
    pub purges: Vec<PurgeSettings>,
    /// `sync`: `always` (default) acknowledges an event when the disk has it; `never` trusts the
    /// operating system and loses events in a power cut.
    pub sync: bool,
}

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreDriver {
    /// The embedded log.
    Log,
    /// Nothing but memory.
    Memory,
}

/// How long settled events are kept. What is not settled is always kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// `max_age`. Default: 7 days.
    pub age_max: Duration,
    /// `max_bytes`. Default: 10 GiB.
    pub bytes_max: u64,
}

/// One `[[store.purge]]`: when settled events go before retention comes for them. Whole segments go, the
/// oldest first, and only while every job in them is in one of the states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgeSettings {
    /// `interval`: when to look.
    pub interval: Interval,
    /// `status`, of `succeeded` and `discarded`, and `older_than`.
    pub purge: Purge,
}

impl PurgeSettings {
    fn read(mut section: Section) -> Option<PurgeSettings> {
        let interval = section.take_interval("interval").required();
        let statuses = section.take_list("status").required();
        let older_than = section.take_duration("older_than").required();
        let mut known = Vec::new();
        for name in statuses.unwrap_or_default() {
            match name.parse::<Status>() {
                Ok(status) if status.is_settled() => known.push(status),
                _ => section.report(
                    "status",
                    format!("{name:?} is no final status"),
                    "use \"succeeded\", \"discarded\", or both",
                ),
            }
        }
        section.finish();
        Some(PurgeSettings {
            interval: interval?,
            purge: Purge {
                statuses: known,
                older_than: older_than?,
            },
        })
    }
}

impl StoreSettings {
    pub(super) fn read(mut section: Section) -> Self {
        let drivers = [("log", StoreDriver::Log), ("memory", StoreDriver::Memory)];
        let mut retention = section.take_section("retention");
        let purges = section.take_tables("purge").into_iter();
        let purges = purges.filter_map(PurgeSettings::read).collect();
        let settings = StoreSettings {
            driver: section.take_enum("driver", &drivers).or(StoreDriver::Log),
            path: section
                .take_str("path")
                .checked(
                    |path| !path.is_empty(),
                    "the path is empty",
                    "name a folder",
                )
                .or("blacksmith-data".into())
                .into(),
            segment_bytes: section
                .take_size("segment_bytes")
                .checked(
                    |bytes| (1 << 20..=4 << 30).contains(bytes),
                    "out of range",
                    "from 1MiB to 4GiB",
                )
                .or(64 << 20),
            reserve_bytes: section.take_size("reserve_bytes").or(64 << 20),
            retention: Retention {
                age_max: retention.take_duration("max_age").or(7 * DAY),
                bytes_max: retention.take_size("max_bytes").or(10 << 30),
            },
            purges,
            sync: section
                .take_enum("sync", &[("always", true), ("never", false)])
                .or(true),
        };
        retention.finish();
        section.finish();
        settings
    }
}
