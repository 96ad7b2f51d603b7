//! A flow written as data: from a pattern of triggers to a pattern of actions.

use std::fmt;

/// One route: from `source` or `source/trigger` to `destination` or `destination/action`; a
/// trigger or action may contain `*`, which stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The source.
    pub source: String,
    /// Which of its triggers.
    pub trigger: Pattern,
    /// The destination.
    pub destination: String,
    /// Which of its actions.
    pub action: Pattern,
}

impl Route {
    /// A route between two addresses `name` or `name/pattern`.
    #[must_use]
    pub fn between(from: &str, to: &str) -> Route {
        let (source, trigger) = from.split_once('/').unwrap_or((from, "*"));
        let (destination, action) = to.split_once('/').unwrap_or((to, "*"));
        Route {
            source: source.to_owned(),
            trigger: Pattern::new(trigger),
            destination: destination.to_owned(),
            action: Pattern::new(action),
        }
    }

    /// Whether events of this trigger go to this action.
    #[must_use]
    pub fn leads(&self, source: &str, trigger: &str, destination: &str, action: &str) -> bool {
        self.source == source
            && self.destination == destination
            && self.trigger.matches(trigger)
            && self.action.matches(action)
    }
}

/// A name with `*` for any run of characters. Everything else stands for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern written as `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Pattern {
        Pattern(text.into())
    }

    /// Whether `name` fits.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        true
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_and_nothing_else_is_special() {
        let fits = |pattern: &str, name: &str| Pattern::new(pattern).matches(name);
        assert!(fits("public.*", "public.orders") && fits("*", "") && fits("a*b*c", "aXbYbc"));
        assert!(fits("public.orders", "public.orders") && fits("*_log", "audit_log"));
        assert!(!fits("public.a_b", "public.axb") && !fits("public.*", "private.x"));
        assert!(!fits("a*b", "ab c") && !fits("abc", "abcd") && !fits("ab*bc", "abc"));
    }

    #[test]
    fn a_route_without_a_trigger_leads_from_all_of_them() {
        let route = Route::between("shop", "lake/append");
        assert!(route.leads("shop", "public.orders", "lake", "append"));
        assert!(!route.leads("shop", "public.orders", "lake", "merge"));
        assert!(!route.leads("shop2", "public.orders", "lake", "append"));
    }
}
