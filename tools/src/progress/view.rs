//! What is worth seeing, computed from two snapshots. Pure.

use std::time::Duration;

use blacksmith_core::app::Progress;
use blacksmith_core::clock::Timestamp;
use blacksmith_core::job::Status;
use blacksmith_core::position::Position;
use blacksmith_core::source::{SnapshotProgress, SourceProgress};
use blacksmith_core::store::Lane;

/// Everything that is shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct View {
    pub(super) sources: Vec<SourceView>,
    pub(super) lanes: Vec<LaneView>,
}

/// One source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SourceView {
    pub(super) name: String,
    pub(super) phase: String,
    pub(super) events: u64,
    pub(super) events_per_second: u64,
    pub(super) lag_bytes: Option<u64>,
    pub(super) lag_seconds: Option<f64>,
    /// First copies that are not complete.
    pub(super) snapshots: Vec<SnapshotProgress>,
}

/// One lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LaneView {
    pub(super) name: String,
    /// Everything up to here is loaded.
    pub(super) upto: u64,
    /// Events that are durable and not loaded yet.
    pub(super) behind: u64,
    pub(super) events_per_second: u64,
    pub(super) state: LaneState,
    /// Jobs that were given up.
    pub(super) discarded: u64,
}

/// What a lane is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LaneState {
    /// Everything is loaded.
    Idle,
    /// Events gather for the next load.
    Gathering,
    /// The action has a batch.
    Loading { events: u64, attempt: u32 },
    /// The oldest range failed and waits for its retry.
    Failed { attempt: u32, error: String },
    /// The action returned without saying what came of it; an operator decides.
    Unknown,
}

impl View {
    /// What happened from `before` to `now`, which is `elapsed` later; `at` is the time now.
    pub(super) fn between(
        before: &Progress,
        now: &Progress,
        elapsed: Duration,
        at: Timestamp,
    ) -> View {
        let source = |(name, progress): &(String, SourceProgress)| {
            let earlier = before.sources.iter().find(|(earlier, _)| earlier == name);
            let events = earlier.map_or(0, |(_, earlier)| taken_in(earlier));
            SourceView::of(
                name,
                progress,
                per_second(taken_in(progress), events, elapsed),
                at,
            )
        };
        let lane = |lane: &Lane| {
            let earlier = before.lanes.iter().find(|earlier| earlier.id == lane.id);
            let upto = earlier.map_or(lane.start.previous(), |earlier| earlier.settled_upto);
            let rate = per_second(lane.settled_upto.0, upto.0, elapsed);
            LaneView::of(lane, now.head, rate)
        };
        View {
            sources: now.sources.iter().map(source).collect(),
            lanes: now.lanes.iter().map(lane).collect(),
        }
    }
}

impl SourceView {
    fn of(name: &str, progress: &SourceProgress, events_per_second: u64, at: Timestamp) -> Self {
        // Without new events the newest transaction grows old and nothing lags.
        let newest = progress.committed_at.filter(|_| events_per_second > 0);
        let under_way = |snapshot: &&SnapshotProgress| snapshot.done < snapshot.total;
        SourceView {
            name: name.to_owned(),
            phase: progress.phase.clone(),
            events: taken_in(progress),
            events_per_second,
            lag_bytes: progress.lag_bytes,
            lag_seconds: newest.map(|committed_at| at.since(committed_at).as_secs_f64()),
            snapshots: progress
                .snapshots
                .iter()
                .filter(under_way)
                .cloned()
                .collect(),
        }
    }
}

impl LaneView {
    fn of(lane: &Lane, head: Position, events_per_second: u64) -> Self {
        LaneView {
            name: lane.name.to_string(),
            upto: lane.settled_upto.0,
            behind: head.0.saturating_sub(lane.settled_upto.0),
            events_per_second,
            state: LaneState::of(lane, head),
            discarded: lane.discarded().map(|open| open.span.len()).sum(),
        }
    }
}

impl LaneState {
    fn of(lane: &Lane, head: Position) -> Self {
        let first = |status| lane.open().find(move |open| open.status == status);
        if let Some(open) = first(Status::Executing) {
            return LaneState::Loading {
                events: open.span.len(),
                attempt: open.attempt,
            };
        }
        if let Some(open) = first(Status::Failed) {
            return LaneState::Failed {
                attempt: open.attempt,
                error: open.error.as_deref().unwrap_or_default().to_owned(),
            };
        }
        match (first(Status::Unknown), head > lane.settled_upto) {
            (Some(_), _) => LaneState::Unknown,
            (None, true) => LaneState::Gathering,
            (None, false) => LaneState::Idle,
        }
    }

    /// In a few words.
    pub(super) fn name(&self) -> &'static str {
        match self {
            LaneState::Idle => "idle",
            LaneState::Gathering => "gathering",
            LaneState::Loading { .. } => "loading",
            LaneState::Failed { .. } => "failed",
            LaneState::Unknown => "unknown",
        }
    }
}

/// Changes and copied rows.
fn taken_in(progress: &SourceProgress) -> u64 {
    let copied: u64 = progress
        .snapshots
        .iter()
        .map(|snapshot| snapshot.rows)
        .sum();
    progress.events + copied
}

fn per_second(now: u64, before: u64, elapsed: Duration) -> u64 {
    let seconds = elapsed.as_secs_f64().max(0.001);
    (now.saturating_sub(before) as f64 / seconds).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use blacksmith_core::event::LaneId;
    use blacksmith_core::job::Transition;
    use blacksmith_core::position::Span;

    fn lane(settled_upto: u64, open: Vec<Transition>) -> Lane {
        let mut lane = Lane::new(LaneId(1), "lake/append", Position(1));
        let settled = (settled_upto > 0).then(|| open_span(1, settled_upto, Status::Succeeded));
        for transition in settled.into_iter().chain(open) {
            lane.apply(&transition);
        }
        lane
    }

    fn open_span(first: u64, last: u64, status: Status) -> Transition {
        Transition {
            lane: LaneId(1),
            span: Span {
                first: Position(first),
                last: Position(last),
            },
            status,
            attempt: 3,
            at: Timestamp(0),
            error: Some("no space left".into()),
            command: None,
        }
    }

    fn progress(events: u64, head: u64, lane: Lane) -> Progress {
        let snapshot = |trigger: &str, done| SnapshotProgress {
            trigger: trigger.to_owned(),
            done,
            total: 4,
            rows: 10,
        };
        let source = SourceProgress {
            phase: "streaming".into(),
            events,
            snapshots: vec![snapshot("public.a", 4), snapshot("public.b", 1)],
            ..SourceProgress::default()
        };
        Progress {
            sources: vec![("shop".to_owned(), source)],
            head: Position(head),
            lanes: vec![lane],
        }
    }

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

    fn between(before: &Progress, now: &Progress) -> View {
        View::between(before, now, Duration::from_secs(2), NOW)
    }

    #[test]
    fn rates_are_what_changed_divided_by_the_time_it_took() {
        let before = progress(1_000, 1_000, lane(500, Vec::new()));
        let now = progress(5_000, 5_000, lane(2_500, Vec::new()));
        let view = between(&before, &now);
        assert_eq!(view.sources[0].events_per_second, 2_000);
        assert_eq!(
            (view.lanes[0].events_per_second, view.lanes[0].behind),
            (1_000, 2_500)
        );
    }

    #[test]
    fn a_lane_that_was_not_there_before_began_at_its_start() {
        let mut before = progress(0, 0, lane(0, Vec::new()));
        before.lanes.clear();
        let now = progress(0, 100, lane(100, Vec::new()));
        assert_eq!(between(&before, &now).lanes[0].events_per_second, 50);
    }

    #[test]
    fn lag_in_seconds_is_the_age_of_the_newest_transaction_while_events_arrive() {
        let committed_at = Timestamp(NOW.0 - 2_500_000);
        let with = |events| {
            let mut progress = progress(events, 1, lane(1, Vec::new()));
            progress.sources[0].1.committed_at = Some(committed_at);
            progress
        };
        let lag = |before, now| between(&with(before), &with(now)).sources[0].lag_seconds;
        assert_eq!(lag(1, 2), Some(2.5));
        assert_eq!(lag(2, 2), None);
    }

    #[test]
    fn copied_rows_count_as_events() {
        let now = progress(5, 1, lane(1, Vec::new()));
        assert_eq!(between(&now, &now).sources[0].events, 25);
    }

    #[test]
    fn only_snapshots_under_way_are_shown() {
        let now = progress(1, 1, lane(1, Vec::new()));
        let view = between(&now, &now);
        let shown: Vec<_> = view.sources[0]
            .snapshots
            .iter()
            .map(|s| s.trigger.as_str())
            .collect();
        assert_eq!(shown, ["public.b"]);
    }

    #[test]
    fn a_lane_says_what_it_does_the_most_active_first() {
        let state = |head, open| LaneState::of(&lane(10, open), Position(head));
        let failed = || open_span(11, 20, Status::Failed);
        assert_eq!(state(10, Vec::new()), LaneState::Idle);
        assert_eq!(state(15, Vec::new()), LaneState::Gathering);
        assert_eq!(
            state(30, vec![open_span(21, 30, Status::Unknown)]),
            LaneState::Unknown
        );
        let error = "no space left".to_owned();
        assert_eq!(
            state(30, vec![failed()]),
            LaneState::Failed { attempt: 3, error }
        );
        let loading = LaneState::Loading {
            events: 10,
            attempt: 3,
        };
        assert_eq!(
            state(30, vec![failed(), open_span(21, 30, Status::Executing)]),
            loading
        );
    }
}
