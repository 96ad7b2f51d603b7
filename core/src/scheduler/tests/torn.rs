//! Documents, of which those that say `torn` cannot be decoded.

use super::*;
use crate::document::Documents;

/// The format of documents, with damage.
#[derive(Debug)]
pub(super) struct Torn;

struct Decoder(Box<dyn Decoding>);

impl Format for Torn {
    fn ids(&self) -> &'static [FormatId] {
        &[FormatId::JSON]
    }

    fn name(&self) -> &'static str {
        "torn documents"
    }

    fn decoding(&self, asked: Asked) -> Box<dyn Decoding> {
        Box::new(Decoder(Documents.decoding(asked)))
    }
}

impl Decoding for Decoder {
    fn push(&mut self, block: &Block, wanted: &Wanted<'_>, out: &mut Vec<Decoded>) -> Result<()> {
        self.0.push(block, wanted, out)?;
        tear(out);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Decoded>) -> Result<()> {
        self.0.finish(out)?;
        tear(out);
        Ok(())
    }

    fn completed(&self) -> Option<Completed> {
        None
    }
}

/// Parks what is torn.
fn tear(out: &mut Vec<Decoded>) {
    for decoded in std::mem::take(out) {
        let Decoded::Jobs(jobs) = decoded else {
            out.push(decoded);
            continue;
        };
        let (torn, whole): (Vec<_>, Vec<_>) = jobs
            .into_iter()
            .partition(|job| job.data.as_str().contains("torn"));
        out.push(Decoded::Jobs(whole));
        out.extend(torn.into_iter().map(|job| {
            Decoded::Parked(Parked {
                position: job.position,
                trigger: Arc::clone(&job.event.origin.trigger),
                reason: "torn".to_owned(),
            })
        }));
    }
}
