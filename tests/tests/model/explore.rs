//! Walks every state that can be reached, the nearest first.

use std::collections::hash_map::{Entry, HashMap};
use std::fmt;

use crate::world::{Step, World};

/// What a walk found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) states: usize,
    /// What is wrong at the end of `path`, if anything is anywhere: no shorter path leads to something wrong.
    pub(crate) flaw: Option<String>,
    path: Vec<Step>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} states", self.states)?;
        if let Some(flaw) = &self.flaw {
            write!(f, "; {flaw}:")?;
            for step in &self.path {
                write!(f, "\n  {step:?}")?;
            }
        }
        Ok(())
    }
}

/// The states so far, each with the step that first led there.
#[derive(Default)]
struct Walk {
    known: HashMap<World, usize>,
    /// By number: the state before and the step from there.
    from: Vec<Option<(usize, Step)>>,
    /// By number: the states from which a step leads here.
    before: Vec<Vec<usize>>,
    goals: Vec<usize>,
}

impl Walk {
    /// The number of `world`, and whether it is new.
    fn number(&mut self, world: &World, from: Option<(usize, Step)>) -> (usize, bool) {
        let next = self.from.len();
        let before = from.as_ref().map(|(before, _)| *before);
        let (number, is_new) = match self.known.entry(world.clone()) {
            Entry::Occupied(known) => (*known.get(), false),
            Entry::Vacant(free) => {
                free.insert(next);
                self.from.push(from);
                self.before.push(Vec::new());
                if world.is_done() {
                    self.goals.push(next);
                }
                (next, true)
            }
        };
        self.before[number].extend(before);
        (number, is_new)
    }

    fn found(&self, flaw: Option<(usize, String)>) -> Found {
        let mut path = Vec::new();
        let mut at = flaw.as_ref().map_or(0, |(number, _)| *number);
        while let Some((before, step)) = &self.from[at] {
            path.push(step.clone());
            at = *before;
        }
        path.reverse();
        Found {
            states: self.from.len(),
            flaw: flaw.map(|(_, flaw)| flaw),
            path,
        }
    }

    /// The nearest state from which no goal can be reached.
    fn stuck(&self) -> Option<usize> {
        let mut reaches = vec![false; self.from.len()];
        let mut waiting = self.goals.clone();
        while let Some(number) = waiting.pop() {
            if !std::mem::replace(&mut reaches[number], true) {
                waiting.extend(&self.before[number]);
            }
        }
        reaches.iter().position(|reaches| !reaches)
    }
}

/// Walks from `start` along `steps` until something is wrong, or everything is seen.
///
/// # Panics
/// When there are more than `states_max` states.
pub(crate) fn explore(
    start: World,
    steps: impl Fn(&World) -> Vec<(Step, World)>,
    states_max: usize,
) -> Found {
    let mut walk = Walk::default();
    let (number, _) = walk.number(&start, None);
    let mut level = vec![(number, start)];
    while !level.is_empty() {
        let mut next = Vec::new();
        for (number, world) in level {
            for (step, after) in steps(&world) {
                let (own, is_new) = walk.number(&after, Some((number, step)));
                if !is_new {
                    continue;
                }
                if let Some(flaw) = after.flaw() {
                    return walk.found(Some((own, flaw)));
                }
                next.push((own, after));
            }
        }
        assert!(
            walk.from.len() <= states_max,
            "more than {states_max} states"
        );
        level = next;
    }
    let stuck = walk.stuck();
    walk.found(stuck.map(|number| (number, "from here nothing gets done any more".to_owned())))
}
