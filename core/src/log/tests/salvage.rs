//! Salvaging keeps what holds, in its place, and names exactly what does not.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::oracle::{DIR, Oracle, Process, options};
use super::*;
use crate::error::Kind;
use crate::log::frame::{HEADER_BYTES, Header};
use crate::log::salvage::salvage_on;
use crate::log::segment::{Name, SegmentHeader};
use crate::log::sim::{Cut, Dice, Fault, SimDisk};
use crate::log::verify::{check_staged, verify_on};
use crate::log::writer::Writer;
use crate::log::{Salvage, SyncMode};
use crate::position::Span;

fn dir() -> &'static Path {
    Path::new(DIR)
}

fn start(disk: &SimDisk) -> Result<(Log<Tally>, Writer)> {
    let options = options(SyncMode::Always);
    let opened = Log::open_unwritten(dir(), options, disk.shared(), Tally::default());
    opened.map(|(opened, writer)| (opened.log, writer))
}

fn salvage(disk: &SimDisk) -> Result<Salvage> {
    salvage_on(dir(), disk.shared(), Tally::default())
}

/// A log of several segments that everything was done to; nobody has it open.
fn filled(seed: u64) -> (SimDisk, Vec<Frame>) {
    let (disk, frames, _) = filled_and_before(seed);
    (disk, frames)
}

/// The same, and the disk as it was some time before.
fn filled_and_before(seed: u64) -> (SimDisk, Vec<Frame>, SimDisk) {
    let (disk, mut dice) = (SimDisk::default(), Dice(seed));
    let mut oracle = Oracle::default();
    let (mut process, _) = Process::start(&disk, SyncMode::Always, &mut oracle).unwrap();
    process.work(&mut oracle, &mut dice, 180);
    let earlier = disk.fork();
    process.work(&mut oracle, &mut dice, 70);
    process.turn(&mut oracle);
    disk.kill();
    // This opening vouches for what was written last.
    let frames = read(&disk).unwrap();
    (disk, frames, earlier)
}

/// All frames from the oldest that is kept.
fn read(disk: &SimDisk) -> Result<Vec<Frame>> {
    let (log, _writer) = start(disk)?;
    let oldest = log.segments()[0].span.first;
    let frames = drain(&mut log.reader(oldest));
    disk.kill();
    frames
}

/// The files of the log, by the ending of their names, in order.
fn files(disk: &SimDisk, ending: &str) -> Vec<PathBuf> {
    let all = disk.files().into_iter();
    all.filter(|path| path.extension().is_some_and(|own| own == ending))
        .collect()
}

/// Does some harm to a file that is not the last segment, or flips a bit of that.
fn harm(disk: &SimDisk, dice: &mut Dice) {
    let segments = files(disk, "seg");
    let stages = files(disk, "stage");
    let last = segments.len() - 1;
    let among = (segments.len() + stages.len()) as u64;
    let index = dice.below(among) as usize;
    let (path, is_oldest) = match segments.get(index) {
        Some(path) => (path.clone(), index == 0),
        None => (stages[index - segments.len()].clone(), false),
    };
    if index == last {
        // Whatever vouches for the rest has to be left.
        disk.tamper(&path, |bytes| {
            let written = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64;
            let at = dice.below(written.saturating_sub(64)) as usize;
            bytes[at] ^= 1 << dice.below(8);
        });
        return;
    }
    let len = disk.bytes(&path).len();
    if len == 0 {
        return;
    }
    match dice.below(5) {
        0 if !is_oldest => disk.lose(&path),
        1 if len > 4096 => {
            let cut = 4096 + dice.below(len as u64 - 4096) as usize;
            disk.tamper(&path, |bytes| bytes.truncate(cut));
        }
        2 if len > 8192 && !is_oldest => disk.tamper(&path, |bytes| {
            let page = dice.below(len as u64 / 4096) as usize * 4096;
            let end = (page + 4096).min(len);
            bytes[page..end].fill(0);
        }),
        3 if len > 12288 => disk.tamper(&path, |bytes| {
            let other = bytes[8192..12288].to_vec();
            bytes[4096..8192].copy_from_slice(&other);
        }),
        _ => disk.tamper(&path, |bytes| {
            let at = dice.below(len as u64) as usize;
            bytes[at] ^= 1 << dice.below(8);
        }),
    }
}

/// Whether every byte that the frame needs is as it was.
fn holds(before: &SimDisk, disk: &SimDisk, frame: &Frame) -> bool {
    let path = Name::Segment(frame.segment).path(dir());
    if !disk.files().contains(&path) {
        return false;
    }
    let own = frame.offset as usize;
    let reference = if frame.staged.is_some() { 40 } else { 0 };
    let range = own..own + 64 + reference + frame.body.len();
    let same = disk.bytes(&path).get(range.clone()) == before.bytes(&path).get(range);
    let store = u64::from_le_bytes(before.bytes(&path)[16..24].try_into().unwrap());
    same && (frame.staged.is_none() || check_staged(dir(), &disk.shared(), store, frame).is_ok())
}

fn positions(spans: impl Iterator<Item = Span>) -> BTreeSet<u64> {
    let each = |span: Span| {
        assert!(span.len() < 1 << 20, "{span} are more than there ever were");
        span.first.0..=span.last.0
    };
    spans.flat_map(each).collect()
}

fn plain(frames: &[Frame]) -> Vec<(u8, Position, u32, Bytes)> {
    let plain = |frame: &Frame| (frame.kind, frame.first, frame.count, frame.body.clone());
    frames.iter().map(plain).collect()
}

/// Seeds of CI; `BLACKSMITH_SALVAGES` has others do more, `BLACKSMITH_SEED` is the first.
fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let first = number("BLACKSMITH_SEED").unwrap_or(0);
    first..first + number("BLACKSMITH_SALVAGES").unwrap_or(400)
}

/// How many logs must lose something, or nothing is tried.
fn enough() -> u64 {
    let seeds = seeds();
    (seeds.end - seeds.start) / 3
}

/// Where the last frame of a segment begins. Behind it may be frames of the file's use before.
fn last_frame(bytes: &[u8]) -> usize {
    let own = SegmentHeader::decode(bytes, dir()).unwrap().id;
    let offsets = (4096..bytes.len()).step_by(8).rev();
    let is_own = |offset: &usize| {
        let header = bytes
            .get(*offset..*offset + HEADER_BYTES)
            .and_then(Header::decode);
        header.is_some_and(|header| header.segment == own && header.offset == *offset as u64)
    };
    offsets.into_iter().find(is_own).unwrap_or(4096)
}

/// Puts a block somewhere where it does not belong, as a disk does that misdirects a write or loses one: into a
/// segment that is not the oldest.
fn misplace(disk: &SimDisk, earlier: &SimDisk, dice: &mut Dice) {
    let segments = files(disk, "seg");
    let block = [512, 4096][dice.below(2) as usize];
    let index = dice.below(segments.len() as u64) as usize;
    let (path, other) = (
        &segments[index],
        &segments[dice.below(segments.len() as u64) as usize],
    );
    let (own, other) = (disk.bytes(path), disk.bytes(other));
    let mut end = own.len();
    if index == segments.len() - 1 {
        // Whatever vouches for the rest has to be left.
        end = last_frame(&own);
    }
    let blocks = end.saturating_sub(4096) / block;
    if index == 0 || blocks == 0 {
        return;
    }
    let at = 4096 + dice.below(blocks as u64) as usize * block;
    let from = 4096 + dice.below(blocks as u64) as usize * block;
    let is_known = earlier.files().contains(path);
    let content = match dice.below(3) {
        0 => other.get(at..at + block).map(<[u8]>::to_vec),
        1 if is_known => earlier.bytes(path).get(at..at + block).map(<[u8]>::to_vec),
        _ => Some(own[from..from + block].to_vec()),
    };
    if let Some(content) = content {
        disk.tamper(path, |bytes| {
            bytes[at..at + block].copy_from_slice(&content)
        });
    }
}

/// Harms the log of a seed, salvages it, and holds what that says and leaves against what was there; whether
/// anything was lost.
fn salvaged(seed: u64, mut harm: impl FnMut(&SimDisk, &SimDisk, &mut Dice)) -> bool {
    let (disk, frames, earlier) = filled_and_before(seed);
    let (before, before_all) = (disk.fork(), frames[0].first.0);
    let mut dice = Dice(seed ^ 0x5a5a);
    for _ in 0..1 + dice.below(4) {
        harm(&disk, &earlier, &mut dice);
    }
    let (kept, gone): (Vec<_>, Vec<_>) = frames
        .into_iter()
        .partition(|frame| holds(&before, &disk, frame));
    let lost = positions(gone.iter().map(Frame::span));
    let verified = verify_on(dir(), disk.shared()).unwrap();
    for frame in &gone {
        let (mut damages, span) = (verified.damages.iter(), frame.span());
        let found = damages.any(|damage| span.is_empty() || damage.span.intersects(span));
        assert!(found, "seed {seed}: {frame:?} is not in {verified:?}");
    }
    let salvage = salvage(&disk).unwrap_or_else(|error| panic!("{seed}: {}", error.report()));
    // Where a log began that has lost its beginning nobody knows.
    let known = |positions: BTreeSet<u64>| -> BTreeSet<u64> {
        positions
            .into_iter()
            .filter(|position| *position >= before_all)
            .collect()
    };
    let named = known(positions(salvage.lost()));
    assert_eq!(named, lost, "seed {seed}: {salvage:?}");
    let verified = verify_on(dir(), disk.shared()).unwrap();
    assert!(verified.is_sound(), "seed {seed}: {verified:?}");
    assert_eq!(verified.lost, salvage.given_up, "seed {seed}");
    let said = known(positions(verified.lost.iter().copied()));
    assert!(said.is_subset(&lost), "seed {seed}: {said:?}");
    let read = read(&disk).unwrap_or_else(|error| panic!("{seed}: {}", error.report()));
    assert_eq!(plain(&read), plain(&kept), "seed {seed}: {salvage:?}");
    let again = self::salvage(&disk).unwrap();
    assert!(again.damages.is_empty(), "seed {seed}: {again:?}");
    assert_eq!(again.lost_before().collect::<Vec<_>>(), verified.lost);
    goes_on(&disk, seed);
    !lost.is_empty()
}

#[test]
fn salvage_keeps_each_frame_that_holds_and_names_each_position_that_does_not() {
    // In 449 the beginning of a snapshot was lost, and its end was taken for the whole; in 1635 the whole beginning of
    // the log is.
    let seeds_and_two = seeds().chain([449, 1635]);
    let lost = seeds_and_two.filter(|seed| salvaged(*seed, |disk, _, dice| harm(disk, dice)));
    let lost = lost.count() as u64;
    assert!(lost > enough(), "{lost} logs lost something");
}

#[test]
fn a_block_that_is_stale_or_of_another_place_is_found_and_salvaged_around_exactly() {
    // In 2553 fewer bytes are left behind the last frame than a frame takes, and the snapshot before it is lost.
    let lost = seeds()
        .chain([2553])
        .filter(|seed| salvaged(*seed, misplace))
        .count() as u64;
    assert!(lost > enough(), "{lost} logs lost something");
}

/// What comes after is appended, read, and there after a restart.
fn goes_on(disk: &SimDisk, seed: u64) {
    let (log, mut writer) = start(disk).unwrap();
    let (next, part) = (log.next_position(), [body(seed, 50)]);
    let receipt = log.append(1, 1, &part).unwrap();
    writer.turn(false);
    assert!(receipt.is_durable() && receipt.first == next);
    drop((log, writer));
    disk.kill();
    let last = read(disk).unwrap().pop().unwrap();
    assert_eq!((last.first, &last.body), (next, &part[0]), "seed {seed}");
}

#[test]
fn a_sound_log_is_left_as_it_is() {
    let (disk, _) = filled(7);
    let before: Vec<_> = disk.files().iter().map(|path| disk.bytes(path)).collect();
    let salvage = salvage(&disk).unwrap();
    assert!(salvage.damages.is_empty() && salvage.saved_to.is_none());
    assert!(salvage.frames > 20);
    let after: Vec<_> = disk.files().iter().map(|path| disk.bytes(path)).collect();
    assert_eq!(before, after);
}

#[test]
fn behind_segments_that_are_missing_at_the_end_no_position_is_given_twice() {
    let (disk, frames) = filled(7);
    let segments = files(&disk, "seg");
    assert!(segments.len() > 1, "the test must roll");
    let first = first_position(&disk, &segments[segments.len() - 1]);
    disk.lose(&segments[segments.len() - 1]);
    assert_eq!(start(&disk).unwrap_err().kind(), Kind::Damaged);
    let salvage = salvage(&disk).unwrap();
    let lost: Vec<Span> = salvage.lost().collect();
    let skipped = Span::starting(Position(first), u64::from(u32::MAX));
    assert_eq!(lost, [skipped], "{salvage:?}");
    let (log, _writer) = start(&disk).unwrap();
    assert_eq!(log.next_position(), skipped.last.next());
    let kept = frames.iter().filter(|frame| frame.first.0 < first);
    let read = drain(&mut log.reader(log.segments()[0].span.first)).unwrap();
    assert!(read.len() >= kept.count());
    disk.kill();
    goes_on(&disk, 7);
}

fn first_position(disk: &SimDisk, segment: &Path) -> u64 {
    let bytes = disk.bytes(segment);
    u64::from_le_bytes(bytes[40..48].try_into().unwrap())
}

/// Harms a log, salvages it, and finds it sound with every frame there.
fn nothing_is_lost(harm: impl FnOnce(&SimDisk)) {
    let (disk, frames) = filled(7);
    harm(&disk);
    assert!(!verify_on(dir(), disk.shared()).unwrap().is_sound());
    let salvage = salvage(&disk).unwrap();
    assert_eq!(salvage.lost().count(), 0, "{salvage:?}");
    let verified = verify_on(dir(), disk.shared()).unwrap();
    assert!(verified.is_sound(), "{verified:?}");
    assert_eq!(plain(&read(&disk).unwrap()), plain(&frames));
    goes_on(&disk, 7);
}

#[test]
fn salvage_comes_to_an_end_where_fewer_bytes_are_left_than_a_frame_takes() {
    // Behind the last frame, in a segment that has lost its snapshot.
    nothing_is_lost(|disk| {
        let last = files(disk, "seg").pop().unwrap();
        let bytes = disk.bytes(&last);
        let end = Header::decode(&bytes[last_frame(&bytes)..]).unwrap().end() as usize;
        disk.tamper(&last, |bytes| {
            bytes[4096 + 70] ^= 1;
            bytes.resize(end + 56, 0);
        });
    });
    // Before the end that the next segment tells.
    nothing_is_lost(|disk| {
        let last = files(disk, "seg").pop().unwrap();
        disk.tamper(&last, |bytes| {
            let mut header = SegmentHeader::decode(bytes, dir()).unwrap();
            header.previous_end += 56;
            bytes[..4096].copy_from_slice(&header.encode());
        });
    });
}

#[test]
fn what_is_replaced_is_kept_beside_the_log() {
    let (disk, frames) = filled(3);
    let frame = frames.iter().find(|frame| frame.body.len() > 100).unwrap();
    let path = Name::Segment(frame.segment).path(dir());
    let at = frame.offset as usize;
    disk.tamper(&path, |bytes| bytes[at + 70] ^= 1);
    let harmed = disk.bytes(&path);
    let salvage = salvage(&disk).unwrap();
    let name = path.file_name().unwrap().to_string_lossy();
    let saved = salvage.saved_to.unwrap().join(format!("{name}.{at}"));
    let saved = disk.bytes(&saved);
    assert_eq!(saved, harmed[at..at + saved.len()]);
    assert!(saved.len() > 100);
}

#[test]
fn a_salvage_cut_off_in_a_snapshot_leaves_none_that_is_taken_for_whole() {
    let mut cuts = 0;
    for seed in 0..20 {
        let (disk, frames) = filled(seed);
        let last = files(&disk, "seg").pop().unwrap();
        disk.tamper(&last, |bytes| bytes[4096 + 70] ^= 1);
        let whole = disk.fork();
        salvage(&whole).unwrap();
        let state = state(&whole);
        for call in 1.. {
            let disk = disk.fork();
            if !salvage_cut_off(&disk, call, Cut::Everything) {
                break;
            }
            assert_eq!(self::state(&disk), state, "{seed}/{call}");
            assert_eq!(
                plain(&read(&disk).unwrap()),
                plain(&frames),
                "{seed}/{call}"
            );
            cuts += 1;
        }
    }
    assert!(cuts > 200, "{cuts} cuts are too few");
}

/// Salvages, has the power go at a call of it, and salvages again; false when it came to its end before that call.
fn salvage_cut_off(disk: &SimDisk, call: u64, cut: Cut) -> bool {
    disk.fault_in(call, Fault::PowerCut);
    let done = salvage(disk);
    if !disk.is_off() {
        done.unwrap();
        return false;
    }
    disk.power_cycle(cut);
    disk.clear_faults();
    salvage(disk).unwrap_or_else(|error| panic!("behind call {call}: {}", error.report()));
    true
}

/// What the log knows when it is opened.
fn state(disk: &SimDisk) -> Tally {
    let (log, _writer) = start(disk).unwrap();
    let state = log.with_fold(Tally::clone);
    disk.kill();
    state
}

#[test]
fn a_power_cut_at_any_call_of_a_salvage_leaves_a_log_that_is_salvaged_next_time() {
    let mut cuts = 0;
    for seed in 0..20 {
        let (disk, _) = filled(seed);
        let mut dice = Dice(seed ^ 0xa5a5);
        harm(&disk, &mut dice);
        let whole = disk.fork();
        let expected = salvage(&whole).unwrap();
        let kept = plain(&read(&whole).unwrap());
        for call in 1.. {
            let disk = disk.fork();
            if !salvage_cut_off(&disk, call, Cut::Any(dice.roll())) {
                break;
            }
            let verified = verify_on(dir(), disk.shared()).unwrap();
            let lost = positions(verified.lost.into_iter());
            assert_eq!(lost, positions(expected.lost()), "{seed}/{call}");
            assert_eq!(plain(&read(&disk).unwrap()), kept, "{seed}/{call}");
            cuts += 1;
        }
    }
    assert!(cuts > 200, "{cuts} cuts are too few");
}
