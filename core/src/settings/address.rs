//! Where a server listens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `host:port`, or `:port` for every interface. Port 0 takes a free one.
    Tcp(String),
    /// `unix:PATH`: a socket in the file system that only its owner may use (mode 0600).
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Address> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.is_empty() {
                true => Err(Error::config("the address names no path").help("write unix:PATH")),
                false => Ok(Address::Unix(PathBuf::from(path))),
            };
        }
        let wrong = || {
            Error::config(format!("\"{text}\" is not an address"))
                .help("write host:port, :port or unix:PATH")
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        port.parse::<u16>().map_err(|_| wrong())?;
        Ok(Address::Tcp(match host {
            "" => format!("0.0.0.0:{port}"),
            host => format!("{host}:{port}"),
        }))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => f.write_str(address),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
