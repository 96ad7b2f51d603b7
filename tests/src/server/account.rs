//! Under whose name a private server runs.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Accounts that may run the server when the tests run as root, best first.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// The account of server processes: our own, or an unprivileged one when we are root.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    other: Option<(u32, u32)>,
}

impl Account {
    /// The account to run Postgres under.
    ///
    /// # Errors
    /// When we are root and the machine has no unprivileged account.
    pub fn of_server() -> Result<Account, String> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Account { other: None });
        }
        let passwd = std::fs::read_to_string("/etc/passwd")
            .map_err(|error| format!("cannot read /etc/passwd: {error}"))?;
        let found = UNPRIVILEGED.iter().find_map(|name| ids(&passwd, name));
        found.map(|ids| Account { other: Some(ids) }).ok_or_else(|| {
            "Postgres does not run as root, and there is neither an account postgres nor nobody; \
             run the tests as an ordinary user"
                .into()
        })
    }

    /// A command that runs under this account, in the root folder (ours may be closed to it).
    #[must_use]
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir("/");
        if let Some((uid, gid)) = self.other {
            command.uid(uid).gid(gid); // as root, this drops the supplementary groups too
        }
        command
    }

    /// Hands `path` over to this account.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn own(&self, path: &Path) -> Result<(), String> {
        let Some((uid, gid)) = self.other else {
            return Ok(());
        };
        chown(path, Some(uid), Some(gid))
            .map_err(|error| format!("cannot hand over {}: {error}", path.display()))
    }
}

/// User and group id of `name` in the text of `/etc/passwd`.
fn ids(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let line = passwd
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::ids;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd = "postgres2:x:1:2::/:\npostgres:x:101:104:,,,:/var:/bin/sh\n";
        assert_eq!(ids(passwd, "postgres"), Some((101, 104)));
        assert_eq!(ids(passwd, "nobody"), None);
    }
}
