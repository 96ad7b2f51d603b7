//! What is to happen where, read from text and strictly: a name that is mistyped would test nothing.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use super::VARIABLE;
use super::points::{Nature, Point};
use crate::error::{Error, Result};

/// What happens at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Kill,
    Hang,
    Error,
    Pause(PathBuf),
    Count,
    Plant,
}

const ACTIONS: &str = "use kill, hang, error, pause:FILE or count, and plant for bugs";

impl Action {
    fn read(text: &str) -> Option<Action> {
        Some(match text {
            "kill" => Action::Kill,
            "hang" => Action::Hang,
            "error" => Action::Error,
            "count" => Action::Count,
            "plant" => Action::Plant,
            _ => Action::Pause(
                text.strip_prefix("pause:")
                    .filter(|file| !file.is_empty())?
                    .into(),
            ),
        })
    }

    /// What it is called.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Action::Kill => "kill",
            Action::Hang => "hang",
            Action::Error => "error",
            Action::Pause(_) => "pause",
            Action::Count => "count",
            Action::Plant => "plant",
        }
    }

    fn suits(&self, nature: Nature) -> bool {
        match self {
            Action::Plant => nature == Nature::Bug,
            Action::Error => nature == Nature::Fails,
            Action::Kill | Action::Hang | Action::Pause(_) | Action::Count => nature != Nature::Bug,
        }
    }
}

/// An action that waits for its time.
#[derive(Debug)]
pub(super) struct Armed {
    pub(super) point: Point,
    pub(super) action: Action,
    /// The time that it waits for, from 1 on.
    pub(super) at: u64,
    /// How many times the place was passed.
    pub(super) passed: AtomicU64,
}

impl Armed {
    /// Reads `name=action` or `name=action@n`.
    fn read(text: &str) -> Result<Armed> {
        let wrong =
            |what: String, help: String| Error::config(format!("{VARIABLE}: {what}")).help(help);
        let Some((name, rest)) = text.split_once('=') else {
            return Err(wrong(
                format!("{text:?} has no action"),
                format!("write name=action; {ACTIONS}"),
            ));
        };
        let Some(point) = Point::ALL
            .iter()
            .copied()
            .find(|point| point.name() == name)
        else {
            let names: Vec<&str> = Point::ALL.iter().map(|point| point.name()).collect();
            return Err(wrong(
                format!("there is no {name:?}"),
                format!("there are: {}", names.join(", ")),
            ));
        };
        let (action, at) = match rest.rsplit_once('@') {
            Some((action, at)) => (action, at.parse().ok().filter(|at| *at > 0)),
            None => (rest, Some(1)),
        };
        let Some(at) = at else {
            return Err(wrong(
                format!("{text:?} says no time"),
                "after @ comes a number from 1 on".into(),
            ));
        };
        match Action::read(action).filter(|action| action.suits(point.nature())) {
            Some(action) => Ok(Armed {
                point,
                action,
                at,
                passed: AtomicU64::new(0),
            }),
            None => Err(wrong(format!("{name} cannot {action:?}"), ACTIONS.into())),
        }
    }
}

/// Everything that is to happen.
#[derive(Debug, Default)]
pub(super) struct Plan(Vec<Armed>);

impl Plan {
    /// Reads what stands in the environment variable.
    ///
    /// # Errors
    /// Config, naming what is wrong, and all names where one is unknown.
    pub(super) fn read(text: &str) -> Result<Plan> {
        let parts = text
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let plan = Plan(parts.map(Armed::read).collect::<Result<_>>()?);
        for (number, armed) in plan.0.iter().enumerate() {
            if plan.0[..number]
                .iter()
                .any(|before| before.point == armed.point)
            {
                let what = format!("{VARIABLE}: {} is there twice", armed.point.name());
                return Err(Error::config(what).help("one action for each place"));
            }
        }
        Ok(plan)
    }

    pub(super) fn at(&self, point: Point) -> Option<&Armed> {
        self.0.iter().find(|armed| armed.point == point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Plan::read(text).unwrap_err().report()
    }

    #[test]
    fn a_plan_says_what_happens_where_and_when() {
        let plan = Plan::read(
            "log.synced=kill@3; parquet.renamed=pause:/tmp/a@b@2;bug.record_unread=plant;",
        )
        .unwrap();
        let armed = plan.at(Point::LogSynced).unwrap();
        assert_eq!((&armed.action, armed.at), (&Action::Kill, 3));
        let armed = plan.at(Point::FileRenamed).unwrap();
        assert_eq!(
            (&armed.action, armed.at),
            (&Action::Pause("/tmp/a@b".into()), 2)
        );
        assert_eq!(plan.at(Point::RecordUnread).unwrap().at, 1);
        assert!(plan.at(Point::LogTaken).is_none());
        assert!(Plan::read("").unwrap().0.is_empty());
    }

    #[test]
    fn what_is_mistyped_is_refused_and_says_what_there_is() {
        let unknown = refusal("log.sinced=kill");
        assert!(unknown.contains("log.sinced"), "{unknown}");
        for point in Point::ALL {
            assert!(unknown.contains(point.name()), "{unknown}");
        }
        assert!(refusal("log.synced").contains("no action"));
        assert!(refusal("log.synced=die").contains("pause:FILE"));
        assert!(refusal("log.synced=pause:").contains("pause:FILE"));
        assert!(refusal("log.synced=kill@0").contains("from 1 on"));
        assert!(refusal("log.synced=kill@often").contains("from 1 on"));
        assert!(refusal("log.synced=kill;log.synced=error").contains("twice"));
    }

    #[test]
    fn an_action_that_does_not_suit_its_place_is_refused() {
        for text in [
            "log.accepted=error",
            "log.synced=plant",
            "bug.record_unread=kill",
        ] {
            assert!(refusal(text).contains("cannot"), "{text}");
        }
    }
}
