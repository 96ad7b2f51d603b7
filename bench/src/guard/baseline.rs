//! What was counted when somebody last took it as right: `bench/baseline.json`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What instructions depend on besides the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Build(String);

impl Build {
    /// The one that runs.
    pub(super) fn this() -> Build {
        let profile = if cfg!(debug_assertions) {
            "dev"
        } else {
            "release"
        };
        Build(format!(
            "{} {} {profile}",
            env!("BLACKSMITH_RUSTC"),
            std::env::consts::ARCH
        ))
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Instructions by item, of each piece, of each build.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Baseline(BTreeMap<String, BTreeMap<String, f64>>);

impl Baseline {
    /// As it is in the repository; empty when it is not there.
    pub(super) fn read() -> Result<Baseline, String> {
        let path = path();
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| format!("{}: {error}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Baseline::default()),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    pub(super) fn write(&self) -> Result<(), String> {
        let mut text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        text.push('\n');
        let path = path();
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    }

    pub(super) fn get(&self, build: &Build, piece: &str) -> Option<f64> {
        self.0.get(&build.0)?.get(piece).copied()
    }

    pub(super) fn set(&mut self, build: &Build, piece: &str, count: f64) {
        let counts = self.0.entry(build.0.clone()).or_default();
        counts.insert(piece.into(), (count * 10.0).round() / 10.0);
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("baseline.json")
}
