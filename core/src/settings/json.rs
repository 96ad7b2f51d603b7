//! A value of the configuration as a JSON document.

use super::document::{Node, Value};
use super::wrong::{Wrong, expected};

/// Reads a node with everything under it.
pub(super) fn read(node: &Node) -> Result<serde_json::Value, Wrong> {
    Ok(match &node.value {
        Value::String(text) | Value::Text(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Boolean(value) => (*value).into(),
        Value::Array(items) => items.iter().map(read).collect::<Result<_, _>>()?,
        Value::Table(table) => {
            let entries = table.entries.iter();
            let fields = entries.map(|entry| Ok((entry.key.clone(), read(&entry.node)?)));
            serde_json::Value::Object(fields.collect::<Result<_, Wrong>>()?)
        }
        Value::Broken => serde_json::Value::Null,
        Value::Datetime => return Err(expected("something that JSON has", node)),
    })
}
