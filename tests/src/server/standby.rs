//! A standby: a copy of a running server that follows it, and may be promoted.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use super::cluster::Cluster;
use super::{Inner, Server, USER};

impl Server {
    /// A standby of this server (version 15 or later) that streams from it, with these settings of its own.
    /// Roles and databases are those of this server; logical slots are not copied.
    ///
    /// # Panics
    /// When it cannot be made or started, saying why.
    #[must_use]
    pub fn standby(&self, settings: &[(&str, &str)]) -> Server {
        let made = self.copied(settings).and_then(|standby| {
            standby.launch()?;
            Ok(standby)
        });
        made.unwrap_or_else(|why| panic!("no standby: {why}"))
    }

    fn copied(&self, settings: &[(&str, &str)]) -> Result<Server, String> {
        // A backup is begun and ended by one session, and what it says at the end is a file of the copy.
        let mut backup = self.existing("postgres").session();
        backup.execute("select pg_backup_start('standby', true)");
        let cluster = Cluster::copy_of(&self.0.cluster)?;
        let label = backup.value("select labelfile from pg_backup_stop(false)");
        cluster.put("backup_label", label.as_bytes())?;
        cluster.put("standby.signal", b"")?;
        let primary = format!(
            "host={} port={} user={USER} dbname=postgres",
            self.socket_dir().display(),
            self.port()
        );
        cluster.append_config(&[("primary_conninfo", &primary)]);
        cluster.append_config(settings);
        Ok(Server(Arc::new(Inner {
            cluster,
            version: self.major(),
            process: Mutex::new(None),
            databases: AtomicU32::new(0),
        })))
    }

    /// Makes a standby a primary, with a timeline of its own.
    ///
    /// # Panics
    /// When it does not become one.
    pub fn promote(&self) {
        let promoted = self.existing("postgres").value("select pg_promote()");
        assert_eq!(promoted, "t", "the standby was not promoted");
    }
}
