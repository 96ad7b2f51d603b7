//! The folder of one private server: made from a template, configured, removed.

use std::fs::{self, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use super::account::Account;
use super::binaries::{Binaries, lock};
use super::{Auth, Options, PASSWORD, USER};

/// Our settings; each test's own come after them. Nothing is synced: a private server survives
/// SIGKILL (the kernel keeps its pages), and nobody needs it to survive a power cut.
const CONFIG: &str = "
listen_addresses = '127.0.0.1'
wal_level = logical
max_connections = 200
max_wal_senders = 50
max_replication_slots = 50
max_prepared_transactions = 10
shared_buffers = 64MB
fsync = off
full_page_writes = off
max_wal_size = 4GB
jit = off
timezone = UTC
lc_messages = C
log_line_prefix = '%m [%p] %a '
";

/// One private server's folder, port and socket.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) account: Account,
    pub(super) binaries: Binaries,
    folder: PathBuf,
    sockets: PathBuf,
    port: AtomicU16,
}

impl Cluster {
    pub(super) fn create(
        home: PathBuf,
        account: Account,
        binaries: Binaries,
        options: Options,
    ) -> Result<Cluster, String> {
        let template = template(&home, &account, &binaries)?;
        let cluster = Cluster::empty(&home, account, binaries)?;
        cluster.copy(&template)?;
        cluster.configure(&options)?;
        Ok(cluster)
    }

    /// A copy of a running cluster, with a port and a socket of its own. Its slots are not copied.
    pub(super) fn copy_of(other: &Cluster) -> Result<Cluster, String> {
        let home = home(&other.account)?;
        let cluster = Cluster::empty(&home, other.account, other.binaries.clone())?;
        cluster.copy(&other.data_dir())?;
        let forget = "rm -rf \"$1\"/pg_replslot/* \"$1\"/postmaster.pid \"$1\"/postmaster.opts";
        let mut command = cluster.account.command("/bin/sh");
        run(command
            .args(["-c", forget, "forget"])
            .arg(cluster.data_dir()))?;
        cluster.listen_at_own_places();
        Ok(cluster)
    }

    /// The folders of a cluster that is to come.
    fn empty(home: &Path, account: Account, binaries: Binaries) -> Result<Cluster, String> {
        let name = unique_name();
        let folder = home.join("run").join(&name);
        // A socket's path may have 107 bytes at most, so it is not below a deep work tree.
        let sockets = std::env::temp_dir().join(format!("bs-{name}"));
        for dir in [&folder, &sockets] {
            fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
            account.own(dir)?;
        }
        crate::folder::sign(&folder)?;
        Ok(Cluster {
            account,
            binaries,
            folder,
            sockets,
            port: AtomicU16::new(0),
        })
    }

    fn copy(&self, template: &Path) -> Result<(), String> {
        let mut command = self.account.command("cp");
        command.args(["-a", "--reflink=auto"]);
        run(command.arg(template).arg(self.data_dir()))
    }

    fn configure(&self, options: &Options) -> Result<(), String> {
        let method = match options.auth {
            Auth::Trust => "trust",
            Auth::Scram => "scram-sha-256",
        };
        let mut hba = options.hba.join("\n");
        hba.push_str(&format!(
            "\nlocal all all trust\nlocal replication all trust\n\
             host all all 127.0.0.1/32 {method}\nhost replication all 127.0.0.1/32 {method}\n"
        ));
        self.put("pg_hba.conf", hba.as_bytes())?;
        for (name, contents) in &options.files {
            self.put(name, contents)?;
        }
        let settings = options.config.iter();
        let settings: Vec<_> = settings.map(|(name, value)| (&**name, &**value)).collect();
        self.append(CONFIG);
        self.append_config(&settings);
        self.listen_at_own_places();
        Ok(())
    }

    fn listen_at_own_places(&self) {
        self.append(&setting(
            "unix_socket_directories",
            &self.sockets.to_string_lossy(),
        ));
        self.choose_port();
    }

    pub(super) fn put(&self, name: &str, contents: &[u8]) -> Result<(), String> {
        let path = self.data_dir().join(name);
        let failed = |error| format!("{}: {error}", path.display());
        fs::write(&path, contents).map_err(failed)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        self.account.own(&path)
    }

    pub(super) fn append_config(&self, settings: &[(&str, &str)]) {
        for (name, value) in settings {
            self.append(&setting(name, value));
        }
    }

    fn append(&self, text: &str) {
        let path = self.data_dir().join("postgresql.conf");
        let file = OpenOptions::new().append(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.expect("our own data folder is writable");
    }

    /// Takes a port that is free now; another process may still be faster.
    fn choose_port(&self) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr());
        let port = listener.expect("this machine has a free port").port();
        self.port.store(port, Ordering::Relaxed);
        self.append(&setting("port", &port.to_string()));
    }

    /// Prepares another attempt when `why` is a reason that passes; otherwise gives it back.
    pub(super) fn survive_failed_start(&self, why: &str) -> Result<(), String> {
        if why.contains("could not bind") {
            self.choose_port();
            return Ok(());
        }
        // After SIGKILL the old server's last processes hold its memory for a moment.
        let passing = ["pre-existing shared memory", "lock file \"postmaster.pid\""];
        if passing.iter().any(|reason| why.contains(reason)) {
            std::thread::sleep(std::time::Duration::from_millis(50));
            return Ok(());
        }
        Err(why.into())
    }

    pub(super) fn port(&self) -> u16 {
        self.port.load(Ordering::Relaxed)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(super) fn socket_dir(&self) -> &Path {
        &self.sockets
    }

    pub(super) fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    pub(super) fn log(&self) -> String {
        fs::read(self.log_path()).map_or_else(
            |error| format!("(no log: {error})"),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// Removes what is left of the folders.
    pub(super) fn remove(&self) {
        for dir in [&self.folder, &self.sockets] {
            match fs::remove_dir_all(dir) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => eprintln!("cannot remove {}: {error}", dir.display()),
            }
        }
    }
}

fn setting(name: &str, value: &str) -> String {
    format!("{name} = '{}'\n", value.replace('\'', "''"))
}

fn unique_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{}-{number}", std::process::id())
}

/// Where servers and templates live: `target/pg`, or a folder of the temporary directory when the
/// account of the server cannot reach ours (a work tree below a closed home folder).
pub(super) fn home(account: &Account) -> Result<PathBuf, String> {
    let target = crate::target_dir();
    let ours = target.join("pg");
    if usable(&ours, account) {
        return Ok(ours);
    }
    let mut hasher = DefaultHasher::new();
    target.hash(&mut hasher);
    let other = std::env::temp_dir().join(format!("blacksmith-pg-{:016x}", hasher.finish()));
    if usable(&other, account) {
        return Ok(other);
    }
    Err(format!(
        "the server's account can write neither {} nor {}",
        ours.display(),
        other.display()
    ))
}

/// Makes `dir` and sees whether the server's account can use it.
fn usable(dir: &Path, account: &Account) -> bool {
    if fs::create_dir_all(dir.join("run")).is_err() {
        return false;
    }
    if account.own(dir).is_err() || account.own(&dir.join("run")).is_err() {
        return false;
    }
    let probe = account.command("test").arg("-w").arg(dir).status();
    probe.is_ok_and(|status| status.success())
}

/// The folder that `initdb` made for this version, made now when it is the first time.
fn template(home: &Path, account: &Account, binaries: &Binaries) -> Result<PathBuf, String> {
    let _locked = lock(&home.join(".lock"))?;
    let template = home.join(format!("template-{}", binaries.version));
    if template.exists() {
        return Ok(template);
    }
    let unfinished = home.join("unfinished");
    let password = home.join("password");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(|error| error.to_string())?;
    }
    fs::write(&password, PASSWORD).map_err(|error| error.to_string())?;
    account.own(&password)?;
    let mut initdb = account.command(binaries.program("initdb"));
    initdb.args(["--encoding=UTF8", "--locale=C", "--no-sync", "--auth=trust"]);
    initdb.arg(format!("--username={USER}"));
    initdb.arg("--pwfile").arg(&password);
    run(initdb.arg("-D").arg(&unfinished))?;
    fs::rename(&unfinished, &template).map_err(|error| error.to_string())?;
    Ok(template)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output();
    let output = output.map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?} failed: {said}"))
}
