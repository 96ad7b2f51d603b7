//! Versions of what sources emit and destinations take.
//!
//! A version is a name of the author's choice. A source's events and a destination's jobs carry one, or take the default; which is deprecated
//! since when is said beside it, and an unknown one is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// The versions that a source or destination knows. Empty: versions are off, and nothing carries one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions {
    /// Each version, and since when it is deprecated, if it is: it goes on working, with a warning.
    pub known: BTreeMap<Arc<str>, Option<Timestamp>>,
    /// What is taken for written in no version. One of `known`, unless that is empty.
    pub default: Option<Arc<str>>,
}

/// A version that was settled on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The version; none when versions are off.
    pub version: Option<Arc<str>>,
    /// Whether it is deprecated by now.
    pub deprecated: bool,
}

impl Versions {
    /// The version that something written in `asked` has.
    ///
    /// # Errors
    /// `Invalid` when it is none of the known ones.
    pub fn settle(&self, asked: Option<&Arc<str>>, now: Timestamp) -> Result<Settled> {
        if self.known.is_empty() {
            return Ok(Settled {
                version: asked.cloned(),
                deprecated: false,
            });
        }
        let Some(version) = asked.or(self.default.as_ref()) else {
            return Err(
                Error::invalid("no version was named, and there is no default")
                    .help(self.known_ones()),
            );
        };
        match self.known.get(version) {
            Some(since) => Ok(Settled {
                version: Some(Arc::clone(version)),
                deprecated: since.is_some_and(|since| since <= now),
            }),
            None => {
                Err(Error::invalid(format!("version {version} is not known"))
                    .help(self.known_ones()))
            }
        }
    }

    fn known_ones(&self) -> String {
        let known: Vec<&str> = self.known.keys().map(|version| &**version).collect();
        format!("use one of {}", known.join(", "))
    }

    /// What is wrong with these versions, if anything.
    ///
    /// # Errors
    /// `Config` when the default is none of the known ones.
    pub fn validate(&self) -> Result<()> {
        match &self.default {
            Some(default) if !self.known.contains_key(default) => {
                let what = format!("the default version {default} is not among the versions");
                Err(Error::config(what).help(self.known_ones()))
            }
            None if !self.known.is_empty() => {
                Err(Error::config("there are versions, but no default version")
                    .help(self.known_ones()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    fn versions() -> Versions {
        let known = [
            ("v1", Some(Timestamp(1_000))),
            ("v2", None),
            ("v3", Some(Timestamp(1_001))),
        ];
        Versions {
            known: known.map(|(name, since)| (Arc::from(name), since)).into(),
            default: Some(Arc::from("v2")),
        }
    }

    fn settle(asked: &str) -> Result<Settled> {
        versions().settle(Some(&Arc::from(asked)), NOW)
    }

    /// OPT-04
    #[test]
    fn with_no_versions_everything_is_taken_as_it_is() {
        let off = Versions::default();
        off.validate().unwrap();
        assert_eq!(off.settle(None, NOW).unwrap().version, None);
    }

    /// OPT-01 OPT-02
    #[test]
    fn what_names_no_version_takes_the_default_and_an_unknown_one_is_refused() {
        let settled = versions().settle(None, NOW).unwrap();
        assert_eq!(settled.version.as_deref(), Some("v2"));
        let refused = settle("v9").unwrap_err();
        assert!(
            refused.report().contains("v1, v2, v3"),
            "{}",
            refused.report()
        );
    }

    /// OPT-05
    #[test]
    fn a_version_is_deprecated_from_its_date_on_and_goes_on_working() {
        assert!(settle("v1").unwrap().deprecated);
        assert!(!settle("v2").unwrap().deprecated && !settle("v3").unwrap().deprecated);
    }

    #[test]
    fn a_default_that_is_not_known_is_a_mistake_of_the_configuration() {
        let default = Some(Arc::from("v9"));
        assert!(
            Versions {
                default,
                ..versions()
            }
            .validate()
            .is_err()
        );
        assert!(
            Versions {
                default: None,
                ..versions()
            }
            .validate()
            .is_err()
        );
    }
}
