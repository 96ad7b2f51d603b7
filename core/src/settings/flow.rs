//! Which events go to which actions: `from = "shop/public.*"`, `to = "lake"`.
//!
//! An end names a component, or a component and one of its parts after a slash: `source/trigger`,
//! `destination/action`. `*` in the part stands for any text. Without a slash all parts are meant.

use super::problem::suggestion;
use super::section::Section;
use crate::flow::Route;

/// Reads every `[[flows]]`, whose ends must name something in `sources` and `destinations`.
pub(super) fn read(tables: Vec<Section>, sources: &[&str], destinations: &[&str]) -> Vec<Route> {
    tables
        .into_iter()
        .filter_map(|mut section| {
            let from = read_end(&mut section, "from", "source", sources);
            let to = read_end(&mut section, "to", "destination", destinations);
            section.finish();
            Some(Route::between(&from?, &to?))
        })
        .collect()
}

fn read_end(section: &mut Section, key: &str, noun: &str, names: &[&str]) -> Option<String> {
    let end = section.take_str(key).required()?;
    let (component, part) = end.split_once('/').unwrap_or((&end, "*"));
    if component.is_empty() || part.is_empty() {
        let fix = format!("write \"{noun}\" or \"{noun}/part\", with * as wildcard in the part");
        section.report(key, "a name is missing before or after the slash", fix);
        return None;
    }
    if !names.contains(&component) {
        let fix = match names.is_empty() {
            true => format!("add [{noun}s.<name>]"),
            false => suggestion(component, names),
        };
        section.report(key, format!("there is no such {noun}"), fix);
        return None;
    }
    Some(end)
}
