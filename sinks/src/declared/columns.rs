//! The declared columns of one trigger: rows of documents go in, and come out with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder, StructBuilder};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef};
use blacksmith_core::error::{Error, Result};
use blacksmith_core::json::{Pointer, Pointers};

use super::builder::Builder;
use super::fit::{Fitted, as_text, fit};
use super::kind::Kind;

/// What did not fit its type, as rows of tables have it.
const AS_TEXT: &str = "_as_text";
/// Key in the metadata of an Arrow schema: a JSON object of the declared types by column, as tables have theirs.
const SCHEMA_TYPES: &str = "blacksmith.types";

/// A column that is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// Where in an event's data its value lies.
    pub from: Pointer,
}

/// The declared columns of one trigger.
#[derive(Debug, Clone)]
pub struct Columns {
    columns: Vec<Column>,
    pointers: Pointers,
}

impl Columns {
    /// These columns, in this order.
    #[must_use]
    pub fn of(columns: Vec<Column>) -> Columns {
        Columns {
            pointers: Pointers::of(columns.iter().map(|column| &column.from)),
            columns,
        }
    }

    /// The columns.
    #[must_use]
    pub fn list(&self) -> &[Column] {
        &self.columns
    }

    /// The schema of rows that [`Columns::complete`] made of rows with `schema`.
    pub(crate) fn schema(&self, schema: &Schema) -> SchemaRef {
        let own = self.columns.iter();
        let own = own.map(|column| Field::new(&column.name, column.kind.data_type(), true));
        let as_text = Field::new(AS_TEXT, DataType::List(pair_field()), true);
        let fields = schema.fields().iter().map(|field| (**field).clone());
        let fields: Vec<Field> = fields.chain(own).chain([as_text]).collect();
        let mut metadata = schema.metadata().clone();
        metadata.insert(SCHEMA_TYPES.to_owned(), self.types());
        Arc::new(Schema::new_with_metadata(fields, metadata))
    }

    /// Adds the columns to rows of documents, and `_as_text`, which holds what did not fit.
    ///
    /// # Errors
    /// When the rows have no `data`, or are more than Arrow can hold.
    pub(crate) fn complete(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let data = rows
            .column_by_name("data")
            .and_then(|data| data.as_string_opt::<i32>());
        let data =
            data.ok_or_else(|| Error::refused("the rows are no documents: they have no data"))?;
        let mut filling = Filling::of(&self.columns);
        for at in 0..data.len() {
            match data.is_valid(at) {
                true => filling.row(&self.pointers.find_in(data.value(at))),
                false => filling.row(&vec![None; self.columns.len()]),
            }
        }
        let completed = filling.finish().and_then(|own| {
            let columns = rows.columns().iter().cloned().chain(own).collect();
            RecordBatch::try_new(self.schema(&rows.schema()), columns)
        });
        completed.map_err(|error| Error::invalid("cannot build declared columns").because(error))
    }

    fn types(&self) -> String {
        let types = self.columns.iter();
        let types: BTreeMap<&str, String> = types
            .map(|column| (&*column.name, column.kind.to_string()))
            .collect();
        serde_json::to_string(&types).unwrap_or_default()
    }
}

/// The columns, and what did not fit, being filled row by row.
struct Filling<'a> {
    columns: &'a [Column],
    builders: Vec<Builder>,
    as_text: ListBuilder<StructBuilder>,
}

impl<'a> Filling<'a> {
    fn of(columns: &'a [Column]) -> Filling<'a> {
        let texts: Vec<Box<dyn arrow_array::builder::ArrayBuilder>> = vec![
            Box::new(StringBuilder::new()),
            Box::new(StringBuilder::new()),
        ];
        let pairs = StructBuilder::new(pair_fields(), texts);
        Filling {
            columns,
            builders: columns
                .iter()
                .map(|column| Builder::of(&column.kind))
                .collect(),
            as_text: ListBuilder::new(pairs).with_field(pair_field()),
        }
    }

    /// Adds a row with these values, as they are written.
    fn row(&mut self, values: &[Option<&str>]) {
        let mut kept_any = false;
        for ((column, builder), raw) in self.columns.iter().zip(&mut self.builders).zip(values) {
            let raw = raw.unwrap_or("null");
            match fit(&column.kind, raw) {
                Some(fitted) => builder.push(fitted),
                None => {
                    builder.push(Fitted::Null);
                    keep(self.as_text.values(), &column.name, &as_text(raw));
                    kept_any = true;
                }
            }
        }
        self.as_text.append(kept_any);
    }

    fn finish(mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        let own = self.builders.iter_mut().map(Builder::finish);
        let mut arrays: Vec<ArrayRef> = own.collect::<Result<_, _>>()?;
        arrays.push(Arc::new(self.as_text.finish()));
        Ok(arrays)
    }
}

fn keep(pairs: &mut StructBuilder, column: &str, value: &str) {
    for (at, text) in [column, value].into_iter().enumerate() {
        if let Some(texts) = pairs.field_builder::<StringBuilder>(at) {
            texts.append_value(text);
        }
    }
    pairs.append(true);
}

fn pair_field() -> Arc<Field> {
    Arc::new(Field::new_list_field(
        DataType::Struct(pair_fields()),
        false,
    ))
}

fn pair_fields() -> Fields {
    Fields::from(vec![
        Field::new("column", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, false),
    ])
}

#[cfg(test)]
mod tests {
    use arrow_array::StringArray;
    use arrow_array::types::{Decimal128Type, Int32Type};

    use super::*;

    fn column(name: &str, kind: &str, from: &str) -> Column {
        Column {
            name: name.into(),
            kind: Kind::parse(kind).unwrap(),
            from: Pointer::parse(from).unwrap(),
        }
    }

    fn documents(data: &[Option<&str>]) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("data", DataType::Utf8, true)]);
        let data: ArrayRef = Arc::new(StringArray::from(data.to_vec()));
        RecordBatch::try_new(Arc::new(schema), vec![data]).unwrap()
    }

    /// What each row keeps as text: `column=value`.
    fn kept(rows: &RecordBatch) -> Vec<Option<Vec<String>>> {
        let lists = rows.column_by_name(AS_TEXT).unwrap().as_list::<i32>();
        let of = |pairs: ArrayRef| {
            let pairs = pairs.as_struct();
            let names = pairs.column(0).as_string::<i32>().iter();
            let values = pairs.column(1).as_string::<i32>().iter();
            names
                .zip(values)
                .map(|(name, value)| format!("{}={}", name.unwrap(), value.unwrap()))
                .collect()
        };
        lists.iter().map(|pairs| pairs.map(of)).collect()
    }

    #[test]
    fn values_stand_in_their_columns_and_what_does_not_fit_stands_as_text() {
        let columns = Columns::of(vec![
            column("plan", "text", "/plan"),
            column("amount", "decimal(12,2)", "/order/amount"),
            column("tags", "int[]", "/tags"),
        ]);
        let deep = format!(
            "{{\"plan\":{}{}}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        let rows = columns.complete(&documents(&[
            Some(r#"{"plan":"pro","order":{"amount":12.50},"tags":[1,2]}"#),
            Some(r#"{"plan":null,"tags":[]}"#),
            Some(r#"{"plan":7,"order":{"amount":"12.505"},"tags":[1,"x"]}"#),
            Some(r#"{"plan":"\ud800","order":{"amount":1e400},"tags":7}"#),
            Some(r#"[{"plan":"no object"}]"#),
            None,
            Some(&deep),
        ]));
        let rows = rows.unwrap();
        assert_eq!(rows.schema(), columns.schema(&documents(&[]).schema()));
        let plans: Vec<_> = rows
            .column_by_name("plan")
            .unwrap()
            .as_string::<i32>()
            .iter()
            .collect();
        assert_eq!(
            &plans[..6],
            [Some("pro"), None, Some("7"), None, None, None]
        );
        assert_eq!(plans[6].unwrap().len(), 200_000);
        let amounts: Vec<_> = rows
            .column_by_name("amount")
            .unwrap()
            .as_primitive::<Decimal128Type>()
            .iter()
            .collect();
        assert_eq!(amounts, [Some(1_250), None, None, None, None, None, None]);
        let tags = rows.column_by_name("tags").unwrap().as_list::<i32>().iter();
        let tags: Vec<_> = tags
            .map(|tags| tags.map(|tags| tags.as_primitive::<Int32Type>().values().to_vec()))
            .collect();
        assert_eq!(
            tags,
            [Some(vec![1, 2]), Some(vec![]), None, None, None, None, None]
        );
        let own = |texts: &[&str]| {
            Some(
                texts
                    .iter()
                    .map(|text| (*text).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        let expected = [
            None,
            None,
            own(&["amount=12.505", "tags=[1,\"x\"]"]),
            own(&["plan=\"\\ud800\"", "amount=1e400", "tags=7"]),
            None,
            None,
            None,
        ];
        assert_eq!(kept(&rows), expected);
    }

    #[test]
    fn the_schema_says_what_was_declared() {
        let columns = Columns::of(vec![
            column("at", "timestamptz", "/at"),
            column("all", "json", ""),
        ]);
        let schema = columns.schema(&documents(&[]).schema());
        assert_eq!(
            schema.metadata()[SCHEMA_TYPES],
            r#"{"all":"json","at":"timestamptz"}"#
        );
        let names: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        assert_eq!(names, ["data", "at", "all", "_as_text"]);
        let rows = columns
            .complete(&documents(&[Some(" {\"at\":\"1970-01-01T00:00:01Z\"} ")]))
            .unwrap();
        let all = rows.column_by_name("all").unwrap().as_string::<i32>();
        assert_eq!(all.value(0), "{\"at\":\"1970-01-01T00:00:01Z\"}");
    }
}
