//! The slot: is it there, is it ours, is it whole, or may it be created.

use blacksmith_core::error::Result;
use blacksmith_core::finding::Finding;

use super::super::slot::{SlotInfo, find_slot};
use super::{Asked, good, problem, refused, warning};
use crate::connection::SqlClient;

pub(super) async fn check_slot(
    client: &SqlClient,
    asked: &Asked<'_>,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    if let Err(error) = crate::connection::check_slot_name(asked.slot) {
        findings.push(refused(&error));
        return Ok(());
    }
    if let Some(slot) = find_slot(client, asked.slot).await? {
        findings.push(judge_slot(&slot, &asked.options.database));
        return Ok(());
    }
    let free = "select current_setting('max_replication_slots')::int8 - count(*) from pg_replication_slots";
    let rows = client
        .query("counting the replication slots", free, &[])
        .await?;
    let free: i64 = rows.first().map_or(0, |row| row.get(0));
    findings.push(if asked.known_system.is_some() {
        problem(
            format!("replication slot {:?} does not exist any more", asked.slot),
            "changes since it was dropped are not in the log: take a new snapshot with a new slot",
        )
    } else if free < 2 {
        problem(
            format!("replication slot {:?} does not exist and fewer than two are free", asked.slot),
            "drop unused ones (SELECT * FROM pg_replication_slots) or raise max_replication_slots and restart the server; making one takes a second for a moment",
        )
    } else {
        good(format!("replication slot {:?} does not exist yet and will be created", asked.slot))
    });
    Ok(())
}

fn judge_slot(slot: &SlotInfo, database: &str) -> Finding {
    let name = &slot.name;
    if slot.plugin.as_deref() != Some("pgoutput") {
        return problem(
            format!("replication slot {name:?} is not one of pgoutput"),
            "choose another slot name for this source",
        );
    }
    if slot.database.as_deref() != Some(database) {
        return problem(
            format!("replication slot {name:?} belongs to another database"),
            "choose another slot name, or correct the database in the connection URL",
        );
    }
    if slot.is_lost() {
        let why = slot
            .invalidation
            .as_deref()
            .or(slot.wal_status.as_deref())
            .unwrap_or("lost");
        return problem(
            format!("replication slot {name:?} has lost log that was not read ({why})"),
            format!(
                "SELECT pg_drop_replication_slot('{name}'), raise max_slot_wal_keep_size, and take a new snapshot"
            ),
        );
    }
    if let Some(pid) = slot.active_pid {
        return warning(
            format!("replication slot {name:?} is being read by process {pid}"),
            "stop the other reader if it is not this pipeline itself",
        );
    }
    if slot.wal_status.as_deref() == Some("unreserved") {
        return warning(
            format!("replication slot {name:?} is about to lose log"),
            "start the pipeline now, and raise max_slot_wal_keep_size",
        );
    }
    good(format!(
        "replication slot {name:?} is ready and holds {} MiB of log",
        slot.held_bytes >> 20
    ))
}
