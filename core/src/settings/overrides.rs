//! Any key from the environment: `BLACKSMITH__SOURCES__SHOP__URL` is `sources.shop.url`.
//!
//! Parts are separated by two underscores and compared without case; a character that a variable name
//! cannot hold (`my-shop`) is written as one underscore. In a list the part is the index, from 0. The
//! value takes the type that its reader expects, and `${` in it means nothing.

use super::document::{Entry, Node, Table, Value};
use super::environment::Environment;
use super::problem::{Place, Problem, Problems};

const PREFIX: &str = "BLACKSMITH__";

/// Puts every `BLACKSMITH__…` variable where it belongs in `table`.
pub(super) fn apply(table: &mut Table, environment: &Environment, problems: &Problems) {
    for (name, value) in environment.iter() {
        let Some(path) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let place = Place::Variable(name.to_owned());
        let parts: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        let node = Node {
            value: Value::Text(value.to_owned()),
            place: place.clone(),
        };
        let fault = match parts.iter().any(String::is_empty) {
            true => Some("a part of the name is empty".to_owned()),
            false => set(table, &parts, node).err(),
        };
        if let Some(what) = fault {
            problems.add(Problem {
                place,
                key: String::new(),
                what,
                fix: format!("write {PREFIX}SECTION__KEY, as in {PREFIX}STORE__PATH"),
            });
        }
    }
}

fn set(table: &mut Table, parts: &[String], node: Node) -> Result<(), String> {
    let Some((part, below)) = parts.split_first() else {
        return Ok(());
    };
    let index = match table
        .entries
        .iter()
        .position(|entry| named(&entry.key, part))
    {
        Some(index) => index,
        None => {
            table.entries.push(absent(part, &node.place));
            table.entries.len() - 1
        }
    };
    let entry = &mut table.entries[index];
    descend(&mut entry.node, part, below, node)
}

fn descend(target: &mut Node, part: &str, below: &[String], node: Node) -> Result<(), String> {
    if below.is_empty() {
        *target = node;
        return Ok(());
    }
    match &mut target.value {
        Value::Table(inner) => set(inner, below, node),
        Value::Array(items) => {
            let index = below[0].parse::<usize>().ok();
            let count = items.len();
            match index.and_then(|index| items.get_mut(index)) {
                Some(item) => descend(item, &below[0], &below[1..], node),
                None => Err(format!(
                    "{part:?} is a list with the items 0 to {}",
                    count.max(1) - 1
                )),
            }
        }
        _ => Err(format!(
            "{part:?} is a single value, there is nothing below it"
        )),
    }
}

fn absent(part: &str, place: &Place) -> Entry {
    Entry {
        key: part.to_owned(),
        place: place.clone(),
        node: Node {
            value: Value::Table(Table::default()),
            place: place.clone(),
        },
    }
}

fn named(key: &str, part: &str) -> bool {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    key.chars().map(plain).eq(part.chars())
}
