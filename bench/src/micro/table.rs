//! Tables made of samples, and blocks of their rows as the log has them.

use std::sync::Arc;

use blacksmith_cdc::changes::append;
use blacksmith_cdc::value::{Column, Identity, TableSchema, TypeKind};

use super::sample::Sample;

/// A kind of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Ten columns of as many types.
    Mixed,
    /// The 16 columns of TPC-H's `lineitem`.
    Lineitem,
    /// A key and three texts of 40 to 400 bytes.
    WideText,
    /// A key and a document of about 300 bytes.
    Documents,
}

const MIXED: &[(&str, Sample)] = &[
    ("id", Sample::Bigint(|n| n * 7919)),
    ("customer", Sample::Int(|n| (n % 5000) as u32)),
    ("paid", Sample::Bool(|n| n.is_multiple_of(3))),
    ("weight", Sample::Double(|n| n as f64 / 8.0)),
    ("total", Sample::Numeric(|n| n * 1313 + 99)),
    ("ordered_at", Sample::Timestamptz(|n| n * 1_234_567)),
    (
        "token",
        Sample::Uuid(|n| (0x6f1e_d002_ab5d_4b2e_8f3c_0000_0000_0000) + n as u128),
    ),
    ("status", Sample::Text(|n| format!("status-{}", n % 7))),
    (
        "note",
        Sample::Text(|n| format!("order {n} was placed from a shop and shipped the next morning")),
    ),
    (
        "extra",
        Sample::Jsonb(|n| format!("{{\"lines\": [{n}, 2], \"gift\": false}}")),
    ),
];

const LINEITEM: &[(&str, Sample)] = &[
    ("l_orderkey", Sample::Bigint(|n| n / 4)),
    ("l_partkey", Sample::Bigint(|n| n * 7919 % 200_000)),
    ("l_suppkey", Sample::Int(|n| (n * 31 % 10_000) as u32)),
    ("l_linenumber", Sample::Int(|n| (n % 7) as u32)),
    ("l_quantity", Sample::Numeric(|n| (n % 50 + 1) * 100)),
    (
        "l_extendedprice",
        Sample::Numeric(|n| n * 7919 % 10_494_950 + 90_000),
    ),
    ("l_discount", Sample::Numeric(|n| n % 11)),
    ("l_tax", Sample::Numeric(|n| n % 9)),
    (
        "l_returnflag",
        Sample::Text(|n| ["A", "N", "R"][n as usize % 3].into()),
    ),
    (
        "l_linestatus",
        Sample::Text(|n| ["F", "O"][n as usize % 2].into()),
    ),
    ("l_shipdate", Sample::Date(|n| n)),
    ("l_commitdate", Sample::Date(|n| n / 2)),
    ("l_receiptdate", Sample::Date(|n| n / 3)),
    (
        "l_shipinstruct",
        Sample::Text(|n| {
            [
                "DELIVER IN PERSON",
                "COLLECT COD",
                "NONE",
                "TAKE BACK RETURN",
            ][n as usize % 4]
                .into()
        }),
    ),
    (
        "l_shipmode",
        Sample::Text(|n| ["AIR", "TRUCK", "MAIL", "SHIP", "RAIL"][n as usize % 5].into()),
    ),
    (
        "l_comment",
        Sample::Text(|n| format!("carefully regular deposits {}", n * 104_729 % 1_000_003)),
    ),
];

const WIDE_TEXT: &[(&str, Sample)] = &[
    ("id", Sample::Bigint(|n| n)),
    (
        "title",
        Sample::Text(|n| format!("the title of number {n}, which is no longer than a line")),
    ),
    (
        "summary",
        Sample::Text(|n| format!("summary {n} ").repeat(8)),
    ),
    (
        "body",
        Sample::Text(|n| format!("paragraph {n} of a text ").repeat(16)),
    ),
];

const DOCUMENTS: &[(&str, Sample)] = &[
    ("id", Sample::Bigint(|n| n)),
    ("doc", Sample::Jsonb(document)),
];

fn document(n: u64) -> String {
    format!(
        "{{\"id\": {n}, \"kind\": \"order\", \"customer\": {{\"name\": \"customer {}\", \"vip\": {}}}, \"lines\": [{{\"sku\": \"a-{}\", \"count\": {}, \"price\": {}.95}}, {{\"sku\": \"b-{n}\", \"count\": 1, \"price\": 3.5}}], \"note\": \"to be left with the neighbours, who are at home after six\", \"tags\": [\"new\", \"paid\"]}}",
        n % 5000,
        n.is_multiple_of(9),
        n % 300,
        n % 4 + 1,
        n % 90,
    )
}

impl Rows {
    /// All of them.
    pub const ALL: [Rows; 4] = [Rows::Mixed, Rows::Lineitem, Rows::WideText, Rows::Documents];

    /// A name for reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Rows::Mixed => "mixed",
            Rows::Lineitem => "lineitem",
            Rows::WideText => "wide text",
            Rows::Documents => "jsonb",
        }
    }

    fn columns(self) -> &'static [(&'static str, Sample)] {
        match self {
            Rows::Mixed => MIXED,
            Rows::Lineitem => LINEITEM,
            Rows::WideText => WIDE_TEXT,
            Rows::Documents => DOCUMENTS,
        }
    }

    /// Their table.
    #[must_use]
    pub fn table(self) -> Arc<TableSchema> {
        let columns = self
            .columns()
            .iter()
            .enumerate()
            .map(|(at, (name, sample))| {
                let (type_oid, typmod) = sample.pg_type();
                Column {
                    name: (*name).into(),
                    type_oid,
                    typmod,
                    pg_type: type_oid.to_string(),
                    kind: TypeKind::Base(type_oid),
                    key: at == 0,
                    generated: false,
                    nullable: false,
                }
            });
        Arc::new(TableSchema {
            oid: 7,
            namespace: "public".into(),
            name: "rows".into(),
            identity: Identity::Default,
            version: 1,
            columns: columns.collect(),
        })
    }

    /// The pgoutput message that inserts row `n`.
    #[must_use]
    pub fn insert(self, n: u64, binary: bool) -> Vec<u8> {
        let columns = self.columns();
        let mut message = vec![b'I', 0, 0, 0, 7, b'N', 0, columns.len() as u8];
        for (_, sample) in columns {
            let (format, bytes) = match binary {
                true => (b'b', sample.binary(n)),
                false => (b't', sample.text(n)),
            };
            message.push(format);
            message.extend((bytes.len() as u32).to_be_bytes());
            message.extend(bytes);
        }
        message
    }

    /// A block of `count` inserts.
    ///
    /// # Panics
    /// Never: the messages are short.
    #[must_use]
    pub fn inserts(self, count: u64, binary: bool) -> Vec<u8> {
        block((0..count).map(|n| self.insert(n, binary)))
    }

    /// A block of `count` rows of a copy.
    ///
    /// # Panics
    /// Never: the rows are short.
    #[must_use]
    pub fn copied(self, count: u64, binary: bool) -> Vec<u8> {
        block((0..count).map(|n| match binary {
            true => self.copied_binary(n),
            false => self.copied_text(n),
        }))
    }

    fn copied_text(self, n: u64) -> Vec<u8> {
        let fields: Vec<Vec<u8>> = self
            .columns()
            .iter()
            .map(|(_, sample)| sample.text(n))
            .collect();
        [fields.join(&b'\t'), vec![b'\n']].concat()
    }

    fn copied_binary(self, n: u64) -> Vec<u8> {
        let mut row = (self.columns().len() as u16).to_be_bytes().to_vec();
        for (_, sample) in self.columns() {
            let value = sample.binary(n);
            row.extend((value.len() as u32).to_be_bytes());
            row.extend(value);
        }
        row
    }
}

fn block(messages: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut body = Vec::new();
    for message in messages {
        append(&mut body, &message).expect("a short message");
    }
    body
}
