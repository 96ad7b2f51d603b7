//! One transaction as text, decided by dice.

use super::table::{Column, Shape, Table, definition, quoted};
use super::values::{self, Type};
use crate::dice::Dice;

/// Ids of writer `w` begin at `(w + 1)` times this, so that inserts never collide.
const IDS_PER_WRITER: u64 = 1_000_000_000;

/// Extra columns a table has at most.
const EXTRAS_MAX: usize = 4;

/// Types of columns that come and go: small ones, never out of line.
const EXTRA_TYPES: [&str; 6] = ["int4", "text", "numeric", "timestamptz", "jsonb", "int4[]"];

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Commit,
    Rollback,
    Prepare,
}

/// What one writer knows: its dice, its ids, and the columns it added.
#[derive(Debug, Clone)]
pub(super) struct Author<'a> {
    tables: &'a [Table],
    number: u64,
    writers: u64,
    ddl: bool,
    dice: Dice,
    ids: u64,
    names: u64,
    extras: Vec<Vec<Column>>,
    widened: Vec<u8>,
}

impl<'a> Author<'a> {
    pub(super) fn new(
        tables: &'a [Table],
        number: usize,
        writers: usize,
        ddl: bool,
        dice: Dice,
    ) -> Self {
        Author {
            tables,
            number: number as u64,
            writers: writers as u64,
            ddl,
            dice,
            ids: 0,
            names: 0,
            extras: vec![Vec::new(); tables.len()],
            widened: vec![0; tables.len()],
        }
    }

    /// The next transaction: its statements, and how it ends.
    pub(super) fn next(&mut self) -> (Vec<String>, Ending) {
        let mut statements = Vec::new();
        for _ in 0..self.dice.between(1, 4) {
            self.push_operation(&mut statements);
        }
        if self.dice.chance(20) {
            self.push_aborted_part(&mut statements);
            self.push_operation(&mut statements);
        }
        let ending = match self.dice.below(20) {
            0 | 1 => Ending::Rollback,
            2 => Ending::Prepare,
            _ => Ending::Commit,
        };
        (statements, ending)
    }

    /// Takes back what the last transaction did to columns; ids and dice go on.
    pub(super) fn forget(&mut self, before: &Author<'a>) {
        self.extras.clone_from(&before.extras);
        self.widened.clone_from(&before.widened);
    }

    /// One transaction of `rows` rows, with an aborted part in its middle.
    pub(super) fn huge(&mut self, rows: u64) -> (Vec<String>, Ending) {
        let keyed: Vec<usize> = (0..self.tables.len())
            .filter(|at| self.tables[*at].keyed())
            .collect();
        let table = *self.dice.pick(&keyed);
        let mut statements = vec![self.insert(table, rows / 2)];
        self.push_aborted_part(&mut statements);
        statements.push(self.insert(table, rows - rows / 2));
        let ending = if self.dice.chance(25) {
            Ending::Rollback
        } else {
            Ending::Commit
        };
        (statements, ending)
    }

    /// A savepoint, possibly with another inside, that is rolled back.
    fn push_aborted_part(&mut self, statements: &mut Vec<String>) {
        let before = (self.extras.clone(), self.widened.clone());
        statements.push("savepoint outer_part".into());
        self.push_operation(statements);
        if self.dice.chance(40) {
            statements.push("savepoint inner_part".into());
            self.push_operation(statements);
            statements.push("release inner_part".into());
        }
        statements.push("rollback to outer_part".into());
        (self.extras, self.widened) = before;
    }

    fn push_operation(&mut self, statements: &mut Vec<String>) {
        let place = self.dice.below(self.tables.len() as u64);
        let place = usize::try_from(place).expect("a place in the list of tables");
        let own = place as u64 % self.writers == self.number;
        let insert_only = self.tables[place].shape == Shape::InsertOnly;
        match self.dice.below(100) {
            0..40 => {
                let rows = self.rows();
                statements.push(self.insert(place, rows));
                if self.tables[place].shape == Shape::Keyless && self.dice.chance(30) {
                    let again = statements.last().cloned();
                    statements.extend(again); // equal rows
                }
            }
            40..44 if self.ddl && own => self.push_ddl(place, statements),
            44..46 => {
                statements.push("select pg_logical_emit_message(true, 'noise', 'message')".into());
            }
            46 => statements.push(format!("truncate {}", self.tables[place].quoted())),
            _ if insert_only => statements.push(self.insert(place, 1)),
            47..75 => statements.push(self.update(place)),
            75..87 => {
                let condition = self.condition();
                let table = self.tables[place].quoted();
                statements.push(format!("delete from {table} where {condition}"));
            }
            87..94 => statements.push(self.move_keys(place)),
            _ => self.push_swap(place, statements),
        }
    }

    /// How many rows: mostly few, sometimes many.
    fn rows(&mut self) -> u64 {
        match self.dice.below(100) {
            0..60 => self.dice.between(1, 3),
            60..92 => self.dice.between(4, 50),
            92..99 => self.dice.between(50, 500),
            _ => self.dice.between(500, 3_000),
        }
    }

    fn salt(&mut self) -> u64 {
        self.dice.below(1_000)
    }

    fn insert(&mut self, place: usize, rows: u64) -> String {
        let first = (self.number + 1) * IDS_PER_WRITER + self.ids;
        self.ids += rows;
        let last = first + rows - 1;
        let salt = self.salt();
        let table = &self.tables[place];
        table.insert(
            &self.extras[place],
            &first.to_string(),
            &last.to_string(),
            salt,
        )
    }

    fn update(&mut self, place: usize) -> String {
        let (with_big, salt) = (self.dice.chance(30), self.salt());
        let condition = self.condition();
        let table = &self.tables[place];
        let set = table.assignments(&self.extras[place], with_big, salt, &mut self.dice);
        format!("update {} set {set} where {condition}", table.quoted())
    }

    fn move_keys(&mut self, place: usize) -> String {
        // Far enough that no row of another move can be met, small enough for a bigint.
        let far = (self.number + 1) * 100_000_000_000_000 + self.dice.below(1_000_000) * 10_000_000;
        let condition = self.condition();
        let table = &self.tables[place];
        format!(
            "update {} set {} where {condition}",
            table.quoted(),
            table.moved(far)
        )
    }

    /// Two rows exchange their ids by way of a third that nobody has.
    fn push_swap(&mut self, place: usize, statements: &mut Vec<String>) {
        let one = self.some_id();
        let two = one + 1;
        let table = self.tables[place].quoted();
        let nobody = -(i64::try_from(self.number).unwrap_or_default() + 1);
        let mut step = |from: i64, to: i64| {
            statements.push(format!("update {table} set id = {to} where id = {from}"));
        };
        step(one, nobody);
        step(two, one);
        step(nobody, two);
    }

    /// Rows of anybody, those of the snapshot included: a range of ids, or one in many.
    fn condition(&mut self) -> String {
        if self.dice.chance(25) {
            return format!("id % 53 = {}", self.dice.below(53));
        }
        let first = self.some_id();
        let last = first + i64::try_from(self.rows()).unwrap_or_default();
        format!("id between {first} and {last}")
    }

    fn some_id(&mut self) -> i64 {
        let writer = self.dice.below(self.writers + 1); // 0: rows that were there before
        let among = if writer == 0 { 150 } else { self.ids.max(1) };
        let id = writer * IDS_PER_WRITER + self.dice.below(among);
        i64::try_from(id).unwrap_or_default()
    }

    fn push_ddl(&mut self, place: usize, statements: &mut Vec<String>) {
        let table = &self.tables[place];
        let name = table.quoted();
        let alter = |change: String| format!("alter table {name} {change}");
        let extras = self.extras[place].len();
        match self.dice.below(6) {
            0 if table.keyed() && extras > 0 => {
                let new = self.new_name();
                let column = self.some_extra(place);
                let old = std::mem::replace(&mut column.name, new.clone());
                statements.push(alter(format!(
                    "rename {} to {}",
                    quoted(&old),
                    quoted(&new)
                )));
                statements.push(rewrite(&name));
            }
            1 if table.keyed() && extras > 0 => {
                let of = self.some_type();
                let column = self.some_extra(place);
                column.of = of;
                statements.push(alter(format!("drop {}", quoted(&column.name))));
                statements.push(alter(format!("add {}", definition(column))));
                statements.push(rewrite(&name));
            }
            2 if extras > 0 => {
                let gone = self.dice.below(extras as u64);
                let gone = usize::try_from(gone).expect("a place in the list of extras");
                let gone = self.extras[place].remove(gone);
                statements.push(alter(format!("drop {}", quoted(&gone.name))));
            }
            3 if self.widened[place] == 0 => {
                self.widened[place] = 1;
                statements.push(alter("alter n type bigint".into()));
            }
            4 if self.widened[place] == 1 => {
                self.widened[place] = 2;
                statements.push(alter("alter label type text".into()));
            }
            5 if table.keyed() && extras < EXTRAS_MAX => {
                let column = self.add_extra(place);
                let value = values::expression(column.of, "7", 0);
                statements.push(alter(format!(
                    "add {} default {value}",
                    definition(&column)
                )));
                statements.push(rewrite(&name));
            }
            _ if extras < EXTRAS_MAX => {
                let column = self.add_extra(place);
                statements.push(alter(format!("add {}", definition(&column))));
            }
            _ => {}
        }
        let rows = self.rows().min(50);
        statements.push(self.insert(place, rows));
    }

    fn some_extra(&mut self, place: usize) -> &mut Column {
        let extra = self.dice.below(self.extras[place].len() as u64);
        &mut self.extras[place][usize::try_from(extra).expect("a place in the list of extras")]
    }

    fn some_type(&mut self) -> &'static Type {
        let name = self.dice.pick(&EXTRA_TYPES);
        let found = values::ALL.iter().find(|of| of.name == *name);
        found.expect("the types of extra columns are known types")
    }

    fn add_extra(&mut self, place: usize) -> Column {
        let column = Column {
            name: self.new_name(),
            of: self.some_type(),
        };
        self.extras[place].push(column.clone());
        column
    }

    fn new_name(&mut self) -> String {
        self.names += 1;
        format!("x{}_{}", self.number, self.names)
    }
}

/// Writes every row again, large values included, so that the change log has it in its new shape.
fn rewrite(table: &str) -> String {
    format!("update {table} set big = big || ''")
}
