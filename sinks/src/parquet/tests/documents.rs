//! Events that are not rows of tables, from the block that the gateway stored to the file.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, StringArray};
use blacksmith_core::clock::Timestamp;
use blacksmith_core::destination::Rows;
use blacksmith_core::document::{Documents, Entry, write};
use blacksmith_core::event::{About, Block, FormatId, LaneId, Schema, SchemaId, SourceId, Tally};
use blacksmith_core::json::Json;
use blacksmith_core::position::Position;
use blacksmith_core::settings::{Environment, Section};
use blacksmith_core::source::{Asked, Decoded, Format, Limits, Schemas, Takes, Wanted};
use blacksmith_core::spans::Spans;

use super::*;
use crate::declared::Declared;
use crate::parquet::Parquet;
use crate::parquet::folder::memory::MemoryFolder;

/// Schema 1 is the trigger `signup`, schema 2 `order`.
struct Known;

impl Schemas for Known {
    fn schema(&self, id: SchemaId) -> Option<Arc<Schema>> {
        let trigger = if id.0 == 1 { "signup" } else { "order" };
        let about = About::documents(Arc::from(trigger), None, Arc::from([]), false);
        Some(Arc::new(Schema {
            id,
            source: SourceId(1),
            about,
        }))
    }

    fn source(&self, _: SourceId) -> Option<Arc<str>> {
        Some(Arc::from("web"))
    }
}

/// The rows that the scheduler makes of documents of these schemas, at positions from 1.
fn decoded(schemas: &[u32]) -> Vec<Rows> {
    let mut body = Vec::new();
    for schema in schemas {
        let entry = Entry {
            schema: SchemaId(*schema),
            ticket: 0,
            sent_at: None,
            parent: None,
            jobs: Vec::new(),
            rejections: Vec::new(),
            belongs: None,
            context: Json::null(),
            data: Json::of(&serde_json::json!({ "schema": schema, "huge": u64::MAX })).unwrap(),
        };
        write(&mut body, &entry).unwrap();
    }
    let count = schemas.len() as u32;
    let tally = Tally {
        schema: SchemaId(1),
        group: 0,
        count,
    };
    let block = Block {
        source: SourceId(1),
        format: FormatId::JSON,
        received_at: Timestamp(1_700_000_000_000_000),
        first: Position(1),
        count,
        transaction: None,
        tally: Arc::from([tally]),
        excluded: Arc::default(),
        envelope: bytes::Bytes::new(),
        body: body.into(),
    };
    let mut decoding = Documents.decoding(Asked {
        schemas: Arc::new(Known),
        limits: Limits::default(),
        takes: Takes::Rows,
        store: STORE,
        lane: LaneId(1),
        default_version: None,
        event_ids: false,
    });
    let spans = Spans::from(span(1, u64::from(count)));
    let wanted = Wanted::of(&spans, &|_| true).unwrap();
    let mut out = Vec::new();
    decoding.push(&block, &wanted, &mut out).unwrap();
    decoding.finish(&mut out).unwrap();
    let rows = out.into_iter().map(|decoded| match decoded {
        Decoded::Rows {
            schema,
            trigger,
            rows,
            span,
        } => Rows {
            schema,
            trigger,
            rows,
            span,
        },
        other => panic!("{other:?}"),
    });
    rows.collect()
}

#[tokio::test]
async fn documents_lie_in_a_directory_of_their_source_and_trigger_and_are_committed() {
    let folder = MemoryFolder::default();
    let batch = Batch::new(1, 4, decoded(&[1, 2, 1, 1])).nothing_completed();
    assert!(load(&lake(folder.clone()), batch).await.unwrap());
    let record = record(&folder, 4).await;
    let files: Vec<_> = record
        .files
        .iter()
        .map(|file| (&*file.path, &*file.table, file.rows))
        .collect();
    let name = |first: u64, last: u64| format!("{first:020}-{last:020}.parquet");
    let (signups, orders) = (
        format!("web.signup/{}", name(1, 4)),
        format!("web.order/{}", name(2, 2)),
    );
    assert_eq!(
        files,
        [(&*signups, "web.signup", 3), (&*orders, "web.order", 1)]
    );
    assert_eq!(record.commit_lsn, None);
    assert_eq!(sequence(&folder).await, [1, 2, 3, 4]);
    let rows = read(&folder, &signups).await.remove(0);
    let texts = |column| -> Vec<Option<String>> {
        let column = rows.column_by_name(column).unwrap();
        let column = column.as_any().downcast_ref::<StringArray>().unwrap();
        column.iter().map(|text| text.map(str::to_owned)).collect()
    };
    let data = r#"{"huge":18446744073709551615,"schema":1}"#;
    assert_eq!(texts("data"), vec![Some(data.to_owned()); 3]);
    assert_eq!(texts("context"), [None, None, None]);
    assert_eq!(texts("_source"), vec![Some("web".to_owned()); 3]);
}

#[tokio::test]
async fn declared_columns_stand_beside_the_data_of_their_trigger_and_of_no_other() {
    let folder = MemoryFolder::default();
    let mut options = options();
    let text = "columns.'web/signup' = { schema = 'int', huge = 'bigint' }\ncolumns.'web.signup/x' = { y = 'int' }";
    let (mut section, _) = Section::parse("b.toml", text, &Environment::default()).unwrap();
    options.columns = Declared::read(&mut section);
    let lake = Parquet::in_folder(&options, Arc::new(folder.clone()));
    let mut rows = decoded(&[1, 2, 1]);
    // A table of a schema that is called like the source.
    rows.push(super::arrange::rows(9, "web.signup", 4, 5));
    let batch = Batch::new(1, 5, rows).nothing_completed();
    assert!(load(&lake, batch).await.unwrap());
    let record = record(&folder, 5).await;
    let mut names = Vec::new();
    for file in &record.files {
        let rows = read(&folder, &file.path).await.remove(0);
        let fields = rows.schema().fields().clone();
        names.push(
            fields
                .iter()
                .skip(6)
                .map(|field| field.name().clone())
                .collect::<Vec<_>>()
                .join(" "),
        );
        if let Some(schemas) = rows.column_by_name("schema") {
            assert_eq!(schemas.as_primitive::<Int32Type>().values(), &[1, 1]);
            assert_eq!(rows.column_by_name("huge").unwrap().null_count(), 2);
            let kept = rows
                .column_by_name("_as_text")
                .unwrap()
                .as_list::<i32>()
                .value(1);
            assert_eq!(
                kept.as_struct().column(0).as_string::<i32>().value(0),
                "huge"
            );
            assert_eq!(
                kept.as_struct().column(1).as_string::<i32>().value(0),
                "18446744073709551615"
            );
            let types = metadata(&folder, &file.path, "blacksmith.types").await;
            assert_eq!(
                types.as_deref(),
                Some(r#"{"huge":"bigint","schema":"int"}"#)
            );
        }
    }
    assert_eq!(
        names,
        ["context data schema huge _as_text", "context data", ""]
    );
}
