//! How often each kind of work passes each place, when nothing fails.

use std::collections::BTreeMap;
use std::sync::Mutex;

use blacksmith_tests::failpoints::Listed;

use super::at_once;
use super::house::House;
use super::work::{self, Work};

/// By kind of work and name; what is not passed is not there.
#[derive(Debug, Default)]
pub(super) struct Passed(BTreeMap<Work, BTreeMap<&'static str, u64>>);

impl Passed {
    /// Does each kind of work once.
    ///
    /// # Panics
    /// When no work passes one of `points`: there is a failpoint that tests nothing.
    pub(super) fn find(points: &[Listed]) -> Passed {
        let plan = points.iter().map(|one| format!("{}=count;", one.name));
        let plan: String = plan.collect();
        let passed = Mutex::new(Passed::default());
        at_once(work::ALL, |work| {
            let house = House::new(work, "");
            let status = house.live(&plan);
            assert_eq!(status.code(), Some(0), "{}", house.pipeline.said_last());
            house.recover();
            let times = points.iter().map(|one| (one.name, house.passed(one.name)));
            let times: BTreeMap<_, _> = times.filter(|(_, times)| *times > 0).collect();
            eprintln!("{work:?} passes {times:?}");
            passed.lock().unwrap().0.insert(work, times);
        });
        let passed = passed.into_inner().unwrap();
        let never = points.iter().map(|one| one.name);
        let never: Vec<&str> = never.filter(|name| passed.works(name).is_empty()).collect();
        assert!(never.is_empty(), "no work passes {never:?}");
        passed
    }

    /// The kinds of work that pass a place.
    pub(super) fn works(&self, name: &str) -> Vec<Work> {
        let works = self.0.iter().filter(|(_, times)| times.contains_key(name));
        works.map(|(work, _)| *work).collect()
    }

    /// How often a kind of work passes a place.
    pub(super) fn times(&self, work: Work, name: &str) -> u64 {
        self.0[&work].get(name).copied().unwrap_or(0)
    }

    /// What else a kind of work passes.
    pub(super) fn elsewhere(&self, work: Work, name: &str) -> Vec<&'static str> {
        let names = self.0[&work].keys().copied();
        names.filter(|other| *other != name).collect()
    }
}
