//! wal2json 2 (a package of the distribution, beside the server) read by a consumer as one would write it in Python, with psycopg2
//! and pyarrow: typed Parquet, confirmed when it is synced.

use blacksmith_tests::server::Server;

use super::{Job, Peer, Program};
use crate::e2e::{Result, postgres};

const PLUGIN: &str = "wal2json";
/// Minor releases of 2026 load no plugin that is not named here.
const PLUGINS_ALLOWED: &str = "output_plugin_libraries";

pub(super) const PEER: Peer = Peer {
    name: "wal2json, pyarrow",
    key: "wal2json",
    job: Job::Drain { plugin: PLUGIN },
    program: Program::Python {
        script: "wal2json_parquet.py",
        packages: &["psycopg2-binary==2.9.13", "pyarrow==26.0.1"],
    },
    server: allow,
};

/// Has the server load the plugin, where it must be asked to.
fn allow(server: &Server) -> Result<()> {
    let sql = format!("select 1 from pg_settings where name = '{PLUGINS_ALLOWED}'");
    let mut session = server.existing("postgres").session();
    if !postgres::rows(&mut session, &sql)?.is_empty() {
        drop(session);
        server.configure(&[(PLUGINS_ALLOWED, &format!("pgoutput,{PLUGIN}"))]);
        server.restart();
    }
    let mut session = server.existing("postgres").session();
    let probe = format!("select pg_create_logical_replication_slot('probe', '{PLUGIN}', true)");
    let made = postgres::rows(&mut session, &probe);
    made.map(drop).map_err(|why| {
        let major = server.major();
        format!("no {PLUGIN} beside this server ({why}); on Debian and Ubuntu: apt-get install postgresql-{major}-wal2json")
    })
}
