//! The destination that takes everything and keeps nothing: for trying out sources, and for measuring the engine alone.
//!
//! ```toml
//! [destinations.nowhere]
//! driver = "blackhole"
//! takes = "jobs"                 # jobs | rows: what is decoded before it is thrown away
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use blacksmith_core::destination::{Action, Destination, Jobs, Queue, Then, Thens, Toolkit};
use blacksmith_core::error::Result;
use blacksmith_core::finding::{Finding, Severity};
use blacksmith_core::settings::Section;
use blacksmith_core::source::Takes;

/// How a black hole is set up.
#[derive(Debug, Clone)]
pub struct BlackholeOptions {
    /// The destination's name in the configuration.
    pub name: String,
    /// What is decoded before it is thrown away. Default: jobs.
    pub takes: Takes,
}

impl BlackholeOptions {
    /// Reads the destination `name` from its section; what is wrong goes into the section's problems.
    #[must_use]
    pub fn read(name: &str, mut section: Section) -> BlackholeOptions {
        let words = [("jobs", Takes::Jobs), ("rows", Takes::Rows)];
        let takes = section.take_enum("takes", &words).or(Takes::Jobs);
        section.finish();
        BlackholeOptions {
            name: name.to_owned(),
            takes,
        }
    }
}

/// What a black hole has swallowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swallowed {
    /// Batches.
    pub loads: u64,
    /// Jobs, or rows when it takes rows.
    pub items: u64,
}

/// Takes everything and keeps nothing. Its action is `swallow`.
#[derive(Debug)]
pub struct Blackhole {
    name: String,
    swallow: Arc<Swallow>,
}

impl Blackhole {
    /// The destination that `options` describe.
    #[must_use]
    pub fn new(options: &BlackholeOptions) -> Blackhole {
        Blackhole {
            name: options.name.clone(),
            swallow: Arc::new(Swallow {
                takes: options.takes,
                loads: AtomicU64::new(0),
                items: AtomicU64::new(0),
            }),
        }
    }

    /// What it has swallowed so far.
    #[must_use]
    pub fn swallowed(&self) -> Swallowed {
        self.swallow.swallowed()
    }
}

#[async_trait]
impl Destination for Blackhole {
    fn name(&self) -> &str {
        &self.name
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        vec![Arc::clone(&self.swallow) as Arc<dyn Action>]
    }

    async fn check(&self) -> Vec<Finding> {
        vec![Finding {
            severity: Severity::Good,
            what: "whatever comes here is thrown away".into(),
            fix: None,
        }]
    }
}

#[derive(Debug)]
struct Swallow {
    takes: Takes,
    loads: AtomicU64,
    items: AtomicU64,
}

impl Swallow {
    fn swallowed(&self) -> Swallowed {
        Swallowed {
            loads: self.loads.load(Ordering::Relaxed),
            items: self.items.load(Ordering::Relaxed),
        }
    }

    async fn next(&self, queue: &mut Queue) -> Result<Option<usize>> {
        Ok(match self.takes {
            Takes::Jobs => queue.next_jobs().await?.map(|jobs| jobs.len()),
            Takes::Rows => queue.next().await?.map(|rows| rows.rows.num_rows()),
        })
    }
}

#[async_trait]
impl Action for Swallow {
    fn name(&self) -> &str {
        "swallow"
    }

    fn takes(&self) -> Takes {
        self.takes
    }

    async fn load(&self, _: &Toolkit, queue: &mut Queue, then: &Thens) -> Result<()> {
        let mut items = 0;
        while let Some(count) = self.next(queue).await? {
            items += count as u64;
        }
        self.items.fetch_add(items, Ordering::Relaxed);
        self.loads.fetch_add(1, Ordering::Relaxed);
        then.send(Then::succeeded(Jobs::All));
        Ok(())
    }

    async fn shutdown(&self) -> Result<()> {
        let Swallowed { loads, items } = self.swallowed();
        tracing::info!(loads, items, "swallowed");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use blacksmith_core::settings::Environment;

    use super::*;
    use crate::by_hand::{jobs, load};

    /// DST-01 DST-03 CON-03
    #[tokio::test]
    async fn everything_is_taken_and_counted() {
        let (section, problems) =
            Section::parse("b.toml", "takes = 'jobs'", &Environment::default()).unwrap();
        let hole = Blackhole::new(&BlackholeOptions::read("nowhere", section));
        problems.check().unwrap();
        let action = hole.actions().remove(0);
        assert!(load(&*action, jobs(1, 10), 1).await.all_succeeded());
        assert!(load(&*action, jobs(11, 11), 1).await.all_succeeded());
        assert_eq!(
            hole.swallowed(),
            Swallowed {
                loads: 2,
                items: 11
            }
        );
        assert_eq!((hole.name(), action.name()), ("nowhere", "swallow"));
    }
}
