//! The stock program of another revision, built here and now by the same toolchain.

use std::path::Path;
use std::process::Command;

use super::build::Build;
use super::repository::Repository;
use super::{Result, stop};

/// The folder of its tree.
const TREE: &str = "tree";
/// The folder that it is built in: apart from ours, so that neither build undoes the other's.
const TARGET: &str = "target";

/// Builds the program of `revision` below `home`. What is there from another time is used again.
///
/// # Errors
/// When there is no such revision, when it does not build, or when this tree has changes that are in no commit.
pub fn build(home: &Path, revision: &str) -> Result<Build> {
    let repository = Repository::own();
    repository.expect_no_changes()?;
    let commit = repository.commit(revision)?;
    let (tree, target) = (home.join(TREE), home.join(TARGET));
    repository.tree(&tree, &commit)?;
    eprintln!("building the program of {commit} in {}", home.display());
    compile(&tree, &target).map_err(|why| {
        format!("the program of {commit} was not built ({why}); choose a revision that builds with this toolchain")
    })?;
    let binary = target.join("release/blacksmith-stream");
    Ok(Build::of_commit(&commit, binary))
}

/// As `cargo x bench` builds ours; cargo shows how far it is.
fn compile(tree: &Path, target: &Path) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--release", "--package", "blacksmith-stream"])
        .args(["--bin", "blacksmith-stream"])
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", target);
    let status = command.status();
    stop::check()?;
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cargo: {status}")),
        Err(error) => Err(format!("cannot run cargo: {error}")),
    }
}
