//! What a Postgres source is configured with.

use std::ops::RangeInclusive;
use std::time::Duration;

use blacksmith_core::settings::Section;

use crate::catalog::Patterns;
use crate::connection::{ConnectOptions, SILENCE_MAX};
use crate::stream::Ack;

/// What `silence_timeout` may be: the server is asked for a sign of life every second, and may be busy.
const SILENCE: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(3600);

/// From how many bytes of log on a backlog is read in batches, unless configured.
const CATCH_UP_FROM: u64 = 64 << 20;
const CATCH_UP_FROM_MIN: u64 = 1 << 10;

/// The keys of `[sources.<name>]` with `driver = "postgres"`.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Name of the source.
    pub name: String,
    /// `url`: where the server is and who we are.
    pub connect: ConnectOptions,
    /// `publication`: created when absent and permitted. Default `blacksmith`.
    pub publication: String,
    /// `slot`: created at the first start. Default `blacksmith_<name>`.
    pub slot: String,
    /// `tables`: patterns `schema.table` with `*`. Default `["public.*"]`.
    pub tables: Vec<String>,
    /// `snapshot`: whether tables are copied first. Default `initial`.
    pub snapshot: Snapshot,
    /// `snapshot_workers`: connections that copy at a time, 1 to 64. Default 2.
    pub snapshot_workers: usize,
    /// `format`: how values are asked for. Default `auto`.
    pub format: ValueFormat,
    /// `ack`: what has to hold an event before the server may forget it. Default `log`.
    pub ack: Ack,
    /// `failover`: whether the slot is synchronised to standbys (PostgreSQL 17). Default false.
    pub failover: bool,
    /// `silence_timeout`: how long the server may say nothing, 5 s to 1 h; it stands in `connect`. Default 90 s.
    /// `catch_up`: whether a slot that is far behind is read in batches. Default true; with `ack = "sink"` never,
    /// because a batch is forgotten by the server before the next is read.
    /// `catch_up_from`: bytes of log that are far, at least 1 KiB. Default 64 MiB. `None` when it never happens.
    pub catch_up_from: Option<u64>,
    /// `timeline`: a timeline that is accepted after a promotion.
    pub timeline: Option<u32>,
}

/// Whether tables are copied before their changes are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Snapshot {
    /// Every table, once.
    #[default]
    Initial,
    /// No table: changes only, from the creation of the slot on.
    Never,
}

/// How values travel on the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ValueFormat {
    /// Binary when every table allows it, else text.
    #[default]
    Auto,
    /// As `Auto`.
    Binary,
    /// Text.
    Text,
}

impl PostgresOptions {
    /// Reads the section; everything that is wrong with it is reported to its problems.
    #[must_use]
    pub fn read(name: &str, mut section: Section) -> Option<PostgresOptions> {
        let url = section.take_secret("url").required();
        let publication = section.take_str("publication").or("blacksmith".to_owned());
        let slot = section.take_str("slot").or(default_slot(name));
        let tables = section.take_list("tables").or(vec!["public.*".to_owned()]);
        let snapshot = section
            .take_enum(
                "snapshot",
                &[("initial", Snapshot::Initial), ("never", Snapshot::Never)],
            )
            .or(Snapshot::Initial);
        let workers = section.take_u64("snapshot_workers").or(2);
        let formats = [
            ("auto", ValueFormat::Auto),
            ("binary", ValueFormat::Binary),
            ("text", ValueFormat::Text),
        ];
        let format = section.take_enum("format", &formats).or(ValueFormat::Auto);
        let ack = section
            .take_enum("ack", &[("log", Ack::Log), ("sink", Ack::Sink)])
            .or(Ack::Log);
        let failover = section.take_bool("failover").or(false);
        let catch_up = section.take_bool("catch_up").or(true);
        let far = section
            .take_size("catch_up_from")
            .checked(
                |bytes| *bytes >= CATCH_UP_FROM_MIN,
                "not a backlog worth a batch (at least 1KiB)",
                "64MiB is a good beginning",
            )
            .or(CATCH_UP_FROM);
        let timeline = section.take_u64("timeline").optional();
        let silence = section
            .take_duration("silence_timeout")
            .checked(
                |silence| SILENCE.contains(silence),
                "not from 5s to 1h",
                "90s is a good beginning",
            )
            .or(SILENCE_MAX);
        if !(1..=64).contains(&workers) {
            section.report(
                "snapshot_workers",
                "not a number from 1 to 64",
                "2 is a good beginning",
            );
        }
        if let Err(error) = Patterns::parse(&tables) {
            section.report(
                "tables",
                error.to_string(),
                "write schema.table, with * for any run of characters",
            );
        }
        if slot.len() > 63
            || !slot
                .bytes()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
        {
            section.report(
                "slot",
                "not a slot name",
                "use lower-case letters, digits and _, at most 63",
            );
        }
        let connect = url.and_then(|url| match ConnectOptions::parse(url.expose()) {
            Ok(options) => Some(options),
            Err(error) => {
                section.report(
                    "url",
                    error.to_string(),
                    error
                        .advised()
                        .unwrap_or("write postgres://user@host/database"),
                );
                None
            }
        });
        section.finish();
        let mut connect = connect?;
        connect.silence_max = silence;
        connect.application_name = format!("blacksmith_{slot}").chars().take(63).collect();
        Some(PostgresOptions {
            name: name.to_owned(),
            connect,
            publication,
            slot,
            tables,
            snapshot,
            snapshot_workers: workers as usize,
            format,
            ack,
            failover,
            catch_up_from: (catch_up && ack == Ack::Log).then_some(far),
            timeline: timeline.and_then(|timeline| u32::try_from(timeline).ok()),
        })
    }
}

fn default_slot(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    let name: String = name.chars().map(plain).collect();
    format!("blacksmith_{name}").chars().take(63).collect()
}
