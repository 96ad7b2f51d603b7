//! What the server's settings mean for a pipeline.

use blacksmith_core::error::Result;
use blacksmith_core::finding::Finding;

use super::{good, problem, warning};
use crate::connection::SqlClient;

const SETTINGS: &str = "
select current_setting('wal_level'), current_setting('max_slot_wal_keep_size'),
       (select setting::int8 from pg_settings where name = 'max_slot_wal_keep_size'),
       (select setting::int8 from pg_settings where name = 'wal_sender_timeout'),
       current_setting('max_replication_slots')::int8 - (select count(*) from pg_replication_slots),
       current_setting('max_wal_senders')::int8 - (select count(*) from pg_stat_replication),
       pg_is_in_recovery(), current_setting('server_encoding'),
       (select setting::int8 from pg_settings where name = 'idle_replication_slot_timeout'),
       (select extract(epoch from max(now() - xact_start))::int8 from pg_stat_activity
        where backend_type = 'client backend' and pid <> pg_backend_pid())";

pub(super) async fn check_settings(client: &SqlClient, findings: &mut Vec<Finding>) -> Result<()> {
    let rows = client
        .query("reading the server's settings", SETTINGS, &[])
        .await?;
    let Some(row) = rows.first() else {
        return Ok(());
    };
    let wal_level: &str = row.get(0);
    findings.push(if wal_level == "logical" {
        good("wal_level is logical".to_owned())
    } else {
        problem(
            format!("wal_level is {wal_level}"),
            "ALTER SYSTEM SET wal_level = logical, then restart the server",
        )
    });
    findings.push(keep_size(row.get(1), row.get(2)));
    if row.get::<_, Option<i64>>(3) == Some(0) {
        findings.push(warning(
            "wal_sender_timeout is 0: the server never notices a reader that vanished, and its slot stays taken",
            "ALTER SYSTEM SET wal_sender_timeout = '60s'; SELECT pg_reload_conf()",
        ));
    }
    if row.get::<_, i64>(5) < 2 {
        findings.push(problem(
            "fewer than two replication connections are free",
            "raise max_wal_senders and restart the server; the stream takes one, a snapshot another",
        ));
    }
    if row.get(6) {
        findings.push(standby(client));
    }
    if row.get::<_, &str>(7) == "SQL_ASCII" {
        findings.push(warning(
            "the database has no encoding (SQL_ASCII): texts that are not UTF-8 cannot be read as text and are parked",
            "dump it into a database with encoding UTF8",
        ));
    }
    if row
        .get::<_, Option<i64>>(8)
        .is_some_and(|timeout| timeout > 0)
    {
        findings.push(warning(
            "idle_replication_slot_timeout is set: the slot is invalidated when the pipeline stands still that long",
            "ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf()",
        ));
    }
    if let Some(seconds) = row
        .get::<_, Option<i64>>(9)
        .filter(|seconds| *seconds > 600)
    {
        findings.push(warning(
            format!("a transaction has been open for {} minutes: creating a slot waits for it", seconds / 60),
            "SELECT pid, xact_start, query FROM pg_stat_activity WHERE xact_start IS NOT NULL ORDER BY 2",
        ));
    }
    if client.version().at_least(17) {
        check_standbys(client, findings).await?;
    }
    Ok(())
}

/// A standby that is not waited for may be promoted without rows that we have already sent on.
async fn check_standbys(client: &SqlClient, findings: &mut Vec<Finding>) -> Result<()> {
    let sql = "select count(*) from pg_replication_slots
               where slot_type = 'physical' and current_setting('synchronized_standby_slots') = ''";
    let rows = client.query("looking for standbys", sql, &[]).await?;
    if rows.first().is_some_and(|row| row.get::<_, i64>(0) > 0) {
        findings.push(warning(
            "there are standbys that decoding does not wait for: after a failover the target may be ahead of the server",
            "ALTER SYSTEM SET synchronized_standby_slots to the standbys' slots, and use a failover slot",
        ));
    }
    Ok(())
}

fn keep_size(shown: &str, megabytes: Option<i64>) -> Finding {
    match megabytes {
        Some(-1) | None => warning(
            "max_slot_wal_keep_size is -1: while the pipeline is stopped, its slot keeps log without limit",
            "set a limit that the disk can bear and a stop will not reach, such as ALTER SYSTEM SET max_slot_wal_keep_size = '200GB'",
        ),
        Some(size) if size < 1024 => warning(
            format!(
                "max_slot_wal_keep_size is {shown}: a short stop of the pipeline loses the slot"
            ),
            "allow more: ALTER SYSTEM SET max_slot_wal_keep_size = '200GB'; SELECT pg_reload_conf()",
        ),
        Some(_) => good(format!(
            "max_slot_wal_keep_size is {shown}: a slot further behind is lost"
        )),
    }
}

fn standby(client: &SqlClient) -> Finding {
    if client.version().at_least(16) {
        return warning(
            "the server is a standby: a slot can be created only while the primary writes, and the publication must exist there",
            "on the primary: SELECT pg_log_standby_snapshot(); with hot_standby_feedback = on here",
        );
    }
    problem(
        format!(
            "the server is a standby, and version {} decodes on primaries only",
            client.version()
        ),
        "connect to the primary (several hosts with target_session_attrs=primary find it)",
    )
}
