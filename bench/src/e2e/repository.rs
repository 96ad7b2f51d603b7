//! This repository, and the tree of another revision beside it: a worktree below `target/`, made once and then moved from one
//! revision to the next.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Result, folder};

/// Digits of a commit, as reports name it.
const DIGITS: &str = "--short=12";

/// A repository, by its folder.
#[derive(Debug, Clone)]
pub struct Repository(PathBuf);

impl Repository {
    /// The one that this program was built in.
    #[must_use]
    pub fn own() -> Repository {
        Repository(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
    }

    /// Passes when everything is in a commit, so that what is measured has a name.
    ///
    /// # Errors
    /// When there are changes.
    pub fn expect_no_changes(&self) -> Result<()> {
        let changes = self.git(&["status", "--porcelain", "--untracked-files=no"])?;
        match changes.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "these changes are in no commit, so what is measured has no name: commit them, then compare with HEAD~1\n{changes}"
            )),
        }
    }

    /// The commit that `revision` names, in 12 digits.
    ///
    /// # Errors
    /// When there is none.
    pub fn commit(&self, revision: &str) -> Result<String> {
        let named = format!("{revision}^{{commit}}");
        let commit = self.git(&["rev-parse", "--verify", DIGITS, &named]);
        commit.map_err(|why| {
            format!(
                "there is no revision {revision} here: `git log --oneline` lists some, `git fetch` brings what others have, with --unshallow also what is older\n{why}"
            )
        })
    }

    /// Has `path` be the tree of `commit` and nothing else: what is there already is changed, and what cannot be is made anew.
    ///
    /// # Errors
    /// When git or the file system refuses.
    pub fn tree(&self, path: &Path, commit: &str) -> Result<()> {
        let there = Repository(path.to_owned());
        if there.is_tree() && there.move_to(commit).is_ok() {
            return Ok(());
        }
        folder::remove(path)?;
        self.git(&["worktree", "prune"])?;
        let place = super::words::word(path)?;
        self.git(&["worktree", "add", "--detach", "--force", place, commit])
            .map(drop)
    }

    /// Whether this is the top of a tree, and not merely below one.
    fn is_tree(&self) -> bool {
        let top = self.git(&["rev-parse", "--show-toplevel"]);
        match (top, self.0.canonicalize()) {
            (Ok(top), Ok(own)) => Path::new(&top) == own,
            _ => false,
        }
    }

    fn move_to(&self, commit: &str) -> Result<()> {
        self.git(&["checkout", "--force", "--detach", commit])?;
        self.git(&["clean", "--force", "-d", "-x"]).map(drop)
    }

    /// What git answers in this folder.
    fn git(&self, arguments: &[&str]) -> Result<String> {
        let mut git = Command::new("git");
        git.arg("-C")
            .arg(&self.0)
            .args(arguments)
            .stdin(Stdio::null());
        let output = git.output();
        let output = output.map_err(|error| format!("cannot run git: {error}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(format!(
                "git {}: {}",
                arguments.join(" "),
                text(&output.stderr)
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// A repository with two commits, of a file `version` that says 1 and 2.
    fn repository() -> (TempDir, Repository) {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository(folder.path().join("own"));
        fs::create_dir(&repository.0).unwrap();
        repository.git(&["init", "--quiet"]).unwrap();
        for version in ["1", "2"] {
            fs::write(repository.0.join("version"), version).unwrap();
            repository.git(&["add", "version"]).unwrap();
            let by = ["-c", "user.name=x", "-c", "user.email=x@x"];
            let commit = ["commit", "--quiet", "--message", version];
            repository.git(&[by.as_slice(), &commit].concat()).unwrap();
        }
        (folder, repository)
    }

    fn version(tree: &Path) -> String {
        fs::read_to_string(tree.join("version")).unwrap()
    }

    #[test]
    fn a_tree_is_made_moved_cleaned_and_made_again() {
        let (_folder, repository) = repository();
        let [first, second] = ["HEAD~1", "HEAD"].map(|own| repository.commit(own).unwrap());
        // Below the repository, as it is below `target/`.
        let tree = repository.0.join("target/tree");
        repository.tree(&tree, &first).unwrap();
        assert_eq!(version(&tree), "1");
        fs::write(tree.join("version"), "changed").unwrap();
        fs::write(tree.join("more"), "").unwrap();
        repository.tree(&tree, &second).unwrap();
        assert_eq!(version(&tree), "2");
        assert!(!tree.join("more").exists());
        // Half of it was removed, and only git's book knows of it.
        fs::remove_file(tree.join(".git")).unwrap();
        repository.tree(&tree, &first).unwrap();
        assert_eq!(version(&tree), "1");
        assert_eq!(version(&repository.0), "2");
    }

    #[test]
    fn a_revision_that_is_not_there_is_refused_with_what_to_do() {
        let (_folder, repository) = repository();
        assert_eq!(repository.commit("HEAD").unwrap().len(), 12);
        let why = repository.commit("release-9").unwrap_err();
        assert!(
            why.contains("release-9") && why.contains("git fetch"),
            "{why}"
        );
    }

    #[test]
    fn changes_that_are_in_no_commit_are_refused_by_name() {
        let (_folder, repository) = repository();
        repository.expect_no_changes().unwrap();
        fs::write(repository.0.join("version"), "3").unwrap();
        let why = repository.expect_no_changes().unwrap_err();
        assert!(
            why.contains("version") && why.contains("commit them"),
            "{why}"
        );
    }
}
