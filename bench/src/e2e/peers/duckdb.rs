//! DuckDB with its extension for Postgres, which a package brings, so that DuckDB need not fetch it: two threads.

use super::{Job, Peer, Program, any_server};

pub(super) const PEER: Peer = Peer {
    name: "DuckDB",
    key: "duckdb",
    job: Job::Copy,
    program: Program::Python {
        script: "duckdb_parquet.py",
        packages: &["duckdb==1.5.5", "duckdb-extension-postgres-scanner==1.5.5"],
    },
    server: any_server,
};
