//! Names that rows carry, whichever format made them.

/// The columns of a table's change log that are not the table's; a column of the table with such a name is renamed.
pub const SYSTEM_COLUMNS: [&str; 7] = [
    "_op",
    "_lsn",
    "_seq",
    "_committed_at",
    "_event_id",
    "_unchanged",
    "_as_text",
];

/// Key in the metadata of an Arrow schema: `schema.table`; for documents `source.trigger`.
pub const SCHEMA_TABLE: &str = "blacksmith.table";
/// Key in the metadata of an Arrow schema: a JSON list of the key columns; empty when the whole row is.
pub const SCHEMA_KEY: &str = "blacksmith.key";
