//! The plainest possible pipeline, to judge the judges: pgoutput read through SQL, text only, one
//! transaction after the other, into a handmade lake. When a workload's tables do not equal this
//! lake folded, then the workload or the fold is wrong, not Blacksmith.

use std::collections::HashMap;
use std::path::Path;

use crate::db::Db;
use crate::lake::compare::read_as_written;
use crate::lake::handmade::{Change, change, write};

/// A table as the last Relation message described it.
#[derive(Debug, Clone)]
struct Relation {
    table: String,
    columns: Vec<String>,
    key: Vec<String>,
}

/// A value of a tuple.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    Unchanged,
    Text(String),
}

/// The changes of one version of one table, collected until the version ends.
#[derive(Debug)]
struct Open {
    relation: Relation,
    changes: Vec<Change>,
}

/// Reads `tables` and then everything from `slot`, and writes the lake below `root`.
pub(super) struct Reference<'a> {
    db: &'a Db,
    root: &'a Path,
    relations: HashMap<u32, Relation>,
    open: HashMap<String, Open>,
    lsn: u64,
    seq: u64,
}

impl<'a> Reference<'a> {
    /// Takes a snapshot of `tables` as rows of LSN 0. Nobody may be writing.
    pub(super) fn begin(db: &'a Db, root: &'a Path, tables: &[String]) -> Reference<'a> {
        let mut reference = Reference {
            db,
            root,
            relations: HashMap::new(),
            open: HashMap::new(),
            lsn: 0,
            seq: 0,
        };
        for table in tables {
            let content = read_as_written(&mut db.session(), table).unwrap();
            let relation = Relation {
                table: table.clone(),
                key: reference.primary_key(table),
                columns: content.columns,
            };
            for row in content.rows {
                reference.seq += 1;
                reference.push(&relation, "read", row, Vec::new());
            }
        }
        reference
    }

    /// Reads the slot to its end and writes what is still open.
    pub(super) fn finish(mut self, slot: &str, publication: &str) {
        let sql = format!(
            "select encode(data, 'hex') from pg_logical_slot_get_binary_changes('{slot}', null, \
             null, 'proto_version', '1', 'publication_names', '{publication}')"
        );
        for row in self.db.rows(&sql) {
            let message = bytes(row[0].as_deref().unwrap());
            self.apply(&mut Cursor(&message));
        }
        for open in std::mem::take(&mut self.open).into_values() {
            self.close(open);
        }
    }

    fn apply(&mut self, message: &mut Cursor<'_>) {
        match message.byte() {
            b'B' => self.lsn = message.number(8),
            b'R' => self.relation(message),
            b'I' => {
                let relation = self.relations[&message.oid()].clone();
                message.byte();
                let new = tuple(message);
                self.seq += 1;
                self.new_row(&relation, "insert", new);
            }
            b'U' => self.update(message),
            b'D' => {
                let relation = self.relations[&message.oid()].clone();
                message.byte();
                let old = tuple(message);
                self.seq += 1;
                self.delete(&relation, &old);
            }
            b'T' => {
                let count = message.number(4);
                message.byte();
                for _ in 0..count {
                    let relation = self.relations[&message.oid()].clone();
                    let nothing = vec![None; relation.columns.len()];
                    self.seq += 1;
                    self.push(&relation, "truncate", nothing, Vec::new());
                }
            }
            _ => {} // commits, types, origins and messages say nothing about rows
        }
    }

    fn relation(&mut self, message: &mut Cursor<'_>) {
        let oid = message.oid();
        let (schema, name) = (message.string(), message.string());
        let identity = message.byte();
        let (mut columns, mut key) = (Vec::new(), Vec::new());
        for _ in 0..message.number(2) {
            let keyed = message.byte() == 1;
            let column = message.string();
            message.number(8); // type and its modifier
            if keyed {
                key.push(column.clone());
            }
            columns.push(column);
        }
        let table = format!("{schema}.{name}");
        if identity == b'f' {
            key = self.primary_key(&table);
        }
        let relation = Relation {
            table,
            columns,
            key,
        };
        self.relations.insert(oid, relation);
    }

    fn update(&mut self, message: &mut Cursor<'_>) {
        let relation = self.relations[&message.oid()].clone();
        let mut kind = message.byte();
        let mut old = None;
        if kind != b'N' {
            old = Some((kind, tuple(message)));
            kind = message.byte();
        }
        assert_eq!(kind, b'N');
        let mut new = tuple(message);
        if let Some((b'O', old)) = &old {
            let pairs = new.iter_mut().zip(old);
            let missing = pairs.filter(|(new, _)| **new == Value::Unchanged);
            missing.for_each(|(new, old)| new.clone_from(old));
        }
        let of_key = |tuple: &[Value]| -> Vec<Value> {
            let columns = relation.columns.iter().zip(tuple);
            let whole = relation.key.is_empty();
            let keyed = columns.filter(|(name, _)| whole || relation.key.contains(name));
            keyed.map(|(_, value)| value.clone()).collect()
        };
        let moved = old.filter(|(kind, old)| *kind == b'K' || of_key(old) != of_key(&new));
        self.seq += 1;
        match moved {
            None => self.new_row(&relation, "update", new),
            Some((_, old)) => {
                self.delete(&relation, &old);
                self.new_row(&relation, "insert", new);
            }
        }
    }

    fn new_row(&mut self, relation: &Relation, op: &'static str, new: Vec<Value>) {
        let columns = relation.columns.iter().zip(&new);
        let unchanged = columns.filter(|(_, value)| **value == Value::Unchanged);
        let unchanged = unchanged.map(|(name, _)| name.clone()).collect();
        self.push(relation, op, new.into_iter().map(text).collect(), unchanged);
    }

    fn delete(&mut self, relation: &Relation, old: &[Value]) {
        let whole = relation.key.is_empty();
        let columns = relation.columns.iter().zip(old);
        let values = columns.map(|(name, value)| match whole || relation.key.contains(name) {
            true => text(value.clone()),
            false => None,
        });
        let values = values.collect();
        self.push(relation, "delete", values, Vec::new());
    }

    fn push(
        &mut self,
        relation: &Relation,
        op: &'static str,
        values: Vec<Option<String>>,
        unchanged: Vec<String>,
    ) {
        let changed = self.open.get(&relation.table);
        let changed = changed.is_some_and(|open| open.relation.columns != relation.columns);
        if changed && let Some(open) = self.open.remove(&relation.table) {
            self.close(open);
        }
        let fresh = || Open {
            relation: relation.clone(),
            changes: Vec::new(),
        };
        let open = self
            .open
            .entry(relation.table.clone())
            .or_insert_with(fresh);
        open.changes.push(Change {
            values,
            unchanged,
            ..change(op, self.lsn, self.seq, &[])
        });
    }

    fn close(&self, open: Open) {
        let key: Vec<&str> = open.relation.key.iter().map(String::as_str).collect();
        let columns: Vec<&str> = open.relation.columns.iter().map(String::as_str).collect();
        write(
            self.root,
            &open.relation.table,
            &key,
            &columns,
            &open.changes,
        );
    }

    /// The columns of the primary key or of the identity index.
    fn primary_key(&self, table: &str) -> Vec<String> {
        let (schema, name) = table.split_once('.').unwrap();
        let rows = self.db.rows(&format!(
            "select attname from pg_index i join pg_class c on c.oid = i.indrelid \
             join pg_attribute a on a.attrelid = c.oid and a.attnum = any(i.indkey) \
             where (indisprimary or indisreplident) and relname = $q${name}$q$ \
             and relnamespace = $q${schema}$q$::regnamespace order by attnum"
        ));
        rows.into_iter().flatten().flatten().collect()
    }
}

fn tuple(message: &mut Cursor<'_>) -> Vec<Value> {
    let values = (0..message.number(2)).map(|_| match message.byte() {
        b'n' => Value::Null,
        b'u' => Value::Unchanged,
        _ => {
            let length = usize::try_from(message.number(4)).unwrap();
            Value::Text(String::from_utf8(message.take(length).to_vec()).unwrap())
        }
    });
    values.collect()
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text),
        Value::Null | Value::Unchanged => None,
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let bytes = digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16));
    bytes.map(Result::unwrap).collect()
}

/// The rest of a message.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    /// A big-endian number of `count` bytes.
    fn number(&mut self, count: usize) -> u64 {
        self.take(count)
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn oid(&mut self) -> u32 {
        u32::try_from(self.number(4)).unwrap()
    }

    fn string(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap();
        let text = String::from_utf8(self.take(end).to_vec()).unwrap();
        self.byte();
        text
    }
}
