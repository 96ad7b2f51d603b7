//! `versions = { v1 = "2025-06-01", v2 = "maintained" }` and `default_version = "v2"`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::section::Section;
use crate::clock::Timestamp;
use crate::version::Versions;

/// What stands beside a version that is not deprecated.
const MAINTAINED: &str = "maintained";
const WRONG: &str = "not a date";
const FIX: &str = "write the day since when it is deprecated, as 2025-06-01, or \"maintained\"";

/// Reads both keys of a source or destination; none when neither is set.
pub(super) fn read(section: &mut Section) -> Option<Versions> {
    let default = section.take_str("default_version").optional();
    if !section.has("versions") && default.is_none() {
        return None;
    }
    let mut listed = section.take_section("versions");
    let mut known = BTreeMap::new();
    for name in listed.keys() {
        let since = listed.take_str(&name);
        let since = since.checked(|since| day(since).is_some(), WRONG, FIX);
        if let Some(since) = since.optional().as_deref().and_then(day) {
            known.insert(Arc::from(name), since);
        }
    }
    listed.finish();
    let versions = Versions {
        known,
        default: default.map(Arc::from),
    };
    if let Err(error) = versions.validate() {
        let fix = error.advised().unwrap_or_default().to_owned();
        section.report("default_version", error.to_string(), fix);
    }
    Some(versions)
}

/// Since when something is deprecated; nothing inside when it is maintained, none when it is neither.
fn day(text: &str) -> Option<Option<Timestamp>> {
    if text == MAINTAINED {
        return Some(None);
    }
    let date: jiff::civil::Date = text.parse().ok()?;
    let since = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Some(Timestamp(since.timestamp().as_microsecond())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Environment;

    fn versions(text: &str) -> (Option<Versions>, crate::settings::Problems) {
        let (mut section, problems) =
            Section::parse("b.toml", text, &Environment::default()).unwrap();
        let versions = read(&mut section);
        section.finish();
        (versions, problems)
    }

    /// OPT-01 OPT-02 OPT-04 OPT-06
    #[test]
    fn versions_and_their_default_are_read_and_off_when_nothing_is_said() {
        let text = "versions = { v1 = '2025-06-01', v2 = 'maintained' }\ndefault_version = 'v2'";
        let (read, problems) = versions(text);
        problems.check().unwrap();
        let read = read.unwrap();
        assert_eq!(read.default.as_deref(), Some("v2"));
        let since: Vec<_> = read.known.values().copied().collect();
        assert_eq!(since, [Some(Timestamp(1_748_736_000_000_000)), None]);
        assert_eq!(versions("").0, None);
    }

    #[test]
    fn what_cannot_be_is_said_with_its_remedy() {
        let said = |text| versions(text).1.check().unwrap_err().to_string();
        assert!(said("versions = { v1 = 'soon' }\ndefault_version = 'v1'").contains("maintained"));
        assert!(said("versions = { v1 = 'maintained' }").contains("no default version"));
        assert!(said("default_version = 'v9'").contains("not among"));
    }
}
