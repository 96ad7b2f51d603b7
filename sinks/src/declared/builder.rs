//! A column being filled.

use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int32Builder, Int64Builder,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, ListArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer};
use arrow_schema::ArrowError;

use super::fit::Fitted;
use super::kind::Kind;

/// Values of one kind, one after the other.
pub(super) enum Builder {
    Text(StringBuilder),
    Bool(BooleanBuilder),
    Int(Int32Builder),
    BigInt(Int64Builder),
    Double(Float64Builder),
    Decimal(Decimal128Builder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    List(Box<Lists>),
}

/// Lists, their items one after the other.
pub(super) struct Lists {
    item: Kind,
    items: Builder,
    lengths: Vec<usize>,
    nulls: NullBufferBuilder,
}

impl Builder {
    pub(super) fn of(kind: &Kind) -> Builder {
        match kind {
            Kind::Text | Kind::Json => Builder::Text(StringBuilder::new()),
            Kind::Bool => Builder::Bool(BooleanBuilder::new()),
            Kind::Int => Builder::Int(Int32Builder::new()),
            Kind::BigInt => Builder::BigInt(Int64Builder::new()),
            Kind::Double => Builder::Double(Float64Builder::new()),
            Kind::Decimal(..) => {
                Builder::Decimal(Decimal128Builder::new().with_data_type(kind.data_type()))
            }
            Kind::Date => Builder::Date(Date32Builder::new()),
            Kind::Timestamp | Kind::TimestampTz => Builder::Timestamp(
                TimestampMicrosecondBuilder::new().with_data_type(kind.data_type()),
            ),
            Kind::List(item) => Builder::List(Box::new(Lists {
                items: Builder::of(item),
                item: (**item).clone(),
                lengths: Vec::new(),
                nulls: NullBufferBuilder::new(0),
            })),
        }
    }

    /// Adds a value that was fitted to this kind; null where there is none.
    pub(super) fn push(&mut self, value: Fitted<'_>) {
        match (self, value) {
            (Builder::Text(values), Fitted::Text(text)) => values.append_value(text),
            (Builder::Bool(values), Fitted::Bool(value)) => values.append_value(value),
            // Fitted to 32 bits.
            (Builder::Int(values), Fitted::Whole(number)) => values.append_value(number as i32),
            (Builder::BigInt(values), Fitted::Whole(number)) => values.append_value(number),
            (Builder::Double(values), Fitted::Double(number)) => values.append_value(number),
            (Builder::Decimal(values), Fitted::Decimal(number)) => values.append_value(number),
            // Days of years of four digits.
            (Builder::Date(values), Fitted::Whole(days)) => values.append_value(days as i32),
            (Builder::Timestamp(values), Fitted::Whole(micros)) => values.append_value(micros),
            (Builder::List(lists), Fitted::List(items)) => lists.push(items),
            (other, _) => other.push_null(),
        }
    }

    fn push_null(&mut self) {
        match self {
            Builder::Text(values) => values.append_null(),
            Builder::Bool(values) => values.append_null(),
            Builder::Int(values) => values.append_null(),
            Builder::BigInt(values) => values.append_null(),
            Builder::Double(values) => values.append_null(),
            Builder::Decimal(values) => values.append_null(),
            Builder::Date(values) => values.append_null(),
            Builder::Timestamp(values) => values.append_null(),
            Builder::List(lists) => {
                lists.lengths.push(0);
                lists.nulls.append_null();
            }
        }
    }

    /// The column.
    ///
    /// # Errors
    /// When lists do not go together with their items, which they do.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Builder::Text(values) => Arc::new(values.finish()),
            Builder::Bool(values) => Arc::new(values.finish()),
            Builder::Int(values) => Arc::new(values.finish()),
            Builder::BigInt(values) => Arc::new(values.finish()),
            Builder::Double(values) => Arc::new(values.finish()),
            Builder::Decimal(values) => Arc::new(values.finish()),
            Builder::Date(values) => Arc::new(values.finish()),
            Builder::Timestamp(values) => Arc::new(values.finish()),
            Builder::List(lists) => Arc::new(lists.finish()?),
        })
    }
}

impl Lists {
    fn push(&mut self, items: Vec<Fitted<'_>>) {
        self.lengths.push(items.len());
        self.nulls.append_non_null();
        items.into_iter().for_each(|item| self.items.push(item));
    }

    fn finish(&mut self) -> Result<ListArray, ArrowError> {
        let offsets = OffsetBuffer::from_lengths(self.lengths.drain(..));
        let (field, nulls) = (self.item.list_field(), self.nulls.finish());
        ListArray::try_new(field, offsets, self.items.finish()?, nulls)
    }
}
