//! What types are made of, as `pg_type` says.

use std::collections::HashMap;

use blacksmith_core::error::Result;

use crate::connection::SqlClient;

/// One type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeInfo {
    /// Its number.
    pub oid: u32,
    /// Its schema.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What it is made of.
    pub class: TypeClass,
    /// `typdelim`: what separates values of this type inside an array.
    pub delimiter: char,
    /// `typcategory`.
    pub category: char,
    /// Whether values can be sent in binary.
    pub has_binary: bool,
}

/// What a type is made of. The oids named here are in the same answer of [`load_types`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeClass {
    /// A type of its own.
    Base,
    /// A true array (not `int2vector` or `oidvector`, whose text looks different).
    Array {
        /// Type of the elements.
        element: u32,
    },
    /// A domain.
    Domain {
        /// The type below; maybe a domain again.
        base: u32,
        /// The type modifier that the domain sets, -1 for none.
        typmod: i32,
    },
    /// An enum.
    Enum,
    /// A row type.
    Composite,
    /// A range.
    Range {
        /// Type of its bounds.
        subtype: u32,
    },
    /// A multirange.
    Multirange,
    /// A pseudo type, or a kind that we do not know.
    Other,
}

impl TypeClass {
    /// The type that it is directly made of, if it is made of one.
    #[must_use]
    pub fn made_of(self) -> Option<u32> {
        match self {
            TypeClass::Array { element } => Some(element),
            TypeClass::Domain { base, .. } => Some(base),
            TypeClass::Range { subtype } => Some(subtype),
            TypeClass::Base
            | TypeClass::Enum
            | TypeClass::Composite
            | TypeClass::Multirange
            | TypeClass::Other => None,
        }
    }
}

const SQL: &str = "
with recursive wanted(oid) as (
    select unnest($1::oid[])
  union
    select below.oid
    from wanted
    join pg_type t on t.oid = wanted.oid
    left join pg_range r on r.rngtypid = t.oid
    cross join lateral (values (t.typelem), (t.typbasetype), (r.rngsubtype)) as below(oid)
    where below.oid <> 0
)
select t.oid, n.nspname::text, t.typname::text, t.typtype::text, t.typcategory::text, t.typdelim::text,
       case when t.typlen = -1 and t.typelem <> 0 and t.oid not in (22, 30)
                 and t.typsubscript = 'array_subscript_handler'::regproc
            then t.typelem else 0::oid end,
       t.typbasetype, t.typtypmod, coalesce(r.rngsubtype, 0::oid), t.typsend <> 0
from wanted
join pg_type t on t.oid = wanted.oid
join pg_namespace n on n.oid = t.typnamespace
left join pg_range r on r.rngtypid = t.oid";

/// The types with these oids and all that they are made of (elements, bases, bounds), by oid. An oid that does
/// not exist any more is missing in the answer.
///
/// # Errors
/// What the server refused, or a lost connection.
pub async fn load_types(client: &SqlClient, oids: &[u32]) -> Result<HashMap<u32, TypeInfo>> {
    let rows = client.query("reading types", SQL, &[&oids]).await?;
    Ok(rows.iter().map(|row| (row.get(0), type_of(row))).collect())
}

fn type_of(row: &tokio_postgres::Row) -> TypeInfo {
    let letter = |column: usize| row.get::<_, &str>(column).chars().next().unwrap_or(' ');
    let element: u32 = row.get(6);
    let class = match letter(3) {
        'b' if element != 0 => TypeClass::Array { element },
        'b' => TypeClass::Base,
        'd' => TypeClass::Domain {
            base: row.get(7),
            typmod: row.get(8),
        },
        'e' => TypeClass::Enum,
        'c' => TypeClass::Composite,
        'r' => TypeClass::Range {
            subtype: row.get(9),
        },
        'm' => TypeClass::Multirange,
        _ => TypeClass::Other,
    };
    TypeInfo {
        oid: row.get(0),
        namespace: row.get(1),
        name: row.get(2),
        class,
        delimiter: letter(5),
        category: letter(4),
        has_binary: row.get(10),
    }
}
