//! What each Postgres type becomes in Arrow. The whole decision is in this file; `docs/types.md`
//! says the same for readers.
//!
//! A [`Form`] is one way of decoding scalars, chosen once per column of a schema version. A type
//! that is not listed is [`Form::Opaque`]: its text, which every type has. Reading a table in
//! binary ([`binary_ok`]) needs a form with a binary reader for all of its columns.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use blacksmith_core::source::SYSTEM_COLUMNS;
pub use blacksmith_core::source::{SCHEMA_KEY, SCHEMA_TABLE};

use super::schema::{Column, TableSchema, TypeKind};
use super::system;

/// Key in the metadata of a field: the Postgres type, as `format_type` says it.
pub const FIELD_TYPE: &str = "postgres.type";
/// Key in the metadata of a schema: a JSON object from column to Postgres type.
pub const SCHEMA_TYPES: &str = "blacksmith.types";
/// Key in the metadata of a schema: the version of the relation.
pub const SCHEMA_VERSION: &str = "blacksmith.relation_version";

/// How the values of a scalar type are decoded, and into what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Boolean
    Bool,
    /// Int16
    Int2,
    /// Int32
    Int4,
    /// Int64
    Int8,
    /// UInt32
    Oid,
    /// Float32
    Float4,
    /// Float64
    Float8,
    /// Decimal128
    Decimal128 { precision: u8, scale: u8 },
    /// Decimal256
    Decimal256 { precision: u8, scale: u8 },
    /// Binary
    Bytea,
    /// FixedSizeBinary(16)
    Uuid,
    /// Date32
    Date,
    /// Time64(us)
    Time,
    /// Timestamp(us)
    Timestamp,
    /// Timestamp(us, UTC)
    TimestampTz,
    /// Utf8, the same bytes in text and binary.
    Text,
    /// Utf8, `"char"`: a byte.
    Char,
    /// Utf8, behind a version byte in binary.
    Jsonb,
    /// Utf8: a numeric without limits.
    Numeric,
    /// Utf8
    TimeTz,
    /// Utf8
    Interval,
    /// Utf8, and only the text form is understood.
    Opaque,
}

/// How a column is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// One value.
    One(Form),
    /// An array of values.
    List { element: Form, delimiter: u8 },
    /// pgvector's `vector`: a list of float4.
    Vector,
}

impl Plan {
    /// The plan for a column of this type.
    pub(crate) fn of(kind: &TypeKind, typmod: i32) -> Plan {
        let (kind, typmod) = kind.below_domains(typmod);
        match kind {
            TypeKind::Extension(name) if name == "vector" => Plan::Vector,
            TypeKind::Array { element, delimiter } => Plan::List {
                element: Form::of(element, typmod),
                delimiter: u8::try_from(*delimiter).unwrap_or(b','),
            },
            kind => Plan::One(Form::of(kind, typmod)),
        }
    }

    /// The Arrow type.
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Plan::One(form) => form.data_type(),
            Plan::List { element, .. } => DataType::List(Arc::new(element.list_field())),
            Plan::Vector => DataType::List(Arc::new(Form::Float4.list_field())),
        }
    }

    fn binary_ok(self) -> bool {
        match self {
            Plan::One(form) | Plan::List { element: form, .. } => form != Form::Opaque,
            Plan::Vector => false,
        }
    }
}

/// True when columns of this type can be read from binary; a table or publication may be requested
/// in binary only when that holds for all of its columns.
#[must_use]
pub fn binary_ok(kind: &TypeKind) -> bool {
    Plan::of(kind, -1).binary_ok()
}

impl Form {
    /// The form of an element or of a plain value; what is no scalar is its text.
    fn of(kind: &TypeKind, typmod: i32) -> Form {
        let (kind, typmod) = kind.below_domains(typmod);
        match kind {
            TypeKind::Base(oid) => Form::of_base(*oid, typmod),
            TypeKind::Enum => Form::Text,
            TypeKind::Extension(name) if name == "citext" => Form::Text,
            _ => Form::Opaque,
        }
    }

    fn of_base(oid: u32, typmod: i32) -> Form {
        match oid {
            16 => Form::Bool,
            17 => Form::Bytea,
            18 => Form::Char,
            19 | 25 | 1042 | 1043 => Form::Text, // name, text, bpchar, varchar
            20 => Form::Int8,
            21 => Form::Int2,
            23 => Form::Int4,
            26 => Form::Oid,
            114 => Form::Text, // json
            700 => Form::Float4,
            701 => Form::Float8,
            1082 => Form::Date,
            1083 => Form::Time,
            1114 => Form::Timestamp,
            1184 => Form::TimestampTz,
            1186 => Form::Interval,
            1266 => Form::TimeTz,
            1700 => Form::of_numeric(typmod),
            2950 => Form::Uuid,
            3802 => Form::Jsonb,
            _ => Form::Opaque,
        }
    }

    /// `numeric(p,s)` as a decimal, when one is wide enough.
    ///
    /// A negative scale (from version 15 on) counts whole digits that are always zero, and a scale
    /// above the precision digits behind the point that are; both just need a wider decimal.
    fn of_numeric(typmod: i32) -> Form {
        if typmod < 4 {
            return Form::Numeric;
        }
        let (precision, scale) = numeric_typmod(typmod);
        let digits = if scale < 0 {
            precision - scale
        } else {
            precision.max(scale)
        };
        let scale = scale.max(0);
        match (u8::try_from(digits), u8::try_from(scale)) {
            (Ok(precision @ 1..=38), Ok(scale)) => Form::Decimal128 { precision, scale },
            (Ok(precision @ 39..=76), Ok(scale)) => Form::Decimal256 { precision, scale },
            _ => Form::Numeric,
        }
    }

    /// The Arrow type.
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Form::Bool => DataType::Boolean,
            Form::Int2 => DataType::Int16,
            Form::Int4 => DataType::Int32,
            Form::Int8 => DataType::Int64,
            Form::Oid => DataType::UInt32,
            Form::Float4 => DataType::Float32,
            Form::Float8 => DataType::Float64,
            Form::Decimal128 { precision, scale } => DataType::Decimal128(precision, scale as i8),
            Form::Decimal256 { precision, scale } => DataType::Decimal256(precision, scale as i8),
            Form::Bytea => DataType::Binary,
            Form::Uuid => DataType::FixedSizeBinary(16),
            Form::Date => DataType::Date32,
            Form::Time => DataType::Time64(TimeUnit::Microsecond),
            Form::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Form::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Form::Text
            | Form::Char
            | Form::Jsonb
            | Form::Numeric
            | Form::TimeTz
            | Form::Interval
            | Form::Opaque => DataType::Utf8,
        }
    }

    /// The field of a list's elements.
    pub(crate) fn list_field(self) -> Field {
        Field::new_list_field(self.data_type(), true).with_metadata(self.extension())
    }

    fn extension(self) -> HashMap<String, String> {
        match self {
            Form::Uuid => [("ARROW:extension:name".to_string(), "arrow.uuid".to_string())].into(),
            _ => HashMap::new(),
        }
    }
}

/// Precision and scale of a numeric's type modifier.
fn numeric_typmod(typmod: i32) -> (i32, i32) {
    let packed = typmod - 4;
    let scale = packed & 0x7ff; // eleven bits with a sign
    (packed >> 16 & 0xffff, (scale ^ 1024) - 1024)
}

/// The names of the table's columns in the change log, in order.
///
/// They are the table's own, except that a name which is one of ours gets as many underscores at
/// its end as make it free. Names that differ in case only stay as they are.
#[must_use]
pub fn column_names(table: &TableSchema) -> Vec<String> {
    let ours = |name: &str| SYSTEM_COLUMNS.contains(&name);
    let own: Vec<&str> = table
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    let named = own.iter().map(|name| {
        let mut free = (*name).to_string();
        while ours(&free) || (free != **name && own.contains(&free.as_str())) {
            free.push('_');
        }
        free
    });
    named.collect()
}

/// The Arrow schema of a table's change log: our columns, then the table's.
#[must_use]
pub fn arrow_schema(table: &TableSchema, event_id: bool) -> Schema {
    let names = column_names(table);
    let own = table
        .columns
        .iter()
        .zip(&names)
        .map(|(column, name)| field(column, name));
    let fields: Vec<Field> = system::fields(event_id).into_iter().chain(own).collect();
    Schema::new_with_metadata(fields, schema_metadata(table, &names))
}

/// The field of one column, under the name it has in the change log.
#[must_use]
pub fn field(column: &Column, name: &str) -> Field {
    let plan = Plan::of(&column.kind, column.typmod);
    let mut metadata = match plan {
        Plan::One(form) => form.extension(),
        _ => HashMap::new(),
    };
    metadata.insert(FIELD_TYPE.to_string(), column.pg_type.clone());
    Field::new(name, plan.data_type(), true).with_metadata(metadata)
}

fn schema_metadata(table: &TableSchema, names: &[String]) -> HashMap<String, String> {
    let columns = || table.columns.iter().zip(names);
    let key: Vec<&str> = columns()
        .filter(|(column, _)| column.key)
        .map(|(_, name)| name.as_str())
        .collect();
    let types: serde_json::Map<String, serde_json::Value> = columns()
        .map(|(column, name)| (name.clone(), column.pg_type.clone().into()))
        .collect();
    HashMap::from([
        (SCHEMA_TABLE.to_string(), table.full_name()),
        (
            SCHEMA_KEY.to_string(),
            serde_json::Value::from(key).to_string(),
        ),
        (
            SCHEMA_TYPES.to_string(),
            serde_json::Value::Object(types).to_string(),
        ),
        (SCHEMA_VERSION.to_string(), table.version.to_string()),
    ])
}
