//! dlt from its source for SQL databases into its destination for files, with connectorx between: two ranges at once.

use super::{Job, Peer, Program, any_server};

pub(super) const PEER: Peer = Peer {
    name: "dlt, connectorx",
    key: "dlt",
    job: Job::Copy,
    program: Program::Python {
        script: "dlt_parquet.py",
        packages: &[
            "dlt[parquet]==1.31.0",
            "connectorx==0.4.6",
            "pyarrow==26.0.1",
            "SQLAlchemy==2.1.9",
            "psycopg2-binary==2.9.13",
        ],
    },
    server: any_server,
};
