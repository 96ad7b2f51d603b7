//! Every type, edge values and random ones, four ways in, one result.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use blacksmith_cdc::protocol::CopyFormat;
use blacksmith_cdc::value::{TableSchema, binary_ok};
use blacksmith_tests::db::Session;
use blacksmith_tests::server::Server;
use blacksmith_tests::server::binaries::versions;
use blacksmith_tests::workload::values::{ALL, TYPES_SQL, Type, available, expression};

use super::server_side::{copied, messages, rendered, streamed, table_schema};

/// Edges that concern decoding rather than storing, beyond those of the workload.
const MORE: &[Type] = &[
    more(
        "numeric(38,38)",
        &["0.99999999999999999999999999999999999999", "-1e-38"],
        "",
    ),
    more(
        "numeric(38,0)",
        &["99999999999999999999999999999999999999", "NaN"],
        "H",
    ),
    more(
        "numeric(39,0)",
        &["-999999999999999999999999999999999999999", "10000"],
        "H",
    ),
    more(
        "numeric(76,38)",
        &[
            "99999999999999999999999999999999999999.99999999999999999999999999999999999999",
            "-1e-38",
            "10000",
            "NaN",
        ],
        "H / 12345.678",
    ),
    more("numeric(76,0)", &["9e75", "-1"], "H"),
    more("numeric(77,1)", &["1e75", "NaN"], "H"),
    more(
        "numeric",
        &["1e1000", "-1.50e-1000", "10000.0000", "0.0001", "-0.00"],
        "H / 3.0",
    ),
    more(
        "float8",
        &[
            "1e23",
            "1e15",
            "123456789012345",
            "0.0001",
            "0.00001",
            "560912058.17578125",
            "2.5e-310",
        ],
        "(H % 1000) * 10.0 ^ (H % 300)",
    ),
    more(
        "float4",
        &["1e6", "999999", "0.0001", "1e-5", "33554432", "8388608.5"],
        "H::float4",
    ),
    more(
        "timestamp",
        &[
            "294247-01-10 04:00:54.775807",
            "294247-01-10 04:00:54.775808",
        ],
        "",
    ),
    more(
        "timestamptz",
        &["0001-01-01 00:00:00+00 BC", "1970-01-01 00:00:00.1+00"],
        "",
    ),
    more(
        "date",
        &["4714-11-24 BC", "1900-02-28", "1900-03-01"],
        "date '0001-01-01' + (H % 1000000)::int",
    ),
    more(
        "interval",
        &[
            "1 year -2 mons +3 days -04:05:06.7",
            "-1 year +2 mons -3 days 04:05:06",
            "-1 days 02:00",
            "-1 mon",
            "1 mon 1 day 00:00:01",
            "596523:14:07.999999",
        ],
        "make_interval(years => (H % 9)::int, months => (H % 11)::int, days => (H % 40)::int, \
         secs => (H % 99999999) / 1000.0)",
    ),
    more(
        "timetz",
        &["01:02:03.4-00:00:05", "01:02:03+05:30", "01:02:03+00"],
        "",
    ),
    more(
        "text",
        &["\\", "\\\\", "\\.", "\r", "\t", "~", "u", "\u{feff}"],
        "",
    ),
    more(
        "bytea",
        &["\\x5c4e", "\\x0a0d09", "abc\\000"],
        "decode(repeat(md5(H::text), 100), 'hex')",
    ),
    more("\"char\"", &["\\"], ""),
    more("xid", &["0", "4294967295"], ""),
    more("pg_snapshot", &["10:20:10,14,15"], ""),
    more("regclass", &["pg_class"], ""),
    more("int2vector", &["1 2 3", ""], ""),
    more("oidvector", &["1 2"], ""),
];

/// Scales that a numeric may have from version 15 on.
const SINCE_15: &[Type] = &[
    more("numeric(3,-2)", &["NaN", "99900", "-100", "0"], "H % 90000"),
    more(
        "numeric(2,4)",
        &["0.0099", "-0.0001", "0"],
        "H % 90 / 10000.0",
    ),
];

/// Intervals may be infinite from version 17 on.
const SINCE_17: &[Type] = &[more("interval", &["infinity", "-infinity"], "")];

const fn more(name: &'static str, edges: &'static [&'static str], random: &'static str) -> Type {
    Type {
        name,
        edges,
        random,
    }
}

/// Types whose values are read from text only.
const TEXT_ONLY: &[&str] = &[
    "bs_pair",
    "int4range",
    "tstzrange",
    "nummultirange",
    "hstore",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "bit(5)",
    "varbit(20)",
    "money",
    "xml",
    "tsvector",
    "tsquery",
    "point",
    "line",
    "lseg",
    "box",
    "path",
    "polygon",
    "circle",
    "pg_lsn",
    "jsonpath",
    "xid",
    "pg_snapshot",
    "regclass",
    "int2vector",
    "oidvector",
];

/// Random rows per table.
const ROWS_RANDOM: u64 = 200;

/// A table that was made.
struct Made {
    of: String,
    schema: Arc<TableSchema>,
    /// What COPY gives of it.
    batch: Option<RecordBatch>,
}

impl Made {
    fn new(session: &mut Session, table: &str, of: &Type) -> Made {
        Made {
            of: of.name.into(),
            schema: table_schema(session, table),
            batch: None,
        }
    }

    fn is_binary(&self) -> bool {
        binary_ok(&self.schema.columns[1].kind)
    }
}

/// Makes a table of `of` with its edges, random values and NULL.
fn make(session: &mut Session, table: &str, of: &Type, salt: u64) -> Made {
    session.execute(&format!(
        "create table {table} (id int primary key, v {})",
        of.name
    ));
    let values = of
        .edges
        .iter()
        .map(|edge| format!("$e${edge}$e$::{}", of.name));
    insert(session, table, values);
    let random = expression(of, "n", salt);
    session.execute(&format!(
        "insert into {table} select 1000 + n, {random} from generate_series(1, {ROWS_RANDOM}) n"
    ));
    Made::new(session, table, of)
}

/// Makes a table of arrays of `of`: flat, with other bounds, of two dimensions, empty.
fn make_arrays(session: &mut Session, table: &str, of: &Type) -> Made {
    let name = of.name;
    session.execute(&format!(
        "create table {table} (id int primary key, v {name}[])"
    ));
    let edges: Vec<String> = of
        .edges
        .iter()
        .map(|edge| format!("$e${edge}$e$"))
        .collect();
    let flat = format!("array[{}, null]::{name}[]", edges.join(", "));
    let len = edges.len() + 1;
    let shifted = format!("('[0:{}]=' || ({flat})::text)::{name}[]", len - 1);
    let deep = format!("array[{flat}, {flat}]");
    let deep_shifted = format!("('[-1:0][5:{}]=' || ({deep})::text)::{name}[]", 4 + len);
    let each = edges.iter().map(|edge| format!("array[{edge}]::{name}[]"));
    let shapes = [
        flat.clone(),
        shifted,
        deep,
        deep_shifted,
        format!("'{{}}'::{name}[]"),
    ];
    insert(session, table, shapes.into_iter().chain(each));
    Made::new(session, table, of)
}

fn insert(session: &mut Session, table: &str, values: impl Iterator<Item = String>) {
    let rows: Vec<String> = values
        .enumerate()
        .map(|(at, value)| format!("({at}, {value})"))
        .collect();
    session.execute(&format!("insert into {table} values {}", rows.join(", ")));
    session.execute(&format!("insert into {table} values (999, null)"));
}

/// Columns that depend on the values alone: the value and what was said of it as text.
fn decoded(batch: &RecordBatch) -> [ArrayRef; 2] {
    ["v", "_as_text"].map(|name| Arc::clone(batch.column_by_name(name).unwrap()))
}

#[test]
fn every_value_is_the_same_from_copy_and_stream_and_gives_back_its_text() {
    hold_all_types(Server::shared());
}

#[test]
fn values_are_the_same_under_every_supported_version() {
    for version in versions() {
        hold_all_types(&Server::version(version));
    }
}

fn hold_all_types(server: &Server) {
    let db = server.database("values_exact");
    let mut session = db.session();
    session.execute(TYPES_SQL);
    session.execute("create publication everything for all tables");
    session.execute("create publication in_binary");
    session.execute("select pg_create_logical_replication_slot('values_exact', 'pgoutput')");

    let mut made = Vec::new();
    let since = |major, types: &'static [Type]| match server.major() >= major {
        true => types,
        false => &[],
    };
    let more = MORE
        .iter()
        .chain(since(15, SINCE_15))
        .chain(since(17, SINCE_17));
    let all: Vec<&Type> = available(&mut session).into_iter().chain(more).collect();
    assert!(
        all.len() >= ALL.len() + MORE.len() - 2,
        "only hstore and xml may be absent"
    );
    for (at, of) in all.iter().enumerate() {
        made.push(make(&mut session, &format!("t{at}"), of, at as u64));
        if !of.name.ends_with("[]") {
            made.push(make_arrays(&mut session, &format!("a{at}"), of));
        }
    }
    for table in &made {
        let binary = table.is_binary();
        let text_only = TEXT_ONLY.contains(&table.of.trim_end_matches("[]"));
        assert_eq!(binary, !text_only, "{}", table.of);
        if binary {
            session.execute(&format!(
                "alter publication in_binary add table {}",
                table.schema.name
            ));
        }
    }
    let schemas: Vec<Arc<TableSchema>> =
        made.iter().map(|table| Arc::clone(&table.schema)).collect();
    let options = ["proto_version", "1", "publication_names", "everything"];
    let from_text = streamed(&schemas, &messages(&mut session, "values_exact", &options));

    let mut values = 0;
    for table in &mut made {
        let (of, name) = (&table.of, &table.schema.name);
        let truth = session.rows(&format!("select id, v from {name}"));
        let batch = copied(&db, &table.schema, CopyFormat::Text);
        assert_eq!(rendered(&table.schema, &batch), truth, "{of} by COPY text");
        assert_eq!(
            decoded(&from_text[name]),
            decoded(&batch),
            "{of}: stream text, COPY text"
        );
        if table.is_binary() {
            let from_binary = copied(&db, &table.schema, CopyFormat::Binary);
            assert_eq!(
                decoded(&from_binary),
                decoded(&batch),
                "{of}: COPY binary, COPY text"
            );
        }
        values += truth.len();
        table.batch = Some(batch);
    }

    // A publication is read as it was at the time of a change, so the rows are written again.
    session.execute("select pg_replication_slot_advance('values_exact', pg_current_wal_lsn())");
    for table in &made {
        session.execute(&format!("update {} set id = id", table.schema.name));
    }
    let options = [
        "proto_version",
        "1",
        "publication_names",
        "in_binary",
        "binary",
        "true",
    ];
    let from_binary = streamed(&schemas, &messages(&mut session, "values_exact", &options));
    for table in &made {
        let batch = &from_binary[&table.schema.name];
        match (&table.batch, table.is_binary()) {
            (Some(copied), true) => {
                assert_eq!(
                    decoded(batch),
                    decoded(copied),
                    "{}: stream binary, COPY",
                    table.of
                );
            }
            _ => assert_eq!(
                batch.num_rows(),
                0,
                "{} is not published in binary",
                table.of
            ),
        }
    }
    assert!(values > 10_000, "{values} values were compared");
}

#[test]
fn a_value_beyond_its_type_is_null_there_and_whole_in_as_text() {
    let db = Server::shared().database("values_beyond");
    let mut session = db.session();
    session.execute(
        "create table beyond (id int primary key, price numeric(6,2), day date, moment timestamptz, \
         matrix int[], fine int)",
    );
    session.execute(
        "insert into beyond values (1, 'NaN', 'infinity', '294276-12-31 23:59:59+00', '{{1,2}}', 7)",
    );
    let table = table_schema(&mut session, "beyond");
    let batch = copied(&db, &table, CopyFormat::Text);
    for name in ["price", "day", "moment", "matrix"] {
        assert!(batch.column_by_name(name).unwrap().is_null(0), "{name}");
    }
    assert!(batch.column_by_name("fine").unwrap().is_valid(0));
    let told = &rendered(&table, &batch)[0][1..5];
    let expected = ["NaN", "infinity", "294276-12-31 23:59:59+00", "{{1,2}}"];
    assert_eq!(told, expected.map(|text| Some(text.to_string())));
    assert_eq!(copied(&db, &table, CopyFormat::Binary), batch);
}
