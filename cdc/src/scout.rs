//! A scout: a temporary slot that goes before ours, so that the server reads ours with its eyes open.
//!
//! While a server makes a slot it waits twice for the transactions that run. It takes no notice of a
//! transaction that begins and ends during the first wait (seen from 14.23 to 18.4: `xact_decode`
//! returns early before `SNAPBUILD_FULL_SNAPSHOT`), and if that one changed a table, then what runs
//! during the second wait, and all that follows until the next change of any table, is decoded as if
//! it had not: rows lack the new column, and nobody says so, or `could not map filenode` after a
//! truncate. Each connection repeats it, because each begins again where the slot was begun.
//!
//! Unless a good catalog snapshot lies on the server's disk there: a decoder takes that one instead of
//! making its own. Every decoder that is consistent leaves one at each record of running transactions
//! it passes. So one is made consistent first, and when our slot is there, led past where it was begun.
//!
//! It takes a second replication slot while ours is made, and one wait more for running transactions.

use std::time::Duration;

use blacksmith_core::error::Result;

use crate::connection::{ConnectOptions, Lsn, NewSlot, ReplicationConnection, Waker};

/// How much of the slot's name is in the scout's; the server allows 63 bytes in all.
const NAME_BYTES_MAX: usize = 56;

/// A decoder that is consistent, and waits to be led on. It ends with its connection.
#[derive(Debug)]
pub(crate) struct Scout {
    connection: ReplicationConnection,
    name: String,
    timeout: Duration,
}

impl Scout {
    /// Goes ahead of `slot`, which must not have been begun. Each step may take `timeout`.
    ///
    /// # Errors
    /// As [`ReplicationConnection::create_slot`].
    pub(crate) fn before(
        slot: &str,
        options: &ConnectOptions,
        timeout: Duration,
        waker: &Waker,
    ) -> Result<Scout> {
        let mut connection = ReplicationConnection::connect(options, waker)?;
        let name = Scout::name_before(slot);
        let new = NewSlot {
            name: &name,
            temporary: true,
            failover: false,
            export_snapshot: false,
        };
        connection.create_slot(&new, timeout)?;
        Ok(Scout {
            connection,
            name,
            timeout,
        })
    }

    /// Its own name: always the same, so that one that was left behind can be found and ended.
    pub(crate) fn name_before(slot: &str) -> String {
        // Names of slots are ASCII.
        format!("{}_scout", &slot[..slot.len().min(NAME_BYTES_MAX)])
    }

    /// Leads it over the log that our slot will be read from, up to where that became consistent.
    ///
    /// # Errors
    /// What the server refused, or a lost connection: then the slot is not to be trusted.
    pub(crate) fn follow(mut self, consistent: Lsn) -> Result<()> {
        self.connection
            .advance_slot(&self.name, consistent, self.timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::check_slot_name;

    #[test]
    fn the_scout_of_the_longest_name_has_a_name_that_the_server_takes() {
        let longest = "x".repeat(63);
        assert!(check_slot_name(&longest).is_ok());
        assert!(check_slot_name(&Scout::name_before(&longest)).is_ok());
    }
}
