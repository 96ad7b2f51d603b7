//! What the log keeps of one version of a table: enough to read its rows without the server.

use blacksmith_core::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// One version of a table, in the order in which its rows carry their values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    /// Its oid.
    pub oid: u32,
    /// Its schema.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What an old row carries.
    pub identity: Identity,
    /// Counts the versions of this table, from 1.
    pub version: u32,
    /// The published columns.
    pub columns: Vec<Column>,
}

impl TableSchema {
    /// `schema.table`, unquoted: the name of its folder, and of its trigger. The first dot ends the schema:
    /// one that is part of its name is `%2E`, and a `%` in it `%25`, so that no two tables share a name.
    #[must_use]
    pub fn full_name(&self) -> String {
        let namespace = self.namespace.replace('%', "%25").replace('.', "%2E");
        format!("{namespace}.{}", self.name)
    }

    /// True when some columns identify a row; else the whole row does.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.columns.iter().any(|column| column.key)
    }

    /// The body of a schema record.
    ///
    /// # Errors
    /// `Invalid`, which no schema that was read or built here gives.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| {
            Error::invalid(format!("cannot write the schema of {}", self.full_name()))
                .because(error)
        })
    }

    /// Reads the body of a schema record.
    ///
    /// # Errors
    /// `Damaged` when it is not one.
    pub fn from_bytes(bytes: &[u8]) -> Result<TableSchema> {
        serde_json::from_slice(bytes).map_err(|error| {
            Error::damaged("a schema record that cannot be read")
                .because(error)
                .help("run `blacksmith-stream store verify`")
        })
    }
}

/// REPLICA IDENTITY: what the server sends of a row before its change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// The primary key.
    Default,
    /// The columns of a chosen unique index.
    Index,
    /// The whole row.
    Full,
    /// Nothing: such a table publishes inserts only.
    Nothing,
}

impl Identity {
    /// From `pg_class.relreplident`, which a Relation message also carries.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Identity> {
        Some(match byte {
            b'd' => Identity::Default,
            b'i' => Identity::Index,
            b'f' => Identity::Full,
            b'n' => Identity::Nothing,
            _ => return None,
        })
    }
}

/// A published column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name, as stored (not quoted, not folded).
    pub name: String,
    /// Its type.
    pub type_oid: u32,
    /// Its type modifier, -1 for none.
    pub typmod: i32,
    /// As `format_type` says it: `numeric(10,2)`, `public.mood`.
    pub pg_type: String,
    /// What kind of type it is.
    pub kind: TypeKind,
    /// True when it is part of what identifies a row: the columns of the replica identity, and
    /// under FULL those of the primary key (none when there is no primary key).
    pub key: bool,
    /// GENERATED ALWAYS AS ... STORED
    #[serde(default)]
    pub generated: bool,
    /// False for NOT NULL. The change log's column is nullable all the same.
    #[serde(default = "yes")]
    pub nullable: bool,
}

fn yes() -> bool {
    true
}

/// What a type is made of, as found in `pg_type`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeKind {
    /// Built in (`pg_catalog`, oid below 16,384) and none of the kinds below.
    Base(u32),
    /// A domain (`typtype = d`).
    Domain {
        /// `typbasetype`
        base: Box<TypeKind>,
        /// `typtypmod`
        typmod: i32,
    },
    /// An enum (`e`).
    Enum,
    /// A row type (`c`).
    Composite,
    /// A range or multirange (`r`, `m`).
    Range,
    /// A true array: the `typarray` of its own `typelem`. `int2vector` and `oidvector` look like
    /// arrays in all other respects, but print differently: they are `Base`.
    Array {
        /// `typelem`
        element: Box<TypeKind>,
        /// `typdelim` of the element: a comma for all but `box`.
        delimiter: char,
    },
    /// A base type from an extension, by its name alone: `citext`, `hstore`, `vector`.
    Extension(String),
    /// Not known.
    Unknown,
}

impl TypeKind {
    /// The type below all domains, with the type modifier that holds there.
    #[must_use]
    pub fn below_domains(&self, typmod: i32) -> (&TypeKind, i32) {
        let mut found = (self, typmod);
        while let TypeKind::Domain { base, typmod } = found.0 {
            found = (base, *typmod);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(namespace: &str, name: &str) -> String {
        let schema = TableSchema {
            oid: 1,
            namespace: namespace.into(),
            name: name.into(),
            identity: Identity::Default,
            version: 1,
            columns: Vec::new(),
        };
        schema.full_name()
    }

    #[test]
    fn no_two_tables_share_a_name_and_plain_ones_are_as_people_write_them() {
        assert_eq!(named("public", "Order.Lines 50%"), "public.Order.Lines 50%");
        assert_eq!(named("a.b", "c"), "a%2Eb.c");
        assert_eq!(named("a%2Eb", "c"), "a%252Eb.c");
        assert_eq!(named("a", "b.c"), "a.b.c");
    }
}
