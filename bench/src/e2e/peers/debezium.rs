//! Debezium's embedded engine (from Maven Central) over pgoutput, with a consumer in Java that writes typed Parquet: its versions are in the
//! project's `pom.xml`.

use super::{Job, Peer, Program, any_server};

pub(super) const PEER: Peer = Peer {
    name: "Debezium",
    key: "debezium",
    job: Job::Drain { plugin: "pgoutput" },
    program: Program::Maven {
        project: "debezium",
        class: "peer.Drain",
    },
    server: any_server,
};
