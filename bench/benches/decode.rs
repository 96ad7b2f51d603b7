//! Log blocks into record batches, on one core: what a change costs after it was written.
//!
//! Ten mixed columns (bigint, int, bool, double, numeric(12,2), timestamptz, uuid, two texts, jsonb),
//! inserts of the stream in text and in binary, and rows of a copy in text. Figures are rows per
//! second; `cargo bench -p blacksmith-bench`.

use std::hint::black_box;
use std::sync::Arc;

use blacksmith_cdc::changes::{Changes, CopyChanges, Step, Transaction, append};
use blacksmith_cdc::protocol::CopyFormat;
use blacksmith_cdc::value::{Column, Identity, RowMeta, TableBuilder, TableSchema, TypeKind};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const ROWS: u64 = 20_000;

/// Name, type, modifier, and one value as text and as binary.
struct Sample {
    name: &'static str,
    oid: u32,
    typmod: i32,
    text: fn(u64) -> String,
    binary: fn(u64) -> Vec<u8>,
}

const COLUMNS: [Sample; 10] = [
    Sample {
        name: "id",
        oid: 20,
        typmod: -1,
        text: |n| (n * 7919).to_string(),
        binary: |n| (n * 7919).to_be_bytes().into(),
    },
    Sample {
        name: "customer",
        oid: 23,
        typmod: -1,
        text: |n| (n % 5000).to_string(),
        binary: |n| ((n % 5000) as i32).to_be_bytes().into(),
    },
    Sample {
        name: "paid",
        oid: 16,
        typmod: -1,
        text: |n| {
            if n.is_multiple_of(3) {
                "t".into()
            } else {
                "f".into()
            }
        },
        binary: |n| vec![u8::from(n.is_multiple_of(3))],
    },
    Sample {
        name: "weight",
        oid: 701,
        typmod: -1,
        text: |n| (n as f64 / 8.0).to_string(),
        binary: |n| (n as f64 / 8.0).to_be_bytes().into(),
    },
    Sample {
        name: "total",
        oid: 1700,
        typmod: (12 << 16 | 2) + 4,
        text: |n| format!("{}.{:02}", n * 13, n % 100),
        binary: |n| {
            let (whole, cents) = (n * 13, (n % 100) as u16 * 100);
            let digits = [(whole / 10_000) as u16, (whole % 10_000) as u16, cents];
            [3u16, 1, 0, 2]
                .into_iter()
                .chain(digits)
                .flat_map(u16::to_be_bytes)
                .collect()
        },
    },
    Sample {
        name: "ordered_at",
        oid: 1184,
        typmod: -1,
        text: |n| {
            format!(
                "2024-03-{:02} 12:{:02}:59.{:06}+00",
                1 + n % 28,
                n % 60,
                n % 1_000_000
            )
        },
        binary: |n| {
            (760_000_000_000_000 + n as i64 * 1_234_567)
                .to_be_bytes()
                .into()
        },
    },
    Sample {
        name: "token",
        oid: 2950,
        typmod: -1,
        text: |n| format!("6f1ed002-ab5d-4b2e-8f3c-{n:012x}"),
        binary: |n| {
            (0x6f1e_d002_ab5d_4b2e_8f3c_0000_0000_0000u128 + u128::from(n))
                .to_be_bytes()
                .into()
        },
    },
    Sample {
        name: "status",
        oid: 25,
        typmod: -1,
        text: |n| format!("status-{}", n % 7),
        binary: |n| format!("status-{}", n % 7).into(),
    },
    Sample {
        name: "note",
        oid: 25,
        typmod: -1,
        text: |n| format!("order {n} was placed from a shop and shipped the next morning"),
        binary: |n| format!("order {n} was placed from a shop and shipped the next morning").into(),
    },
    Sample {
        name: "extra",
        oid: 3802,
        typmod: -1,
        text: |n| format!("{{\"lines\": [{n}, 2], \"gift\": false}}"),
        binary: |n| format!("\u{1}{{\"lines\": [{n}, 2], \"gift\": false}}").into(),
    },
];

fn table() -> Arc<TableSchema> {
    let columns = COLUMNS.iter().map(|sample| Column {
        name: sample.name.into(),
        type_oid: sample.oid,
        typmod: sample.typmod,
        pg_type: sample.oid.to_string(),
        kind: TypeKind::Base(sample.oid),
        key: sample.name == "id",
        generated: false,
        nullable: false,
    });
    Arc::new(TableSchema {
        oid: 7,
        namespace: "public".into(),
        name: "orders".into(),
        identity: Identity::Default,
        version: 1,
        columns: columns.collect(),
    })
}

/// A block of inserts; `value` gives a column's format byte and bytes.
fn stream(value: impl Fn(&Sample, u64) -> (u8, Vec<u8>)) -> Vec<u8> {
    let mut body = Vec::new();
    for n in 0..ROWS {
        let mut message = vec![b'I', 0, 0, 0, 7, b'N', 0, COLUMNS.len() as u8];
        for sample in &COLUMNS {
            let (format, bytes) = value(sample, n);
            message.push(format);
            message.extend((bytes.len() as u32).to_be_bytes());
            message.extend(bytes);
        }
        append(&mut body, &message).expect("a short message");
    }
    body
}

fn copy_text() -> Vec<u8> {
    let mut body = Vec::new();
    for n in 0..ROWS {
        let fields: Vec<String> = COLUMNS.iter().map(|sample| (sample.text)(n)).collect();
        let row = format!("{}\n", fields.join("\t"));
        append(&mut body, row.as_bytes()).expect("a short row");
    }
    body
}

fn decode_stream(builder: &mut TableBuilder, body: &[u8]) -> usize {
    let transaction = Transaction {
        commit_lsn: 1,
        committed_at_us: 1,
    };
    for step in Changes::new(body, Some(transaction), false) {
        let Ok(Step::Row(row)) = step else {
            panic!("only rows")
        };
        let meta = RowMeta {
            lsn: row.transaction.commit_lsn,
            seq: row.ordinal,
            committed_at_us: Some(row.transaction.committed_at_us),
            event_id: None,
        };
        let change = row.change.expect("a whole row");
        builder.push(&meta, &change).expect("values of their types");
    }
    black_box(builder.finish().expect("a batch")).num_rows()
}

fn decode_copy(builder: &mut TableBuilder, body: &[u8]) -> usize {
    for change in CopyChanges::new(body, CopyFormat::Text) {
        let (seq, change) = change.expect("a whole row");
        let meta = RowMeta {
            seq,
            ..RowMeta::default()
        };
        builder.push(&meta, &change).expect("values of their types");
    }
    black_box(builder.finish().expect("a batch")).num_rows()
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(ROWS));
    let mut builder = TableBuilder::new(table(), false);
    let text = stream(|sample, n| (b't', (sample.text)(n).into_bytes()));
    group.bench_function("stream text", |bench| {
        bench.iter(|| assert_eq!(decode_stream(&mut builder, &text), ROWS as usize));
    });
    let binary = stream(|sample, n| (b'b', (sample.binary)(n)));
    group.bench_function("stream binary", |bench| {
        bench.iter(|| assert_eq!(decode_stream(&mut builder, &binary), ROWS as usize));
    });
    let copied = copy_text();
    group.bench_function("copy text", |bench| {
        bench.iter(|| assert_eq!(decode_copy(&mut builder, &copied), ROWS as usize));
    });
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
