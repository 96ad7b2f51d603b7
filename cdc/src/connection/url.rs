//! Connection texts: `postgres://user:password@host:port,host2/database?sslmode=verify-full` and
//! `host=… user=… password=…`, as libpq reads them, into [`ConnectOptions`].
//!
//! Both forms become a list of settings, and one table says what each setting does. Differences from
//! libpq, all on purpose: the user must be named, the host too, `PGPASSWORD` is the only variable read,
//! `sslmode=allow` means `prefer`, and without `sslrootcert` the roots are the system's.
//!
//! **What errors say.** A password with an unescaped `/`, `@`, `#` or space shifts every part after it,
//! so that pieces of it may stand where a host, port or key is expected. Errors therefore name the
//! *part* that is wrong and never repeat its text, except for values of settings that are plain words.

use blacksmith_core::error::{Error, Result};
use blacksmith_core::secret::Secret;

use super::draft::{Draft, ESCAPE, bad_host, filled};
use super::options::ConnectOptions;

impl ConnectOptions {
    /// Reads a connection URL or a `key=value` text; `PGPASSWORD` fills in a missing password.
    ///
    /// # Errors
    /// [`blacksmith_core::error::Kind::Config`], naming the part that is wrong, never the password.
    pub fn parse(text: &str) -> Result<Self> {
        let mut options = Self::parse_text(text)?;
        if options.password.is_none() {
            options.password = std::env::var("PGPASSWORD").ok().map(Secret::new);
        }
        Ok(options)
    }

    /// Reads a connection text and nothing else.
    ///
    /// # Errors
    /// As [`ConnectOptions::parse`].
    pub fn parse_text(text: &str) -> Result<Self> {
        let text = text.trim();
        let rest = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        let mut draft = Draft::default();
        match rest {
            Some(rest) => draft.read_url(rest)?,
            None if text.contains("://") => {
                return Err(Error::config(
                    "the connection URL does not start with postgres://",
                ));
            }
            None => draft.read_words(text)?,
        }
        draft.finish()
    }
}

impl Draft {
    /// Everything after `postgres://`.
    fn read_url(&mut self, rest: &str) -> Result<()> {
        let (front, query) = rest.split_once('?').unwrap_or((rest, ""));
        if front.contains('#') || query.contains(['@', '#']) {
            return Err(
                Error::config("the connection URL has a character in the wrong place").help(ESCAPE),
            );
        }
        let (authority, path) = front.split_once('/').unwrap_or((front, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        if path.contains(['/', '@']) || login.is_some_and(|login| login.contains('@')) {
            return Err(
                Error::config("the connection URL cannot be divided into its parts").help(ESCAPE),
            );
        }
        if let Some(login) = login {
            let (user, password) = login
                .split_once(':')
                .map_or((login, None), |(u, p)| (u, Some(p)));
            self.user = filled(decode(user, "user")?);
            self.password = match password {
                Some(password) if !password.is_empty() => {
                    Some(Secret::new(decode(password, "password")?))
                }
                _ => None,
            };
        }
        self.read_hosts(hosts)?;
        self.database = filled(decode(path, "database")?);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                Error::config("a setting after ? in the connection URL has no value").help(ESCAPE)
            })?;
            self.set(
                &decode(key, "setting's name")?,
                &decode(value, "setting's value")?,
            )?;
        }
        Ok(())
    }

    /// `host:port,[::1]:port,%2Fsocket%2Ffolder`.
    fn read_hosts(&mut self, hosts: &str) -> Result<()> {
        if hosts.is_empty() {
            return Ok(());
        }
        for host in hosts.split(',') {
            let (name, port) = match host.strip_prefix('[') {
                Some(rest) => {
                    let (name, after) = rest.split_once(']').ok_or_else(|| {
                        Error::config("an IPv6 host in the connection URL has no closing ]")
                    })?;
                    match after.strip_prefix(':') {
                        Some(port) => (name, port),
                        None if after.is_empty() => (name, ""),
                        None => return Err(bad_host()),
                    }
                }
                None => host.split_once(':').unwrap_or((host, "")),
            };
            self.hosts.push(decode(name, "host")?);
            self.ports.push(port.to_owned());
        }
        Ok(())
    }

    /// `key=value key='quoted value'`; a backslash takes the next character as it is.
    fn read_words(&mut self, text: &str) -> Result<()> {
        let mut letters = text.chars().peekable();
        let mut last = String::new();
        loop {
            while letters.next_if(|c| c.is_whitespace()).is_some() {}
            if letters.peek().is_none() {
                return Ok(());
            }
            let mut key = String::new();
            while let Some(c) = letters.next_if(|c| *c != '=' && !c.is_whitespace()) {
                key.push(c);
            }
            while letters.next_if(|c| c.is_whitespace()).is_some() {}
            if letters.next() != Some('=') {
                let place = if last.is_empty() {
                    "the connection text is neither a postgres:// URL nor a list of key=value"
                        .to_owned()
                } else {
                    format!("in the connection text, the word after the value of {last:?} has no =")
                };
                return Err(Error::config(place).help(
                    "put a value with spaces between single quotes, and write ' and \\ as \\' and \\\\",
                ));
            }
            while letters.next_if(|c| c.is_whitespace()).is_some() {}
            let value = read_value(&mut letters)?;
            self.set(&key, &value)?;
            last = key;
        }
    }
}

/// One value of a `key=value` text.
fn read_value(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String> {
    let quoted = letters.next_if_eq(&'\'').is_some();
    let mut value = String::new();
    loop {
        match letters.next() {
            Some('\'') if quoted => return Ok(value),
            Some('\\') => value.extend(letters.next()),
            Some(c) if !quoted && c.is_whitespace() => return Ok(value),
            Some(c) => value.push(c),
            None if quoted => {
                return Err(Error::config(
                    "a quoted value in the connection text has no closing quote",
                ));
            }
            None => return Ok(value),
        }
    }
}

/// Replaces `%XX`; `part` names the text in errors.
fn decode(text: &str, part: &str) -> Result<String> {
    let broken = || {
        Error::config(format!(
            "the {part} in the connection URL is not properly percent-encoded"
        ))
        .help(ESCAPE)
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit().ok_or_else(broken)?, digit().ok_or_else(broken)?);
        bytes.push(u8::try_from(high << 4 | low).expect("two hexadecimal digits make one byte"));
    }
    let text = String::from_utf8(bytes).map_err(|_| broken())?;
    if text.contains('\0') {
        return Err(broken());
    }
    Ok(text)
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
