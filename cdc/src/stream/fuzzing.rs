//! What the fuzz target does with the messages of a connection. See [`crate::fuzzing`].

use std::collections::HashMap;

use blacksmith_core::error::Result;
use blacksmith_core::event::{SchemaId, Tally};

use super::assembly::{Assembly, Relations, Step};
use crate::changes::{self, Changes, Transaction};
use crate::fuzzing::pieces;
use crate::protocol::Relation;

/// Messages one after the other. Whatever is handed to the store, its blocks can be walked, and hold as many events as they say; and no
/// transaction is committed that was not staged.
pub(crate) fn stream(input: &[u8]) {
    let mut assembly = Assembly::default();
    let mut staged = HashMap::new();
    for message in pieces(input) {
        let pushed = assembly.push(message, &mut Known);
        take(&mut assembly, &mut staged);
        if pushed.is_err() {
            break;
        }
    }
    assembly.flush();
    take(&mut assembly, &mut staged);
}

fn take(assembly: &mut Assembly, staged: &mut HashMap<u32, u64>) {
    while let Some(step) = assembly.next_step() {
        match step {
            Step::Append { tally, body, .. } => assert_eq!(events(&body, None), count(&tally)),
            Step::Stage { xid, tally, body } => {
                let body = body.concat();
                let known = [false, true].map(|streamed| events(&body, Some(streamed)));
                assert!(known.contains(&count(&tally)));
                *staged.entry(xid).or_default() += count(&tally);
            }
            Step::Commit { xid, .. } | Step::Drop { xid } => {
                assert!(
                    staged.remove(&xid).is_some(),
                    "only what was staged can be ended"
                );
            }
        }
    }
}

fn count(tally: &[Tally]) -> u64 {
    tally.iter().map(|tally| u64::from(tally.count)).sum()
}

/// Events that a walk over `body` finds: of whole transactions, or of a chunk whose transaction is known.
fn events(body: &[u8], chunk: Option<bool>) -> u64 {
    let moment = chunk.map(|_| Transaction {
        commit_lsn: 0,
        committed_at_us: 0,
    });
    let mut events = 0;
    for step in Changes::new(body, moment, chunk.unwrap_or(false)) {
        match step {
            Ok(changes::Step::Row(row)) => events = row.ordinal + 1,
            Ok(_) => {}
            // A chunk is tried both ways.
            Err(_) if chunk.is_some() => return u64::MAX,
            Err(error) => panic!("a block that cannot be walked: {}", error.report()),
        }
    }
    events
}

/// Table 9 is not wanted, and table 8 not before its snapshot.
struct Known;

impl Relations for Known {
    fn resolve(&mut self, relation: &Relation<'_>) -> Result<Option<SchemaId>> {
        let version = relation.columns().count() as u32;
        Ok((relation.oid != 9).then_some(SchemaId(relation.oid % 16 * 16 + version % 16)))
    }

    fn admits(&self, oid: u32, lsn: u64) -> bool {
        oid != 8 || lsn > 100
    }
}
