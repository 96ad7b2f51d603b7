//! The tables: ten shapes, each with its own way of telling rows apart.

use super::values::{Type, expression};
use crate::dice::Dice;

/// How a table tells its rows apart, which decides what a change can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `id` is the primary key.
    Plain,
    /// The primary key has two columns, a text first.
    Composite,
    /// No key, replica identity full, equal rows allowed.
    Keyless,
    /// A unique index is the replica identity.
    Indexed,
    /// Replica identity nothing: rows are only inserted.
    InsertOnly,
    /// Partitioned by ranges of `id`, one partition with another order of columns.
    Partitioned,
    /// The primary key is a uuid.
    Uuid,
    /// A primary key, and yet replica identity full.
    KeyedFull,
    /// Every row has a large value out of line.
    Toasted,
    /// Names that need quotes, with quotes, spaces and non-ASCII letters in them.
    Weird,
}

const SHAPES: [Shape; 10] = [
    Shape::Plain,
    Shape::Composite,
    Shape::Keyless,
    Shape::Indexed,
    Shape::InsertOnly,
    Shape::Partitioned,
    Shape::Uuid,
    Shape::KeyedFull,
    Shape::Toasted,
    Shape::Weird,
];

/// Columns beyond the fixed ones that a table gets by lot.
const EXTRA_TYPES: usize = 3;

/// A table as planned.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) shape: Shape,
    columns: Vec<Column>,
}

/// A column whose values are made by its type.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) of: &'static Type,
}

impl Table {
    /// Table `number` of `tables`, which together have every type.
    pub(super) fn plan(
        number: usize,
        tables: usize,
        types: &[&'static Type],
        dice: &mut Dice,
    ) -> Table {
        let shape = SHAPES[number % SHAPES.len()];
        let own = types.iter().skip(number).step_by(tables).copied();
        let mut chosen: Vec<&'static Type> = own.collect();
        chosen.extend((0..EXTRA_TYPES).map(|_| *dice.pick(types)));
        let weird = shape == Shape::Weird;
        let columns = chosen.into_iter().enumerate().map(|(place, of)| Column {
            name: if weird {
                format!("Cö \"{place}\" l")
            } else {
                format!("c{place}")
            },
            of,
        });
        Table {
            name: if weird {
                format!("Wëird \"{number}\" Table")
            } else {
                format!("t{number}")
            },
            shape,
            columns: columns.collect(),
        }
    }

    pub(super) fn quoted(&self) -> String {
        quoted(&self.name)
    }

    /// Whether rows have a key that tells them apart.
    pub(super) fn keyed(&self) -> bool {
        !matches!(self.shape, Shape::Keyless | Shape::InsertOnly)
    }

    pub(super) fn create(&self) -> String {
        let name = self.quoted();
        let mut columns = String::from("id bigint not null, n int4, label varchar(20), big text");
        if self.shape == Shape::Composite {
            columns.push_str(", part text not null");
        }
        if self.shape == Shape::Uuid {
            columns.push_str(", key uuid not null");
        }
        for column in &self.columns {
            columns.push_str(&format!(", {} {}", quoted(&column.name), column.of.name));
        }
        let by = if self.shape == Shape::Partitioned {
            " partition by range (id)"
        } else {
            ""
        };
        let storage = format!("alter table {name} alter big set storage external");
        let identity = self.identity();
        format!("create table {name} ({columns}){by}; {storage}; {identity}")
    }

    /// The statements that give the table its key and replica identity.
    fn identity(&self) -> String {
        let name = self.quoted();
        let key = |columns: &str| format!("alter table {name} add primary key ({columns})");
        let full = format!("alter table {name} replica identity full");
        match self.shape {
            Shape::Plain | Shape::Toasted | Shape::Weird => key("id"),
            Shape::Composite => key("part, id"),
            Shape::Uuid => key("key"),
            Shape::Keyless => full,
            Shape::KeyedFull => format!("{}; {full}", key("id")),
            Shape::InsertOnly => format!("alter table {name} replica identity nothing"),
            Shape::Indexed => format!(
                "create unique index {0}_id on {0} (id); \
                 alter table {0} replica identity using index {0}_id",
                self.name
            ),
            Shape::Partitioned => format!("{}; {}", key("id"), self.partitions()),
        }
    }

    /// Three partitions; the middle one was a table of its own with its columns the other way
    /// round, so its attribute numbers differ from the root's.
    fn partitions(&self) -> String {
        let name = &self.name;
        let reversed: Vec<String> = self.columns.iter().rev().map(definition).collect();
        let reversed = reversed.join(", ");
        let comma = if reversed.is_empty() { "" } else { ", " };
        format!(
            "create table {name}_low partition of {name} for values from (minvalue) to (1000000000);
             create table {name}_mid (dropped int, {reversed}{comma}big text, label varchar(20), n int4,
                                      id bigint not null primary key);
             alter table {name}_mid drop dropped;
             alter table {name}_mid alter big set storage external;
             alter table {name} attach partition {name}_mid
                 for values from (1000000000) to (2500000000);
             create table {name}_rest partition of {name} default"
        )
    }

    /// Inserts the rows `first` to `last` (SQL expressions), `extras` being columns that were
    /// added since.
    pub(super) fn insert(&self, extras: &[Column], first: &str, last: &str, salt: u64) -> String {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for (name, value) in self.fixed(salt) {
            names.push(name.into());
            values.push(value);
        }
        for column in self.columns.iter().chain(extras) {
            names.push(quoted(&column.name));
            values.push(expression(column.of, "g", salt));
        }
        let (names, values) = (names.join(", "), values.join(", "));
        let name = self.quoted();
        format!(
            "insert into {name} ({names}) select {values} from generate_series({first}::bigint, {last}) g"
        )
    }

    fn fixed(&self, salt: u64) -> Vec<(&'static str, String)> {
        let mut fixed = vec![
            ("id", "g".into()),
            ("n", format!("(g % 1000)::int + {salt}")),
            ("label", format!("'label ' || g % 10 || '.{salt}'")),
            ("big", self.big("g", salt)),
        ];
        match self.shape {
            Shape::Composite => fixed.push(("part", "'part ' || g % 3".into())),
            Shape::Uuid => fixed.push(("key", "md5('key' || g)::uuid".into())),
            _ => {}
        }
        fixed
    }

    /// A value that is out of line in some rows, in all of a [`Shape::Toasted`] table.
    fn big(&self, n: &str, salt: u64) -> String {
        let large = format!("repeat(md5({n} || '.{salt}'), 70 + (abs({n}) % 50)::int)");
        let one_in = if self.shape == Shape::Toasted { 1 } else { 12 };
        format!("case when abs({n}) % {one_in} = 0 then {large} else 'small ' || {salt} end")
    }

    /// Assignments that give some columns new values, `big` only when `with_big`.
    pub(super) fn assignments(
        &self,
        extras: &[Column],
        with_big: bool,
        salt: u64,
        dice: &mut Dice,
    ) -> String {
        let mut set = vec![format!("n = (id % 1000)::int + {salt}")];
        for column in self.columns.iter().chain(extras) {
            if dice.chance(40) {
                let value = expression(column.of, "id", salt);
                set.push(format!("{} = {value}", quoted(&column.name)));
            }
        }
        if with_big {
            set.push(format!("big = {}", self.big("id", salt)));
        }
        set.join(", ")
    }

    /// Assignments that move a row to another key, `far` being new to the table.
    pub(super) fn moved(&self, far: u64) -> String {
        match self.shape {
            Shape::Composite => "part = left(part || 'x', 20)".into(),
            Shape::Uuid => format!("key = md5(key::text || '{far}')::uuid"),
            _ => format!("id = id + {far}"),
        }
    }
}

/// A column as `create table` wants it.
pub(super) fn definition(column: &Column) -> String {
    format!("{} {}", quoted(&column.name), column.of.name)
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
