//! Everything that is wrong with a configuration, gathered before anything is said.
//!
//! Whoever reads settings holds a [`Problems`], a cheap handle to one shared list, and notes what it
//! finds: the tree reader, the engine's own settings, and later each driver for its own keys. One call to
//! [`Problems::check`] then turns the list into one error that names them all.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::error::{Error, Result};

/// Where in the configuration something stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the file; both count from 1, columns in characters.
    At {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// In the environment variable of this name.
    Variable(String),
    /// In the program itself: the key is a path of component names.
    Code,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The full key, as in `sources.shop.url`; empty when the file itself is at fault.
    pub key: String,
    /// What is wrong, without any value that might be a secret.
    pub what: String,
    /// What to do about it; may be empty.
    pub fix: String,
}

/// The list of problems of one configuration file.
#[derive(Debug, Clone)]
pub struct Problems {
    file: Arc<str>,
    list: Arc<Mutex<Vec<Problem>>>,
}

impl Problems {
    /// An empty list for `file`.
    #[must_use]
    pub fn of(file: &str) -> Self {
        Problems {
            file: file.into(),
            list: Arc::default(),
        }
    }

    /// Notes a problem; the same one twice counts once.
    pub fn add(&self, problem: Problem) {
        let mut list = self.lock();
        if !list.contains(&problem) {
            list.push(problem);
        }
    }

    /// All problems so far, in the order of the file.
    #[must_use]
    pub fn list(&self) -> Vec<Problem> {
        let mut list = self.lock().clone();
        list.sort();
        list
    }

    /// Whether nothing is wrong so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Ends the gathering.
    ///
    /// # Errors
    /// [`crate::error::Kind::Config`] with every problem, when there is one.
    pub fn check(&self) -> Result<()> {
        match self.into_error() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// All problems as one error, one per line; nothing when there are none.
    #[must_use]
    pub fn into_error(&self) -> Option<Error> {
        let list = self.list();
        if list.is_empty() {
            return None;
        }
        let count = match list.len() {
            1 => "1 problem".to_owned(),
            many => format!("{many} problems"),
        };
        let mut text = format!("{} has {count}:", self.file);
        for problem in &list {
            text.push_str(&format!("\n  {}", self.line(problem)));
        }
        Some(Error::config(text))
    }

    /// `file:line:column: key: what (fix)`, which editors can jump to.
    fn line(&self, problem: &Problem) -> String {
        let mut text = match &problem.place {
            Place::At { line, column } => format!("{}:{line}:{column}: ", self.file),
            Place::Variable(name) => format!("environment variable {name}: "),
            Place::Code => String::new(),
        };
        if !problem.key.is_empty() {
            text.push_str(&format!("{}: ", problem.key));
        }
        text.push_str(&problem.what);
        if !problem.fix.is_empty() {
            text.push_str(&format!(" ({})", problem.fix));
        }
        text
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Problem>> {
        // A panic while a problem is pushed leaves a whole list.
        self.list
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::At { line, column } => write!(f, "line {line}, column {column}"),
            Place::Variable(name) => write!(f, "environment variable {name}"),
            Place::Code => f.write_str("the program"),
        }
    }
}

/// "did you mean …?" when one of `known` is close to `name`, else the list of what is known.
#[must_use]
pub fn suggestion(name: &str, known: &[&str]) -> String {
    let lower = name.to_lowercase();
    let distance =
        |candidate: &&&str| strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
    let near = known
        .iter()
        .min_by_key(distance)
        .filter(|candidate| distance(candidate) <= 1 + name.chars().count() / 4);
    match near {
        Some(candidate) => format!("did you mean {candidate:?}?"),
        None if known.is_empty() => String::new(),
        None => format!("known: {}", known.join(", ")),
    }
}
