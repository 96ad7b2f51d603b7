use super::chunk::PIECES_ROOM;
use super::*;
use crate::clock::Timestamp;
use crate::store::record::{Decoder, Encoder};
use proptest::prelude::*;

const SIZE: u64 = 400;

fn state(status: Status, attempt: u32) -> JobState {
    JobState {
        status,
        attempt,
        at: Some(Timestamp(i64::from(attempt))),
        error: None,
    }
}

fn encoded(intervals: &Intervals) -> Vec<u8> {
    let mut out = Encoder::default();
    intervals.encode(&mut out);
    out.into_inner()
}

fn decoded(bytes: Vec<u8>) -> Intervals {
    Intervals::decode(&mut Decoder::new(bytes.into())).unwrap()
}

fn span(first: u64, last: u64) -> Span {
    Span::new(Position(first), Position(last))
}

fn settled(state: &JobState) -> bool {
    state.status.is_settled()
}

/// One state per job, and the same rules.
struct Plain(Vec<JobState>);

impl Plain {
    fn set(&mut self, span: Span, state: &JobState, reopens: bool) {
        for own in &mut self.0[span.first.0 as usize..=span.last.0 as usize] {
            if reopens || !own.status.is_settled() {
                *own = state.clone();
            }
        }
    }

    fn settled_upto(&self) -> u64 {
        let open = self.0.iter().skip(1).position(|own| !settled(own));
        open.map_or(SIZE - 1, |count| count as u64)
    }
}

fn agree(intervals: &Intervals, plain: &Plain, oldest: u64) {
    for position in oldest..SIZE {
        let found = intervals.get(Position(position));
        assert_eq!(found, plain.0[position as usize], "{position}");
    }
    let spans: Vec<Span> = intervals
        .pieces(Position::ZERO)
        .map(|piece| piece.0)
        .collect();
    assert!(
        spans
            .windows(2)
            .all(|two| two[0].last.next() == two[1].first)
    );
    for chunk in intervals.chunks.values() {
        assert!(chunk.pieces.len() <= PIECES_MAX && !chunk.pieces.is_empty());
        let counted = Chunk::of(chunk.pieces.clone());
        assert_eq!((chunk.counts, chunk.has), (counted.counts, counted.has));
    }
    let failed: u64 = intervals
        .touched(span(oldest, SIZE), &[Status::Failed])
        .map(|(span, _)| span.len())
        .sum();
    let expected = plain.0[oldest as usize..].iter();
    let expected = expected.filter(|own| own.status == Status::Failed);
    assert_eq!(failed, expected.count() as u64);
}

fn change() -> impl Strategy<Value = (u64, u64, usize, u32, bool)> {
    let length = prop_oneof![4 => 0u64..4, 1 => 0u64..300];
    (
        1..SIZE,
        length,
        2usize..6,
        1u32..3,
        proptest::bool::weighted(0.2),
    )
}

proptest! {
    #[test]
    fn intervals_hold_what_one_state_per_job_would(
        changes in proptest::collection::vec(change(), 1..400),
        trimmed in 1u64..200,
    ) {
        let mut intervals = Intervals::new(Position(1));
        let mut plain = Plain(vec![JobState::UNTOUCHED; SIZE as usize]);
        for (count, (first, length, status, attempt, reopens)) in changes.into_iter().enumerate() {
            let touched = span(first, (first + length).min(SIZE - 1));
            let state = state(Status::ALL[status], attempt);
            plain.set(touched, &state, reopens);
            intervals.set(touched, state, |own| !reopens && settled(own));
            prop_assert_eq!(intervals.settled_upto(Position(1)).0, plain.settled_upto());
            if count % 16 == 0 {
                // A clone that is looked at later keeps its own state.
                let seen = intervals.clone();
                prop_assert_eq!(&decoded(encoded(&seen)), &seen);
                agree(&intervals, &plain, 1);
            }
        }
        intervals.trim(Position(trimmed));
        agree(&intervals, &plain, trimmed);
    }
}

#[test]
fn a_million_jobs_in_one_state_are_one_piece() {
    let mut intervals = Intervals::new(Position(1));
    for first in (0..1_000).map(|load| load * 1_000 + 1) {
        let load = span(first, first + 999);
        intervals.set(load, state(Status::Executing, 1), settled);
        let mut done = state(Status::Succeeded, 1);
        done.at = None;
        intervals.set(load, done, settled);
    }
    assert_eq!(intervals.len(), 2, "what succeeded, and what is untouched");
    assert_eq!(intervals.settled_upto(Position(1)), Position(1_000_000));
    assert!(encoded(&intervals).len() < 100);
}

#[test]
fn batches_that_are_not_settled_keep_their_bounds_although_they_look_alike() {
    let mut intervals = Intervals::new(Position(1));
    for first in [1, 11, 21] {
        intervals.set(span(first, first + 9), state(Status::Executing, 1), settled);
    }
    let executing = intervals.touched(span(1, 100), &[Status::Executing]);
    let spans: Vec<Span> = executing.map(|(span, _)| span).collect();
    assert_eq!(spans, [span(1, 10), span(11, 20), span(21, 30)]);
}

#[test]
fn scattered_failures_cost_in_proportion_and_each_change_touches_little() {
    let mut intervals = Intervals::new(Position(1));
    let count = 200_000;
    intervals.set(span(1, 2 * count), state(Status::Executing, 1), settled);
    // An order that hits chunks everywhere.
    for index in (0..count).map(|index| index * 7_919 % count) {
        let at = 2 * index + 1;
        intervals.set(span(at, at), state(Status::Failed, 1), settled);
    }
    assert_eq!(intervals.len() as u64, 2 * count + 1);
    let chunks = intervals.chunks.len() as u64;
    assert!(chunks * PIECES_MIN as u64 <= 2 * count, "{chunks} chunks");
    let room = intervals.chunks.values();
    let room: usize = room.map(|chunk| chunk.pieces.capacity()).sum();
    let most = intervals.len() + chunks as usize * (PIECES_ROOM + 2);
    assert!(room <= most, "room for {room} pieces");
    let failed = intervals.touched(span(1, 2 * count), &[Status::Failed]);
    assert_eq!(failed.count() as u64, count);
}

#[test]
fn jobs_that_failed_alike_at_different_times_share_the_text_and_take_few_bytes_in_a_snapshot() {
    let mut intervals = Intervals::new(Position(1));
    let count = 10_000;
    for at in 1..=count {
        let mut failed = state(Status::Failed, 1);
        failed.at = Some(Timestamp(1_700_000_000_000_000 + at as i64 * 250));
        failed.error = Some("the other side is down".into());
        intervals.set(span(2 * at, 2 * at), failed, settled);
    }
    let texts = |intervals: &Intervals| {
        let states = intervals.pieces(Position(1)).filter_map(|(_, state)| state);
        let texts = states.filter_map(|state| state.error.as_ref().map(Arc::as_ptr));
        texts.collect::<std::collections::HashSet<_>>().len()
    };
    assert_eq!(texts(&intervals), 1);
    let bytes = encoded(&intervals);
    assert!(bytes.len() as u64 <= 12 * count, "{} bytes", bytes.len());
    let read = decoded(bytes);
    assert_eq!(read, intervals);
    assert_eq!(texts(&read), 1);
}

#[test]
fn a_snapshot_holds_any_time_and_any_text_of_an_error() {
    let times = [i64::MIN, i64::MAX, -1, 0, i64::MIN, 1, i64::MAX - 1];
    let errors = [None, Some(""), Some("why"), Some("")];
    let mut intervals = Intervals::new(Position(1));
    let mut first = 1;
    for at in times.map(Some).into_iter().chain([None]) {
        for error in errors {
            let mut failed = state(Status::Failed, u32::MAX);
            failed.at = at.map(Timestamp);
            failed.error = error.map(Arc::from);
            intervals.set(span(first, first), failed, settled);
            first += 1;
        }
    }
    assert_eq!(decoded(encoded(&intervals)), intervals);
}

#[test]
fn a_snapshot_that_is_cut_or_numbers_what_it_does_not_hold_is_an_error() {
    let mut intervals = Intervals::new(Position(1));
    let mut failed = state(Status::Failed, 1);
    failed.error = Some("why".into());
    intervals.set(span(3, 5), failed, settled);
    let bytes = encoded(&intervals);
    for len in 0..bytes.len() {
        let cut = bytes::Bytes::copy_from_slice(&bytes[..len]);
        assert!(Intervals::decode(&mut Decoder::new(cut)).is_err(), "{len}");
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] = 0x7f;
        // Whatever it is then, it is looked at without harm.
        if let Ok(read) = Intervals::decode(&mut Decoder::new(changed.into())) {
            assert!(read.pieces(Position(1)).count() > 0);
        }
    }
}
