//! The first start: publication, slot, and the first snapshot; and on later starts, whether there
//! is anything to set up.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use blacksmith_core::door::Door;
use blacksmith_core::error::{Error, Result};
use blacksmith_core::failpoint;

use crate::blocking::blocking;
use crate::catalog::{Patterns, TableInfo, ensure_publication, find_slot, take_over_slot};
use crate::connection::{
    During, NewSlot, Refusal, ReplicationConnection, SqlClient, SystemIdentity, Waker, refusal_of,
};
use crate::options::{PostgresOptions, Snapshot};
use crate::scout::Scout;
use crate::snapshot::{Described, Snapshots, Wave};
use crate::state::{self, Phase, SlotState, TableState};
use crate::tables::remember;

/// How long the slot may take to be created: the server first waits for running transactions.
const SLOT_TIMEOUT: Duration = Duration::from_secs(600);
/// How long the server may take to let go of a slot whose creation we gave up.
const OWN_SLOT_TIMEOUT: Duration = Duration::from_secs(20);
/// How many times the slot is made when a dying connection of ours comes in between.
const OWN_SLOT_ATTEMPTS: u32 = 3;
/// How often it is looked whether it did.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long a record of the set-up may take to become durable.
const DURABLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The first snapshot, which the creation of the slot has exported.
#[derive(Debug)]
pub(crate) struct First {
    pub(crate) wave: Wave,
    pub(crate) described: Described,
}

/// Sets up what is missing. Returns the first snapshot when the slot was created just now.
///
/// # Errors
/// Whatever stands in the way, with what to do about it.
pub(crate) async fn prepare(
    options: &PostgresOptions,
    door: &Door,
    copier: &Snapshots,
) -> Result<Option<First>> {
    let client = SqlClient::connect(&options.connect).await?;
    let patterns = Patterns::parse(&options.tables)?;
    if let Some(slot) = state::slot(door)? {
        return same_slot(&slot, options).map(|()| None);
    }
    let published = ensure_publication(&client, &options.publication, &patterns).await?;
    for table in &published.left_out {
        tracing::warn!(table = %format!("{}.{}", table.namespace, table.name), why = table.why, fix = %table.fix, "table left out of the publication");
    }
    let (identity, wave) = own_slot(&client, options, door).await?;
    failpoint!(SlotMade?);
    let wanted = |table: &TableInfo| patterns.matches(&table.namespace, &table.name);
    let described = copier.describe(&wave, wanted).await?;
    let mut tables = Snapshots::begin(&described, wave.lsn);
    let rows = publication_rows(&client, published.publication.oid).await?;
    for (oid, table) in &mut tables {
        table.publication_row = rows.get(oid).copied();
        if options.snapshot == Snapshot::Never {
            table.phase = Phase::Live { from_lsn: wave.lsn };
        }
    }
    begin(options, copier, &identity, wave.lsn, &tables)?;
    tracing::info!(slot = %options.slot, lsn = %crate::connection::Lsn(wave.lsn), tables = tables.len(), "slot created");
    Ok(Some(First { wave, described }))
}

fn same_slot(slot: &SlotState, options: &PostgresOptions) -> Result<()> {
    if slot.slot == options.slot {
        return Ok(());
    }
    let what = format!(
        "the store was filled from slot {}, the configuration names {}",
        slot.slot, options.slot
    );
    Err(Error::refused(what)
        .help("correct `slot`, or point `store.path` and the destinations at empty folders"))
}

/// The slot, made by us. The server may obey the last command of a killed predecessor after we have
/// looked; what it made is cleared away then, as what it had made before.
async fn own_slot(
    client: &SqlClient,
    options: &PostgresOptions,
    door: &Door,
) -> Result<(SystemIdentity, Wave)> {
    let mut attempts = 1..OWN_SLOT_ATTEMPTS;
    loop {
        clear_own_slot(client, options, door).await?;
        match create_slot(options).await {
            Err(error) if is_there(&error, &options.slot) && attempts.next().is_some() => {
                tracing::warn!(error = %error.report(), "a slot of our own appeared late; it is made again");
            }
            done => return done,
        }
    }
}

fn is_there(error: &Error, slot: &str) -> bool {
    refusal_of(error, During::Slot(slot)) == Some(Refusal::SlotExists)
}

/// A slot of our name that this store never read is somebody else's, unless we were interrupted
/// while we created it.
async fn clear_own_slot(client: &SqlClient, options: &PostgresOptions, door: &Door) -> Result<()> {
    let name = &options.slot;
    let found = find_slot(client, name).await?.is_some();
    let intended = door
        .recall(state::INTENT)
        .is_some_and(|intent| intent == name.as_bytes());
    if found && !intended {
        let what =
            format!("replication slot {name} exists already, and this store has never read it");
        let help = format!(
            "name another `slot`, or, if nobody needs it: SELECT pg_drop_replication_slot('{name}')"
        );
        return Err(Error::refused(what).help(help));
    }
    if intended {
        drop_own_slot(client, options, &Scout::name_before(name)).await?;
        drop_own_slot(client, options, name).await?;
    }
    let intent = blacksmith_core::event::StateChange {
        key: state::INTENT.to_owned(),
        value: name.clone().into_bytes().into(),
    };
    wait(remember(door, vec![intent])?).await
}

/// Drops a slot that we were creating when we were interrupted. The server may not have noticed: it
/// goes on waiting for running transactions, holds the slot meanwhile, and has to be told.
async fn drop_own_slot(client: &SqlClient, options: &PostgresOptions, name: &str) -> Result<()> {
    let deadline = Instant::now() + OWN_SLOT_TIMEOUT;
    while let Some(slot) = find_slot(client, name).await? {
        let ours = slot.active_pid.is_some()
            && take_over_slot(client, name, &options.connect.application_name).await?;
        if !ours || Instant::now() >= deadline {
            let (connect, slot) = (options.connect.clone(), name.to_owned());
            let drop_it = move |waker: &Waker| {
                let mut connection = ReplicationConnection::connect(&connect, waker)?;
                connection.drop_slot(&slot).map(drop) // it may have gone since we looked
            };
            return blocking(drop_it).await;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(()) // a slot that was not ready yet is gone with the connection that made it
}

async fn create_slot(options: &PostgresOptions) -> Result<(SystemIdentity, Wave)> {
    let connect = options.connect.clone();
    let (slot, failover) = (options.slot.clone(), options.failover);
    blocking(move |waker| {
        let scout = Scout::before(&slot, &connect, SLOT_TIMEOUT, waker)?;
        let mut holder = ReplicationConnection::connect(&connect, waker)?;
        let identity = holder.identify_system()?;
        let new = NewSlot {
            name: &slot,
            temporary: false,
            failover,
            export_snapshot: true,
        };
        let created = holder.create_slot(&new, SLOT_TIMEOUT)?;
        scout.follow(created.consistent_point)?;
        Ok((identity, Wave::of(holder, created)?))
    })
    .await
}

/// From here on the store knows the slot: everything in one record.
fn begin(
    options: &PostgresOptions,
    copier: &Snapshots,
    identity: &SystemIdentity,
    lsn: u64,
    tables: &[(u32, TableState)],
) -> Result<()> {
    let slot = SlotState {
        system_id: identity.system_id.to_string(),
        timeline: identity.timeline,
        slot: options.slot.clone(),
        database: identity.database.clone(),
        created_lsn: lsn,
    };
    let more = vec![state::set_slot(&slot), state::resume_at(lsn)];
    let receipt = copier.tables.set(tables, more)?;
    receipt.wait(DURABLE_TIMEOUT)
}

/// Where the server's log ends now.
///
/// # Errors
/// When the server does not answer.
pub(crate) async fn end_of_log(options: &PostgresOptions) -> Result<u64> {
    let connect = options.connect.clone();
    blocking(move |waker| {
        let mut connection = ReplicationConnection::connect(&connect, waker)?;
        Ok(connection.identify_system()?.wal_end.0)
    })
    .await
}

/// The row of `pg_publication_rel` of each table that is named by the publication.
///
/// # Errors
/// When the server does not answer.
pub(crate) async fn publication_rows(
    client: &SqlClient,
    publication: u32,
) -> Result<HashMap<u32, u32>> {
    let sql = "select prrelid, oid from pg_publication_rel where prpubid = $1::oid";
    let rows = client
        .query("reading the publication", sql, &[&publication])
        .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn wait(receipt: blacksmith_core::log::Receipt) -> Result<()> {
    blocking(move |_| receipt.wait(DURABLE_TIMEOUT)).await
}
