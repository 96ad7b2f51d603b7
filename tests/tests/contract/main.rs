//! What each part promises, held against real servers.

#[cfg(test)]
mod failpoints;
#[cfg(test)]
mod features;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod supply;
#[cfg(test)]
mod unsafe_code;
#[cfg(test)]
mod values;
