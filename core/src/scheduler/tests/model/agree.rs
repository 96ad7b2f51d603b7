//! Whether the store and every query say of each job what its row says.

use super::life::Life;
use super::rows::Row;
use super::*;
use crate::flow::Pattern;
use crate::job::Status;
use crate::query::{Attempts, Filter, JobRow, Names, Page, Statuses, Times};

/// A job as a list has it: its position, its lane and where it stands.
type Listed = (u64, usize, Status, u32);

impl Life {
    /// Holds everything that can be asked against the rows.
    pub(super) fn check(&self, salt: u64) {
        self.check_histories();
        self.check_jobs();
        self.check_counts();
        self.check_filter(salt);
        self.check_transitions();
        assert_eq!(self.children, self.rows.children, "each child exactly once");
        let late = self.rows.late(self.elapsed());
        assert!(
            late.is_none(),
            "{:?}",
            late.map(|key| (key, &self.rows.rows[&key]))
        );
        for (lane, id) in self.lane_ids.iter().enumerate() {
            let mut own = self.rows.rows.range((lane, 0)..(lane + 1, 0));
            let open = own.find(|(_, row)| !row.is_settled());
            let settled = self.store.settled_in(*id).unwrap().0;
            assert!(open.is_none_or(|((_, first), _)| settled < *first));
        }
    }

    fn check_histories(&self) {
        for (key, history) in self.histories() {
            let row = &self.rows.rows[&key];
            assert_eq!(history, row.past, "{key:?}: {row:?}");
        }
    }

    fn check_jobs(&self) {
        let everything = Page {
            limit: usize::MAX,
            ..Page::default()
        };
        let listed = self.process().query.jobs(&Filter::default(), &everything);
        let listed = listed.unwrap().rows;
        let found: Vec<_> = listed.iter().map(|job| self.listed(job)).collect();
        assert_eq!(found, self.expected(|_, _| true));
        for job in &listed {
            let row = &self.rows.rows[&(self.lane(job), job.position.0)];
            let parent = job.parent.map(|id| {
                let lane = self.lane_ids.iter().position(|own| Some(*own) == id.lane());
                (lane.unwrap(), id.position().unwrap().0)
            });
            assert_eq!(parent, row.parent, "{job:?}");
            let (error, why) = (job.error.as_deref(), row.error.as_deref());
            let same = match (error, why) {
                (Some(error), Some(why)) => error.contains(why),
                (error, why) => error == why,
            };
            assert!(same, "{error:?} instead of {why:?}");
        }
        let paged: Vec<_> = self.paged().iter().map(|job| self.listed(job)).collect();
        assert_eq!(paged, found);
    }

    /// All jobs, page by page.
    fn paged(&self) -> Vec<JobRow> {
        let mut page = Page {
            limit: 7,
            ..Page::default()
        };
        let mut all = Vec::new();
        loop {
            let listed = self
                .process()
                .query
                .jobs(&Filter::default(), &page)
                .unwrap();
            all.extend(listed.rows);
            match listed.next {
                Some(next) => page.after = Some(next),
                None => return all,
            }
        }
    }

    fn lane(&self, job: &JobRow) -> usize {
        let mut ids = self.lane_ids.iter();
        ids.position(|own| *own == job.lane).unwrap()
    }

    fn listed(&self, job: &JobRow) -> Listed {
        (job.position.0, self.lane(job), job.status, job.attempts)
    }

    /// The jobs that are wanted, newest first and in the order of lanes.
    fn expected(&self, wanted: impl Fn(&(usize, u64), &Row) -> bool) -> Vec<Listed> {
        let rows = self.rows.rows.iter().filter(|(key, row)| wanted(key, row));
        let mut expected: Vec<_> = rows
            .map(|((lane, at), row)| (*at, *lane, row.status, row.attempts))
            .collect();
        expected.sort_by_key(|(at, lane, ..)| (std::cmp::Reverse(*at), *lane));
        expected
    }

    fn check_counts(&self) {
        let query = &self.process().query;
        for status in Status::ALL {
            let filter = Filter {
                statuses: Statuses {
                    only: vec![status],
                    ..Statuses::default()
                },
                ..Filter::default()
            };
            let expected = self.expected(|_, row| row.status == status).len() as u64;
            assert_eq!(query.count_jobs(&filter).unwrap(), expected, "{status}");
        }
        for (index, trigger) in TRIGGERS.iter().enumerate() {
            let filter = Filter {
                triggers: names(trigger),
                ..Filter::default()
            };
            let own = self.known.values();
            let own = own.filter(|known| known.is_event && known.trigger == index);
            assert_eq!(query.count_events(&filter).unwrap(), own.count() as u64);
        }
    }

    /// A filter that the salt makes up.
    fn check_filter(&self, salt: u64) {
        let pick = |bits: u64, of: u64| (salt >> bits) % of;
        let not = Status::ALL[pick(0, 7) as usize];
        let (first, length) = (1 + pick(3, 40), pick(8, 60));
        let lane = pick(14, 4) as usize;
        let min = pick(16, 3) as u32;
        let received = self.known.values().map(|known| known.received_at);
        let received: Vec<_> = received.collect();
        let since = match received.len() as u64 {
            0 => Timestamp(0),
            len => received[pick(20, len) as usize],
        };
        let filter = Filter {
            statuses: Statuses {
                not: vec![not],
                ..Statuses::default()
            },
            positions: Some(span(first, first + length)),
            created: Times {
                since: Some(since),
                before: None,
            },
            attempts: Attempts {
                min,
                max: Some(min + 2),
            },
            actions: NAMES.get(lane).map(|name| names(name)).unwrap_or_default(),
            ..Filter::default()
        };
        let wanted = |key: &(usize, u64), row: &Row| {
            row.status != not
                && (first..=first + length).contains(&key.1)
                && self.known[&key.1].received_at >= since
                && (min..=min + 2).contains(&row.attempts)
                && (lane >= NAMES.len() || key.0 == lane)
        };
        let expected = self.expected(wanted);
        let query = &self.process().query;
        assert_eq!(query.count_jobs(&filter).unwrap(), expected.len() as u64);
        let page = Page {
            limit: 9,
            ..Page::default()
        };
        let found = query.jobs(&filter, &page).unwrap().rows;
        let found: Vec<_> = found.iter().map(|job| self.listed(job)).collect();
        assert_eq!(found, expected.into_iter().take(9).collect::<Vec<_>>());
    }

    /// The newest first, and as many as are counted.
    fn check_transitions(&self) {
        let all = Span::new(Position::FIRST, Position::MAX);
        let mut expected = self.store.transitions(None, all, usize::MAX).unwrap();
        expected.reverse();
        let filter = Filter {
            positions: Some(all),
            ..Filter::default()
        };
        let page = Page {
            limit: usize::MAX,
            ..Page::default()
        };
        let query = &self.process().query;
        let found = query.transitions(&filter, &page).unwrap().into_iter();
        let found: Vec<_> = found.map(|row| row.transition).collect();
        assert_eq!(
            query.count_transitions(&filter).unwrap(),
            found.len() as u64
        );
        assert_eq!(found, expected);
    }
}

fn names(only: &str) -> Names {
    Names {
        only: vec![Pattern::new(only)],
        not: Vec::new(),
    }
}
