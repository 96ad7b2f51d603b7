//! Record batches into Parquet, on one core: what a change costs on its way out.

use std::hint::black_box;

use blacksmith_sinks::parquet::Compression;
use blacksmith_sinks::parquet::measured::Encoder;

use super::decode::batch;
use super::{Piece, Rows, Work};

/// Rows of the file's only row group.
const ROWS: u64 = 10_000;

/// Every kind of rows into a file in memory, with the default compression. Bytes are those of the rows off the wire, as they are
/// of the decoders.
#[must_use]
pub fn encodes() -> Vec<Piece> {
    Rows::ALL.map(encode).into()
}

fn encode(rows: Rows) -> Piece {
    let name = format!("encode {}, zstd 1", rows.name());
    Piece::new(name, move || {
        let batches = [batch(rows, ROWS)];
        let schema = batches[0].schema();
        let encoder = Encoder::new("public.rows", &schema, Compression::Zstd(1));
        let encoder = encoder.expect("types that Parquet has");
        let bytes = rows.inserts(ROWS, true).len() as u64;
        Work::new(ROWS, bytes, move || {
            let file = encoder.file(&batches).expect("rows of the schema");
            assert!(black_box(file).ends_with(b"PAR1"));
        })
    })
}
