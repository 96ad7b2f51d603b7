//! What the fuzz targets do with headers, and with whole folders of segments. See [`crate::fuzzing`].
//!
//! No fuzzer guesses a checksum. So the bytes of an input are sealed first, or are taken as the description of a folder whose
//! headers are sealed as they should be ([`folder`]); what it describes, lies and damage included, has to be borne.

mod disk;
mod folder;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Result;
use crate::fuzzing::Input;
use crate::log::Fold;
use crate::log::frame::{Frame, HEADER_BYTES, Header, StageRef};
use crate::log::readonly::{ReadOnlyLog, open_on};
use crate::log::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::log::verify::verify_on;

use disk::Folder;

/// The header of a frame or of a segment whose fields are the input: what is taken is written as it was.
pub(crate) fn frame(input: &[u8]) {
    assert_eq!(
        Header::decode(input).is_some(),
        Header::decode(input).is_some()
    );
    if let Some(mut header) = Header::decode(&sealed::<HEADER_BYTES>(b"BSf1", 8, input)) {
        let read = header;
        assert_eq!(Header::decode(&header.encode()), Some(read));
        assert!(header.end() >= header.offset + HEADER_BYTES as u64);
        assert_eq!(header.span().len(), u64::from(header.count));
        let body = Bytes::copy_from_slice(input);
        if let Some(frame) = Frame::assemble(&header, body) {
            assert_eq!(frame.staged.is_some(), header.staged);
        }
    }
    if let Some(stage) = StageRef::decode(input) {
        assert_eq!(StageRef::decode(&stage.encode()), Some(stage));
    }
    let mut start = *b"BSMITHsg\0\0\0\0";
    start[8] = input.last().map_or(1, |byte| byte & 3);
    let bytes = sealed::<SEGMENT_HEADER_BYTES>(&start, 16, input);
    if let Ok(header) = SegmentHeader::decode(&bytes, Path::new("fuzzed")) {
        let again = SegmentHeader::decode(&header.encode(), Path::new("fuzzed"));
        assert_eq!(again.ok(), Some(header));
    }
}

/// A header of `N` bytes: its `start`, the checksum of what follows, and that, which begins at byte `fields`.
fn sealed<const N: usize>(start: &[u8], fields: usize, input: &[u8]) -> Vec<u8> {
    let mut bytes = start.to_vec();
    let mut rest = Input(input).bytes(N - fields).to_vec();
    rest.resize(N - fields, 0);
    bytes.extend_from_slice(&crc32fast::hash(&rest).to_le_bytes());
    bytes.extend_from_slice(&rest);
    bytes
}

/// A whole folder. What `verify` finds sound opens, and is read to the end frame by frame; what it does not is refused or
/// read up to the damage, in one piece.
pub(crate) fn segment(input: &[u8]) {
    let folder = folder::build(&mut Input(input));
    let verified = verify_on(Path::new(DIR), Arc::new(folder.clone()));
    let Ok(verified) = verified else {
        return;
    };
    let opened = open(&folder, ());
    let read = opened.as_ref().map(read_to_the_end);
    if !verified.is_sound() {
        return;
    }
    if let Ok((frames, ended)) = read {
        ended.expect("what is verified as sound is read to its end");
        assert_eq!(frames, verified.frames, "frames read, frames verified");
    }
}

const DIR: &str = "log";

/// Opens what an input describes, as a process does that looks into another's log.
pub(crate) fn opened<F: Fold>(input: &[u8], fold: F) -> Result<ReadOnlyLog<F>> {
    open(&folder::build(&mut Input(input)), fold)
}

fn open<F: Fold>(folder: &Folder, fold: F) -> Result<ReadOnlyLog<F>> {
    open_on(Path::new(DIR), Arc::new(folder.clone()), fold)
}

/// How many frames are read, and whether the end was reached.
fn read_to_the_end<F: Fold>(log: &ReadOnlyLog<F>) -> (u64, Result<()>) {
    let segments = log.segments();
    let oldest = segments.first().map(|oldest| oldest.span.first);
    let mut reader = log.reader(oldest.unwrap_or_default());
    let mut frames = 0;
    loop {
        match reader.next() {
            Ok(Some(frame)) => {
                frames += 1;
                if frame.staged.is_some() {
                    read_staged(log, &frame);
                }
            }
            Ok(None) => return (frames, Ok(())),
            Err(error) => return (frames, Err(error)),
        }
    }
}

fn read_staged<F: Fold>(log: &ReadOnlyLog<F>, commit: &Frame) {
    if let Ok(mut chunks) = log.staged(commit) {
        while let Ok(Some(_)) = chunks.next() {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests may fail by panic")]

    use super::*;
    use crate::log::salvage::salvage_on;
    use crate::log::sim::Dice;

    /// Folders that the fuzzer found worth keeping.
    fn kept() -> Vec<Vec<u8>> {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/segment");
        let files = std::fs::read_dir(corpus).unwrap();
        let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        paths
            .iter()
            .map(|path| std::fs::read(path).unwrap())
            .collect()
    }

    /// Some of them behind each other, with a few bytes that are otherwise.
    fn mixed(kept: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
        let mut input = Vec::new();
        for _ in 0..1 + dice.below(4) {
            let other = &kept[dice.below(kept.len() as u64) as usize];
            let from = if input.is_empty() {
                0
            } else {
                dice.below(other.len() as u64)
            };
            input.extend_from_slice(&other[from as usize..]);
        }
        for _ in 0..dice.below(8) {
            let at = dice.below(input.len() as u64) as usize;
            match dice.below(3) {
                _ if input.is_empty() => break,
                0 => input[at] ^= 1 << dice.below(8),
                1 => input[at] = dice.roll() as u8,
                _ => _ = input.remove(at),
            }
        }
        input
    }

    /// Salvages the folder; false when that is refused.
    fn saves(input: &[u8]) -> bool {
        let folder = folder::build(&mut Input(input));
        let salvage = || salvage_on(Path::new(DIR), Arc::new(folder.clone()), ());
        if salvage().is_err() {
            return false;
        }
        let verified = verify_on(Path::new(DIR), Arc::new(folder.clone())).unwrap();
        assert!(verified.is_sound(), "{verified:?}");
        let (frames, ended) = read_to_the_end(&open(&folder, ()).unwrap());
        ended.unwrap();
        assert_eq!(frames, verified.frames);
        let again = salvage().unwrap();
        assert!(again.damages.is_empty(), "{again:?}");
        true
    }

    /// `BLACKSMITH_SEED` is the first seed, `BLACKSMITH_SALVAGES` their number.
    #[test]
    fn whatever_a_folder_says_a_salvage_ends_and_leaves_a_log_that_is_sound_and_opens() {
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        let first = number("BLACKSMITH_SEED").unwrap_or(0);
        let count = number("BLACKSMITH_SALVAGES").unwrap_or(300);
        let kept = kept();
        let saved = (first..first + count).filter(|seed| {
            let input = mixed(&kept, &mut Dice(*seed));
            let saved = std::panic::catch_unwind(|| saves(&input));
            saved.unwrap_or_else(|_| panic!("seed {seed}"))
        });
        let saved = saved.count() as u64;
        assert!(saved > count / 2, "{saved} folders could be saved");
    }
}
