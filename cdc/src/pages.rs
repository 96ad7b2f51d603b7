//! The tables of one block, each with a sheet for its rows.

use blacksmith_core::event::SchemaId;

use crate::value::Sheet;

/// One page for each table of a block, which holds one version of each.
#[derive(Debug, Default)]
pub(crate) struct Pages<'a> {
    pages: Vec<Page<'a>>,
    /// The page that was found last: rows of a table mostly follow each other.
    last: usize,
}

/// A table of the block.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    pub(crate) oid: u32,
    pub(crate) schema: SchemaId,
    /// Whether its rows are to be decoded.
    pub(crate) is_wanted: bool,
    /// Its rows that are not decoded yet.
    pub(crate) sheet: Sheet<'a>,
}

impl<'a> Pages<'a> {
    /// Of these pages, in any order. A table that is announced more than once, as one with changes of several
    /// subtransactions is, has one page: on two its rows would lose their order.
    pub(crate) fn new(mut pages: Vec<Page<'a>>) -> Pages<'a> {
        pages.sort_by_key(|page| page.oid);
        pages.dedup_by_key(|page| page.oid);
        Pages { pages, last: 0 }
    }

    /// The page of this table; none when the block did not announce it.
    #[inline]
    pub(crate) fn of(&mut self, oid: u32) -> Option<&mut Page<'a>> {
        if self.pages.get(self.last).is_none_or(|page| page.oid != oid) {
            self.last = self
                .pages
                .binary_search_by_key(&oid, |page| page.oid)
                .ok()?;
        }
        self.pages.get_mut(self.last)
    }

    /// All of them.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Page<'a>> {
        self.pages.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_a_block_announces_for_each_subtransaction_has_one_page() {
        let page = |oid| Page {
            oid,
            schema: SchemaId(oid),
            is_wanted: true,
            sheet: Sheet::default(),
        };
        // Found first by being the last one, and later by search: it has to be the same page.
        let mut pages = Pages::new([7, 9, 7, 9, 7, 8, 7].map(page).into());
        for oid in [7, 8, 9] {
            assert!(pages.of(oid).is_some_and(|page| page.oid == oid));
        }
        assert_eq!(pages.iter_mut().count(), 3);
    }
}
