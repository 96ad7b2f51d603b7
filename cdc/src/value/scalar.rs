//! Builders of scalar columns: a value's bytes in, an Arrow array out.
//!
//! Whole columns are added at once, each in a loop that knows its type: what does not fit leaves a null in its place, and a note.

use std::sync::Arc;

use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
};
use arrow_array::{ArrayRef, BooleanArray, FixedSizeBinaryArray};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBufferBuilder, i256};
use arrow_schema::ArrowError;

use super::buffer::{Bytes, Fixed, check_utf8};
use super::bytea;
use super::calendar;
use super::mapping::Form;
use super::misfit::{Fit, Misfit};
use super::number::{fixed, float, integer, one_nan};
use super::numeric::Bounds;
use super::odd::{Odd, Plain};
use super::text;
use crate::protocol::Value;

/// What stands before the text of a binary jsonb.
const JSONB_VERSION: u8 = 1;

/// A value as it was sent, in memory of its own or together with others.
#[derive(Debug)]
pub(crate) enum Sent {
    Text(bytes::Bytes),
    Binary(bytes::Bytes),
}

/// A column of one form. The variant is chosen once; a push is one branch away from its value.
#[derive(Debug)]
pub(crate) enum ScalarBuilder {
    Bool(BooleanBufferBuilder, NullBufferBuilder),
    Int2(Fixed<Int16Type>),
    Int4(Fixed<Int32Type>),
    Int8(Fixed<Int64Type>),
    Oid(Fixed<UInt32Type>),
    Float4(Fixed<Float32Type>),
    Float8(Fixed<Float64Type>),
    Decimal128(Fixed<Decimal128Type>, Bounds<i128>, (u8, i8)),
    Decimal256(Fixed<Decimal256Type>, Bounds<i256>, (u8, i8)),
    Bytea(Bytes),
    Uuid(Vec<u8>, NullBufferBuilder),
    Date(Fixed<Date32Type>),
    Time(Fixed<Time64MicrosecondType>),
    Timestamp(Fixed<TimestampMicrosecondType>, Option<&'static str>),
    Text(Bytes, Form),
}

impl ScalarBuilder {
    pub(crate) fn new(form: Form) -> Self {
        match form {
            Form::Bool => {
                ScalarBuilder::Bool(BooleanBufferBuilder::new(0), NullBufferBuilder::new(0))
            }
            Form::Int2 => ScalarBuilder::Int2(Fixed::new()),
            Form::Int4 => ScalarBuilder::Int4(Fixed::new()),
            Form::Int8 => ScalarBuilder::Int8(Fixed::new()),
            Form::Oid => ScalarBuilder::Oid(Fixed::new()),
            Form::Float4 => ScalarBuilder::Float4(Fixed::new()),
            Form::Float8 => ScalarBuilder::Float8(Fixed::new()),
            Form::Decimal128 { precision, scale } => {
                match Bounds::new(precision.into(), scale.into()) {
                    Some(bounds) => {
                        ScalarBuilder::Decimal128(Fixed::new(), bounds, (precision, scale as i8))
                    }
                    None => ScalarBuilder::Text(Bytes::new(), Form::Numeric),
                }
            }
            Form::Decimal256 { precision, scale } => {
                match Bounds::new(precision.into(), scale.into()) {
                    Some(bounds) => {
                        ScalarBuilder::Decimal256(Fixed::new(), bounds, (precision, scale as i8))
                    }
                    None => ScalarBuilder::Text(Bytes::new(), Form::Numeric),
                }
            }
            Form::Bytea => ScalarBuilder::Bytea(Bytes::new()),
            Form::Uuid => ScalarBuilder::Uuid(Vec::new(), NullBufferBuilder::new(0)),
            Form::Date => ScalarBuilder::Date(Fixed::new()),
            Form::Time => ScalarBuilder::Time(Fixed::new()),
            Form::Timestamp => ScalarBuilder::Timestamp(Fixed::new(), None),
            Form::TimestampTz => ScalarBuilder::Timestamp(Fixed::new(), Some("UTC")),
            Form::Text
            | Form::Char
            | Form::Jsonb
            | Form::Numeric
            | Form::TimeTz
            | Form::Interval
            | Form::Opaque => ScalarBuilder::Text(Bytes::new(), form),
        }
    }

    /// Adds the values of a column. Where one does not go into it, it holds a null, and `odd` says why.
    pub(crate) fn extend<'a>(&mut self, values: impl Iterator<Item = Value<'a>>, odd: &mut Odd) {
        match self {
            ScalarBuilder::Bool(column, nulls) => extend_bools(column, nulls, values, odd),
            ScalarBuilder::Int2(column) => column.extend(values, odd, integer, |sent| {
                Ok(i16::from_be_bytes(fixed(sent)?))
            }),
            ScalarBuilder::Int4(column) => column.extend(values, odd, integer, |sent| {
                Ok(i32::from_be_bytes(fixed(sent)?))
            }),
            ScalarBuilder::Int8(column) => column.extend(values, odd, integer, |sent| {
                Ok(i64::from_be_bytes(fixed(sent)?))
            }),
            ScalarBuilder::Oid(column) => column.extend(values, odd, integer, |sent| {
                Ok(u32::from_be_bytes(fixed(sent)?))
            }),
            ScalarBuilder::Float4(column) => column.extend(values, odd, float, |sent| {
                Ok(one_nan(f32::from_be_bytes(fixed(sent)?)))
            }),
            ScalarBuilder::Float8(column) => column.extend(values, odd, float, |sent| {
                Ok(one_nan(f64::from_be_bytes(fixed(sent)?)))
            }),
            ScalarBuilder::Decimal128(column, bounds, _) => {
                let bounds = *bounds;
                let text = |sent: &[u8]| bounds.read_text(sent);
                column.extend(values, odd, text, |sent| bounds.read_binary(sent));
            }
            ScalarBuilder::Decimal256(column, bounds, _) => {
                let bounds = *bounds;
                let text = |sent: &[u8]| bounds.read_text(sent);
                column.extend(values, odd, text, |sent| bounds.read_binary(sent));
            }
            ScalarBuilder::Bytea(column) => column.extend(values, odd, bytea::read, as_sent),
            ScalarBuilder::Uuid(column, nulls) => extend_uuids(column, nulls, values, odd),
            ScalarBuilder::Date(column) => {
                column.extend(values, odd, calendar::date, calendar::date_binary);
            }
            ScalarBuilder::Time(column) => {
                column.extend(values, odd, calendar::time, calendar::time_binary);
            }
            ScalarBuilder::Timestamp(column, _) => {
                column.extend(values, odd, calendar::timestamp, calendar::timestamp_binary);
            }
            ScalarBuilder::Text(column, Form::Text) => {
                column.extend_text(values, odd, as_sent, as_sent);
            }
            ScalarBuilder::Text(column, Form::Char) => {
                let write = |sent: &[u8], data: &mut Vec<u8>| {
                    text::write_char(sent, data);
                    Ok(())
                };
                column.extend_text(values, odd, write, write);
            }
            ScalarBuilder::Text(column, form) => {
                let form = *form;
                column.extend_text(values, odd, as_sent, |sent, data| {
                    text::write_scalar(form, sent, data)
                });
            }
        }
    }

    /// Adds one value, as [`ScalarBuilder::extend`] does, and says why it is a null instead.
    pub(crate) fn push(&mut self, value: Value<'_>) -> Fit<()> {
        let mut odd = Odd::default();
        self.extend(std::iter::once(value), &mut odd);
        odd.first().map_or(Ok(()), Err)
    }

    /// Adds a value that is kept where it lies, when what was sent is what its column holds; else does nothing and
    /// gives it back.
    pub(crate) fn keep(&mut self, sent: Sent) -> Fit<Option<Sent>> {
        let (column, value) = match (self, sent) {
            (ScalarBuilder::Bytea(column), Sent::Binary(binary)) => {
                column.keep(binary)?;
                return Ok(None);
            }
            (ScalarBuilder::Text(column, Form::Text), Sent::Binary(binary)) => (column, binary),
            (ScalarBuilder::Text(column, Form::Jsonb), Sent::Binary(binary))
                if binary.first() == Some(&JSONB_VERSION) =>
            {
                (column, binary.slice(1..))
            }
            (ScalarBuilder::Text(column, form), Sent::Text(text)) if *form != Form::Char => {
                (column, text)
            }
            (_, sent) => return Ok(Some(sent)),
        };
        check_utf8(&value)?;
        column.keep(value)?;
        Ok(None)
    }

    pub(crate) fn push_null(&mut self) {
        match self {
            ScalarBuilder::Bool(values, nulls) => {
                values.append(false);
                nulls.append_null();
            }
            ScalarBuilder::Int2(column) => column.push_null(),
            ScalarBuilder::Int4(column) => column.push_null(),
            ScalarBuilder::Int8(column) => column.push_null(),
            ScalarBuilder::Oid(column) => column.push_null(),
            ScalarBuilder::Float4(column) => column.push_null(),
            ScalarBuilder::Float8(column) => column.push_null(),
            ScalarBuilder::Decimal128(column, ..) => column.push_null(),
            ScalarBuilder::Decimal256(column, ..) => column.push_null(),
            ScalarBuilder::Bytea(column) | ScalarBuilder::Text(column, _) => column.push_null(),
            ScalarBuilder::Uuid(values, nulls) => {
                values.extend_from_slice(&[0; 16]);
                nulls.append_null();
            }
            ScalarBuilder::Date(column) => column.push_null(),
            ScalarBuilder::Time(column) => column.push_null(),
            ScalarBuilder::Timestamp(column, _) => column.push_null(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            ScalarBuilder::Bool(values, _) => values.len(),
            ScalarBuilder::Int2(column) => column.len(),
            ScalarBuilder::Int4(column) => column.len(),
            ScalarBuilder::Int8(column) => column.len(),
            ScalarBuilder::Oid(column) => column.len(),
            ScalarBuilder::Float4(column) => column.len(),
            ScalarBuilder::Float8(column) => column.len(),
            ScalarBuilder::Decimal128(column, ..) => column.len(),
            ScalarBuilder::Decimal256(column, ..) => column.len(),
            ScalarBuilder::Bytea(column) | ScalarBuilder::Text(column, _) => column.len(),
            ScalarBuilder::Uuid(_, nulls) => nulls.len(),
            ScalarBuilder::Date(column) => column.len(),
            ScalarBuilder::Time(column) => column.len(),
            ScalarBuilder::Timestamp(column, _) => column.len(),
        }
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        match self {
            ScalarBuilder::Bool(values, nulls) => {
                values.truncate(len);
                nulls.truncate(len);
            }
            ScalarBuilder::Int2(column) => column.truncate(len),
            ScalarBuilder::Int4(column) => column.truncate(len),
            ScalarBuilder::Int8(column) => column.truncate(len),
            ScalarBuilder::Oid(column) => column.truncate(len),
            ScalarBuilder::Float4(column) => column.truncate(len),
            ScalarBuilder::Float8(column) => column.truncate(len),
            ScalarBuilder::Decimal128(column, ..) => column.truncate(len),
            ScalarBuilder::Decimal256(column, ..) => column.truncate(len),
            ScalarBuilder::Bytea(column) | ScalarBuilder::Text(column, _) => column.truncate(len),
            ScalarBuilder::Uuid(values, nulls) => {
                values.truncate(16 * len);
                nulls.truncate(len);
            }
            ScalarBuilder::Date(column) => column.truncate(len),
            ScalarBuilder::Time(column) => column.truncate(len),
            ScalarBuilder::Timestamp(column, _) => column.truncate(len),
        }
    }

    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            ScalarBuilder::Bool(values, _) => values.len() / 8,
            ScalarBuilder::Int2(column) => column.bytes(),
            ScalarBuilder::Int4(column) => column.bytes(),
            ScalarBuilder::Int8(column) => column.bytes(),
            ScalarBuilder::Oid(column) => column.bytes(),
            ScalarBuilder::Float4(column) => column.bytes(),
            ScalarBuilder::Float8(column) => column.bytes(),
            ScalarBuilder::Decimal128(column, ..) => column.bytes(),
            ScalarBuilder::Decimal256(column, ..) => column.bytes(),
            ScalarBuilder::Bytea(column) | ScalarBuilder::Text(column, _) => column.bytes(),
            ScalarBuilder::Uuid(values, _) => values.len(),
            ScalarBuilder::Date(column) => column.bytes(),
            ScalarBuilder::Time(column) => column.bytes(),
            ScalarBuilder::Timestamp(column, _) => column.bytes(),
        }
    }

    /// The array of all values; the builder begins anew.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            ScalarBuilder::Bool(values, nulls) => {
                Arc::new(BooleanArray::new(values.finish(), nulls.finish()))
            }
            ScalarBuilder::Int2(column) => Arc::new(column.finish()?),
            ScalarBuilder::Int4(column) => Arc::new(column.finish()?),
            ScalarBuilder::Int8(column) => Arc::new(column.finish()?),
            ScalarBuilder::Oid(column) => Arc::new(column.finish()?),
            ScalarBuilder::Float4(column) => Arc::new(column.finish()?),
            ScalarBuilder::Float8(column) => Arc::new(column.finish()?),
            ScalarBuilder::Decimal128(column, _, (precision, scale)) => Arc::new(
                column
                    .finish()?
                    .with_precision_and_scale(*precision, *scale)?,
            ),
            ScalarBuilder::Decimal256(column, _, (precision, scale)) => Arc::new(
                column
                    .finish()?
                    .with_precision_and_scale(*precision, *scale)?,
            ),
            ScalarBuilder::Bytea(column) => Arc::new(column.finish_binary()?),
            ScalarBuilder::Uuid(values, nulls) => {
                let values = Buffer::from_vec(std::mem::take(values));
                Arc::new(FixedSizeBinaryArray::try_new(16, values, nulls.finish())?)
            }
            ScalarBuilder::Date(column) => Arc::new(column.finish()?),
            ScalarBuilder::Time(column) => Arc::new(column.finish()?),
            ScalarBuilder::Timestamp(column, zone) => {
                Arc::new(column.finish()?.with_timezone_opt(*zone))
            }
            ScalarBuilder::Text(column, _) => Arc::new(column.finish_text()?),
        })
    }
}

fn bool_text(text: &[u8]) -> Fit<bool> {
    match text {
        b"t" => Ok(true),
        b"f" => Ok(false),
        _ => Err(Misfit::Wrong("is not a bool")),
    }
}

fn extend_bools<'a>(
    column: &mut BooleanBufferBuilder,
    nulls: &mut NullBufferBuilder,
    values: impl Iterator<Item = Value<'a>>,
    odd: &mut Odd,
) {
    for (row, value) in values.enumerate() {
        let read = odd.plain(row, value).map(|sent| match sent {
            Plain::Text(text) => bool_text(text),
            Plain::Binary(binary) => fixed::<1>(binary).map(|byte| byte != [0]),
        });
        let value = taken(row, read, odd);
        column.append(value.unwrap_or_default());
        nulls.append(value.is_some());
    }
}

fn extend_uuids<'a>(
    column: &mut Vec<u8>,
    nulls: &mut NullBufferBuilder,
    values: impl Iterator<Item = Value<'a>>,
    odd: &mut Odd,
) {
    for (row, value) in values.enumerate() {
        let read = odd.plain(row, value).map(|sent| match sent {
            Plain::Text(text) => bytea::uuid(text),
            Plain::Binary(binary) => fixed(binary),
        });
        let value = taken(row, read, odd);
        column.extend_from_slice(&value.unwrap_or_default());
        nulls.append(value.is_some());
    }
}

/// What was read, if there was something and it could be read.
fn taken<T>(row: usize, read: Option<Fit<T>>, odd: &mut Odd) -> Option<T> {
    let misfit = match read? {
        Ok(value) => return Some(value),
        Err(misfit) => misfit,
    };
    odd.note(row, misfit);
    None
}

/// Appends a value that its column holds as it was sent.
fn as_sent(sent: &[u8], data: &mut Vec<u8>) -> Fit<()> {
    data.extend_from_slice(sent);
    Ok(())
}
