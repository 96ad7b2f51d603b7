//! Rows decoded together, column by column, against the same rows one by one.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::*;
use super::rows::{TRANSACTION, body_of, load, message, meta_of, orders};
use crate::changes::{Changes, Step};

/// Values of a row of [`orders`]: some that its columns cannot hold, some that are no values.
fn any_values() -> impl Strategy<Value = [&'static str; 3]> {
    let id = prop::sample::select(vec!["1", "2", "-7", "x", "99999999999"]);
    let name = prop::sample::select(vec!["a", "", "K\u{f6}ln", "~", "-"]);
    let amount = prop::sample::select(vec!["1.00", "NaN", "0.001", "12345.67", "1e"]);
    (id, name, amount).prop_map(|(id, name, amount)| [id, name, amount])
}

fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let old = prop::sample::select(vec![b'K', b'O']);
    let insert = any_values().prop_map(|new| message(b'I', &[(b'N', &new)]));
    let update = any_values().prop_map(|new| message(b'U', &[(b'N', &new)]));
    let moved = (old.clone(), any_values(), any_values())
        .prop_map(|(mark, old, new)| message(b'U', &[(mark, &old), (b'N', &new)]));
    let delete = (old, any_values()).prop_map(|(mark, old)| message(b'D', &[(mark, &old)]));
    let short = Just(message(b'I', &[(b'N', &["1", "two"])]));
    prop_oneof![4 => insert, 1 => update, 1 => moved, 1 => delete, 1 => short]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever else is on its sheet, a row comes out as it does alone, and one that cannot be read is told alone.
    #[test]
    fn rows_of_one_sheet_are_what_each_is_by_itself(
        messages in prop::collection::vec(any_message(), 0..40),
        at_once in 1usize..20,
    ) {
        let table = orders(Identity::Default);
        let (pushed, alone) = load(&table, &messages);
        let body = body_of(&messages);
        let mut builder = TableBuilder::new(Arc::clone(&table), false);
        let mut sheet = Sheet::default();
        let mut refused = Vec::new();
        for step in Changes::new(&body, Some(TRANSACTION), false) {
            let Step::Row(row) = step.unwrap() else { continue };
            let meta = meta_of(&row);
            if builder.stage(&mut sheet, &meta, &row.change.unwrap()).is_err() {
                refused.push(meta.seq);
            }
            if sheet.rows() >= at_once {
                take(&mut builder, &mut sheet, &mut refused);
            }
        }
        take(&mut builder, &mut sheet, &mut refused);
        refused.sort_unstable();
        let expected = pushed.iter().zip(1000u64..).filter(|(pushed, _)| !**pushed);
        prop_assert_eq!(refused, expected.map(|(_, seq)| seq).collect::<Vec<_>>());
        prop_assert_eq!(builder.finish().unwrap(), alone);
    }
}

/// Takes a sheet; what is taken is told by its first and last position.
fn take(builder: &mut TableBuilder, sheet: &mut Sheet<'_>, refused: &mut Vec<u64>) {
    let before = builder.rows();
    let taken = builder.take(sheet);
    assert!(sheet.is_empty());
    assert_eq!(taken.seqs.is_some(), builder.rows() > before);
    if let Some((first, last)) = taken.seqs {
        let ends = [first, last];
        assert!(taken.refused.iter().all(|row| !ends.contains(&row.seq)));
    }
    refused.extend(taken.refused.iter().map(|row| row.seq));
}
