//! One file of the simulated disk: what the cache shows and what the platter has.

use std::collections::BTreeMap;

use super::{Cut, Dice};

/// What reaches the platter whole or not at all, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockBytes(pub(super) usize);

impl Default for BlockBytes {
    fn default() -> Self {
        BlockBytes(512)
    }
}

#[derive(Debug, Default, Clone)]
pub(super) struct Inode {
    pub(super) block: BlockBytes,
    /// What reads see.
    pub(super) cache: Vec<u8>,
    /// What is on the platter.
    pub(super) platter: Vec<u8>,
    /// Every version that blocks had since the last sync.
    pub(super) dirty: BTreeMap<usize, Vec<Vec<u8>>>,
    /// Every length since the last sync.
    pub(super) lengths: Vec<usize>,
}

impl Inode {
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.cache.len() < end {
            self.resize(end);
        }
        self.cache[offset..end].copy_from_slice(bytes);
        for block in offset / self.block.0..end.div_ceil(self.block.0) {
            let content = self.block.of(&self.cache, block);
            self.dirty.entry(block).or_default().push(content);
        }
    }

    pub(super) fn resize(&mut self, len: usize) {
        self.cache.resize(len, 0);
        self.lengths.push(len);
    }

    pub(super) fn sync(&mut self) {
        self.platter.resize(self.cache.len(), 0);
        for block in std::mem::take(&mut self.dirty).into_keys() {
            let content = self.block.of(&self.cache, block);
            self.block.place(&mut self.platter, block, &content);
        }
        self.lengths.clear();
    }

    pub(super) fn cut(&mut self, cut: Cut, dice: &mut Dice) {
        match cut {
            Cut::Nothing => {}
            Cut::Everything => self.sync(),
            Cut::Any(_) => self.tear(dice),
        }
        self.cache.clone_from(&self.platter);
        self.dirty.clear();
        self.lengths.clear();
    }

    pub(super) fn tear(&mut self, dice: &mut Dice) {
        let choice = dice.below(self.lengths.len() as u64 + 1) as usize;
        if let Some(len) = self.lengths.get(choice) {
            self.platter.resize(*len, 0);
        }
        for (block, versions) in &self.dirty {
            let choice = dice.below(versions.len() as u64 + 1) as usize;
            if let Some(version) = versions.get(choice) {
                self.block.place(&mut self.platter, *block, version);
            }
        }
    }
}

impl BlockBytes {
    fn of(self, bytes: &[u8], block: usize) -> Vec<u8> {
        let start = (block * self.0).min(bytes.len());
        let end = (start + self.0).min(bytes.len());
        bytes[start..end].to_vec()
    }

    /// Puts a block where it belongs, as far as the file reaches.
    fn place(self, bytes: &mut [u8], block: usize, content: &[u8]) {
        let start = (block * self.0).min(bytes.len());
        let end = (start + content.len()).min(bytes.len());
        bytes[start..end].copy_from_slice(&content[..end - start]);
    }
}
