//! What a check found, before anything is started.

/// Something found by a check of a source or destination before anything is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it stops the pipeline or only deserves attention.
    pub severity: Severity,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub fix: Option<String>,
}

/// How bad a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Good,
    /// Works, with a risk worth knowing.
    Warning,
    /// Does not work like this.
    Problem,
}
