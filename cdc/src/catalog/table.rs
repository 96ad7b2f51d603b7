//! Tables: what they are, what of them is published, and where their rows lie.

use std::collections::HashMap;

use blacksmith_core::error::Result;
use tokio_postgres::Row;

use crate::connection::SqlClient;
use crate::connection::quote::qualified;

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableInfo {
    /// Its number.
    pub oid: u32,
    /// Its schema.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Ordinary or partitioned.
    pub kind: TableKind,
    /// Whether its changes are in the log at all: false for unlogged and temporary tables.
    pub logged: bool,
    /// Whether it is a partition of another table.
    pub is_partition: bool,
    /// What the server sends of a row before its change.
    pub identity: Identity,
    /// Whether updates and deletes carry a key: the identity is FULL, or its index exists; for a partitioned
    /// table, in every partition.
    pub identity_usable: bool,
    /// Attribute numbers of the identity's index, in order of the index; empty for FULL and NOTHING.
    pub identity_key: Vec<i16>,
    /// Attribute numbers of the primary key, in its order; empty without one.
    pub primary_key: Vec<i16>,
    /// The publication's row filter, as SQL over the table's columns.
    pub row_filter: Option<String>,
    /// Its columns without dropped ones, in order.
    pub columns: Vec<ColumnInfo>,
    /// The physical tables that hold its rows: itself, or the leaves of a partitioned table. Copy each of them
    /// with `ONLY`.
    pub parts: Vec<Part>,
}

impl TableInfo {
    /// Quoted, with its schema.
    #[must_use]
    pub fn quoted(&self) -> String {
        qualified(&self.namespace, &self.name)
    }

    /// Attribute numbers of what identifies a row: the identity's index, else the primary key, else nothing.
    #[must_use]
    pub fn key(&self) -> &[i16] {
        if self.identity_key.is_empty() {
            &self.primary_key
        } else {
            &self.identity_key
        }
    }
}

/// Ordinary or partitioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// Holds rows itself.
    Ordinary,
    /// Holds its rows in partitions.
    Partitioned,
}

/// `pg_class.relreplident`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The primary key, if there is one.
    Default,
    /// A chosen unique index.
    Index,
    /// The whole row.
    Full,
    /// Nothing.
    Nothing,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Its attribute number.
    pub number: i16,
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_oid: u32,
    /// Its type modifier, -1 for none.
    pub typmod: i32,
    /// As `format_type` says it; types outside `pg_catalog` with their schema.
    pub type_name: String,
    /// Declared NOT NULL.
    pub not_null: bool,
    /// Computed by the server (`GENERATED ALWAYS AS ... STORED`, or VIRTUAL).
    pub generated: bool,
    /// Whether the publication sends it: in the column list, if there is one, and not generated (unless the
    /// publication says so, from version 18 on).
    pub published: bool,
    /// `attstorage`: `p` plain, `m` main, `e` external, `x` extended. Only the latter three can be left out of
    /// an update as unchanged.
    pub storage: char,
}

/// A physical table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number.
    pub oid: u32,
    /// Its schema.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether it is a foreign table, whose rows are not here and not in the log.
    pub foreign: bool,
    /// The file that holds its rows; it changes when the table is rewritten or truncated.
    pub filenode: u32,
    /// Its real size in blocks, now (not the planner's estimate).
    pub blocks: u64,
}

impl Part {
    /// Quoted, with its schema.
    #[must_use]
    pub fn quoted(&self) -> String {
        qualified(&self.namespace, &self.name)
    }
}

// $1: oids, or null for all that can be published.
const TABLES: &str = "
select c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence = 'p',
       c.relispartition, c.relreplident::text,
       array(select k from pg_index i, unnest(i.indkey::int2[]) with ordinality as u(k, o)
             where i.indrelid = c.oid and o <= i.indnkeyatts
               and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident else false end
             order by o),
       array(select k from pg_index i, unnest(i.indkey::int2[]) with ordinality as u(k, o)
             where i.indrelid = c.oid and o <= i.indnkeyatts and i.indisprimary
             order by o),
       (select bool_and(l.relkind = 'f' or l.relreplident = 'f' or exists (
                 select from pg_index i
                 where i.indrelid = l.oid and i.indisvalid and i.indisready
                   and case l.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident
                                           else false end))
        from (select c.oid as id union
              select t.relid from pg_partition_tree(c.oid) t where c.relkind = 'p' and t.isleaf) as member
        join pg_class l on l.oid = member.id)
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where case when $1::oid[] is null
           then c.relkind in ('r', 'p') and c.relpersistence <> 't'
                and n.nspname <> 'information_schema' and not starts_with(n.nspname::text, 'pg_')
           else c.oid = any($1::oid[]) end
order by n.nspname, c.relname";

const COLUMNS: &str = "
select a.attrelid, a.attnum, a.attname::text, a.atttypid, a.atttypmod,
       format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated <> '', a.attstorage::text
from pg_attribute a
where a.attrelid = any($1::oid[]) and a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum";

const PARTS: &str = "
select asked.oid, c.oid, n.nspname::text, c.relname::text, c.relkind = 'f', c.relfilenode,
       pg_relation_size(c.oid) / current_setting('block_size')::int8
from unnest($1::oid[]) as asked(oid)
cross join lateral (
    select asked.oid as id where not exists (select from pg_class p where p.oid = asked.oid and p.relkind = 'p')
  union all
    select t.relid::oid from pg_partition_tree(asked.oid) t where t.isleaf and t.relid <> asked.oid) as member
join pg_class c on c.oid = member.id
join pg_namespace n on n.oid = c.relnamespace
where c.relkind <> 'p'
order by asked.oid, n.nspname, c.relname";

/// What is being done, should it fail.
const READING: &str = "reading the tables of the publication";

/// All tables of the database that could be published, without their columns and parts.
///
/// # Errors
/// What the server refused, or a lost connection.
pub async fn list_tables(client: &SqlClient) -> Result<Vec<TableInfo>> {
    let none: Option<Vec<u32>> = None;
    let rows = client.query("listing the tables", TABLES, &[&none]).await?;
    Ok(rows.iter().map(table_of).collect())
}

/// The tables that `publication` sends, as it sends them: with `publish_via_partition_root` the root of a
/// partitioned table, else its leaves; with the row filter and column list of each.
///
/// # Errors
/// What the server refused, or a lost connection. No error when the publication does not exist: the answer is
/// empty.
pub async fn load_published_tables(
    client: &SqlClient,
    publication: &str,
) -> Result<Vec<TableInfo>> {
    let sql = published_sql(client);
    let published = client.query(READING, &sql, &[&publication]).await?;
    describe(client, &published).await
}

/// The tables whose oids, column lists and row filters are in `published`.
async fn describe(client: &SqlClient, published: &[Row]) -> Result<Vec<TableInfo>> {
    let doing = READING;
    let oids: Vec<u32> = published.iter().map(|row| row.get(0)).collect();
    let mut tables: Vec<TableInfo> = client
        .query(doing, TABLES, &[&Some(&oids)])
        .await?
        .iter()
        .map(table_of)
        .collect();
    let mut columns = by_table(client.query(doing, COLUMNS, &[&oids]).await?);
    let mut parts = by_table(client.query(doing, PARTS, &[&oids]).await?);
    let shown: HashMap<u32, &Row> = published.iter().map(|row| (row.get(0), row)).collect();
    for table in &mut tables {
        let Some(row) = shown.get(&table.oid) else {
            continue;
        };
        table.row_filter = row.get(2);
        let listed: Option<Vec<String>> = row.get(1);
        let generated_too = client.version().at_least(18);
        let rows = columns.remove(&table.oid).unwrap_or_default();
        table.columns = rows
            .iter()
            .map(|row| column_of(row, listed.as_deref(), generated_too))
            .collect();
        table.parts = parts
            .remove(&table.oid)
            .unwrap_or_default()
            .iter()
            .map(part_of)
            .collect();
    }
    Ok(tables)
}

/// Table, column list and row filter; version 14 has neither list nor filter.
fn published_sql(client: &SqlClient) -> String {
    let shown = if client.version().at_least(15) {
        "t.attnames::text[], t.rowfilter"
    } else {
        "null::text[], null::text"
    };
    format!(
        "select c.oid, {shown}
         from pg_publication_tables t
         join pg_namespace n on n.nspname = t.schemaname
         join pg_class c on c.relnamespace = n.oid and c.relname = t.tablename
         where t.pubname = $1::text::name"
    )
}

fn by_table(rows: Vec<Row>) -> HashMap<u32, Vec<Row>> {
    let mut tables: HashMap<u32, Vec<Row>> = HashMap::new();
    for row in rows {
        tables.entry(row.get(0)).or_default().push(row);
    }
    tables
}

fn table_of(row: &Row) -> TableInfo {
    TableInfo {
        oid: row.get(0),
        namespace: row.get(1),
        name: row.get(2),
        kind: if row.get::<_, &str>(3) == "p" {
            TableKind::Partitioned
        } else {
            TableKind::Ordinary
        },
        logged: row.get(4),
        is_partition: row.get(5),
        identity: match row.get(6) {
            "i" => Identity::Index,
            "f" => Identity::Full,
            "n" => Identity::Nothing,
            _ => Identity::Default,
        },
        identity_usable: row.get::<_, Option<bool>>(9).unwrap_or(false),
        identity_key: row.get(7),
        primary_key: row.get(8),
        row_filter: None,
        columns: Vec::new(),
        parts: Vec::new(),
    }
}

fn column_of(row: &Row, listed: Option<&[String]>, generated_too: bool) -> ColumnInfo {
    let name: String = row.get(2);
    let generated: bool = row.get(7);
    let in_list = listed.is_none_or(|names| names.contains(&name));
    ColumnInfo {
        number: row.get(1),
        type_oid: row.get(3),
        typmod: row.get(4),
        type_name: row.get(5),
        not_null: row.get(6),
        generated,
        published: in_list && (!generated || generated_too && listed.is_some()),
        storage: row.get::<_, &str>(8).chars().next().unwrap_or(' '),
        name,
    }
}

fn part_of(row: &Row) -> Part {
    Part {
        oid: row.get(1),
        namespace: row.get(2),
        name: row.get(3),
        foreign: row.get(4),
        filenode: row.get(5),
        blocks: u64::try_from(row.get::<_, i64>(6)).unwrap_or(0),
    }
}
