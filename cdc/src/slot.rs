//! Whether the slot is still the one we read, in the cluster we know, where we left it.
//!
//! Every answer other than yes is an error of its own: nothing is skipped, and nothing is copied
//! again, without somebody having asked for it.

use blacksmith_core::door::Door;
use blacksmith_core::error::{Error, Kind, Result};

use crate::catalog::{SlotInfo, find_slot, take_over_slot};
use crate::connection::{Lsn, SqlClient, SystemIdentity, server_error};
use crate::state::{self, SlotState};
use crate::stream::StreamSettings;
use crate::tables::remember;

const BEGIN_ANEW: &str = "to begin anew, point `store.path` and the destinations at empty folders";

/// Compares the server with what the store remembers of it.
///
/// # Errors
/// `Refused`, saying what changed and what can be done.
pub(crate) fn verify_server(
    identity: &SystemIdentity,
    known: &SlotState,
    accepted: Option<u32>,
    resume: u64,
) -> Result<()> {
    verify_system(&identity.system_id.to_string(), known)?;
    if identity.database != known.database {
        let what = format!(
            "this is another database: {}, the store was filled from {}",
            identity.database, known.database
        );
        return Err(Error::refused(what).help(format!("correct `url`; {BEGIN_ANEW}")));
    }
    if identity.timeline != known.timeline && accepted != Some(identity.timeline) {
        let what = format!(
            "the server was promoted: timeline {} became {}",
            known.timeline, identity.timeline
        );
        let help = format!(
            "if the slot was synchronised to this server and no commit was lost, set `timeline = {}` in the source; otherwise {BEGIN_ANEW}",
            identity.timeline
        );
        return Err(Error::refused(what).help(help));
    }
    if identity.wal_end.0 < resume {
        let what = format!(
            "the server's log ends at {}, before {}, up to where it was already read: the server was restored from a backup",
            identity.wal_end,
            Lsn(resume)
        );
        return Err(Error::refused(what).help(BEGIN_ANEW));
    }
    Ok(())
}

fn verify_system(system_id: &str, known: &SlotState) -> Result<()> {
    if system_id == known.system_id {
        return Ok(());
    }
    let what = format!(
        "this is another cluster: its system identifier is {system_id}, the store was filled from {}",
        known.system_id
    );
    Err(Error::refused(what).help(format!("correct `url`; {BEGIN_ANEW}")))
}

/// Whether an SQL connection has reached the cluster that the store was filled from. What the stream has seen of
/// its server says nothing about this one: an address, or several hosts in the URL, may lead to different servers.
/// A server that tells its number only on replication connections is taken at the stream's word.
///
/// # Errors
/// `Refused` when it is another cluster; a lost connection.
pub(crate) async fn verify_client(client: &SqlClient, door: &Door) -> Result<()> {
    let Some(known) = state::slot(door)? else {
        return Ok(());
    };
    let sql = "select system_identifier::text from pg_control_system()";
    match client.query("identifying the server", sql, &[]).await {
        Ok(rows) => rows
            .first()
            .map_or(Ok(()), |row| verify_system(row.get(0), &known)),
        Err(error) if server_error(&error).is_some() && error.kind() == Kind::Refused => Ok(()),
        Err(error) => Err(error),
    }
}

/// Looks whether the slot can serve everything from `resume` on.
///
/// # Errors
/// `Refused` when it is gone, lost, or was moved past `resume`.
pub(crate) fn verify_slot(slot: Option<&SlotInfo>, name: &str, resume: u64) -> Result<()> {
    let lsn = Lsn(resume);
    let Some(slot) = slot else {
        let what = format!(
            "replication slot {name} does not exist any more; changes since {lsn} may be lost"
        );
        return Err(Error::refused(what).help(BEGIN_ANEW));
    };
    if slot.is_lost() {
        let reason = slot
            .invalidation
            .as_deref()
            .unwrap_or("max_slot_wal_keep_size was exceeded");
        let what = format!(
            "replication slot {name} was invalidated ({reason}); changes since {lsn} are lost"
        );
        let help = format!(
            "drop it with SELECT pg_drop_replication_slot('{name}'), raise max_slot_wal_keep_size, and {BEGIN_ANEW}"
        );
        return Err(Error::refused(what).help(help));
    }
    if let Some(plugin) = slot
        .plugin
        .as_deref()
        .filter(|plugin| *plugin != "pgoutput")
    {
        let what = format!("replication slot {name} uses the plugin {plugin}, not pgoutput");
        return Err(Error::refused(what).help("name another slot in `slot`"));
    }
    if let Some(confirmed) = slot
        .confirmed_flush
        .filter(|confirmed| confirmed.0 > resume)
    {
        let what = format!(
            "replication slot {name} was moved to {confirmed}, past {lsn} where this store ends: \
             it was created anew, read by somebody else, or the store is an old copy"
        );
        return Err(Error::refused(what).help(BEGIN_ANEW));
    }
    Ok(())
}

/// Verifies server and slot before the stream begins, and ends a connection of our own that still
/// holds the slot.
///
/// # Errors
/// As [`verify_server`] and [`verify_slot`].
pub(crate) async fn verify(
    identity: &SystemIdentity,
    door: &Door,
    settings: &StreamSettings,
    resume: u64,
) -> Result<()> {
    let known = state::slot(door)?
        .ok_or_else(|| Error::damaged("the store does not know which slot it was filled from"))?;
    verify_server(identity, &known, settings.timeline, resume)?;
    if identity.timeline != known.timeline {
        tracing::warn!(
            before = known.timeline,
            now = identity.timeline,
            "the server's new timeline was accepted by the configuration"
        );
        let timeline = SlotState {
            timeline: identity.timeline,
            ..known
        };
        remember(door, vec![state::set_slot(&timeline)])?;
    }
    let client = SqlClient::connect(&settings.options).await?;
    let slot = find_slot(&client, &settings.slot).await?;
    verify_slot(slot.as_ref(), &settings.slot, resume)?;
    if slot.is_some_and(|slot| slot.active_pid.is_some()) {
        let name = &settings.options.application_name;
        if take_over_slot(&client, &settings.slot, name).await? {
            tracing::warn!(slot = %settings.slot, "a stale connection of our own held the slot; it was ended");
        }
    }
    Ok(())
}
