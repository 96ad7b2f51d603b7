//! The publication: found, created when absent, completed when it is ours to complete.
//!
//! A published table without a usable replica identity makes the *application's* own updates and deletes fail.
//! So a publication that we create or extend gets only tables that have one; the others are reported, each with
//! the exact statement that would let it in. A publication is never made smaller here, and what another
//! role owns is never changed: then the error names the statement to run.

use blacksmith_core::error::{Error, Kind, Result};
use blacksmith_core::failpoint;

use super::patterns::Patterns;
use super::table::{Identity, TableInfo, list_tables};
use crate::connection::quote::{identifier, qualified};
use crate::connection::{SqlClient, server_error};

/// A publication.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a column of pg_publication"
)]
pub struct PublicationInfo {
    /// Its number.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// Whether our role may change it.
    pub ours: bool,
    /// FOR ALL TABLES: every table, also future ones.
    pub all_tables: bool,
    /// Changes of partitions are sent as changes of the root.
    pub via_root: bool,
    /// Sends inserts.
    pub inserts: bool,
    /// Sends updates.
    pub updates: bool,
    /// Sends deletes.
    pub deletes: bool,
    /// Sends truncates.
    pub truncates: bool,
    /// The tables that it sends, as it sends them.
    pub tables: Vec<PublishedTable>,
}

impl PublicationInfo {
    fn sends(&self, table: &TableInfo) -> bool {
        self.tables.iter().any(|sent| sent.oid == table.oid)
    }
}

/// A table of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedTable {
    /// Its number.
    pub oid: u32,
    /// Its schema.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

const PUBLICATION: &str = "
select p.oid, p.pubname::text, pg_has_role(p.pubowner, 'usage'), p.puballtables, p.pubviaroot,
       p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate
from pg_publication p
where p.pubname = $1::text::name";

const TABLES: &str = "
select c.oid, n.nspname::text, c.relname::text
from pg_publication_tables t
join pg_namespace n on n.nspname = t.schemaname
join pg_class c on c.relnamespace = n.oid and c.relname = t.tablename
where t.pubname = $1::text::name
order by 2, 3";

/// The publication of exactly this name.
///
/// # Errors
/// What the server refused, or a lost connection.
pub async fn find_publication(client: &SqlClient, name: &str) -> Result<Option<PublicationInfo>> {
    let doing = "looking for the publication";
    let rows = client.query(doing, PUBLICATION, &[&name]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let tables = client.query(doing, TABLES, &[&name]).await?;
    let table = |row: &tokio_postgres::Row| PublishedTable {
        oid: row.get(0),
        namespace: row.get(1),
        name: row.get(2),
    };
    Ok(Some(PublicationInfo {
        oid: row.get(0),
        name: row.get(1),
        ours: row.get(2),
        all_tables: row.get(3),
        via_root: row.get(4),
        inserts: row.get(5),
        updates: row.get(6),
        deletes: row.get(7),
        truncates: row.get(8),
        tables: tables.iter().map(table).collect(),
    }))
}

/// A table that is asked for and cannot be published as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its schema.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Why.
    pub why: &'static str,
    /// The statement that would let it in.
    pub fix: String,
}

/// What [`ensure_publication`] found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicationState {
    /// The publication as it is now.
    pub publication: PublicationInfo,
    /// Whether it was created.
    pub created: bool,
    /// Tables that were added to it, quoted.
    pub added: Vec<String>,
    /// Tables that are asked for and stay out.
    pub left_out: Vec<LeftOut>,
}

/// How often it is looked again when somebody else made the same change between our look and our statement.
const LOOKS_MAX: u32 = 5;

/// What the server answers when a publication, or a table of it, is there already.
const THERE_ALREADY: &str = "42710";

/// Sees to it that the publication exists and sends the tables that `wanted` names: creates it when absent
/// (sending changes of partitions as changes of their root), adds new tables when our role may.
///
/// # Errors
/// [`Kind::Refused`] with the exact statement to run when our role may not create or extend it, or when no table
/// can be published; what else the server refused.
pub async fn ensure_publication(
    client: &SqlClient,
    name: &str,
    wanted: &Patterns,
) -> Result<PublicationState> {
    let mut looks = 1..LOOKS_MAX;
    loop {
        match look_and_change(client, name, wanted).await {
            Err(error) if is_there_already(&error) && looks.next().is_some() => {}
            done => return done,
        }
    }
}

fn is_there_already(error: &Error) -> bool {
    server_error(error).is_some_and(|error| error.code == THERE_ALREADY)
}

async fn look_and_change(
    client: &SqlClient,
    name: &str,
    wanted: &Patterns,
) -> Result<PublicationState> {
    let existing = find_publication(client, name).await?;
    let tables = list_tables(client).await?;
    let via_root = existing
        .as_ref()
        .is_none_or(|publication| publication.via_root);
    let asked = asked_for(&tables, wanted, via_root, existing.as_ref());
    let (fit, left_out) = divide(asked);
    let added: Vec<String> = fit.iter().map(|table| table.quoted()).collect();
    failpoint!(PublicationRead?);
    match &existing {
        None if added.is_empty() => return Err(nothing_to_publish(client, name, &left_out)),
        None => create(client, name, &added).await?,
        Some(publication) if !added.is_empty() => extend(client, publication, &added).await?,
        Some(_) => {}
    }
    let publication = find_publication(client, name).await?;
    let publication = publication.ok_or_else(|| {
        Error::refused(format!("publication {name:?} was dropped meanwhile")).at(client.place())
    })?;
    Ok(PublicationState {
        publication,
        created: existing.is_none(),
        added,
        left_out,
    })
}

/// The tables that are wanted and not sent yet. Through the root, partitions come by themselves.
fn asked_for<'a>(
    tables: &'a [TableInfo],
    wanted: &Patterns,
    via_root: bool,
    existing: Option<&PublicationInfo>,
) -> Vec<&'a TableInfo> {
    if existing.is_some_and(|publication| publication.all_tables) {
        return Vec::new();
    }
    let sent = |table: &TableInfo| existing.is_some_and(|publication| publication.sends(table));
    let asked = tables.iter().filter(|table| {
        wanted.matches(&table.namespace, &table.name)
            && !(table.is_partition && via_root)
            && !sent(table)
    });
    // Without via_root a partitioned table is sent as its leaves, which are tables of this list themselves.
    asked
        .filter(|table| via_root || table.kind == super::table::TableKind::Ordinary)
        .collect()
}

/// Those that can be published, and why the others cannot.
fn divide(asked: Vec<&TableInfo>) -> (Vec<&TableInfo>, Vec<LeftOut>) {
    let (mut fit, mut left_out) = (Vec::new(), Vec::new());
    for table in asked {
        match obstacle(table) {
            None => fit.push(table),
            Some((why, fix)) => left_out.push(LeftOut {
                namespace: table.namespace.clone(),
                name: table.name.clone(),
                why,
                fix,
            }),
        }
    }
    (fit, left_out)
}

/// Why a table cannot be published, and the statement that changes it.
pub(super) fn obstacle(table: &TableInfo) -> Option<(&'static str, String)> {
    let alter = |change: &str| format!("ALTER TABLE {} {change}", table.quoted());
    if !table.logged {
        return Some((
            "it is unlogged: its changes are not in the log",
            alter("SET LOGGED"),
        ));
    }
    if table.identity_usable {
        return None;
    }
    let why = match table.identity {
        Identity::Nothing => {
            "its replica identity is NOTHING, so its updates and deletes would fail once published"
        }
        _ => {
            "it has no primary key and no other replica identity, so its updates and deletes would fail once published"
        }
    };
    let full = match table.kind {
        super::table::TableKind::Ordinary => alter("REPLICA IDENTITY FULL"),
        super::table::TableKind::Partitioned => format!(
            "{}, and the same for each of its partitions",
            alter("REPLICA IDENTITY FULL")
        ),
    };
    Some((why, full))
}

/// The statement that creates the publication as we would, for whoever may run it.
pub(super) fn creation(name: &str, tables: &[String]) -> String {
    format!(
        "CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true)",
        identifier(name),
        tables.join(", ")
    )
}

async fn create(client: &SqlClient, name: &str, tables: &[String]) -> Result<()> {
    let sql = creation(name, tables);
    let created = client.execute("creating the publication", &sql).await;
    created.map_err(|error| {
        to_run(
            error,
            &format!("publication {name:?} does not exist and may not be created by this role"),
            &sql,
        )
    })
}

async fn extend(
    client: &SqlClient,
    publication: &PublicationInfo,
    tables: &[String],
) -> Result<()> {
    let sql = format!(
        "ALTER PUBLICATION {} ADD TABLE {}",
        identifier(&publication.name),
        tables.join(", ")
    );
    let what = format!(
        "publication {:?} does not send every table that is asked for",
        publication.name
    );
    if !publication.ours {
        return Err(Error::refused(what)
            .at(client.place())
            .help(format!("as its owner, run: {sql}")));
    }
    let extended = client.execute("extending the publication", &sql).await;
    extended.map_err(|error| to_run(error, &what, &sql))
}

/// A refusal becomes the statement to run; a lost connection stays one.
fn to_run(error: Error, what: &str, sql: &str) -> Error {
    match error.kind() {
        Kind::Refused => Error::refused(what).because(error).help(format!(
            "as the owner of database and tables, or as a superuser, run: {sql}"
        )),
        _ => error,
    }
}

fn nothing_to_publish(client: &SqlClient, name: &str, left_out: &[LeftOut]) -> Error {
    let what = format!(
        "publication {name:?} does not exist, and no table that is asked for can be published"
    );
    let fixes: Vec<String> = left_out
        .iter()
        .map(|left| {
            format!(
                "{}: {}: {}",
                qualified(&left.namespace, &left.name),
                left.why,
                left.fix
            )
        })
        .collect();
    let help = if fixes.is_empty() {
        "no table matches `tables`; create one, or correct the patterns".to_owned()
    } else {
        fixes.join("; ")
    };
    Error::refused(what).at(client.place()).help(help)
}
