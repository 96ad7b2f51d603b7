//! What the database says about itself: tables, types, slots, publications, and whether all is well.
//!
//! Plain questions over an [`SqlClient`](crate::connection::SqlClient), answered as plain structs; who asks
//! decides what it means. A catalog answer is of *now*, while the stream speaks of the past: a column may be
//! here that older log does not know, and the stream's own relation messages decide there.
//!
//! Names that are set by users are compared as values and quoted as identifiers, never matched by pattern
//! inside SQL. `*` in table patterns is ours ([`Patterns`]).

mod patterns;
mod pg_type;
mod preflight;
mod publication;
mod relation;
mod slot;
mod table;

pub use patterns::Patterns;
pub use pg_type::{TypeClass, TypeInfo, load_types};
pub use preflight::{Asked, preflight};
pub use publication::{
    LeftOut, PublicationInfo, PublicationState, PublishedTable, ensure_publication,
    find_publication,
};
pub use relation::{RelationColumn, RelationQuestion};
pub use slot::{SlotInfo, find_slot, log_end, take_over_slot};
pub use table::{
    ColumnInfo, Identity, Part, TableInfo, TableKind, list_tables, load_published_tables,
};
