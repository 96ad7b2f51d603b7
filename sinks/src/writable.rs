//! Whether a folder can be written, without writing into it.

use std::path::Path;

use blacksmith_core::finding::{Finding, Severity};
use rustix::fs::{Access, access};

/// What there is to say of `folder`, which need not exist yet.
pub(crate) fn folder(folder: &Path) -> Finding {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let existing = absolute.ancestors().find(|path| path.exists());
    let existing = existing.unwrap_or(Path::new("/"));
    let can_be = existing.is_dir() && access(existing, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    let place = absolute.display();
    match can_be {
        true if existing == absolute => good(format!("{place} can be written")),
        true => good(format!("{place} will be created")),
        false => Finding {
            severity: Severity::Problem,
            what: format!("{} cannot be written", existing.display()),
            fix: Some("make it a folder that this user may write, or set another path".into()),
        },
    }
}

fn good(what: String) -> Finding {
    Finding {
        severity: Severity::Good,
        what,
        fix: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rootis_good_when_it_or_what_is_above_it_can_be_written() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(folder(root.path()).what.ends_with("can be written"));
        assert!(
            folder(&root.path().join("a/b"))
                .what
                .ends_with("will be created")
        );
        assert_eq!(folder(&file.join("a")).severity, Severity::Problem);
    }
}
