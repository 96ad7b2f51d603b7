//! Why a value does not go into its column.

/// The two ways in which a value can fail its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// A true value that the Arrow type cannot hold: it goes to `_as_text`.
    Beyond,
    /// Bytes that are no value of the type; says what is wrong. The row cannot be read.
    Wrong(&'static str),
}

/// A value read, or why not.
pub(crate) type Fit<T> = Result<T, Misfit>;

/// Shorthand for the bytes that are no value.
pub(crate) fn wrong<T>(what: &'static str) -> Fit<T> {
    Err(Misfit::Wrong(what))
}
