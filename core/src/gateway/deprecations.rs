//! Uses of deprecated versions: each is counted, and the first of each version is said.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whose version it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// A source's, of its events.
    Source(Arc<str>),
    /// A destination's, of its jobs.
    Destination(Arc<str>),
}

impl Owner {
    /// `source` or `destination`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Owner::Source(_) => "source",
            Owner::Destination(_) => "destination",
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Owner::Source(name) | Owner::Destination(name) => name,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}

/// How often deprecated versions were used since the process began. There are as many entries as deprecated versions at
/// most: others are refused before they get here.
#[derive(Debug, Default)]
pub struct Deprecations(Mutex<BTreeMap<(Owner, Arc<str>), u64>>);

impl Deprecations {
    /// Events or jobs, so many, use a deprecated version. The first time it is said.
    pub(super) fn note(&self, owner: Owner, version: &Arc<str>, uses: u64) {
        let key = (owner, Arc::clone(version));
        let is_first = {
            let mut all = self.lock();
            let counted = all.entry(key.clone()).or_default();
            *counted += uses;
            *counted == uses
        };
        if is_first {
            tracing::warn!(of = %key.0, %version, "a deprecated version is in use; it works, is counted from now on, and this is not said again");
        }
    }

    /// Whose versions were used how often, in order.
    #[must_use]
    pub fn uses(&self) -> Vec<(Owner, Arc<str>, u64)> {
        let all = self.lock();
        let uses = all.iter();
        uses.map(|((owner, version), uses)| (owner.clone(), Arc::clone(version), *uses))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Owner, Arc<str>), u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    use super::*;

    /// Counts warnings.
    #[derive(Clone, Default)]
    struct Warnings(Arc<AtomicU64>);

    impl Subscriber for Warnings {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() == Level::WARN
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    /// OPT-05
    #[test]
    fn a_deprecated_version_is_said_once_and_each_use_of_it_is_counted() {
        let (warnings, all) = (Warnings::default(), Deprecations::default());
        let (web, crm) = (
            Owner::Source("web".into()),
            Owner::Destination("crm".into()),
        );
        let (v1, v2): (Arc<str>, Arc<str>) = (Arc::from("v1"), Arc::from("v2"));
        tracing::subscriber::with_default(warnings.clone(), || {
            for uses in [1, 3, 1] {
                all.note(web.clone(), &v1, uses);
            }
            all.note(web.clone(), &v2, 1);
            all.note(crm.clone(), &v1, 2);
        });
        assert_eq!(warnings.0.load(Ordering::SeqCst), 3);
        let expected = [
            (web.clone(), Arc::clone(&v1), 5),
            (web, v2, 1),
            (crm, v1, 2),
        ];
        assert_eq!(all.uses(), expected);
    }
}
