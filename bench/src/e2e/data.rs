//! The tables, and rows for them: expressions of a number, so that every run has the same.

/// A table that is measured with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// Ten columns of ten kinds, as of a shop.
    Events,
    /// Sixteen columns as TPC-H's `lineitem` has them: numbers, dates, short texts.
    Lineitem,
}

impl Data {
    /// Both.
    pub const ALL: [Data; 2] = [Data::Events, Data::Lineitem];

    /// The table's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Data::Events => "events",
            Data::Lineitem => "lineitem",
        }
    }

    /// The statement that makes the table under `name`.
    #[must_use]
    pub fn create(self, name: &str) -> String {
        let columns = match self {
            Data::Events => EVENTS,
            Data::Lineitem => LINEITEM,
        };
        format!("create table {name} ({columns})")
    }

    /// A `select` of the rows with the numbers `from` to `to`, which may be columns.
    #[must_use]
    pub fn rows(self, from: &str, to: &str) -> String {
        let row = match self {
            Data::Events => EVENT,
            Data::Lineitem => LINE,
        };
        format!("select {row} from generate_series({from}, {to}) i")
    }

    /// A statement that fills the table `name` with the rows 1 to `rows`, `each` of them in a transaction.
    #[must_use]
    pub fn fill(self, name: &str, rows: u64, each: u64) -> String {
        let select = self.rows("first", &format!("least(first + {each} - 1, {rows})"));
        format!(
            "do $$ declare first bigint := 1; begin \
             while first <= {rows} loop \
             insert into {name} {select}; commit; first := first + {each}; \
             end loop; end $$"
        )
    }
}

const EVENTS: &str = "
    id bigint primary key, customer int not null, paid bool not null, weight float8 not null,
    total numeric(12,2) not null, ordered_at timestamptz not null, token uuid not null,
    status text not null, note text not null, extra jsonb not null";

const EVENT: &str = "
    i, (i * 7919 % 5000)::int, i % 3 = 0, i * 2654435761 % 1000003 / 8.0::float8,
    (i * 6151 % 9000000 / 100.0)::numeric(12,2), timestamptz '2026-01-01 00:00+00' + i * interval '1.234567 s',
    md5(i::text)::uuid,
    (array['page_view', 'click', 'purchase', 'signup', 'login', 'logout', 'refund', 'search'])[1 + i % 8],
    'order ' || i || ' was placed from a shop and shipped the next morning',
    jsonb_build_object('lines', jsonb_build_array(i % 1000, 2), 'gift', i % 5 = 0)";

const LINEITEM: &str = "
    l_orderkey bigint, l_partkey bigint not null, l_suppkey bigint not null, l_linenumber int,
    l_quantity numeric(15,2) not null, l_extendedprice numeric(15,2) not null,
    l_discount numeric(15,2) not null, l_tax numeric(15,2) not null,
    l_returnflag char(1) not null, l_linestatus char(1) not null,
    l_shipdate date not null, l_commitdate date not null, l_receiptdate date not null,
    l_shipinstruct char(25) not null, l_shipmode char(10) not null, l_comment varchar(44) not null,
    primary key (l_orderkey, l_linenumber)";

const LINE: &str = "
    i / 4, i * 7919 % 200000, i * 104729 % 10000, (i % 4)::int,
    (1 + i % 50)::numeric(15,2), (i * 6151 % 9000000 / 100.0)::numeric(15,2),
    (i % 11 / 100.0)::numeric(15,2), (i % 9 / 100.0)::numeric(15,2),
    (array['A', 'N', 'R'])[1 + i % 3], (array['O', 'F'])[1 + i % 2],
    date '1992-01-02' + (i * 31 % 2500)::int, date '1992-01-31' + (i * 37 % 2500)::int,
    date '1992-02-10' + (i * 41 % 2500)::int,
    (array['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'])[1 + i % 4],
    (array['REG AIR', 'AIR', 'RAIL', 'SHIP', 'TRUCK', 'MAIL', 'FOB'])[1 + i % 7],
    substr('carefully final deposits sleep furiously across the ironic requests', 1 + (i % 20)::int, 27)";
