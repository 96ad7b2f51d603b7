//! Builders of whole columns: scalars as they are, arrays as lists of scalars.

use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer};
use arrow_schema::ArrowError;

use super::array;
use super::mapping::{Form, Plan};
use super::misfit::{Fit, wrong};
use super::odd::{Odd, Plain};
use super::scalar::{ScalarBuilder, Sent};
use crate::protocol::Value;

/// One column of a table.
#[derive(Debug)]
pub(crate) enum ColumnBuilder {
    One(ScalarBuilder),
    List(ListBuilder),
}

/// A column of arrays.
#[derive(Debug)]
pub(crate) struct ListBuilder {
    plan: Plan,
    element: Form,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
    elements: ScalarBuilder,
    scratch: Vec<u8>,
}

impl ColumnBuilder {
    pub(crate) fn new(plan: Plan) -> Self {
        match plan {
            Plan::One(form) => ColumnBuilder::One(ScalarBuilder::new(form)),
            Plan::List { element, .. } => ColumnBuilder::List(ListBuilder::new(plan, element)),
            Plan::Vector => ColumnBuilder::List(ListBuilder::new(plan, Form::Float4)),
        }
    }

    /// Adds values. Where one does not go into it, the column holds a null, and `odd` says why.
    pub(crate) fn extend<'a>(&mut self, values: impl Iterator<Item = Value<'a>>, odd: &mut Odd) {
        match self {
            ColumnBuilder::One(scalar) => scalar.extend(values, odd),
            ColumnBuilder::List(list) => list.extend(values, odd),
        }
    }

    /// Adds a value that is kept where it lies, or gives it back: see [`ScalarBuilder::keep`].
    pub(crate) fn keep(&mut self, sent: Sent) -> Fit<Option<Sent>> {
        match self {
            ColumnBuilder::One(scalar) => scalar.keep(sent),
            ColumnBuilder::List(_) => Ok(Some(sent)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            ColumnBuilder::One(scalar) => scalar.len(),
            ColumnBuilder::List(list) => list.offsets.len() - 1,
        }
    }

    /// Cuts back to `len` values, if there are more.
    pub(crate) fn truncate(&mut self, len: usize) {
        match self {
            _ if self.len() <= len => {}
            ColumnBuilder::One(scalar) => scalar.truncate(len),
            ColumnBuilder::List(list) => list.truncate(len),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            ColumnBuilder::One(scalar) => scalar.bytes(),
            ColumnBuilder::List(list) => {
                list.elements.bytes() + size_of_val(list.offsets.as_slice())
            }
        }
    }

    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        match self {
            ColumnBuilder::One(scalar) => scalar.finish(),
            ColumnBuilder::List(list) => list.finish(),
        }
    }
}

impl ListBuilder {
    fn new(plan: Plan, element: Form) -> Self {
        ListBuilder {
            plan,
            element,
            offsets: vec![0],
            nulls: NullBufferBuilder::new(0),
            elements: ScalarBuilder::new(element),
            scratch: Vec::new(),
        }
    }

    fn extend<'a>(&mut self, values: impl Iterator<Item = Value<'a>>, odd: &mut Odd) {
        for (row, value) in values.enumerate() {
            let pushed = match odd.plain(row, value) {
                Some(Plain::Text(text)) => self.push_text(text),
                Some(Plain::Binary(binary)) => self.push_binary(binary),
                None => {
                    self.push_null();
                    continue;
                }
            };
            if let Err(misfit) = pushed {
                self.push_null();
                odd.note(row, misfit);
            }
        }
    }

    fn push_text(&mut self, text: &[u8]) -> Fit<()> {
        let elements = &mut self.elements;
        let read = match self.plan {
            Plan::Vector => array::read_vector(text, |element| elements.push(Value::Text(element))),
            Plan::List { delimiter, .. } => array::read_text(
                text,
                delimiter,
                &mut self.scratch,
                |element| match element {
                    Some(element) => elements.push(Value::Text(element)),
                    None => {
                        elements.push_null();
                        Ok(())
                    }
                },
            ),
            Plan::One(_) => wrong("is not an array"),
        };
        self.close(read)
    }

    fn push_binary(&mut self, binary: &[u8]) -> Fit<()> {
        if self.plan == Plan::Vector {
            return wrong("was sent in binary, which is not understood for its type");
        }
        let elements = &mut self.elements;
        let read = array::read_binary(binary, |element| match element {
            Some(element) => elements.push(Value::Binary(element)),
            None => {
                elements.push_null();
                Ok(())
            }
        });
        self.close(read)
    }

    /// Ends a list, or takes back the elements of one that failed.
    fn close(&mut self, read: Fit<()>) -> Fit<()> {
        let end = read.and_then(|()| {
            i32::try_from(self.elements.len())
                .or_else(|_| wrong("makes its column exceed 2^31 elements in one batch"))
        });
        match end {
            Ok(end) => {
                self.offsets.push(end);
                self.nulls.append_non_null();
                Ok(())
            }
            Err(misfit) => {
                self.elements.truncate(self.end() as usize);
                Err(misfit)
            }
        }
    }

    fn end(&self) -> i32 {
        self.offsets.last().copied().unwrap_or(0)
    }

    fn push_null(&mut self) {
        self.offsets.push(self.end());
        self.nulls.append_null();
    }

    fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        self.nulls.truncate(len);
        self.elements.truncate(self.end() as usize);
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let list = ListArray::try_new(
            Arc::new(self.element.list_field()),
            OffsetBuffer::new(offsets.into()),
            self.elements.finish()?,
            self.nulls.finish(),
        )?;
        Ok(Arc::new(list))
    }
}
