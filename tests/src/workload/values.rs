//! Values of every type, made inside the server, edge cases among them.

use crate::db::Session;

/// A Postgres type and its values.
#[derive(Debug)]
pub struct Type {
    /// Name for a column definition.
    pub name: &'static str,
    /// Literals that are often got wrong.
    pub edges: &'static [&'static str],
    /// An SQL expression of `H`, a random bigint; empty when the edges are all there is.
    pub random: &'static str,
}

/// Types that the tables use beyond the built-in ones.
pub const TYPES_SQL: &str = r#"
    create type bs_mood as enum ('sad', 'ok', 'it''s "fine", really');
    create type bs_pair as (a int, b text);
    create domain bs_positive as int check (value > 0);
    create domain bs_code as varchar(10);
    create domain bs_price as numeric(8, 3);
"#;

/// A value of this type for row `n` (an SQL expression of type bigint): in one of three rows an
/// edge case or NULL.
#[must_use]
pub fn expression(of: &Type, n: &str, salt: u64) -> String {
    let edges: Vec<String> = of
        .edges
        .iter()
        .map(|edge| format!("$e${edge}$e$"))
        .collect();
    let count = edges.len() + 1; // NULL is one too
    let edges = edges.join(", ");
    let edge = format!(
        "(array[{edges}, null]::text[])[1 + (abs({n}) * 7 + {salt}) % {count}]::{}",
        of.name
    );
    if of.random.is_empty() {
        return edge;
    }
    let random = of
        .random
        .replace('H', &format!("hashint8extended({n}, {salt})"));
    format!(
        "case when (abs({n}) + {salt}) % 3 = 0 then {edge} else ({random})::{} end",
        of.name
    )
}

/// The types that this server has: all but those of extensions that are not installed.
///
/// # Panics
/// When the server is gone.
#[must_use]
pub fn available(session: &mut Session) -> Vec<&'static Type> {
    let hstore = session
        .try_execute("create extension if not exists hstore")
        .is_ok();
    let xml = session.try_execute("select '<a/>'::xml").is_ok();
    let has = |name| match name {
        "hstore" => hstore,
        "xml" => xml,
        _ => true,
    };
    ALL.iter().filter(|of| has(of.name)).collect()
}

const fn of(name: &'static str, edges: &'static [&'static str], random: &'static str) -> Type {
    Type {
        name,
        edges,
        random,
    }
}

/// Every type of the promise "types are preserved exactly".
pub const ALL: &[Type] = &[
    of("bool", &["t", "f"], "H % 2 = 0"),
    of("int2", &["-32768", "32767", "0"], "H % 32768"),
    of(
        "int4",
        &["-2147483648", "2147483647", "0"],
        "H % 2147483648",
    ),
    of(
        "int8",
        &["-9223372036854775808", "9223372036854775807", "0"],
        "H",
    ),
    of(
        "float4",
        &[
            "NaN",
            "Infinity",
            "-Infinity",
            "-0",
            "1e-45",
            "3.4028235e38",
            "0.1",
        ],
        "H::float8 / 7",
    ),
    of(
        "float8",
        &[
            "NaN",
            "Infinity",
            "-Infinity",
            "-0",
            "5e-324",
            "1.7976931348623157e308",
            "0.1",
        ],
        "H::float8 / 7",
    ),
    of(
        "numeric(10,2)",
        &["NaN", "0", "-99999999.99", "99999999.99"],
        "H % 1000000000 / 100.0",
    ),
    of(
        "numeric(38,10)",
        &[
            "NaN",
            "-9999999999999999999999999999.9999999999",
            "0.0000000001",
        ],
        "H / 1000.0",
    ),
    of(
        "numeric(60,20)",
        &["NaN", "1234567890123456789012345678901234567890.5"],
        "H / 1000.0",
    ),
    of("numeric(90,5)", &["NaN", "1e80", "-0.00001"], "H / 1000.0"),
    of(
        "numeric",
        &[
            "NaN",
            "Infinity",
            "-Infinity",
            "0",
            "0.000",
            "1e-30",
            "123456789012345678901234567890.123456789012345678901234567890",
        ],
        "H / 1000.0",
    ),
    of(
        "text",
        &[
            "",
            " ",
            "ä€😀",
            "a\tb\nc\rd\\e",
            "\\N",
            "NULL",
            "'\"",
            "{,}",
            "\u{1}\u{7f}",
        ],
        "repeat(md5(H::text), 1 + (abs(H % 3))::int)",
    ),
    of("varchar(40)", &["", "ä€😀", " x "], "md5(H::text)"),
    of(
        "char(8)",
        &["", "a", "ä€😀", "12345678"],
        "left(md5(H::text), 5)",
    ),
    of("name", &["", "Weird \"Name\""], "md5(H::text)"),
    of("\"char\"", &["", "a", "\u{7f}"], "left(md5(H::text), 1)"),
    of(
        "bytea",
        &["\\x", "\\x00", "\\x00ff5c27"],
        "decode(md5(H::text), 'hex')",
    ),
    of(
        "uuid",
        &[
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
        ],
        "md5(H::text)",
    ),
    of(
        "date",
        &[
            "infinity",
            "-infinity",
            "4713-01-01 BC",
            "5874897-12-31",
            "0044-03-15 BC",
            "0001-01-01",
            "0001-12-31 BC",
            "1970-01-01",
            "2000-02-29",
        ],
        "date '2000-01-01' + (H % 100000)::int",
    ),
    of(
        "time",
        &["00:00", "24:00:00", "23:59:59.999999", "00:00:00.000001"],
        "to_timestamp(H % 1000000)::time",
    ),
    of(
        "timetz",
        &["24:00:00+15:59", "00:00:00-15:59", "12:00:00.5+02"],
        "to_timestamp(H % 1000000)::timetz",
    ),
    of(
        "timestamp",
        &[
            "infinity",
            "-infinity",
            "4713-01-01 00:00:00 BC",
            "294276-12-31 23:59:59.999999",
            "0044-03-15 12:00:00.5 BC",
            "1969-12-31 23:59:59.999999",
        ],
        "to_timestamp(H % 100000000000 / 1000.0) at time zone 'UTC'",
    ),
    of(
        "timestamptz",
        &[
            "infinity",
            "-infinity",
            "4713-01-01 00:00:00+00 BC",
            "294276-12-31 23:59:59.999999+00",
            "2024-03-31 02:30:00 Europe/Berlin",
        ],
        "to_timestamp(H % 100000000000 / 1000.0)",
    ),
    of(
        "interval",
        &[
            "0",
            "-178000000 years",
            "1 mon -1 days +00:00:01.5",
            "-00:00:00.000001",
            "25:00",
        ],
        "make_interval(months => (H % 100)::int, secs => H % 1000000)",
    ),
    of(
        "json",
        &["null", "{\"a\": 1.0, \"a\":  2}", "[]", "\"\\u00e4\""],
        "json_build_object('h', H)",
    ),
    of(
        "jsonb",
        &["null", "{\"b\": 1.00, \"a\": [1, {}]}", "\"\\u00e4\""],
        "jsonb_build_array(H, null)",
    ),
    of("bs_mood", &["sad", "ok", "it's \"fine\", really"], ""),
    of("bs_positive", &["1", "2147483647"], "1 + abs(H % 1000)"),
    of("bs_code", &["", "ä€😀"], "left(md5(H::text), 10)"),
    of("bs_price", &["NaN", "-99999.999"], "H % 1000000 / 100.0"),
    of(
        "int4[]",
        &["{}", "{1,NULL,3}", "{{1,2},{3,4}}", "[0:1]={5,6}", "{NULL}"],
        "array[(H % 1000)::int, 7]",
    ),
    of(
        "text[]",
        &[
            "{}",
            "{\"\",NULL,\"NULL\",\"a,b\",\"q\\\"q\",\"b\\\\b\",ä}",
            "{{a},{b}}",
        ],
        "array[md5(H::text), null, '']",
    ),
    of(
        "numeric(8,2)[]",
        &["{NaN,1.50}", "{0}"],
        "array[H % 100000 / 100.0]",
    ),
    of(
        "numeric[]",
        &["{NaN,Infinity,1.500}", "{0}"],
        "array[H / 100.0, null]",
    ),
    of(
        "float8[]",
        &["{NaN,-0,1.5,Infinity}", "{{1,2},{3,0.1}}"],
        "array[H::float8 / 7]",
    ),
    of("bool[]", &["{t,f,NULL}", "{}"], "array[H % 2 = 0]"),
    of("uuid[]", &["{}"], "array[md5(H::text)::uuid]"),
    of(
        "bytea[]",
        &["{\"\\\\x00ff\",\"\\\\x\"}"],
        "array[decode(md5(H::text), 'hex')]",
    ),
    of(
        "date[]",
        &["{infinity,2000-01-01}", "{\"0044-03-15 BC\"}"],
        "array[date '2000-01-01' + (H % 1000)::int]",
    ),
    of(
        "timestamptz[]",
        &["{infinity,\"2020-01-01 00:00:00+00\"}", "{}"],
        "array[to_timestamp(H % 1000000)]",
    ),
    of(
        "jsonb[]",
        &["{\"{\\\"a\\\": 1}\",NULL}"],
        "array[jsonb_build_array(H)]",
    ),
    of("bs_mood[]", &["{sad,ok}", "{}"], ""),
    of(
        "bs_pair",
        &["(1,\"x y\")", "(,)", "(2,\"\")", "(3,\"a\"\"b\\\\\")"],
        "row((H % 100)::int, md5(H::text))",
    ),
    of(
        "int4range",
        &["empty", "[1,5)", "(,3)", "(,)"],
        "int4range((abs(H % 100))::int, 200)",
    ),
    of(
        "tstzrange",
        &["empty", "[2020-01-01 00:00:00+00,infinity)"],
        "tstzrange(to_timestamp(abs(H % 1000)), null)",
    ),
    of(
        "nummultirange",
        &["{}", "{[1,2),[5,6.50]}"],
        "nummultirange(numrange(0, abs(H % 100)))",
    ),
    of(
        "hstore",
        &["", "a=>1, \"b c\"=>NULL"],
        "hstore('h', H::text)",
    ),
    of(
        "inet",
        &["::1", "10.0.0.1/8", "255.255.255.255"],
        "inet '10.0.0.0' + abs(H % 10000)",
    ),
    of("cidr", &["10.0.0.0/8", "::/0"], ""),
    of("macaddr", &["08:00:2b:01:02:03"], ""),
    of("macaddr8", &["08:00:2b:01:02:03:04:05"], ""),
    of("bit(5)", &["10101", "00000"], "(abs(H % 32))::int::bit(5)"),
    of(
        "varbit(20)",
        &["", "1", "10101010101010101010"],
        "(abs(H % 32))::int::bit(7)",
    ),
    of(
        "money",
        &["-92233720368547758.08", "0", "92233720368547758.07"],
        "(H % 1000000)::int",
    ),
    of("xml", &["<a>1 &amp; 2</a>", "text"], ""),
    of(
        "tsvector",
        &["", "'a':1A 'b c':2,3"],
        "to_tsvector('simple', md5(H::text))",
    ),
    of("tsquery", &["'a' & !'b'", "'a' <-> 'b'"], ""),
    of(
        "point",
        &["(1.5,-0)", "(NaN,Infinity)"],
        "point(H % 100, 0.1)",
    ),
    of("line", &["{1,2,3}"], ""),
    of("lseg", &["[(0,0),(1,1.5)]"], ""),
    of("box", &["(2,2),(1,1)"], ""),
    of("box[]", &["{(2,2),(1,1);(4,4),(3,3)}"], ""),
    of("path", &["((0,0),(1,1))", "[(0,0),(1,1)]"], ""),
    of("polygon", &["((0,0),(1,1),(1,0))"], ""),
    of("circle", &["<(0,0),1.5>"], ""),
    of("pg_lsn", &["0/0", "FFFFFFFF/FFFFFFFF"], ""),
    of("oid", &["0", "4294967295"], "abs(H % 1000)"),
    of("jsonpath", &["$.\"a\"[*]?(@ > 1)"], ""),
];
