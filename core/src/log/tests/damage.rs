//! Torn tails are removed and said; damage to what was acknowledged is found and named.

use std::ops::Range;
use std::path::PathBuf;

use super::oracle::{DIR, options};
use super::*;
use crate::clock::Timestamp;
use crate::error::Kind;
use crate::log::frame::Header;
use crate::log::segment::Name;
use crate::log::sim::SimDisk;
use crate::log::verify::verify_on;
use crate::log::writer::Writer;
use crate::log::{Recovery, Retention, SyncMode};

fn segment(id: u64) -> PathBuf {
    Name::Segment(id).path(Path::new(DIR))
}

fn start(disk: &SimDisk) -> Result<(Log<Tally>, Writer, Recovery)> {
    let options = options(SyncMode::Always);
    let opened = Log::open_unwritten(Path::new(DIR), options, disk.shared(), Tally::default());
    opened.map(|(opened, writer)| (opened.log, writer, opened.recovery))
}

/// Appends bodies, each durable before the next, and leaves as a killed process does.
fn fill(disk: &SimDisk, lens: &[usize]) -> Result<Vec<Frame>> {
    let (log, mut writer, _) = start(disk)?;
    for (number, len) in (0..).zip(lens) {
        log.append(1, 2, &[body(number, *len)])?;
        writer.turn(false);
    }
    let frames = all(&log)?;
    disk.kill();
    Ok(frames)
}

/// What opening and reading everything brings.
fn look(disk: &SimDisk) -> Result<(Vec<Frame>, Recovery)> {
    let (log, _writer, recovery) = start(disk)?;
    let found = all(&log);
    disk.kill();
    Ok((found?, recovery))
}

#[test]
fn a_last_frame_torn_at_any_length_is_removed_exactly_and_the_log_goes_on() -> Result<()> {
    let disk = SimDisk::default();
    let frames = fill(&disk, &[300, 200, 333])?;
    let last = frames[2].offset as usize;
    let end = (last + 64 + 333).next_multiple_of(8);
    let original = disk.bytes(&segment(1));
    for cut in last..=end {
        for zeroed in [false, true] {
            let disk = disk.fork();
            disk.tamper(&segment(1), |bytes| match zeroed {
                true => bytes[cut..].fill(0),
                false => bytes.truncate(cut),
            });
            let left = disk.bytes(&segment(1));
            let torn = left[last..].iter().rposition(|byte| *byte != 0);
            let torn = torn.map_or(0, |last| last as u64 + 1);
            let (found, recovery) = look(&disk)?;
            if left.get(..end) == Some(&original[..end]) {
                assert_eq!(found, frames);
                continue;
            }
            assert_eq!(found, frames[..2], "cut at {cut}");
            let said = recovery
                .torn
                .map_or((last as u64, 0), |torn| (torn.offset, torn.bytes));
            assert_eq!(said.0, last as u64);
            assert!(said.1.abs_diff(torn) < 8, "{said:?} of {torn}");
            let (log, mut writer, recovery) = start(&disk)?;
            assert_eq!(recovery.torn, None, "it is said once");
            let receipt = log.append(1, 1, &text("next"))?;
            writer.turn(false);
            assert_eq!(receipt.first, Position(5));
            assert_eq!(all(&log)?[2].body, text("next")[0]);
        }
    }
    Ok(())
}

#[test]
fn every_flipped_bit_of_the_last_segment_is_found_or_harmless() -> Result<()> {
    let disk = SimDisk::default();
    fill(&disk, &[100, 0, 217, 40])?;
    // Another opening vouches for the last frame, as an idle moment would have done.
    let frames = look(&disk)?.0;
    let bytes = disk.bytes(&segment(1));
    let mut refused = 0;
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let disk = disk.fork();
            disk.tamper(&segment(1), |bytes| bytes[index] ^= 1 << bit);
            match look(&disk) {
                Ok((found, _)) => assert_eq!(found, frames, "byte {index} bit {bit}"),
                Err(error) => {
                    let is_named = matches!(error.kind(), Kind::Damaged | Kind::Refused)
                        && error.report().contains("00000000000000000001.seg");
                    assert!(is_named, "byte {index} bit {bit}: {}", error.report());
                    refused += 1;
                }
            }
        }
    }
    let covered = 4096 + 4 * 64 + 100 + 217 + 40;
    assert!(refused >= covered * 8, "{refused} flips were noticed");
    Ok(())
}

#[test]
fn every_flipped_bit_of_an_earlier_segment_is_found_when_it_is_read_or_verified() -> Result<()> {
    let disk = SimDisk::default();
    let frames = fill(&disk, &[700, 800, 900, 6000])?;
    assert_eq!(frames[3].segment, 2);
    let end = frames[2].offset as usize + 64 + 900;
    // A reader passes over the body of the snapshot.
    let snapshot = 4160..frames[0].offset as usize;
    for index in 0..end {
        let disk = disk.fork();
        disk.tamper(&segment(1), |bytes| bytes[index] ^= 1 << (index % 8));
        let found = verify_on(Path::new(DIR), disk.shared())?.damages;
        let [damage] = &found[..] else {
            assert!(
                is_padding(&frames, &snapshot, index),
                "byte {index}: {found:?}"
            );
            continue;
        };
        assert_eq!(damage.path, segment(1));
        match look(&disk) {
            Ok((found, _)) => {
                assert!(snapshot.contains(&index), "byte {index}");
                assert_eq!(found, frames);
            }
            Err(error) => {
                let is_named = matches!(error.kind(), Kind::Damaged | Kind::Refused)
                    && error.report().contains("00000000000000000001.seg");
                assert!(is_named, "byte {index}: {}", error.report());
            }
        }
    }
    Ok(())
}

fn is_padding(frames: &[Frame], snapshot: &Range<usize>, index: usize) -> bool {
    let gap = |end: usize| (end..end.next_multiple_of(8)).contains(&index);
    let snapshot_end = snapshot.end - 4;
    gap(snapshot_end)
        || frames
            .iter()
            .any(|frame| gap(frame.offset as usize + 64 + frame.body.len()))
}

/// Damages the second of three frames in some way and expects its positions to be named.
fn expect_damage(what: &str, damage: impl FnOnce(&mut Vec<u8>, usize)) -> Result<()> {
    let disk = SimDisk::default();
    let frames = fill(&disk, &[600, 700, 800])?;
    disk.tamper(&segment(1), |bytes| {
        damage(bytes, frames[1].offset as usize)
    });
    let error = look(&disk).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged, "{what}: {}", error.report());
    let report = error.report();
    assert!(report.contains("positions 3..4"), "{what}: {report}");
    assert!(
        report.contains(&format!("byte {}", frames[1].offset)),
        "{what}: {report}"
    );
    assert_eq!(
        look(&disk).unwrap_err().report(),
        report,
        "nothing was changed"
    );
    Ok(())
}

#[test]
fn damage_before_the_last_commit_is_refused_with_the_positions_it_concerns() -> Result<()> {
    expect_damage("zeroed header", |bytes, at| bytes[at..at + 64].fill(0))?;
    expect_damage("zeroed body", |bytes, at| bytes[at + 100..at + 600].fill(0))?;
    expect_damage("length", |bytes, at| bytes[at + 12..at + 16].fill(0xff))?;
    expect_damage("misdirected", |bytes, at| {
        let other = bytes[at - 664..at].to_vec();
        bytes[at..at + 664].copy_from_slice(&other);
    })
}

#[test]
fn a_length_over_the_cap_is_refused_though_its_checksum_holds() -> Result<()> {
    expect_damage("a forged length", |bytes, at| {
        bytes[at + 12..at + 16].copy_from_slice(&u32::MAX.to_le_bytes());
        let crc = crc32fast::hash(&bytes[at + 8..at + 64]);
        bytes[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
    })
}

/// Forges one field of the last frame's header, checksum and all, and expects it not to be taken.
fn expect_strange(what: &str, field: Range<usize>) -> Result<()> {
    let disk = SimDisk::default();
    // Opened several times, so that there is an earlier epoch.
    fill(&disk, &[100])?;
    fill(&disk, &[100])?;
    let frames = fill(&disk, &[100, 200])?;
    let last = frames[3].offset as usize;
    disk.tamper(&segment(1), |bytes| {
        bytes[last + field.start] = bytes[last + field.start].wrapping_sub(1);
        let crc = crc32fast::hash(&bytes[last + 8..last + 64]);
        bytes[last + 4..last + 8].copy_from_slice(&crc.to_le_bytes());
    });
    let (found, recovery) = look(&disk)?;
    assert_eq!(found, frames[..3], "{what}");
    assert_eq!(
        recovery.torn.map(|torn| torn.offset),
        Some(last as u64),
        "{what}"
    );
    Ok(())
}

#[test]
fn a_frame_from_another_place_or_time_is_not_taken_though_its_checksums_hold() -> Result<()> {
    expect_strange("first position", 24..32)?;
    expect_strange("segment", 32..40)?;
    expect_strange("epoch", 40..44)?;
    expect_strange("offset", 44..48)?;
    expect_strange("chain", 52..56)?;
    expect_strange("store", 56..64)
}

#[test]
fn a_header_of_positions_before_the_first_is_none_though_its_checksum_holds() {
    let mut header = Header {
        body_crc: 0,
        body_bytes: 0,
        kind: 1,
        staged: false,
        count: 3,
        first: Position::FIRST,
        segment: 1,
        epoch: 1,
        offset: 4096,
        durable_before: 0,
        chain: 0,
        store: 1,
        crc: 0,
    };
    assert!(Header::decode(&header.encode()).is_some());
    header.first = Position::ZERO;
    assert_eq!(Header::decode(&header.encode()), None);
}

#[test]
fn a_frame_of_another_store_is_never_taken_for_one() -> Result<()> {
    let (one, two) = (SimDisk::default(), SimDisk::default());
    let frames = fill(&one, &[600, 700, 800])?;
    fill(&two, &[600, 700, 800])?;
    let other = two.bytes(&segment(1));
    let last = frames[2].offset as usize;
    one.tamper(&segment(1), |bytes| {
        bytes[last..last + 864].copy_from_slice(&other[last..last + 864]);
    });
    let (found, recovery) = look(&one)?;
    assert_eq!(found, frames[..2]);
    assert!(recovery.torn.is_some());
    Ok(())
}

#[test]
fn a_missing_or_shortened_segment_is_refused_with_its_positions() -> Result<()> {
    let disk = SimDisk::default();
    let frames = fill(&disk, &[5000; 6])?;
    assert!(frames[5].segment >= 4);
    let lost = disk.fork();
    lost.lose(&segment(2));
    let error = look(&lost).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(
        error.report().contains("segments 2 to 2 are missing"),
        "{}",
        error.report()
    );

    let lost = disk.fork();
    lost.lose(&segment(frames[5].segment));
    let error = look(&lost).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    let found = verify_on(Path::new(DIR), lost.shared())?.damages;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        error
            .report()
            .contains("the segment after this one is missing"),
        "{}",
        error.report()
    );

    let cut = disk.fork();
    cut.tamper(&segment(2), |bytes| bytes.truncate(4600));
    let error = look(&cut).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(
        error.report().contains("the file is cut short"),
        "{}",
        error.report()
    );

    let renamed = disk.fork();
    let bytes = disk.bytes(&segment(3));
    renamed.tamper(&segment(2), |two| *two = bytes);
    let error = look(&renamed).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(
        error.report().contains("holds segment 3"),
        "{}",
        error.report()
    );
    Ok(())
}

#[test]
fn a_committed_transaction_whose_file_is_gone_or_short_is_refused() -> Result<()> {
    let disk = SimDisk::default();
    let (log, mut writer, _) = start(&disk)?;
    let mut stage = log.stage()?;
    stage.push(2, &[body(1, 3000)])?;
    stage.push(1, &[body(2, 3000)])?;
    log.commit(&mut stage, 1, 3, &[])?;
    writer.turn(false);
    drop(stage);
    disk.kill();
    let path = Name::Stage(1).path(Path::new(DIR));
    let gone = disk.fork();
    gone.lose(&path);
    let error = look(&gone).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(
        error.report().contains("positions 1..3"),
        "{}",
        error.report()
    );
    let short = disk.fork();
    short.tamper(&path, |bytes| bytes.truncate(5000));
    assert_eq!(look(&short).unwrap_err().kind(), Kind::Damaged);
    let len = disk.bytes(&path).len();
    for index in 0..len {
        let disk = disk.fork();
        disk.tamper(&path, |bytes| bytes[index] ^= 1 << (index % 8));
        let (log, _writer, _) = start(&disk)?;
        let commit = all(&log)?.remove(0);
        let mut chunks = log.staged(&commit)?;
        let error = loop {
            match chunks.next() {
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        let error = error.unwrap_or_else(|| panic!("byte {index} was not noticed"));
        assert_eq!(error.kind(), Kind::Damaged);
        disk.kill();
    }
    Ok(())
}

#[test]
fn frames_of_a_recycled_segment_never_come_back() -> Result<()> {
    let disk = SimDisk::default();
    let (log, mut writer, _) = start(&disk)?;
    for number in 0..20 {
        log.append(1, 1, &[body(number, 400)])?;
        writer.turn(false);
    }
    assert!(log.segments().len() >= 3);
    let policy = Retention {
        max_age: PATIENCE,
        max_bytes: 0,
    };
    log.begin_retain(log.durable().upto(), &policy);
    writer.turn(false);
    let spares = |disk: &SimDisk| {
        disk.files()
            .iter()
            .filter(|path| path.extension().is_some_and(|kind| kind == "spare"))
            .count()
    };
    assert_eq!(spares(&disk), 1);
    let mut number = 20;
    while spares(&disk) > 0 {
        log.append(1, 1, &[body(number, 400)])?;
        writer.turn(false);
        number += 1;
    }
    let kept = {
        let oldest = log.segments()[0].span.first;
        drain(&mut log.reader(oldest))?
    };
    disk.kill();
    for _ in 0..3 {
        let (log, mut writer, recovery) = start(&disk)?;
        assert_eq!(recovery.torn, None);
        let oldest = log.segments()[0].span.first;
        assert_eq!(drain(&mut log.reader(oldest))?[..kept.len()], kept);
        assert_eq!(log.next_position().0, number + 1);
        log.append(1, 1, &[body(number, 10)])?;
        writer.turn(false);
        number += 1;
        disk.kill();
    }
    log.retain(Position::ZERO, &policy, Timestamp(0))?;
    Ok(())
}

#[test]
fn verification_finds_a_segment_that_does_not_follow_the_one_before() -> Result<()> {
    let disk = SimDisk::default();
    let frames = fill(&disk, &[5000; 6])?;
    assert!(frames[5].segment >= 3);
    // The chain to the segment before, or its first position: forged, checksum and all.
    for field in [40, 64] {
        let forged = disk.fork();
        forged.tamper(&segment(2), |bytes| {
            bytes[field] = bytes[field].wrapping_add(1);
            let crc = crc32fast::hash(&bytes[16..4096]);
            bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        });
        let found = verify_on(Path::new(DIR), forged.shared())?.damages;
        let seam = |damage: &crate::log::Damage| {
            damage.path == segment(2) && damage.what.contains("does not follow the segment before")
        };
        assert!(found.iter().any(seam), "field {field}: {found:?}");
    }
    Ok(())
}

#[test]
fn verification_finds_a_commit_that_names_no_file() -> Result<()> {
    let disk = SimDisk::default();
    let frames = fill(&disk, &[20])?;
    let at = frames[0].offset as usize;
    disk.tamper(&segment(1), |bytes| {
        bytes[at + 17] = 1; // it says that its body begins with the name of a staged file
        let crc = crc32fast::hash(&bytes[at + 8..at + 64]);
        bytes[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
    });
    let found = verify_on(Path::new(DIR), disk.shared())?.damages;
    let first = found
        .first()
        .map(|damage| (damage.offset, damage.what.as_str()));
    assert_eq!(
        first,
        Some((frames[0].offset, "a commit that names no file"))
    );
    Ok(())
}

#[test]
fn verification_bears_a_segment_that_says_anything_of_the_end_of_the_one_before() -> Result<()> {
    let disk = SimDisk::default();
    fill(&disk, &[5000; 6])?;
    for end in [0, 1, 4097, u64::MAX] {
        let forged = disk.fork();
        forged.tamper(&segment(2), |bytes| {
            bytes[56..64].copy_from_slice(&end.to_le_bytes());
            let crc = crc32fast::hash(&bytes[16..4096]);
            bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        });
        let found = verify_on(Path::new(DIR), forged.shared())?;
        assert!(!found.is_sound(), "{end}");
    }
    Ok(())
}

#[test]
fn verification_lists_every_damage_and_reads_on_behind_it() -> Result<()> {
    let disk = SimDisk::default();
    let frames = fill(&disk, &[1500; 12])?;
    assert!(frames[11].segment >= 3);
    let sound = verify_on(Path::new(DIR), disk.shared())?;
    assert!(sound.is_sound() && sound.torn.is_none());
    assert_eq!((sound.frames, sound.positions), (12, 24));
    for index in [1, 3] {
        let at = frames[index].offset as usize;
        disk.tamper(&segment(frames[index].segment), |bytes| bytes[at + 70] ^= 1);
    }
    let last = frames[11].offset as usize;
    disk.tamper(&segment(frames[11].segment), |bytes| bytes[last + 70] ^= 1);
    let found = verify_on(Path::new(DIR), disk.shared())?;
    let spans: Vec<_> = found
        .damages
        .iter()
        .map(|damage| damage.span.to_string())
        .collect();
    assert_eq!(spans, ["3..4", "7..8"]);
    assert_eq!(found.frames, 9);
    let torn = found.torn.expect("the last frame is not vouched for");
    assert_eq!(torn.offset, frames[11].offset);

    disk.lose(&segment(2));
    let found = verify_on(Path::new(DIR), disk.shared())?;
    let missing = |damage: &crate::log::Damage| damage.what.contains("segments 2 to 2 are missing");
    assert!(found.damages.iter().any(missing), "{found:?}");
    Ok(())
}

#[test]
fn verification_names_the_positions_of_each_of_two_damages_in_a_row() -> Result<()> {
    let disk = SimDisk::default();
    let frames = fill(&disk, &[300; 6])?;
    for frame in &frames[1..3] {
        let at = frame.offset as usize;
        disk.tamper(&segment(frame.segment), |bytes| bytes[at + 70] ^= 1);
    }
    let found = verify_on(Path::new(DIR), disk.shared())?;
    let spans = found.damages.iter().map(|damage| damage.span.to_string());
    assert_eq!(spans.collect::<Vec<_>>(), ["3..4", "5..6"]);
    assert_eq!(found.frames, 4);
    Ok(())
}
