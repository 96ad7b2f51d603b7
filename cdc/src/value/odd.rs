//! What is out of the ordinary among the values of a sheet: noted while columns are filled, told of its row afterwards.

use super::misfit::Misfit;
use crate::protocol::Value;
use crate::protocol::copy::unescape;

/// Why a row cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Index of the column, when it is one.
    pub(crate) column: Option<usize>,
    /// What is wrong, without the value.
    pub(crate) what: &'static str,
}

pub(crate) const OTHER_COLUMNS: Failure = Failure {
    column: None,
    what: "it has another number of columns than the table",
};

/// A value in one of the two forms that types are read from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plain<'a> {
    Text(&'a [u8]),
    Binary(&'a [u8]),
}

/// Where a value stands: its row, then its column, both counted in the sheet.
pub(crate) type Place = (usize, usize);

/// The notes of one pass over a sheet.
#[derive(Debug, Default)]
pub(crate) struct Odd {
    /// The column at hand.
    column: usize,
    /// What the source did not send.
    pub(crate) unchanged: Vec<Place>,
    /// What its column cannot hold.
    pub(crate) beyond: Vec<Place>,
    /// Rows that cannot be read, at the first of their columns that says so.
    pub(crate) wrong: Vec<(usize, Failure)>,
    /// Text without its escapes.
    unescaped: Vec<u8>,
}

impl Odd {
    /// Begins the next column.
    pub(crate) fn begin(&mut self, column: usize) {
        self.column = column;
    }

    /// What is to be read of `value`; nothing when it is null, or was not sent.
    #[inline]
    pub(crate) fn plain<'a>(&'a mut self, row: usize, value: Value<'a>) -> Option<Plain<'a>> {
        match value {
            Value::Binary(binary) => Some(Plain::Binary(binary)),
            Value::Text(text) => Some(Plain::Text(text)),
            Value::Null => None,
            Value::Unchanged => {
                self.unchanged.push((row, self.column));
                None
            }
            Value::Escaped(field) => {
                self.unescaped.clear();
                unescape(field, &mut self.unescaped);
                Some(Plain::Text(&self.unescaped))
            }
        }
    }

    /// Notes that the value of this row does not go into its column, which holds a null instead.
    #[cold]
    pub(crate) fn note(&mut self, row: usize, misfit: Misfit) {
        match misfit {
            Misfit::Beyond => self.beyond.push((row, self.column)),
            Misfit::Wrong(what) => self.refuse(
                row,
                Failure {
                    column: Some(self.column),
                    what,
                },
            ),
        }
    }

    /// Takes over the notes of one value, which is this row's.
    pub(crate) fn add(&mut self, row: usize, one: &Odd) {
        if !one.unchanged.is_empty() {
            self.unchanged.push((row, self.column));
        }
        if let Some(misfit) = one.first() {
            self.note(row, misfit);
        }
    }

    /// Notes that this row cannot be read.
    pub(crate) fn refuse(&mut self, row: usize, failure: Failure) {
        self.wrong.push((row, failure));
    }

    /// The first misfit of a column that is read alone.
    pub(crate) fn first(&self) -> Option<Misfit> {
        match (self.wrong.first(), self.beyond.first()) {
            (Some((_, failure)), _) => Some(Misfit::Wrong(failure.what)),
            (None, Some(_)) => Some(Misfit::Beyond),
            (None, None) => None,
        }
    }
}
