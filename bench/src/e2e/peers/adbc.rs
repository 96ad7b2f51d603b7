//! ADBC's driver for Postgres: `COPY` in binary straight into Arrow, then Parquet by pyarrow, over two connections.

use super::{Job, Peer, Program, any_server};

pub(super) const PEER: Peer = Peer {
    name: "ADBC, pyarrow",
    key: "adbc",
    job: Job::Copy,
    program: Program::Python {
        script: "adbc_parquet.py",
        packages: &["adbc-driver-postgresql==1.13.0", "pyarrow==26.0.1"],
    },
    server: any_server,
};
