//! Other tools that do the same work in the same run, where packages bring them: `--peers`.
//!
//! wal2json 2 (a package of the distribution, beside the server) read by a consumer in Python with psycopg2 and pyarrow (by
//! pip, below `target/`), which writes typed Parquet and confirms what is synced: `bench/peers/wal2json_parquet.py`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use blacksmith_tests::server::Server;

use super::folder::at;
use super::meter::Ended;
use super::{Result, ceiling, postgres};

/// The output plugin.
pub const PLUGIN: &str = "wal2json";
const PACKAGES: [&str; 2] = ["psycopg2-binary==2.9.13", "pyarrow==26.0.1"];
/// Minor releases of 2026 load no plugin that is not named here.
const PLUGINS_ALLOWED: &str = "output_plugin_libraries";

/// Peers that are installed.
#[derive(Debug)]
pub struct Peers {
    packages: PathBuf,
}

impl Peers {
    /// Installs what is missing, and has the server load the plugin.
    ///
    /// # Errors
    /// When pip or the plugin is not there, saying what to install.
    pub fn install(server: &Server) -> Result<Peers> {
        let packages = blacksmith_tests::target_dir().join("bench").join("peers");
        if !packages.join("complete").exists() {
            install(&packages)?;
        }
        allow(server)?;
        Ok(Peers { packages })
    }

    /// What they are, for the report.
    #[must_use]
    pub fn versions(&self) -> String {
        format!("{PLUGIN} of the distribution, {}", PACKAGES.join(", "))
    }

    /// Drains a slot of `db` to `end` into Parquet files below `folder`.
    ///
    /// # Errors
    /// When it fails, or does not write `rows` rows.
    pub fn drain(
        &self,
        url: &str,
        slot: &str,
        table: &str,
        end: &str,
        folder: &Path,
    ) -> Result<Ended> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/wal2json_parquet.py");
        let mut command = Command::new("python3");
        command
            .arg(script)
            .args([url, slot, table, end])
            .arg(folder);
        command
            .env("PYTHONPATH", &self.packages)
            .stdout(Stdio::piped());
        ceiling::run_heard("the wal2json consumer", &mut command)
    }
}

fn install(packages: &Path) -> Result<()> {
    eprintln!("installing {} by pip", PACKAGES.join(" and "));
    std::fs::create_dir_all(packages).map_err(|error| at(packages, &error))?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--target"])
        .arg(packages)
        .args(PACKAGES);
    let status = pip
        .status()
        .map_err(|error| format!("cannot run python3: {error}"))?;
    if !status.success() {
        return Err("pip could not install the peers; leave out --peers to go without".into());
    }
    let done = packages.join("complete");
    std::fs::write(&done, "").map_err(|error| at(&done, &error))
}

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
