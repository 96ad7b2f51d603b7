//! Progress on a terminal: a line per source, a bar per table being copied, a line per lane.

use std::collections::HashMap;

use blacksmith_core::settings::write_size;
use blacksmith_core::source::SnapshotProgress;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::view::{LaneState, LaneView, SourceView, View};
use crate::screen::Screen;

/// Tables being copied that get a bar; more would not fit on a screen.
const BARS_MAX: usize = 12;
/// The longest error shown beside a lane; the log has all of it.
const ERROR_CHARACTERS_MAX: usize = 60;

/// How a table being copied is drawn.
const SNAPSHOT: &str = "  {bar:24} {pos}/{len} parts  {msg}";
/// How everything else is.
const LINE: &str = "{msg}";

/// Everything drawn, by a key that stays the same from one draw to the next.
#[derive(Debug)]
pub(super) struct Bars {
    all: MultiProgress,
    drawn: HashMap<String, ProgressBar>,
}

impl Bars {
    pub(super) fn on(screen: &Screen) -> Self {
        Bars {
            all: screen.bars().clone(),
            drawn: HashMap::new(),
        }
    }

    pub(super) fn draw(&mut self, view: &View) {
        let mut shown = Vec::new();
        for source in &view.sources {
            shown.push(self.line(&format!("source {}", source.name), &source_text(source)));
            for snapshot in source.snapshots.iter().take(BARS_MAX) {
                shown.push(self.snapshot(&source.name, snapshot));
            }
        }
        for lane in &view.lanes {
            shown.push(self.line(&format!("lane {}", lane.name), &lane_text(lane)));
        }
        self.drawn.retain(|key, bar| {
            let keep = shown.contains(key);
            if !keep {
                bar.finish_and_clear();
            }
            keep
        });
    }

    fn line(&mut self, key: &str, text: &str) -> String {
        self.bar(key, LINE).set_message(text.to_owned());
        key.to_owned()
    }

    fn snapshot(&mut self, source: &str, snapshot: &SnapshotProgress) -> String {
        let key = format!("snapshot {source} {}", snapshot.trigger);
        let bar = self.bar(&key, SNAPSHOT);
        bar.set_length(snapshot.total);
        bar.set_position(snapshot.done);
        bar.set_message(format!(
            "{} rows  {}",
            grouped(snapshot.rows),
            snapshot.trigger
        ));
        key
    }

    fn bar(&mut self, key: &str, template: &str) -> &ProgressBar {
        self.drawn.entry(key.to_owned()).or_insert_with(|| {
            let style = ProgressStyle::with_template(template);
            let style = style
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ");
            self.all.add(ProgressBar::new(0).with_style(style))
        })
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        for bar in self.drawn.values() {
            bar.finish_and_clear();
        }
    }
}

fn source_text(source: &SourceView) -> String {
    let mut text = format!(
        "{}: {}  {} events/s",
        source.name,
        source.phase,
        grouped(source.events_per_second)
    );
    let lag: Vec<String> = [
        source.lag_bytes.map(write_size),
        source.lag_seconds.map(|seconds| format!("{seconds:.1} s")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !lag.is_empty() {
        text.push_str(&format!("  lag {}", lag.join(", ")));
    }
    text
}

fn lane_text(lane: &LaneView) -> String {
    let mut text = format!(
        "{}: {} events/s  {} behind  ",
        lane.name,
        grouped(lane.events_per_second),
        grouped(lane.behind)
    );
    text.push_str(&match &lane.state {
        LaneState::Loading { events, attempt: 1 } => format!("loading {}", grouped(*events)),
        LaneState::Loading { events, attempt } => {
            format!("loading {}, attempt {attempt}", grouped(*events))
        }
        LaneState::Failed { attempt, error } => {
            format!("attempt {attempt} failed: {}", shortened(error))
        }
        LaneState::Unknown => {
            "unknown outcome: see blacksmith-stream jobs --status unknown".to_owned()
        }
        state => state.name().to_owned(),
    });
    if lane.discarded > 0 {
        text.push_str(&format!("  {} discarded", grouped(lane.discarded)));
    }
    text
}

fn shortened(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default();
    line.chars()
        .filter(|c| !c.is_control())
        .take(ERROR_CHARACTERS_MAX)
        .collect()
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_follows_its_table_and_goes_when_the_copy_is_complete() {
        let hidden = MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden());
        let mut bars = Bars {
            all: hidden,
            drawn: HashMap::new(),
        };
        let mut source = SourceView {
            name: "shop".into(),
            phase: "snapshot".into(),
            events: 0,
            events_per_second: 0,
            lag_bytes: None,
            lag_seconds: None,
            snapshots: vec![SnapshotProgress {
                trigger: "public.orders".into(),
                done: 3,
                total: 8,
                rows: 1_500,
            }],
        };
        let view = |source: &SourceView| View {
            sources: vec![source.clone()],
            lanes: Vec::new(),
        };
        bars.draw(&view(&source));
        let bar = bars.drawn["snapshot shop public.orders"].clone();
        assert_eq!((bar.position(), bar.length()), (3, Some(8)));
        assert_eq!(bar.message(), "1,500 rows  public.orders");
        source.snapshots.clear();
        bars.draw(&view(&source));
        assert!(bar.is_finished() && bars.drawn.len() == 1);
    }

    #[test]
    fn the_templates_are_well_formed() {
        for template in [SNAPSHOT, LINE] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let shown = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_source_shows_its_rate_and_its_lag_in_bytes_and_seconds() {
        let source = SourceView {
            name: "shop".into(),
            phase: "streaming".into(),
            events: 1,
            events_per_second: 12_000,
            lag_bytes: Some(3 << 20),
            lag_seconds: Some(1.25),
            snapshots: Vec::new(),
        };
        assert_eq!(
            source_text(&source),
            "shop: streaming  12,000 events/s  lag 3 MiB, 1.2 s"
        );
    }

    #[test]
    fn a_failed_lane_shows_why_on_one_line() {
        let lane = LaneView {
            name: "lake/append".into(),
            upto: 7,
            behind: 5_000,
            events_per_second: 0,
            state: LaneState::Failed {
                attempt: 2,
                error: "no space\u{1b}[2J left\nat somewhere".into(),
            },
            discarded: 3,
        };
        let expected = "lake/append: 0 events/s  5,000 behind  attempt 2 failed: no space[2J left  3 discarded";
        assert_eq!(lane_text(&lane), expected);
    }
}
