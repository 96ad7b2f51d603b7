//! What the tests of queries ask: documents and raw rows of a few triggers, and two actions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{RecordBatch, StringArray, UInt64Array};
use bytes::Bytes;

use crate::clock::Timestamp;
use crate::document::{Belongs, Documents, Entry, Place, write};
use crate::error::Result;
use crate::event::{About, Block, Draft, FormatId, LaneId, SchemaId, SourceId, Tally};
use crate::flow::Route;
use crate::json::Json;
use crate::log::Receipt;
use crate::position::Position;
use crate::query::{Actions, Query};
use crate::source::{Asked, Completed, Decoded, Decoding, Format, Formats, Wanted};
use crate::store::Store;

pub(crate) const RAW: FormatId = FormatId(99);
const WAIT: Duration = Duration::from_secs(60);

/// What kinds of events there are: trigger, whether a route leads to `crm/register`, and whether they
/// call `crm/notify`. The last two are rows.
pub(crate) const KINDS: [(&str, bool, bool); 5] = [
    ("signup", true, false),
    ("visit", false, false),
    ("order", true, true),
    ("public.users", true, false),
    ("public.logs", false, false),
];

/// The first kind that is rows.
pub(crate) const ROWS: usize = 3;

/// A format of one byte for each event, its schema; what follows a zero is padding.
#[derive(Debug)]
struct Raw;

impl Format for Raw {
    fn ids(&self) -> &'static [FormatId] {
        &[RAW]
    }

    fn name(&self) -> &'static str {
        "raw"
    }

    fn decoding(&self, _: Asked) -> Box<dyn Decoding> {
        Box::new(Raw)
    }
}

impl Decoding for Raw {
    fn push(&mut self, block: &Block, wanted: &Wanted<'_>, out: &mut Vec<Decoded>) -> Result<()> {
        let events = block.body.iter().take_while(|byte| **byte != 0);
        for (position, schema) in (block.first.0..).map(Position).zip(events) {
            let schema = SchemaId(u32::from(*schema));
            if wanted.has(position) && (wanted.schema)(schema) {
                let seq = Arc::new(UInt64Array::from(vec![position.0])) as _;
                let operation = Arc::new(StringArray::from(vec!["insert"])) as _;
                let rows = RecordBatch::try_from_iter([("_seq", seq), ("_op", operation)]);
                out.push(Decoded::Rows {
                    schema,
                    trigger: Arc::from("raw"),
                    rows: rows.unwrap(),
                    span: crate::position::Span::new(position, position),
                });
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<Decoded>) -> Result<()> {
        Ok(())
    }

    fn completed(&self) -> Option<Completed> {
        None
    }
}

/// A store with everything registered.
#[derive(Debug, Clone)]
pub(crate) struct House {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) source: SourceId,
    /// By kind; behind them that of follow-ups for `crm/notify`.
    pub(crate) schemas: Vec<SchemaId>,
    /// `crm/register` and `crm/notify`.
    pub(crate) lanes: [LaneId; 2],
    pub(crate) query: Query,
}

impl House {
    pub(crate) fn over(store: Arc<dyn Store>) -> House {
        let source = store.register_source("shop").unwrap();
        let lanes = ["crm/register", "crm/notify"].map(|name| store.register_lane(name).unwrap());
        let known = store.schemas();
        let mut schemas: Vec<SchemaId> = known.iter().map(|schema| schema.id).collect();
        // After a crash some of them may be missing.
        let missing = abouts().skip(schemas.len());
        schemas.extend(missing.map(|about| store.define(source, about).unwrap()));
        let routed = KINDS.iter().filter(|kind| kind.1);
        let routes = routed.map(|kind| Route::between(&format!("shop/{}", kind.0), "crm/register"));
        let actions = Actions {
            routes: routes.collect(),
            ..Actions::default()
        };
        let documents: Arc<dyn Format> = Arc::new(Documents);
        let raw: Arc<dyn Format> = Arc::new(Raw);
        let formats: Formats = HashMap::from([(FormatId::JSON, documents), (RAW, raw)]);
        House {
            query: Query::new(Arc::clone(&store), formats, actions),
            store,
            source,
            schemas,
            lanes,
        }
    }

    /// A block of documents.
    pub(crate) fn documents(&self, kinds: &[usize], at: Timestamp) -> Draft {
        let mut body = Vec::new();
        for kind in kinds {
            write(&mut body, &entry(self.schemas[*kind], None)).unwrap();
        }
        self.draft(FormatId::JSON, kinds, at, Bytes::from(body))
    }

    /// A block of rows, and `padding` bytes that nobody reads.
    pub(crate) fn rows(&self, kinds: &[usize], at: Timestamp, padding: usize) -> Draft {
        let mut body: Vec<u8> = kinds
            .iter()
            .map(|kind| self.schemas[*kind].0 as u8)
            .collect();
        body.resize(body.len() + 1 + padding, 0);
        self.draft(RAW, kinds, at, Bytes::from(body))
    }

    /// Jobs of `crm/notify` that follow up those of `crm/register` at `parents`.
    pub(crate) fn follow_ups(&self, parents: &[Position], at: Timestamp) -> Draft {
        let schema = self.schemas[KINDS.len()];
        let mut body = Vec::new();
        for parent in parents {
            let belongs = Belongs {
                event: Place::At(*parent),
                schema: self.schemas[0],
                received_at: at,
                parent: Some((self.lanes[0], *parent)),
            };
            write(&mut body, &entry(schema, Some(belongs))).unwrap();
        }
        let kinds = vec![KINDS.len(); parents.len()];
        self.draft(FormatId::JSON, &kinds, at, Bytes::from(body))
    }

    fn draft(&self, format: FormatId, kinds: &[usize], at: Timestamp, body: Bytes) -> Draft {
        let tally = kinds.iter().map(|kind| Tally {
            schema: self.schemas[*kind],
            group: 0,
            count: 1,
        });
        Draft {
            format,
            received_at: at,
            tally: tally.collect(),
            envelope: Bytes::new(),
            body,
            state: Vec::new(),
        }
    }

    pub(crate) fn append(&self, draft: Draft) -> Receipt {
        let receipt = self.store.append(self.source, draft).unwrap();
        receipt.wait(WAIT).unwrap();
        receipt
    }

    pub(crate) fn record(&self, transitions: &[crate::job::Transition]) {
        self.store.record(transitions).unwrap().wait(WAIT).unwrap();
    }
}

fn abouts() -> impl Iterator<Item = About> {
    let notify: Arc<str> = Arc::from("crm/notify");
    let kinds = KINDS.iter().enumerate().map({
        let notify = Arc::clone(&notify);
        move |(index, (trigger, _, calls))| {
            let calls: Vec<_> = calls.then(|| Arc::clone(&notify)).into_iter().collect();
            match index < ROWS {
                true => About::documents(Arc::from(*trigger), None, calls.into(), false),
                false => About::trigger(*trigger, Bytes::from_static(b"columns")),
            }
        }
    });
    let further = About::documents(Arc::from("signup"), None, Arc::from([notify]), true);
    kinds.chain([further])
}

fn entry(schema: SchemaId, belongs: Option<Belongs>) -> Entry {
    Entry {
        schema,
        ticket: 7,
        sent_at: None,
        parent: None,
        jobs: Vec::new(),
        rejections: Vec::new(),
        belongs,
        context: Json::default(),
        data: Json::default(),
    }
}
