//! What people type.

use std::path::PathBuf;

use blacksmith_core::query::Words;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// The configuration file that nobody has to name.
pub(crate) const CONFIG_DEFAULT: &str = "blacksmith.toml";

/// Takes events from where they happen, keeps every one of them, and loads them where they belong.
#[derive(Debug, Parser)]
#[command(name = "blacksmith-stream", version, propagate_version = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The configuration file.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "BLACKSMITH_CONFIG",
        default_value = CONFIG_DEFAULT
    )]
    pub(crate) config: PathBuf,
    /// Write JSON, also on a terminal.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Log more. BLACKSMITH_LOG=LEVEL or BLACKSMITH_LOG=MODULE=LEVEL,… says exactly what.
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take events in and load them, until stopped.
    Run(Run),
    /// Look at configuration, connections, permissions and slots, and report every problem at once.
    Check,
    /// List events, or show one with its row.
    Events(Listing),
    /// List jobs (one per event and action), show one with its history, or give orders for them.
    Jobs(Jobs),
    /// List changes of state of jobs, or show those of one event or job.
    Transitions(Listing),
    /// List actions and how they stand, or pause and resume them.
    Actions {
        #[command(subcommand)]
        command: Option<Actions>,
    },
    /// Look at the store's files.
    Store {
        #[command(subcommand)]
        command: Store,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Run one of the two services instead of both.
    #[arg(long, value_enum)]
    pub(crate) service: Option<Service>,
    /// Load everything that the sources hold now, whatever the schedule, and exit.
    #[arg(long, value_enum)]
    pub(crate) until: Option<Until>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Service {
    /// Takes events in.
    Gateway,
    /// Loads them.
    Scheduler,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Until {
    /// Everything up to the sources' end at the start is loaded.
    CaughtUp,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Segments, positions and lanes.
    Stat,
    /// Read every byte and check every checksum.
    Verify,
    /// Say what of a damaged store would be lost; with --salvage, give that up and keep everything else.
    Repair {
        /// Change the files. What is replaced is kept in `salvaged` beside them. The program must not be running.
        #[arg(long)]
        salvage: bool,
    },
    /// Carry out every [[store.purge]] now.
    Purge {
        /// Only say what would go.
        #[arg(long)]
        dry_run: bool,
    },
    /// Let go of a lane whose action is gone: what it did not load is not kept for it any more.
    Forget {
        /// The lane, as destination/action.
        lane: String,
    },
}

/// `events`, `jobs` or `transitions`, with nothing, `list` or `show` behind it.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Listing {
    #[command(subcommand)]
    pub(crate) command: Option<ListCommand>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ListCommand {
    /// List what the filters let through (the default).
    List(Box<FilterArgs>),
    /// Show one, by its id or position.
    Show {
        /// An id of 27 characters, or a position.
        id: String,
    },
}

/// `jobs`: what every list has, and orders.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Jobs {
    #[command(subcommand)]
    pub(crate) command: Option<JobsCommand>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// List what the filters let through (the default).
    List(Box<FilterArgs>),
    /// Show one, by its id or position.
    Show {
        /// An id of 27 characters, or a position.
        id: String,
    },
    /// Try jobs again now that failed, were discarded, or whose outcome is unknown.
    Retry(Box<OrderArgs>),
    /// Give jobs up. A load that has them in hand goes on without them.
    Discard(Box<OrderArgs>),
    /// Give jobs up, and drop the load that has them in hand: its other jobs wait again.
    Cancel(Box<OrderArgs>),
    /// Hold jobs back until they are resumed.
    Pause(Box<OrderArgs>),
    /// Let jobs go on that were paused.
    Resume(Box<OrderArgs>),
}

/// Which jobs an order is for, by ids or by filters, and why.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct OrderArgs {
    /// Ids of jobs.
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) words: WordArgs,
    /// Do not ask whether all that the filters let through is meant.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Only say how many jobs it would be.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Why: kept with jobs that are discarded, cancelled or paused.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// `actions`, with nothing, `list`, `pause` or `resume` behind it.
#[derive(Debug, Subcommand)]
pub(crate) enum Actions {
    /// List all actions and how they stand (the default).
    List,
    /// Begin no load of these actions until they are resumed, also after a restart.
    Pause(ActionArgs),
    /// Let these actions go on.
    Resume(ActionArgs),
}

/// Which actions are meant.
#[derive(Debug, Args)]
pub(crate) struct ActionArgs {
    /// As destination/action; * stands for any text.
    #[arg(value_name = "DESTINATION/ACTION", required = true)]
    pub(crate) actions: Vec<String>,
    /// Only say which it would be.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Why: shown as long as they are paused.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// What a list leaves out, and which part of it is shown.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct FilterArgs {
    #[command(flatten)]
    pub(crate) words: WordArgs,
    /// Pass over so many of the newest.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) offset: u64,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
    /// Say only how many there are.
    #[arg(long)]
    pub(crate) count: bool,
}

/// A filter. Repeat a word to allow several values; * stands for any text.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct WordArgs {
    /// From this source.
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Vec<String>,
    /// From this trigger; for a table schema.table.
    #[arg(long, value_name = "NAME")]
    pub(crate) trigger: Vec<String>,
    /// To this destination.
    #[arg(long, value_name = "NAME")]
    pub(crate) destination: Vec<String>,
    /// To this action.
    #[arg(long, value_name = "NAME")]
    pub(crate) action: Vec<String>,
    /// In this state.
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Vec<String>,
    /// From this position or time on (2025-03-01, 2025-03-01T12:00:00Z, 2h ago as 2h).
    #[arg(long, value_name = "POSITION|TIME")]
    pub(crate) from: Option<String>,
    /// Up to this position, included, or before this time.
    #[arg(long, value_name = "POSITION|TIME")]
    pub(crate) to: Option<String>,
    /// Not from this source.
    #[arg(long, value_name = "NAME")]
    pub(crate) not_source: Vec<String>,
    /// Not from this trigger.
    #[arg(long, value_name = "NAME")]
    pub(crate) not_trigger: Vec<String>,
    /// Of this version of the source.
    #[arg(long, value_name = "VERSION")]
    pub(crate) source_version: Vec<String>,
    /// Not of this version of the source.
    #[arg(long, value_name = "VERSION")]
    pub(crate) not_source_version: Vec<String>,
    /// Not to this destination.
    #[arg(long, value_name = "NAME")]
    pub(crate) not_destination: Vec<String>,
    /// Not to this action.
    #[arg(long, value_name = "NAME")]
    pub(crate) not_action: Vec<String>,
    /// Written for this version of the destination.
    #[arg(long, value_name = "VERSION")]
    pub(crate) job_version: Vec<String>,
    /// Not written for this version of the destination.
    #[arg(long, value_name = "VERSION")]
    pub(crate) not_job_version: Vec<String>,
    /// Not in this state.
    #[arg(long, value_name = "STATUS")]
    pub(crate) not_status: Vec<String>,
    /// After at least so many attempts.
    #[arg(long, value_name = "N")]
    pub(crate) min_attempts: Option<u32>,
    /// After at most so many attempts.
    #[arg(long, value_name = "N")]
    pub(crate) max_attempts: Option<u32>,
    /// Jobs made at or after this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) created_from: Option<String>,
    /// Jobs made before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) created_to: Option<String>,
    /// Of this event alone, by its id or position; other filters do not count then.
    #[arg(long, value_name = "ID")]
    pub(crate) event: Option<String>,
    /// Of this job alone, by its id; other filters do not count then.
    #[arg(long, value_name = "ID")]
    pub(crate) job: Option<String>,
}

impl From<WordArgs> for Words {
    fn from(typed: WordArgs) -> Words {
        Words {
            source: typed.source,
            not_source: typed.not_source,
            trigger: typed.trigger,
            not_trigger: typed.not_trigger,
            source_version: typed.source_version,
            not_source_version: typed.not_source_version,
            destination: typed.destination,
            not_destination: typed.not_destination,
            action: typed.action,
            not_action: typed.not_action,
            job_version: typed.job_version,
            not_job_version: typed.not_job_version,
            status: typed.status,
            not_status: typed.not_status,
            min_attempts: typed.min_attempts,
            max_attempts: typed.max_attempts,
            from: typed.from,
            to: typed.to,
            created_from: typed.created_from,
            created_to: typed.created_to,
            event: typed.event,
            job: typed.job,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_the_design_says_can_be_typed() {
        for line in [
            "blacksmith-stream run",
            "blacksmith-stream run --config b.toml --service gateway --until caught-up",
            "blacksmith-stream --config b.toml check --json",
            "blacksmith-stream events",
            "blacksmith-stream events list --source shop --trigger public.* --limit 5",
            "blacksmith-stream events --from 10 --to 2025-03-01",
            "blacksmith-stream jobs show 0ujtsYcgvSTl8PAuAdqWYSMnLOv",
            "blacksmith-stream transitions --status failed --status discarded",
            "blacksmith-stream store stat",
            "blacksmith-stream store verify --json",
            "blacksmith-stream store forget lake/append",
            "blacksmith-stream store purge --dry-run",
            "blacksmith-stream jobs retry 0ujtsYcgvSTl8PAuAdqWYSMnLOv --reason mended",
            "blacksmith-stream jobs discard --status failed --from 2h --yes",
            "blacksmith-stream jobs cancel --destination crm --dry-run --json",
            "blacksmith-stream actions",
            "blacksmith-stream actions pause crm/* lake/append --reason move",
            "blacksmith-stream actions resume *",
            "blacksmith-stream jobs --not-status succeeded --min-attempts 2 --count",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
        }
    }

    #[test]
    fn wrong_usage_exits_with_2() {
        for line in [
            "blacksmith-stream",
            "blacksmith-stream run --until tomorrow",
            "blacksmith-stream runn",
            "blacksmith-stream store",
            "blacksmith-stream events show",
            "blacksmith-stream jobs retry --limit 5",
            "blacksmith-stream actions pause",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
