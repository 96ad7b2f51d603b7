//! Descriptions of tables, from what the stream says and from what the catalog says.
//!
//! Both give the same [`TableSchema`] for the same table, so that copied rows and changes share a
//! file. The stream alone knows the columns as of the change; the catalog, which may be newer, is
//! asked only for what the stream leaves out: the kinds of types, and the primary key of a table
//! with REPLICA IDENTITY FULL.

use std::collections::HashMap;

use crate::catalog::{self, RelationColumn, TableInfo, TypeClass, TypeInfo};
use crate::protocol::Relation;
use crate::value::{Column, Identity, TableSchema, TypeKind};

/// Oids below this are built in.
const FIRST_OWN_OID: u32 = 16_384;
/// Domains over domains, arrays of domains, …: deeper nesting is taken for unknown.
const DEPTH_MAX: u32 = 16;

/// The table as a Relation message describes it, with what the catalog has of its columns now.
pub(crate) fn from_relation(
    relation: &Relation<'_>,
    types: &HashMap<u32, TypeInfo>,
    catalogued: &[RelationColumn],
) -> TableSchema {
    let identity = Identity::from_byte(relation.identity).unwrap_or(Identity::Default);
    let primary = if identity == Identity::Full {
        primary_key(relation, catalogued)
    } else {
        None
    };
    let columns = relation.columns().map(|column| {
        let catalogued = catalogued.iter().find(|known| {
            known.name == column.name
                && known.type_oid == column.type_oid
                && known.typmod == column.typmod
        });
        Column {
            name: column.name.to_owned(),
            type_oid: column.type_oid,
            typmod: column.typmod,
            pg_type: catalogued.map_or_else(
                || type_name(column.type_oid, types),
                |known| known.type_name.clone(),
            ),
            kind: kind_of(column.type_oid, types, 0),
            key: match (&primary, identity) {
                (Some(names), _) => names.contains(&column.name),
                (None, Identity::Full | Identity::Nothing) => false,
                (None, _) => column.key,
            },
            generated: catalogued.is_some_and(|known| known.generated),
            nullable: true,
        }
    });
    TableSchema {
        oid: relation.oid,
        namespace: relation.namespace.to_owned(),
        name: relation.name.to_owned(),
        identity,
        version: 1,
        columns: columns.collect(),
    }
}

/// The table as the catalog describes it.
pub(crate) fn from_table(table: &TableInfo, types: &HashMap<u32, TypeInfo>) -> TableSchema {
    let identity = match table.identity {
        catalog::Identity::Default => Identity::Default,
        catalog::Identity::Index => Identity::Index,
        catalog::Identity::Full => Identity::Full,
        catalog::Identity::Nothing => Identity::Nothing,
    };
    let key = match identity {
        Identity::Nothing => &[][..],
        Identity::Full => &table.primary_key,
        Identity::Default | Identity::Index => &table.identity_key,
    };
    let columns = table
        .columns
        .iter()
        .filter(|column| column.published)
        .map(|column| Column {
            name: column.name.clone(),
            type_oid: column.type_oid,
            typmod: column.typmod,
            pg_type: column.type_name.clone(),
            kind: kind_of(column.type_oid, types, 0),
            key: key.contains(&column.number),
            generated: column.generated,
            nullable: true,
        });
    TableSchema {
        oid: table.oid,
        namespace: table.namespace.clone(),
        name: table.name.clone(),
        identity,
        version: 1,
        columns: columns.collect(),
    }
}

/// Whether `relation` says nothing that `table` does not.
pub(crate) fn is_same_relation(table: &TableSchema, relation: &Relation<'_>) -> bool {
    let identity = Identity::from_byte(relation.identity).unwrap_or(Identity::Default);
    let keyed = matches!(identity, Identity::Default | Identity::Index);
    table.namespace == relation.namespace
        && table.name == relation.name
        && table.identity == identity
        && table.columns.len() == relation.columns().count()
        && table
            .columns
            .iter()
            .zip(relation.columns())
            .all(|(own, said)| {
                own.name == said.name
                    && own.type_oid == said.type_oid
                    && own.typmod == said.typmod
                    && (!keyed || own.key == said.key)
            })
}

/// The primary key by name, when all its columns are among those the stream has.
fn primary_key<'a>(
    relation: &Relation<'_>,
    catalogued: &'a [RelationColumn],
) -> Option<Vec<&'a str>> {
    let in_key = catalogued.iter().filter(|column| column.in_primary_key);
    let names: Vec<&str> = in_key.map(|column| column.name.as_str()).collect();
    let known = |name: &&str| relation.columns().any(|column| column.name == *name);
    (!names.is_empty() && names.iter().all(known)).then_some(names)
}

fn type_name(oid: u32, types: &HashMap<u32, TypeInfo>) -> String {
    types.get(&oid).map_or_else(
        || format!("oid {oid}"),
        |info| format!("{}.{}", info.namespace, info.name),
    )
}

fn kind_of(oid: u32, types: &HashMap<u32, TypeInfo>, depth: u32) -> TypeKind {
    let Some(info) = types.get(&oid).filter(|_| depth < DEPTH_MAX) else {
        return TypeKind::Unknown;
    };
    match info.class {
        TypeClass::Base if oid < FIRST_OWN_OID => TypeKind::Base(oid),
        TypeClass::Base => TypeKind::Extension(info.name.clone()),
        TypeClass::Array { element } => TypeKind::Array {
            element: Box::new(kind_of(element, types, depth + 1)),
            delimiter: types.get(&element).map_or(',', |element| element.delimiter),
        },
        TypeClass::Domain { base, typmod } => TypeKind::Domain {
            base: Box::new(kind_of(base, types, depth + 1)),
            typmod,
        },
        TypeClass::Enum => TypeKind::Enum,
        TypeClass::Composite => TypeKind::Composite,
        TypeClass::Range { .. } | TypeClass::Multirange => TypeKind::Range,
        TypeClass::Other => TypeKind::Unknown,
    }
}
