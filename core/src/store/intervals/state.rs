//! The state of one job.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::job::Status;
use crate::store::record::{Decoder, Encoder};

/// The state of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobState {
    /// Where it stands.
    pub status: Status,
    /// The attempt it belongs to; 0 before the first.
    pub attempt: u32,
    /// Since when. Not kept for what succeeded, and there is none before the first transition: the
    /// history knows.
    pub at: Option<Timestamp>,
    /// Why, when it failed, was discarded, or is unknown.
    pub error: Option<Arc<str>>,
}

impl JobState {
    /// The state of a job that nothing has happened to.
    pub(in crate::store) const UNTOUCHED: JobState = JobState {
        status: Status::Acknowledged,
        attempt: 0,
        at: None,
        error: None,
    };

    pub(super) fn encode(&self, out: &mut Encoder) {
        out.u8(self.status.code());
        out.varint(u64::from(self.attempt));
        out.u8(u8::from(self.at.is_some()));
        if let Some(at) = self.at {
            out.u64(at.0.cast_unsigned());
        }
        out.text(self.error.as_deref().unwrap_or_default());
    }

    pub(super) fn decode(input: &mut Decoder) -> Result<JobState> {
        let status = Status::from_code(input.u8()?).ok_or_else(impossible)?;
        let attempt = u32::try_from(input.varint()?).map_err(|_| impossible())?;
        let at = match input.u8()? {
            0 => None,
            _ => Some(Timestamp(input.u64()?.cast_signed())),
        };
        let error = Some(input.text()?).filter(|error| !error.is_empty());
        Ok(JobState {
            status,
            attempt,
            at,
            error: error.map(Arc::from),
        })
    }
}

pub(super) fn impossible() -> Error {
    Error::damaged("the store's catalog holds impossible states of jobs")
}
