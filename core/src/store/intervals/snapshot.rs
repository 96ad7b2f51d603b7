//! The states of a lane's jobs as a snapshot of the store holds them.
//!
//! ```text
//! texts of errors    number, then each once
//! states             number, then each once: status, attempt, number of its error, time as the distance to the one before
//! pieces             number, then each: first position as the distance to the one before, number of its state
//! ```
//!
//! Numbers are varints, and those of errors and states count from 1; 0 is none. A time is 0 where there is none, and else
//! the distance with its sign in the lowest bit, plus 1; the largest number says that the time itself follows in 8 bytes. So a million jobs that failed alike at different times take few
//! bytes each, to be written at the head of each segment and to be read at opening.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::chunk::Piece;
use super::state::{JobState, impossible};
use super::{Intervals, PIECES_MAX};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::job::Status;
use crate::position::Position;
use crate::store::record::{Decoder, Encoder};

impl Intervals {
    /// How many bytes [`Intervals::encode`] writes, about; found without looking at states.
    pub(in crate::store) fn encoded_bytes(&self) -> usize {
        /// A position further on and the number of a state, as varints.
        const PIECE_BYTES: usize = 4;
        64 + self.len() * PIECE_BYTES
    }

    /// Writes them.
    pub(in crate::store) fn encode(&self, out: &mut Encoder) {
        let mut states = States::default();
        // The number of each piece's state, looked up once.
        let of_pieces: Vec<u64> = self
            .pieces(Position::ZERO)
            .map(|(_, state)| state.map_or(0, |state| states.number(state)))
            .collect();
        states.encode(out);
        out.varint(of_pieces.len() as u64);
        let mut last = 0;
        for ((span, _), number) in self.pieces(Position::ZERO).zip(of_pieces) {
            out.varint(span.first.0 - last);
            last = span.first.0;
            out.varint(number);
        }
    }

    /// Reads what [`Intervals::encode`] wrote.
    ///
    /// # Errors
    /// Damaged when it is nothing of that kind.
    pub(in crate::store) fn decode(input: &mut Decoder) -> Result<Intervals> {
        let states = decode_states(input)?;
        let mut intervals = Intervals {
            chunks: BTreeMap::new(),
            recent: VecDeque::new(),
        };
        let mut pieces: Vec<Piece> = Vec::new();
        let mut last = 0u64;
        let count = input.varint()?;
        for index in 0..count {
            let distance = input.varint()?;
            let first = last.checked_add(distance);
            let first = first.filter(|_| distance > 0 || index == 0);
            last = first.ok_or_else(impossible)?;
            let state = numbered(&states, input.varint()?)?.cloned();
            let ends_touched = index + 1 == count && state.is_some();
            if ends_touched {
                return Err(impossible());
            }
            pieces.push(Piece { first: last, state });
            if pieces.len() == PIECES_MAX {
                intervals.put(std::mem::take(&mut pieces), true);
            }
        }
        intervals.put(pieces, true);
        match count {
            0 => Err(impossible()),
            _ => Ok(intervals),
        }
    }
}

/// States by number, each once.
#[derive(Default)]
struct States<'a> {
    all: Vec<&'a JobState>,
    numbers: HashMap<*const JobState, u64>,
}

impl<'a> States<'a> {
    fn number(&mut self, state: &'a Arc<JobState>) -> u64 {
        *self.numbers.entry(Arc::as_ptr(state)).or_insert_with(|| {
            self.all.push(state);
            self.all.len() as u64
        })
    }

    fn encode(&self, out: &mut Encoder) {
        let mut errors: Vec<&str> = Vec::new();
        let mut numbers: HashMap<&str, u64> = HashMap::new();
        for error in self.all.iter().filter_map(|state| state.error.as_deref()) {
            numbers.entry(error).or_insert_with(|| {
                errors.push(error);
                errors.len() as u64
            });
        }
        out.varint(errors.len() as u64);
        errors.iter().for_each(|error| out.text(error));
        out.varint(self.all.len() as u64);
        let mut before = 0;
        for state in &self.all {
            out.u8(state.status.code());
            out.varint(u64::from(state.attempt));
            let error = state.error.as_deref();
            out.varint(error.map_or(0, |error| numbers[error]));
            encode_time(state.at, &mut before, out);
        }
    }
}

fn encode_time(at: Option<Timestamp>, before: &mut i64, out: &mut Encoder) {
    let Some(Timestamp(at)) = at else {
        return out.varint(0);
    };
    let distance = i128::from(at) - i128::from(*before);
    *before = at;
    let folded = (distance.unsigned_abs() << 1 | u128::from(distance < 0)) + 1;
    match u64::try_from(folded) {
        Ok(folded) if folded < u64::MAX => out.varint(folded),
        _ => {
            out.varint(u64::MAX);
            out.u64(at.cast_unsigned());
        }
    }
}

fn decode_time(before: &mut i64, input: &mut Decoder) -> Result<Option<Timestamp>> {
    let at = match input.varint()? {
        0 => return Ok(None),
        u64::MAX => input.u64()?.cast_signed(),
        folded => {
            let distance = i128::from((folded - 1) >> 1);
            let distance = if (folded - 1) & 1 == 1 {
                -distance
            } else {
                distance
            };
            i64::try_from(i128::from(*before) + distance).map_err(|_| impossible())?
        }
    };
    *before = at;
    Ok(Some(Timestamp(at)))
}

fn decode_states(input: &mut Decoder) -> Result<Vec<Arc<JobState>>> {
    let mut errors: Vec<Arc<str>> = Vec::new();
    for _ in 0..input.varint()? {
        errors.push(input.text()?.into());
    }
    let mut states = Vec::new();
    let mut before = 0;
    for _ in 0..input.varint()? {
        let status = Status::from_code(input.u8()?).ok_or_else(impossible)?;
        let attempt = u32::try_from(input.varint()?).map_err(|_| impossible())?;
        let error = numbered(&errors, input.varint()?)?.cloned();
        let at = decode_time(&mut before, input)?;
        states.push(Arc::new(JobState {
            status,
            attempt,
            at,
            error,
        }));
    }
    Ok(states)
}

/// What has this number, counted from 1; none for 0.
fn numbered<T>(all: &[T], number: u64) -> Result<Option<&T>> {
    match number.checked_sub(1) {
        None => Ok(None),
        Some(at) => {
            let found = usize::try_from(at).ok().and_then(|at| all.get(at));
            found.map(Some).ok_or_else(impossible)
        }
    }
}
