//! Arrow back into Postgres's text: for showing a row, and for checking that nothing was lost.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use blacksmith_core::error::{Error, Result};

use super::array::write_element;
use super::bytea::{write_hex, write_uuid};
use super::calendar::{write_date, write_time, write_timestamp};
use super::mapping::{Form, Plan, column_names};
use super::number::write_float;
use super::numeric::write_scaled;
use super::schema::TableSchema;

/// Reads the rows of a change log's batches as Postgres would print them.
#[derive(Debug)]
pub struct Renderer {
    table: Arc<TableSchema>,
    names: Vec<String>,
    plans: Vec<Plan>,
}

/// A value of a change log's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rendered {
    /// NULL.
    Null,
    /// Not sent, because not changed.
    Unchanged,
    /// Postgres's text.
    Text(String),
}

impl Renderer {
    /// For batches that a [`super::TableBuilder`] of this table made.
    #[must_use]
    pub fn new(table: Arc<TableSchema>) -> Self {
        Renderer {
            names: column_names(&table),
            plans: table
                .columns
                .iter()
                .map(|column| Plan::of(&column.kind, column.typmod))
                .collect(),
            table,
        }
    }

    /// The table's values of row `row`, in column order.
    ///
    /// # Errors
    /// `Invalid` when the batch is not one of this table version, or has no such row.
    pub fn row(&self, batch: &RecordBatch, row: usize) -> Result<Vec<Rendered>> {
        if row >= batch.num_rows() {
            return Err(Error::invalid(format!(
                "a batch of {} has no row {row}",
                self.name()
            )));
        }
        let as_text = listed_texts(batch, row);
        let unchanged = listed_names(batch, row);
        let columns = self.names.iter().zip(&self.plans);
        columns
            .map(|(name, plan)| {
                let array = batch
                    .column_by_name(name)
                    .ok_or_else(|| self.mismatch(name))?;
                if array.data_type() != &plan.data_type() {
                    return Err(self.mismatch(name));
                }
                if let Some((_, text)) = as_text.iter().find(|(column, _)| column == name) {
                    return Ok(Rendered::Text(text.clone()));
                }
                if array.is_null(row) {
                    let listed = unchanged.contains(name);
                    return Ok(if listed {
                        Rendered::Unchanged
                    } else {
                        Rendered::Null
                    });
                }
                let mut out = Vec::new();
                write_value(*plan, array.as_ref(), row, &mut out);
                String::from_utf8(out)
                    .map(Rendered::Text)
                    .map_err(|_| self.mismatch(name))
            })
            .collect()
    }

    fn name(&self) -> String {
        self.table.full_name()
    }

    fn mismatch(&self, column: &str) -> Error {
        Error::invalid(format!(
            "a batch does not fit {} in column {column}",
            self.name()
        ))
    }
}

fn listed_names(batch: &RecordBatch, row: usize) -> Vec<String> {
    let Some(list) = batch
        .column_by_name("_unchanged")
        .and_then(|list| list.as_list_opt::<i32>())
    else {
        return Vec::new();
    };
    if list.is_null(row) {
        return Vec::new();
    }
    texts(&list.value(row))
}

fn listed_texts(batch: &RecordBatch, row: usize) -> Vec<(String, String)> {
    let Some(list) = batch
        .column_by_name("_as_text")
        .and_then(|list| list.as_list_opt::<i32>())
    else {
        return Vec::new();
    };
    if list.is_null(row) {
        return Vec::new();
    }
    let pairs = list.value(row);
    let Some(pairs) = pairs
        .as_struct_opt()
        .filter(|pairs| pairs.num_columns() == 2)
    else {
        return Vec::new();
    };
    texts(pairs.column(0))
        .into_iter()
        .zip(texts(pairs.column(1)))
        .collect()
}

fn texts(array: &dyn Array) -> Vec<String> {
    match array.as_string_opt::<i32>() {
        Some(texts) if array.data_type() == &DataType::Utf8 => {
            texts.iter().flatten().map(str::to_string).collect()
        }
        _ => Vec::new(),
    }
}

/// Writes the value at `row`, which is not null, of an array that has the plan's type.
fn write_value(plan: Plan, array: &dyn Array, row: usize, out: &mut Vec<u8>) {
    match plan {
        Plan::One(form) => write_scalar(form, array, row, out),
        Plan::Vector => write_list(array, row, [b'[', b',', b']'], Form::Float4, out),
        Plan::List { element, delimiter } => {
            write_list(array, row, [b'{', delimiter, b'}'], element, out);
        }
    }
}

fn write_list(array: &dyn Array, row: usize, marks: [u8; 3], element: Form, out: &mut Vec<u8>) {
    let [open, delimiter, close] = marks;
    let elements = array.as_list::<i32>().value(row);
    let mut text = Vec::new();
    out.push(open);
    for at in 0..elements.len() {
        if at > 0 {
            out.push(delimiter);
        }
        if elements.is_null(at) {
            out.extend_from_slice(b"NULL");
            continue;
        }
        text.clear();
        write_scalar(element, elements.as_ref(), at, &mut text);
        write_element(&text, delimiter, out);
    }
    out.push(close);
}

fn write_scalar(form: Form, array: &dyn Array, row: usize, out: &mut Vec<u8>) {
    match form {
        Form::Bool => out.push(if array.as_boolean().value(row) {
            b't'
        } else {
            b'f'
        }),
        Form::Int2 => write_shown(array.as_primitive::<Int16Type>().value(row), out),
        Form::Int4 => write_shown(array.as_primitive::<Int32Type>().value(row), out),
        Form::Int8 => write_shown(array.as_primitive::<Int64Type>().value(row), out),
        Form::Oid => write_shown(array.as_primitive::<UInt32Type>().value(row), out),
        Form::Float4 => write_float(array.as_primitive::<Float32Type>().value(row), out),
        Form::Float8 => write_float(array.as_primitive::<Float64Type>().value(row), out),
        Form::Decimal128 { scale, .. } => {
            let unscaled = array
                .as_primitive::<Decimal128Type>()
                .value(row)
                .to_string();
            write_scaled(&unscaled, scale.into(), out);
        }
        Form::Decimal256 { scale, .. } => {
            let unscaled = array
                .as_primitive::<Decimal256Type>()
                .value(row)
                .to_string();
            write_scaled(&unscaled, scale.into(), out);
        }
        Form::Bytea => {
            out.extend_from_slice(b"\\x");
            write_hex(array.as_binary::<i32>().value(row), out);
        }
        Form::Uuid => {
            if let Ok(uuid) = <&[u8; 16]>::try_from(array.as_fixed_size_binary().value(row)) {
                write_uuid(uuid, out);
            }
        }
        Form::Date => write_date(array.as_primitive::<Date32Type>().value(row).into(), out),
        Form::Time => write_time(
            array.as_primitive::<Time64MicrosecondType>().value(row),
            out,
        ),
        Form::Timestamp => {
            write_timestamp(
                array.as_primitive::<TimestampMicrosecondType>().value(row),
                "",
                out,
            );
        }
        Form::TimestampTz => {
            let us = array.as_primitive::<TimestampMicrosecondType>().value(row);
            write_timestamp(us, "+00", out);
        }
        Form::Text
        | Form::Char
        | Form::Jsonb
        | Form::Numeric
        | Form::TimeTz
        | Form::Interval
        | Form::Opaque => out.extend_from_slice(array.as_string::<i32>().value(row).as_bytes()),
    }
}

fn write_shown(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    use std::io::Write as _;
    write!(out, "{value}").expect("a Vec takes all bytes");
}
