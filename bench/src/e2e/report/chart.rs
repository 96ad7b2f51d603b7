//! The chart in README: how fast backlogs of every shape come into Parquet, beside Postgres's own tool writing to nowhere.

use crate::e2e::trial::Trial;

const TOOL: &str = "pg_recvlogical";
/// Who is drawn, what he is called, and in which colour.
const DRAWN: [(&str, &str, &str); 2] = [
    ("parquet, catch-up", "in batches (default)", "#b7410e"),
    ("parquet", "streamed", "#e8a87c"),
];
const WIDTH: f64 = 760.0;
const LEFT: f64 = 210.0;
const RIGHT: f64 = 60.0;
const TOP: f64 = 74.0;
const BAR: f64 = 15.0;
const GAP: f64 = 14.0;

/// One backlog and the ratios of those who are drawn.
struct Group {
    label: String,
    ratios: Vec<(f64, &'static str)>,
}

/// The chart as SVG; none when no backlog was measured.
pub(super) fn svg(trials: &[Trial], subtitle: &str) -> Option<String> {
    let groups: Vec<Group> = trials.iter().filter_map(group).collect();
    let ratios = groups
        .iter()
        .flat_map(|group| group.ratios.iter().map(|(ratio, _)| *ratio));
    let most = ratios.fold(1.0, f64::max);
    let scale = (WIDTH - LEFT - RIGHT) / most;
    let mut body = String::new();
    let mut y = TOP;
    for group in &groups {
        body.push_str(&draw(group, y, scale));
        y += group.ratios.len() as f64 * BAR + GAP;
    }
    let (line, height) = (LEFT + scale, y + 34.0);
    let frame = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"15\" font-weight=\"bold\">A backlog of changes into Parquet: rows/s ÷ pg_recvlogical writing to /dev/null</text>\n\
         <text x=\"16\" y=\"42\" fill=\"#666\">{}</text>\n{}{body}\
         <line x1=\"{line:.1}\" y1=\"{:.1}\" x2=\"{line:.1}\" y2=\"{y:.1}\" stroke=\"#222\" stroke-dasharray=\"4 3\"/>\n\
         <text x=\"{line:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#222\">pg_recvlogical = 1</text>\n</svg>\n",
        escaped(subtitle),
        legend(),
        TOP - 6.0,
        y + 14.0,
    );
    (!groups.is_empty()).then_some(frame)
}

fn group(trial: &Trial) -> Option<Group> {
    let tool = trial.contender(TOOL)?;
    let ratios = DRAWN.iter().filter_map(|(name, _, colour)| {
        let own = trial.contender(name)?;
        Some((own.ratio(tool).value, *colour))
    });
    let ratios: Vec<_> = ratios.collect();
    (!ratios.is_empty()).then(|| Group {
        label: label(trial),
        ratios,
    })
}

fn label(trial: &Trial) -> String {
    let shape = match trial.scenario.as_str() {
        "drain" => "1,000 rows each",
        "singles" => "one row each",
        "mix" => "insert, update, delete",
        "huge" => "one transaction",
        "tables20" => "20 tables in turn",
        other => other,
    };
    let table = if trial.work == "lineitem" {
        "lineitem"
    } else {
        "events"
    };
    format!("{table}, {shape}")
}

fn draw(group: &Group, y: f64, scale: f64) -> String {
    let middle = y + group.ratios.len() as f64 * BAR / 2.0 + 4.0;
    let label = escaped(&group.label);
    let mut drawn = format!(
        "<text x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\">{label}</text>\n",
        LEFT - 8.0
    );
    for (place, (ratio, colour)) in group.ratios.iter().enumerate() {
        let (top, width) = (y + place as f64 * BAR, ratio * scale);
        drawn.push_str(&format!(
            "<rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\">{ratio:.2}</text>\n",
            BAR - 2.0,
            LEFT + width + 5.0,
            top + BAR - 4.0,
        ));
    }
    drawn
}

fn legend() -> String {
    let mut x = 16.0;
    let mut drawn = String::new();
    for (_, name, colour) in DRAWN {
        drawn.push_str(&format!(
            "<rect x=\"{x}\" y=\"50\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\n\
             <text x=\"{}\" y=\"59\" fill=\"#444\">{name}</text>\n",
            x + 15.0
        ));
        x += 30.0 + 7.0 * name.len() as f64;
    }
    drawn
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::e2e::reading::Reading;
    use crate::e2e::trial::{Readings, Role};

    fn readings(name: &str, seconds: f64) -> Readings {
        Readings {
            name: name.into(),
            role: Role::Ours,
            rounds: vec![Reading {
                rows: 10,
                seconds,
                ..Reading::default()
            }],
            missing: None,
        }
    }

    #[test]
    fn bars_are_as_long_as_their_ratios() {
        let trial = Trial {
            scenario: "singles".into(),
            work: "singles".into(),
            row_bytes: 0.0,
            contenders: vec![readings(TOOL, 2.0), readings("parquet", 1.0)],
        };
        let svg = svg(&[trial], "2 cores & <more>").unwrap();
        assert!(
            svg.contains("width=\"490.0\"") && svg.contains(">2.00<"),
            "{svg}"
        );
        assert!(svg.contains("2 cores &amp; &lt;more&gt;"));
    }

    #[test]
    fn without_a_backlog_there_is_no_chart() {
        assert!(svg(&[], "").is_none());
    }
}
