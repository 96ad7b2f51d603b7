//! Progress as log lines: one per source, per table being copied, and per lane.

use super::view::{LaneState, LaneView, SourceView, View};

/// Tables being copied that get a line of their own; a thousand of them would drown the rest.
const SNAPSHOT_LINES_MAX: usize = 20;

pub(super) fn log(view: &View) {
    view.sources.iter().for_each(source);
    view.lanes.iter().for_each(lane);
}

fn source(source: &SourceView) {
    tracing::info!(
        source = source.name,
        phase = source.phase,
        events = source.events,
        events_per_second = source.events_per_second,
        lag_bytes = source.lag_bytes,
        lag_seconds = source.lag_seconds,
        snapshots_open = source.snapshots.len(),
        "source"
    );
    for snapshot in source.snapshots.iter().take(SNAPSHOT_LINES_MAX) {
        tracing::info!(
            source = source.name,
            trigger = snapshot.trigger,
            parts_done = snapshot.done,
            parts_total = snapshot.total,
            rows = snapshot.rows,
            "snapshot"
        );
    }
}

fn lane(lane: &LaneView) {
    let state = lane.state.name();
    let (upto, behind, rate) = (lane.upto, lane.behind, lane.events_per_second);
    match &lane.state {
        LaneState::Failed { attempt, error } => tracing::warn!(
            lane = lane.name,
            state,
            upto,
            behind,
            events_per_second = rate,
            discarded = lane.discarded,
            attempt,
            error,
            "lane"
        ),
        _ => tracing::info!(
            lane = lane.name,
            state,
            upto,
            behind,
            events_per_second = rate,
            discarded = lane.discarded,
            "lane"
        ),
    }
}
