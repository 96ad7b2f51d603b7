//! One table as the catalog describes it beside the stream.

use blacksmith_core::error::Result;
use tokio_postgres::{Row, Statement};

use crate::connection::SqlClient;

/// What the stream leaves out of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_oid: u32,
    /// Its type modifier, -1 for none.
    pub typmod: i32,
    /// As `format_type` says it; types outside `pg_catalog` with their schema.
    pub type_name: String,
    /// Computed by the server.
    pub generated: bool,
    /// Part of the primary key.
    pub in_primary_key: bool,
}

// By the table's number alone, so that its cost does not grow with the number of tables. `pg_publication_tables`
// goes through all of them for each.
const COLUMNS: &str = "
select a.attname::text, a.atttypid, a.atttypmod, format_type(a.atttypid, a.atttypmod), a.attgenerated <> '',
       exists (select from pg_index i, unnest(i.indkey::int2[]) with ordinality as u(k, o)
               where i.indrelid = a.attrelid and i.indisprimary and o <= i.indnkeyatts and k = a.attnum)
from pg_attribute a
where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
order by a.attnum";

/// The question for the columns of one table, prepared on one connection.
#[derive(Debug)]
pub struct RelationQuestion(Statement);

impl RelationQuestion {
    /// Prepares it on `client`.
    ///
    /// # Errors
    /// What the server refused, or a lost connection.
    pub async fn prepare(client: &SqlClient) -> Result<RelationQuestion> {
        let doing = "preparing to ask about tables";
        let statement = client.prepare(doing, COLUMNS).await?;
        Ok(RelationQuestion(statement))
    }

    /// All columns of the table `oid` without dropped ones, in order; none when there is no such table any more.
    /// `client` is the one that it was prepared on.
    ///
    /// # Errors
    /// What the server refused, or a lost connection.
    pub async fn ask(&self, client: &SqlClient, oid: u32) -> Result<Vec<RelationColumn>> {
        let doing = "reading the columns of a table";
        let rows = client.query(doing, &self.0, &[&oid]).await?;
        Ok(rows.iter().map(column_of).collect())
    }
}

fn column_of(row: &Row) -> RelationColumn {
    RelationColumn {
        name: row.get(0),
        type_oid: row.get(1),
        typmod: row.get(2),
        type_name: row.get(3),
        generated: row.get(4),
        in_primary_key: row.get(5),
    }
}
