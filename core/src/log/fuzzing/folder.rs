//! A folder of segments out of a fuzzer's bytes: frames as a writer makes them, or with lies in sealed headers, and damage.
//!
//! The first byte says what segments begin with. Then come orders, a byte each with what belongs to it:
//!
//! | order (low 4 bits) | what follows | what is done |
//! |---|---|---|
//! | 0-6 | kind, count u16, length u16, body | a frame that follows the one before |
//! | 7 | the same | a frame that commits a staged file; the body is its one chunk |
//! | 8 | which field, value u64, then as above | a frame with one lie in its header |
//! | 9 | place u32, byte | damage: the byte is mixed into the file |
//! | 10 | length u32 | the file is cut |
//! | 11 | count u16 | zeros |
//! | 12 | | the next segment |
//! | 13 | which field, value u64 | the next segment, with one lie in its header |
//! | 14 | id u64, length u16, bytes | a file of any name and content |
//! | 15 | length u16, bytes | any bytes |

use bytes::Bytes;

use super::disk::Folder;
use crate::clock::Timestamp;
use crate::fuzzing::Input;
use crate::log::frame::{Header, KIND_CONTINUED, KIND_SNAPSHOT, StageRef, checksum, padding};
use crate::log::segment::{Name, SegmentHeader};
use crate::log::snapshot::{Snapshot, StageTable};
use crate::position::Position;

const STORE: u64 = 0x5eed;
/// What is built is not larger: the fuzzer learns nothing from size.
const ORDERS_MAX: usize = 64;

/// The folder that `input` describes.
pub(super) fn build(input: &mut Input<'_>) -> Folder {
    let mut builder = Builder::new(input.u8());
    builder.begin(|_| {});
    for _ in 0..ORDERS_MAX {
        if input.is_empty() {
            break;
        }
        builder.obey(input);
    }
    builder.close();
    builder.folder
}

struct Builder {
    folder: Folder,
    /// Whether segments begin with an honest snapshot.
    with_snapshot: bool,
    segment: SegmentHeader,
    bytes: Vec<u8>,
    next: Position,
    chain: u32,
    epoch: u32,
    stages: StageTable,
}

impl Builder {
    fn new(choice: u8) -> Builder {
        Builder {
            folder: Folder::default(),
            with_snapshot: choice & 1 == 0,
            segment: SegmentHeader {
                store: STORE,
                id: u64::from(choice >> 1),
                epoch: 1,
                recycled: choice & 2 != 0,
                first: Position::FIRST,
                created_at: Timestamp(0),
                previous_end: 0,
                chain: 0,
            },
            bytes: Vec::new(),
            next: Position::FIRST,
            chain: 0,
            epoch: 1,
            stages: StageTable::default(),
        }
    }

    fn obey(&mut self, input: &mut Input<'_>) {
        match input.u8() & 15 {
            0..=6 => self.frame(input, None, false),
            7 => self.frame(input, None, true),
            8 => {
                let lie = (input.u8(), input.u64());
                self.frame(input, Some(lie), false);
            }
            9 => self.damage(input.u32(), input.u8()),
            10 => self.bytes.truncate(input.u32() as usize),
            11 => self
                .bytes
                .resize(self.bytes.len() + usize::from(input.u16()), 0),
            12 => self.next_segment(|_| {}),
            13 => {
                let (field, value) = (input.u8(), input.u64());
                self.next_segment(|header| lie_of_segment(header, field, value));
            }
            14 => self.file(input),
            _ => {
                let len = usize::from(input.u16());
                self.bytes.extend_from_slice(input.bytes(len));
            }
        }
    }

    /// Begins the segment whose header is at hand.
    fn begin(&mut self, lie: impl FnOnce(&mut SegmentHeader)) {
        lie(&mut self.segment);
        self.bytes = self.segment.encode();
        self.chain = self.segment.chain;
        if self.with_snapshot {
            let body = Snapshot::new(&self.stages, &()).encode();
            self.put(KIND_SNAPSHOT, 0, &body, false, None);
        }
    }

    /// Ends the segment: it is a file from here on.
    fn close(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.put_file(Name::Segment(self.segment.id), Bytes::from(bytes));
    }

    fn next_segment(&mut self, lie: impl FnOnce(&mut SegmentHeader)) {
        let header = SegmentHeader {
            id: self.segment.id.wrapping_add(1),
            first: self.next,
            previous_end: self.bytes.len() as u64,
            chain: self.chain,
            ..self.segment
        };
        self.put(KIND_CONTINUED, 0, &[], false, None);
        self.close();
        self.segment = header;
        self.begin(lie);
    }

    fn frame(&mut self, input: &mut Input<'_>, lie: Option<(u8, u64)>, staged: bool) {
        let (kind, count, len) = (input.u8(), input.u16(), input.u16());
        let body = input.bytes(usize::from(len));
        let body = match staged {
            true => self.stage(u32::from(count), body),
            false => body.to_vec(),
        };
        self.put(kind, u32::from(count), &body, staged, lie);
    }

    fn put(&mut self, kind: u8, count: u32, body: &[u8], staged: bool, lie: Option<(u8, u64)>) {
        let mut header = Header {
            body_crc: crc32fast::hash(body),
            body_bytes: body.len() as u32,
            kind,
            staged,
            count,
            first: self.next,
            segment: self.segment.id,
            epoch: self.epoch,
            offset: self.bytes.len().next_multiple_of(8) as u64,
            durable_before: self.bytes.len() as u64,
            chain: self.chain,
            store: STORE,
            crc: 0,
        };
        if let Some((field, value)) = lie {
            lie_of_frame(&mut header, field, value);
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self.bytes.extend_from_slice(&header.encode());
        self.bytes.extend_from_slice(body);
        self.bytes.extend_from_slice(padding(body.len()));
        self.chain = header.crc;
        self.next = header.first.plus(u64::from(header.count));
        self.epoch = header.epoch;
    }

    /// Writes a staged file of one chunk; gives the body of the frame that commits it.
    fn stage(&mut self, count: u32, body: &[u8]) -> Vec<u8> {
        let id = self.stages.next_stage;
        let seed = checksum([STORE.to_le_bytes().as_slice(), &id.to_le_bytes()]);
        let mut fields = Vec::new();
        fields.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
        fields.extend_from_slice(&(body.len() as u32).to_le_bytes());
        fields.extend_from_slice(&count.to_le_bytes());
        fields.extend_from_slice(&seed.to_le_bytes());
        fields.extend_from_slice(&id.to_le_bytes());
        let crc = crc32fast::hash(&fields);
        let chunk = [
            b"BSc1",
            crc.to_le_bytes().as_slice(),
            &fields,
            body,
            padding(body.len()),
        ]
        .concat();
        let stage = StageRef {
            id,
            bytes: chunk.len() as u64,
            chunks: 1,
            count: u64::from(count),
            chain: crc,
        };
        self.put_file(Name::Stage(id), Bytes::from(chunk));
        self.stages.commit(self.segment.id, &stage);
        [&stage.encode(), body].concat()
    }

    fn file(&mut self, input: &mut Input<'_>) {
        let (id, len) = (input.u64(), input.u16());
        let name = match id & 3 {
            0 => Name::Segment(id >> 2),
            1 => Name::Spare(id >> 2),
            2 => Name::Stage(id >> 2),
            _ => Name::Segment(u64::MAX - (id >> 2)),
        };
        self.put_file(name, Bytes::copy_from_slice(input.bytes(usize::from(len))));
    }

    fn put_file(&mut self, name: Name, bytes: Bytes) {
        self.folder
            .put(&name.path(std::path::Path::new("")), bytes.to_vec());
    }

    fn damage(&mut self, place: u32, byte: u8) {
        let place = place as usize % self.bytes.len().max(1);
        if let Some(at) = self.bytes.get_mut(place) {
            *at ^= byte;
        }
    }
}

fn lie_of_frame(header: &mut Header, field: u8, value: u64) {
    match field % 9 {
        0 => header.count = value as u32,
        1 => header.first = Position(value),
        2 => header.segment = value,
        3 => header.epoch = value as u32,
        4 => header.offset = value,
        5 => header.durable_before = value,
        6 => header.chain = value as u32,
        7 => header.body_bytes = value as u32,
        _ => header.staged = true,
    }
}

fn lie_of_segment(header: &mut SegmentHeader, field: u8, value: u64) {
    match field % 6 {
        0 => header.first = Position(value),
        1 => header.id = value,
        2 => header.epoch = value as u32,
        3 => header.previous_end = value,
        4 => header.chain = value as u32,
        _ => header.recycled = !header.recycled,
    }
}
