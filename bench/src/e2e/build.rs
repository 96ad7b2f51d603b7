//! The builds of the stock program that a run measures: that of this tree, and that of another revision when both are compared.

use std::path::{Path, PathBuf};

use super::Result;

/// The variable that says where the binary of this tree is; `cargo x bench` sets it.
const BINARY: &str = "BLACKSMITH_STREAM_BIN";
/// What a program says of a configuration that it does not know.
const UNKNOWN_KEY: &str = "unknown key";

/// One build of the stock program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    binary: PathBuf,
    /// The commit, when it is not of this tree.
    commit: Option<String>,
}

impl Build {
    /// That of this tree.
    ///
    /// # Errors
    /// When nobody says where it is.
    pub fn of_this_tree() -> Result<Build> {
        let binary = std::env::var_os(BINARY).ok_or(format!(
            "{BINARY} does not say where the release binary is: run `cargo x bench`"
        ))?;
        Ok(Build {
            binary: binary.into(),
            commit: None,
        })
    }

    /// That of `commit`.
    #[must_use]
    pub fn of_commit(commit: &str, binary: PathBuf) -> Build {
        Build {
            binary,
            commit: Some(commit.into()),
        }
    }

    /// The program.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// The commit, when it is not of this tree.
    #[must_use]
    pub fn commit(&self) -> Option<&str> {
        self.commit.as_deref()
    }

    /// A name for its folders.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self.commit {
            None => "own",
            Some(_) => "before",
        }
    }

    /// What to do when it failed and `said` this: another revision may be from before what the scenarios configure.
    #[must_use]
    pub fn advice(&self, said: &str) -> String {
        match &self.commit {
            Some(commit) if said.contains(UNKNOWN_KEY) => format!(
                "\nthe program of {commit} does not know a key that the scenarios configure: compare with a later revision, or choose other scenarios by --scenario"
            ),
            Some(commit) => format!("\nthis was the program of {commit}"),
            None => String::new(),
        }
    }
}

/// The builds of a run.
#[derive(Debug, Clone)]
pub struct Builds {
    /// That of this tree.
    pub own: Build,
    /// What it is held against.
    pub before: Option<Build>,
}

impl Builds {
    /// All of them, that of this tree first.
    pub fn all(&self) -> impl Iterator<Item = &Build> {
        [Some(&self.own), self.before.as_ref()]
            .into_iter()
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_another_revision_does_not_know_is_no_riddle() {
        let said = "blacksmith.toml:3:1: sources.shop.catch_up: unknown key";
        let before = Build::of_commit("3bd11c787cb0", "program".into());
        assert!(before.advice(said).contains("a later revision"));
        let other = before.advice("no server");
        assert!(other.contains("3bd11c787cb0") && !other.contains("key"));
        let own = Build {
            commit: None,
            ..before
        };
        assert_eq!(own.advice(said), "");
    }
}
