//! Every kind of query, held against the model.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::super::house::KINDS;
use super::life::Life;
use super::plain::{Event, Model, Row};
use crate::clock::Timestamp;
use crate::flow::Pattern;
use crate::job::{Status, Transition};
use crate::position::{Position, Span};
use crate::query::{Attempts, Filter, Names, Page, Statuses, Times};

impl Life {
    /// Holds every kind of query against the model.
    pub(super) fn check(&self, salt: u64) -> Result<(), TestCaseError> {
        self.check_jobs()?;
        self.check_counts()?;
        self.check_filter(salt)?;
        self.check_history()?;
        let settled = self.house.store.settled_upto().0;
        let open = |position: &u64| (0..2).any(|lane| !self.settled(lane, *position));
        let expected = self.model.events.keys().find(|position| open(position));
        let expected = expected.map_or(self.head(), |first| first - 1);
        prop_assert_eq!(settled.min(self.head()), expected);
        Ok(())
    }

    /// Positions that are no jobs settle with those around them.
    fn settled(&self, lane: usize, position: u64) -> bool {
        self.model.row(lane, position).status.is_settled()
    }

    fn found(&self, filter: &Filter, page: &Page) -> Vec<(u64, usize, Row)> {
        let listed = self.house.query.jobs(filter, page).unwrap();
        listed.rows.into_iter().map(|job| self.of(job)).collect()
    }

    fn of(&self, job: crate::query::JobRow) -> (u64, usize, Row) {
        let lane = self.house.lanes.iter().position(|lane| *lane == job.lane);
        let row = Row {
            status: job.status,
            attempts: job.attempts,
            error: job.error.map(|error| error.to_string()),
        };
        (job.position.0, lane.unwrap(), row)
    }

    fn check_jobs(&self) -> Result<(), TestCaseError> {
        let expected = self.model.jobs(|_, _, _, _| true);
        let everything = Page {
            limit: usize::MAX,
            ..Page::default()
        };
        let found = self.found(&Filter::default(), &everything);
        prop_assert_eq!(&found, &expected);
        let mut paged = Vec::new();
        let mut page = Page {
            limit: 7,
            ..Page::default()
        };
        loop {
            let listed = self.house.query.jobs(&Filter::default(), &page).unwrap();
            paged.extend(listed.rows.into_iter().map(|job| self.of(job)));
            match listed.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        prop_assert_eq!(paged, expected);
        Ok(())
    }

    fn check_counts(&self) -> Result<(), TestCaseError> {
        let query = &self.house.query;
        for status in Status::ALL {
            let mut filter = Filter::default();
            filter.statuses.only.push(status);
            let expected = self.model.jobs(|_, _, _, row| row.status == status);
            prop_assert_eq!(query.count_jobs(&filter).unwrap(), expected.len() as u64);
            let mut events: Vec<u64> = expected
                .iter()
                .map(|(position, ..)| *position)
                .filter(|position| self.model.events[position].kind < KINDS.len())
                .collect();
            events.dedup();
            prop_assert_eq!(query.count_events(&filter).unwrap(), events.len() as u64);
        }
        for (trigger, ..) in KINDS {
            let filter = Filter {
                triggers: names(trigger),
                ..Filter::default()
            };
            let own = self.model.events.values();
            let own =
                own.filter(|event| KINDS.get(event.kind).is_some_and(|kind| kind.0 == trigger));
            prop_assert_eq!(query.count_events(&filter).unwrap(), own.count() as u64);
        }
        Ok(())
    }

    /// A filter that the salt makes up.
    fn check_filter(&self, salt: u64) -> Result<(), TestCaseError> {
        let pick = |bits: u64, of: u64| (salt >> bits) % of;
        let not = Status::ALL[pick(0, 7) as usize];
        let (first, length) = (1 + pick(3, 40), pick(8, 60));
        let span = Span::new(Position(first), Position(first + length));
        let since = Timestamp(pick(14, 200) as i64);
        let min = pick(22, 3) as u32;
        let lane = pick(24, 3) as usize;
        let trigger = pick(26, 3);
        let filter = Filter {
            statuses: Statuses {
                not: vec![not],
                ..Statuses::default()
            },
            positions: Some(span),
            created: Times {
                since: Some(since),
                before: None,
            },
            attempts: Attempts {
                min,
                max: Some(min + 1),
            },
            actions: match lane {
                0 => names("register"),
                1 => names("notify"),
                _ => Names::default(),
            },
            triggers: match trigger {
                0 => names("public.*"),
                1 => Names {
                    not: vec![Pattern::new("signup")],
                    ..Names::default()
                },
                _ => Names::default(),
            },
            ..Filter::default()
        };
        let wanted = |own: usize, position: u64, event: &Event, row: &Row| {
            let name = Model::trigger(event);
            row.status != not
                && span.contains(Position(position))
                && event.received_at >= since
                && (min..=min + 1).contains(&row.attempts)
                && (lane > 1 || own == lane)
                && match trigger {
                    0 => name.starts_with("public."),
                    1 => name != "signup",
                    _ => true,
                }
        };
        let expected = self.model.jobs(wanted);
        let page = Page {
            offset: pick(30, 5),
            limit: 5,
            after: None,
        };
        let query = &self.house.query;
        prop_assert_eq!(query.count_jobs(&filter).unwrap(), expected.len() as u64);
        let selected = query.select(&filter).unwrap();
        let jobs = selected.iter().map(|own| {
            let jobs = query.jobs_in(&own.lane, &own.spans).unwrap();
            assert!(jobs <= query.jobs_in_at_most(&own.lane, &own.spans));
            jobs
        });
        // Other positions may be among the spans, but no other job.
        prop_assert_eq!(jobs.sum::<u64>(), expected.len() as u64);
        let shown = expected.iter().skip(page.offset as usize).take(5);
        let shown: Vec<_> = shown.cloned().collect();
        prop_assert_eq!(self.found(&filter, &page), shown);
        Ok(())
    }

    fn check_history(&self) -> Result<(), TestCaseError> {
        let everything = Filter {
            positions: Some(Span::new(Position(1), Position::MAX)),
            ..Filter::default()
        };
        let page = Page {
            limit: usize::MAX,
            ..Page::default()
        };
        let query = &self.house.query;
        let kept = self.house.store.oldest();
        let rows = query.transitions(&everything, &page).unwrap();
        let found: Vec<_> = rows.into_iter().map(|row| row.transition).collect();
        let count = query.count_transitions(&everything).unwrap();
        prop_assert_eq!(count, found.len() as u64);
        let expected = self.model.transitions.iter().rev();
        let about_kept = |own: &&Transition| own.span.last >= kept;
        let expected: Vec<_> = expected.filter(about_kept).cloned().collect();
        if self.dropped {
            // Those of dropped segments are gone, the newer ones are not.
            prop_assert_eq!(&found[..], &expected[..found.len()]);
        } else {
            prop_assert_eq!(&found, &expected);
        }
        if let Some((position, _)) = self.model.events.last_key_value() {
            let one = Filter {
                job: Some((self.house.lanes[0], Position(*position))),
                ..Filter::default()
            };
            let expected = self.model.transitions.iter().filter(|own| {
                own.lane == self.house.lanes[0] && own.span.contains(Position(*position))
            });
            prop_assert_eq!(
                query.count_transitions(&one).unwrap(),
                expected.count() as u64
            );
        }
        Ok(())
    }
}

fn names(only: &str) -> Names {
    Names {
        only: vec![Pattern::new(only)],
        not: Vec::new(),
    }
}
