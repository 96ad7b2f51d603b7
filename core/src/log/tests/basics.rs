//! Append, read, open again: what everybody relies on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::oracle::DIR;
use super::*;
use crate::clock::{SystemClock, Timestamp};
use crate::error::Kind;
use crate::log::sim::SimDisk;
use crate::log::{AppendError, BODY_BYTES_MAX, Draft, Retention, open_read_only};
use crate::position::Span;

#[test]
fn appended_frames_are_read_back_in_order_with_their_positions() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path())?.log;
    let one = log.append(1, 3, &text("three"))?;
    let two = log.append(2, 0, &text("none"))?;
    let three = log.append(1, 1, &[text("in "), text("parts")].concat())?;
    three.wait(PATIENCE)?;
    assert!(one.is_durable() && two.is_durable());
    assert_eq!((one.first, one.last), (Position(1), Position(3)));
    assert_eq!((two.first, two.last), (Position(4), Position(3)));
    assert_eq!((three.first, three.last), (Position(4), Position(4)));
    let frames = all(&log)?;
    let seen: Vec<_> = frames
        .iter()
        .map(|frame| (frame.kind, frame.first.0, frame.count, &frame.body[..]))
        .collect();
    let expected: Vec<(u8, u64, u32, &[u8])> = vec![
        (1, 1, 3, b"three"),
        (2, 4, 0, b"none"),
        (1, 4, 1, b"in parts"),
    ];
    assert_eq!(seen, expected);
    assert_eq!(log.durable().upto(), Position(4));
    Ok(())
}

#[test]
fn a_log_opened_again_has_frames_state_and_next_position() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path())?;
    assert!(opened.recovery.created);
    for number in 0..500 {
        opened.log.append(1, 2, &[body(number, 300)])?;
    }
    let tally = opened.log.with_fold(Tally::clone);
    let store = opened.recovery.store;
    opened.log.close()?;

    let opened = open(dir.path())?;
    assert_eq!(opened.recovery.store, store);
    assert_eq!(opened.recovery.epoch, 2);
    assert_eq!(opened.recovery.torn, None);
    assert!(opened.recovery.segments > 5, "the test must roll");
    assert_eq!(opened.recovery.span, Span::new(Position(1), Position(1000)));
    assert_eq!(opened.log.with_fold(Tally::clone), tally);
    assert_eq!(opened.log.next_position(), Position(1001));
    let frames = all(&opened.log)?;
    assert_eq!(frames.len(), 500);
    for (number, frame) in (0..).zip(&frames) {
        assert_eq!(frame.first, Position(1 + 2 * number));
        assert_eq!(frame.body, body(number, 300));
    }
    Ok(())
}

#[test]
fn opening_reads_frames_of_the_last_segment_only() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path())?.log;
    for number in 0..500 {
        log.append(1, 1, &[body(number, 300)])?;
    }
    log.close()?;
    let opened = open(dir.path())?;
    assert!(opened.recovery.frames < 60, "{:?}", opened.recovery);
    let last = opened.log.segments().pop().unwrap();
    assert_eq!(last.frames, Some(opened.recovery.frames));
    assert_eq!(last.span.len(), opened.recovery.frames);
    Ok(())
}

#[test]
fn a_reader_starts_at_the_frame_that_holds_its_position_wherever_that_is() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path())?.log;
    for number in 0..300 {
        log.append(1, 3, &[body(number, 200)])?;
        log.append(2, 0, &[body(number, 20)])?;
    }
    let receipt = log.append(9, 0, &[])?;
    receipt.wait(PATIENCE)?;
    let frames = all(&log)?;
    for from in (1..=900).step_by(7).map(Position) {
        let expected: Vec<_> = frames
            .iter()
            .filter(|frame| match frame.count {
                0 => frame.first >= from,
                _ => frame.span().last >= from,
            })
            .cloned()
            .collect();
        assert_eq!(drain(&mut log.reader(from))?, expected, "from {from}");
    }
    let kinds: Vec<u8> = drain(&mut log.reader(Position(890)).want(&[2, 9]))?
        .iter()
        .map(|frame| frame.kind)
        .collect();
    assert_eq!(kinds, [2, 2, 2, 2, 9]);
    Ok(())
}

#[test]
fn a_reader_at_the_end_goes_on_when_more_is_durable() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path())?.log;
    let mut reader = log.reader(Position::FIRST);
    assert_eq!(reader.next()?, None);
    for number in 0..200 {
        log.append(1, 1, &[body(number, 500)])?.wait(PATIENCE)?;
        let frame = reader.next()?.expect("durable frames can be read");
        assert_eq!(frame.body, body(number, 500));
        assert_eq!(reader.next()?, None);
    }
    Ok(())
}

#[test]
fn a_frame_larger_than_a_segment_has_a_segment_of_its_size() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path())?.log;
    log.append(1, 1, &[body(1, 100)])?;
    log.append(1, 1, &[body(2, 1 << 20)])?;
    log.append(1, 1, &[body(3, 100)])?.wait(PATIENCE)?;
    let frames = all(&log)?;
    assert_eq!(frames[1].body, body(2, 1 << 20));
    assert_eq!(frames[2].body, body(3, 100));
    drop(log);
    assert_eq!(all(&open(dir.path())?.log)?.len(), 3);
    Ok(())
}

#[test]
fn a_body_over_the_limit_and_a_kind_of_the_logs_own_are_refused() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path())?.log;
    let large = Bytes::from(vec![0; BODY_BYTES_MAX + 1]);
    let refused = log.append(1, 1, &[large]).unwrap_err();
    assert!(matches!(refused, AppendError::TooLarge(_)), "{refused:?}");
    let refused = log.append(240, 1, &text("x")).unwrap_err();
    assert!(matches!(refused, AppendError::Declined(_)), "{refused:?}");
    assert_eq!(log.append(1, 1, &text("x"))?.first, Position(1));
    Ok(())
}

#[test]
fn what_the_fold_or_the_builder_declines_is_not_in_the_log() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path())?.log;
    log.append(1, 1, &text("first"))?;
    let declined = log.append(200, 1, &text("no")).unwrap_err();
    assert!(matches!(declined, AppendError::Declined(_)), "{declined:?}");
    let declined = log.append_with(|_, _| Err(Error::invalid("seen already")));
    assert!(matches!(declined, Err(AppendError::Declined(_))));
    let receipt = log.append_with(|tally, next| {
        assert_eq!((tally.frames, next), (1, Position(2)));
        let parts = text("second");
        Ok(Draft {
            kind: 1,
            count: 1,
            parts,
        })
    })?;
    receipt.wait(PATIENCE)?;
    let bodies: Vec<Bytes> = all(&log)?.into_iter().map(|frame| frame.body).collect();
    assert_eq!(bodies, [text("first"), text("second")].concat());
    Ok(())
}

#[test]
fn many_appenders_get_each_position_once() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path())?.log;
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let log = log.clone();
            scope.spawn(move || {
                for number in 0..250 {
                    let receipt = log
                        .append(1, 1, &[body(thread * 1000 + number, 64)])
                        .unwrap();
                    if number % 50 == 0 {
                        receipt.wait(PATIENCE).unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(log.next_position(), Position(2001));
    log.durable().wait_past(Position(1999), PATIENCE)?;
    let firsts: Vec<u64> = all(&log)?.iter().map(|frame| frame.first.0).collect();
    assert_eq!(firsts, (1..=2000).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn the_watermark_wakes_waiters_and_callbacks_for_frames_without_positions_too() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path())?.log;
    let calls = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&calls);
    let registration = log.durable().register(Arc::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    }));
    log.append(1, 0, &text("x"))?.wait(PATIENCE)?;
    assert_eq!(log.durable().wait_frames(0, PATIENCE)?, 1);
    assert_eq!(
        log.durable().wait_past(Position::ZERO, Duration::ZERO)?,
        Position::ZERO
    );
    log.append(1, 1, &text("y"))?;
    assert_eq!(
        log.durable().wait_past(Position::ZERO, PATIENCE)?,
        Position(1)
    );
    drop(registration);
    log.close()?;
    let called = calls.load(Ordering::SeqCst);
    assert!((1..=2).contains(&called), "{called}");
    Ok(())
}

#[test]
fn a_second_opener_is_refused_and_told_who_has_the_log() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path())?;
    let error = open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    let pid = std::process::id().to_string();
    assert!(error.report().contains(&pid), "{}", error.report());
    drop(opened);
    assert_eq!(open(dir.path())?.recovery.epoch, 2);
    Ok(())
}

#[test]
fn after_closing_nothing_is_accepted_and_everything_accepted_is_there() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path())?.log;
    let other = log.clone();
    let receipt = log.append(1, 1, &text("last"))?;
    log.close()?;
    assert!(receipt.is_durable());
    let refused = other.append(1, 1, &text("late")).unwrap_err();
    assert!(matches!(refused, AppendError::Fenced(_)));
    let error = other
        .durable()
        .wait_past(Position(1), PATIENCE)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Stopped);
    drop(other);
    assert_eq!(all(&open(dir.path())?.log)?.len(), 1);
    Ok(())
}

#[test]
fn a_staged_transaction_is_read_back_after_its_commit_and_not_before() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path())?.log;
    let mut stage = log.stage()?;
    for number in 0..40 {
        stage.push(10, &[body(number, 1000)])?;
    }
    let savepoint = stage.mark();
    stage.push(10, &text("rolled back"))?;
    stage.truncate(savepoint);
    stage.push(5, &text("kept"))?;
    assert_eq!(stage.count(), 405);
    log.append(1, 1, &text("meanwhile"))?.wait(PATIENCE)?;
    assert_eq!(all(&log)?.len(), 1);
    let receipt = log.commit(&mut stage, 7, 405, &text("commit"))?;
    receipt.wait(PATIENCE)?;
    assert_eq!((receipt.first, receipt.last), (Position(2), Position(406)));
    assert!(
        log.commit(&mut stage, 7, 1, &[]).is_err(),
        "committed twice"
    );
    assert!(stage.push(1, &text("late")).is_err(), "pushed after commit");
    drop(stage);
    log.close()?;

    let log = open(dir.path())?.log;
    let commit = all(&log)?.pop().unwrap();
    assert_eq!((commit.kind, &commit.body[..]), (7, &b"commit"[..]));
    let mut chunks = log.staged(&commit)?;
    for number in 0..40 {
        let chunk = chunks.next()?.unwrap();
        assert_eq!((chunk.count, chunk.body), (10, body(number, 1000)));
    }
    assert_eq!(chunks.next()?.unwrap().body, &b"kept"[..]);
    assert_eq!(chunks.next()?, None);

    let mut chunks = log.staged(&commit)?;
    assert_eq!(chunks.skip(127)?, 120);
    assert_eq!(chunks.next()?.unwrap().body, body(12, 1000));
    assert_eq!(chunks.skip(u64::MAX)?, 275);
    assert_eq!(chunks.next()?, None);
    Ok(())
}

#[test]
fn staged_files_without_commit_go_away_when_dropped_and_when_opened() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let staged = || {
        std::fs::read_dir(dir.path().join("staged"))
            .unwrap()
            .count()
    };
    let log = open(dir.path())?.log;
    let mut dropped = log.stage()?;
    dropped.push(1, &text("dropped"))?;
    let mut left = log.stage()?;
    left.push(1, &[body(1, 5000)])?;
    let mut empty = log.stage()?;
    log.commit(&mut empty, 1, 0, &[])?;
    log.append(1, 1, &text("x"))?.wait(PATIENCE)?;
    assert_eq!(staged(), 3);
    drop(dropped);
    log.append(1, 1, &text("y"))?.wait(PATIENCE)?;
    assert_eq!(staged(), 2);
    log.close()?;
    let opened = open(dir.path())?;
    assert_eq!(opened.recovery.stages_removed, 1);
    assert_eq!(opened.recovery.stage_bytes_removed, left.bytes());
    assert_eq!(staged(), 1);
    assert!(opened.log.stage()?.id() > empty.id());
    Ok(())
}

#[test]
fn retention_drops_whole_settled_segments_and_reuses_one() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path())?.log;
    let mut stage = log.stage()?;
    stage.push(1, &[body(0, 50_000)])?;
    log.commit(&mut stage, 7, 1, &[])?;
    for number in 0..400 {
        log.append(1, 1, &[body(number, 300)])?;
    }
    log.append(1, 1, &text("end"))?.wait(PATIENCE)?;
    let before = log.segments();
    let policy = Retention {
        max_age: PATIENCE * 1000,
        max_bytes: 0,
    };
    let settled = before[3].span.last.previous();
    let dropped = log.retain(settled, &policy, Timestamp(0))?;
    assert_eq!(dropped, before[..3]);
    assert_eq!(log.segments(), before[3..]);
    assert!(
        !dir.path()
            .join("staged")
            .join(format!("{:020}.stage", stage.id()))
            .exists()
    );
    let error = log.reader(Position(1)).next().unwrap_err();
    assert!(
        error.report().contains("dropped by retention"),
        "{}",
        error.report()
    );
    let oldest = before[3].span.first;
    let expected = log.next_position().since(oldest);
    assert_eq!(drain(&mut log.reader(oldest))?.len() as u64, expected);

    let spare = dir.path().join(format!("{:020}.spare", before[0].id));
    assert!(spare.exists());
    for number in 0..60 {
        log.append(1, 1, &[body(number, 300)])?;
    }
    log.append(1, 1, &text("end"))?.wait(PATIENCE)?;
    assert!(!spare.exists(), "the next segment was made from it");
    let frames = drain(&mut log.reader(oldest))?;
    assert_eq!(frames.len() as u64, log.next_position().since(oldest));
    log.close()?;
    let opened = open(dir.path())?;
    assert_eq!(opened.recovery.span.first, oldest);
    assert_eq!(opened.recovery.torn, None);
    assert_eq!(drain(&mut opened.log.reader(oldest))?, frames);
    Ok(())
}

#[test]
fn a_reader_keeps_its_segment_while_retention_drops_it_and_another_is_begun() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    // Larger than what a reader reads ahead.
    let options = LogOptions {
        segment_bytes: 2 << 20,
        ..LogOptions::default()
    };
    let log = open_on(dir.path(), options, SystemDisk::shared())?.log;
    let append = |numbers: std::ops::Range<u64>| {
        for number in numbers {
            let receipt = log.append(1, 1, &[body(number, 50_000)])?;
            receipt.wait(PATIENCE)?;
        }
        Ok::<(), Error>(())
    };
    append(0..50)?;
    let first = log.segments()[0].clone();
    let mut reader = log.reader(Position(1));
    assert_eq!(reader.next()?.unwrap().first, Position(1));
    let policy = Retention {
        max_age: PATIENCE * 1000,
        max_bytes: 0,
    };
    log.retain(first.span.last, &policy, Timestamp(0))?;
    append(50..150)?;
    assert!(log.segments().len() >= 3);
    for position in 2..=first.span.last.0 {
        let frame = reader.next()?.unwrap();
        assert_eq!(frame.first, Position(position));
        assert_eq!(frame.body, body(position - 1, 50_000));
    }
    assert_eq!(reader.next()?.unwrap().first, first.span.last.next());
    Ok(())
}

#[test]
fn a_log_in_use_can_be_read_from_outside_without_touching_it() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path())?.log;
    for number in 0..100 {
        log.append(1, 1, &[body(number, 300)])?;
    }
    log.append(1, 1, &text("end"))?.wait(PATIENCE)?;
    let outside = open_read_only(dir.path(), Tally::default())?;
    assert_eq!(*outside.fold(), log.with_fold(Tally::clone));
    assert_eq!(drain(&mut outside.reader(Position::ZERO))?, all(&log)?);
    assert_eq!(outside.next_position(), Position(102));
    log.append(1, 1, &text("later"))?.wait(PATIENCE)?;
    let missing = tempfile::tempdir().unwrap();
    assert!(open_read_only(missing.path(), ()).is_err());
    Ok(())
}

#[test]
fn a_segment_ends_when_its_staged_files_are_as_large_as_it_may_be_so_that_retention_can_drop_them()
-> Result<()> {
    let disk = SimDisk::default();
    let log = open_on(Path::new(DIR), small(), disk.shared())?.log;
    for number in 0..10 {
        let mut stage = log.stage()?;
        stage.push(1, &[body(number, 6_000)]).map_err(Error::from)?;
        log.commit(&mut stage, 1, 1, &text("commit"))?
            .wait(PATIENCE)?;
    }
    let segments = log.segments().len();
    assert!((3..=5).contains(&segments), "{segments}");
    log.close()?;
    let log = open_on(Path::new(DIR), small(), disk.shared())?.log;
    let everything = Retention {
        max_age: Duration::ZERO,
        max_bytes: 0,
    };
    log.retain(Position(10), &everything, SystemClock::shared().now())?;
    let staged = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "stage");
    let left = disk.files().iter().filter(|path| staged(path)).count();
    assert!(left <= 3, "{left}");
    log.close()
}
