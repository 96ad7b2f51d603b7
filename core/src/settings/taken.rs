//! What follows when a key is missing: a default, nothing, or a problem.

use std::fmt::Display;

use super::section::Section;

/// A value taken from a [`Section`], waiting to hear what its absence means. A value that was there but
/// wrong is reported already, and then counts as absent.
#[must_use = "say what follows when the key is missing: required, optional or or"]
#[derive(Debug)]
pub struct Taken<'a, T> {
    section: &'a Section,
    key: String,
    found: Found<T>,
}

#[derive(Debug)]
pub(super) enum Found<T> {
    Value(T),
    Missing,
    Wrong,
}

impl<'a, T> Taken<'a, T> {
    pub(super) fn of(section: &'a Section, key: &str, found: Found<T>) -> Self {
        Taken {
            section,
            key: key.to_owned(),
            found,
        }
    }

    /// The value, or nothing.
    #[must_use]
    pub fn optional(self) -> Option<T> {
        match self.found {
            Found::Value(value) => Some(value),
            Found::Missing | Found::Wrong => None,
        }
    }

    /// The value, or `default`.
    pub fn or(self, default: T) -> T {
        self.optional().unwrap_or(default)
    }

    /// The value; its absence is a problem, which is noted, and then there is none.
    #[must_use]
    pub fn required(self) -> Option<T> {
        if let Found::Missing = self.found {
            let (section, key) = (self.section, &self.key);
            let fix = match section.path() {
                "" => format!("add {key} = … at the top"),
                path => format!("add {key} = … under [{path}]"),
            };
            section.report(key, "this key is required", fix);
        }
        self.optional()
    }

    /// Keeps a value only if `holds`; else notes `what` and `fix`.
    pub fn checked(mut self, holds: impl FnOnce(&T) -> bool, what: &str, fix: &str) -> Self {
        if let Found::Value(value) = &self.found
            && !holds(value)
        {
            self.section.report(&self.key, what, fix);
            self.found = Found::Wrong;
        }
        self
    }
}

impl<T: PartialOrd + Display> Taken<'_, T> {
    /// Keeps a value only from `least` to `most`, both included.
    pub fn within(self, least: T, most: T) -> Self {
        let what = format!("out of range: from {least} to {most}");
        self.checked(|value| (&least..=&most).contains(&value), &what, "")
    }
}
