//! What every session of ours pins, whatever the server, database or role was set to.
//!
//! Values arrive as text in the form these settings choose, so copy and stream must agree and no `ALTER
//! DATABASE ... SET` may change them. Settings sent at start outrank those of database and role. Only
//! settings that any user may change are here; a refused one would refuse the connection.

/// Name and value, none of which contains a space, quote or backslash (they also travel inside the
/// `options` word of the SQL connections).
pub(crate) const PINNED: &[(&str, &str)] = &[
    ("client_encoding", "UTF8"),
    ("datestyle", "ISO"),
    ("intervalstyle", "postgres"),
    ("timezone", "UTC"),
    // Since version 12 any value above 0 prints the shortest text that reads back as the same number.
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    // Nothing of the user's can shadow a function or type, and type names come out with their schema.
    ("search_path", "pg_catalog"),
    // A policy that would hide rows makes the query fail instead of copying half a table.
    ("row_security", "off"),
    // What the catalog is asked is answered in a millisecond, and compiling it took forty: the planner takes a question about all
    // tables for a large one.
    ("jit", "off"),
    // A long copy is not an accident, and neither is a session that waits for its range.
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
];

/// What a server that knows no encoding (`SQL_ASCII`) is asked after login. It holds any bytes, and told
/// to send UTF-8 it ends the stream at the first that are none; so it must send what it has, and the
/// decoder puts the one value aside.
pub(crate) const AS_STORED: &str = "SET client_encoding = 'SQL_ASCII'";

/// Whether a server with this `server_encoding` needs [`AS_STORED`].
pub(crate) fn knows_no_encoding(server_encoding: Option<&str>) -> bool {
    server_encoding == Some("SQL_ASCII")
}

/// The pinned settings as `-c name=value` words, for connections that take an `options` text.
pub(crate) fn as_options(users: Option<&str>) -> String {
    let mut words: Vec<String> = users.map(str::to_owned).into_iter().collect();
    words.extend(
        PINNED
            .iter()
            .filter(|(name, _)| *name != "client_encoding") // the client library sends this one itself
            .map(|(name, value)| format!("-c {name}={value}")),
    );
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_settings_come_after_the_users_so_that_ours_win() {
        let options = as_options(Some("-c timezone=Asia/Tokyo -c work_mem=64MB"));
        assert!(options.starts_with("-c timezone=Asia/Tokyo -c work_mem=64MB -c "));
        assert!(options.contains(" -c timezone=UTC"));
        for (_, value) in PINNED {
            assert!(
                !value.contains([' ', '\'', '\\']),
                "{value} would need quoting"
            );
        }
    }
}
