//! One job as one line of JSON: what `stdout`, `file` and `http` write.
//!
//! ```json
//! {"id":"…","position":7,"attempt":1,"event_id":"…","source":"web","trigger":"signup","version":"v1","received_at":"…","context":{…},"data":{…}}
//! ```
//! `version` is the event's, and `job_version` the destination's that the job is written for; both are left out where there are
//! none, as are `parent_job_id`, `parent_event_id` and `sent_at`. Context and data are as they arrived, on one line.

use blacksmith_core::clock::Timestamp;
use blacksmith_core::id::Id;
use blacksmith_core::job::QueuedJob;
use blacksmith_core::json::Json;
use blacksmith_core::settings::Section;
use serde::Serialize;

/// What is written of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Content {
    /// The job, with whose it is.
    #[default]
    Job,
    /// Its data alone.
    Data,
}

impl Content {
    pub(crate) fn read(section: &mut Section) -> Content {
        let words = [("job", Content::Job), ("data", Content::Data)];
        section.take_enum("content", &words).or(Content::Job)
    }

    /// Writes `job` behind what is in `out`, without a line break. Without its attempt, the same job is the same text
    /// whenever it is written.
    pub(crate) fn write(self, job: &QueuedJob, attempt: Option<u32>, out: &mut Vec<u8>) {
        match self {
            Content::Job => write(job, attempt, out),
            Content::Data => raw(&job.data, out),
        }
    }
}

/// Writes `job` behind what is in `out`, without a line break.
fn write(job: &QueuedJob, attempt: Option<u32>, out: &mut Vec<u8>) {
    let event = &job.event;
    out.extend_from_slice(b"{\"id\":");
    put(&job.id.to_string(), out);
    field("position", &job.position.0, out);
    optional("attempt", attempt, out);
    optional("parent_job_id", job.parent.map(text), out);
    field("event_id", &text(event.id), out);
    optional("parent_event_id", event.parent.map(text), out);
    field("source", &*event.origin.source, out);
    field("trigger", &*event.origin.trigger, out);
    optional("version", event.origin.version.as_deref(), out);
    optional("job_version", job.version.as_deref(), out);
    field("received_at", &moment(event.received_at), out);
    optional("sent_at", job.sent_at.map(moment), out);
    document("context", &job.context, out);
    document("data", &job.data, out);
    out.push(b'}');
}

fn text(id: Id) -> String {
    id.to_string()
}

fn moment(at: Timestamp) -> String {
    at.to_string()
}

fn optional<T: Serialize>(name: &str, value: Option<T>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        field(name, &value, out);
    }
}

fn field<T: Serialize + ?Sized>(name: &str, value: &T, out: &mut Vec<u8>) {
    label(name, out);
    put(value, out);
}

fn label(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn put<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    // Memory takes whatever is written, and numbers and text have no way to refuse.
    serde_json::to_writer(out, value).ok();
}

fn document(name: &str, json: &Json, out: &mut Vec<u8>) {
    label(name, out);
    raw(json, out);
}

/// Writes a document as it arrived, on one line: a line break in JSON is never part of a value.
fn raw(json: &Json, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(json.bytes());
    for byte in &mut out[start..] {
        if matches!(*byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::by_hand::job;

    fn line(job: &QueuedJob) -> String {
        let mut out = Vec::new();
        write(job, Some(2), &mut out);
        String::from_utf8(out).unwrap()
    }

    /// JOB-01 JOB-02 JOB-03 JOB-04
    #[test]
    fn a_line_says_whose_job_it_is_and_holds_its_documents_as_they_arrived() {
        let mut job = job(7, "{\n \"total\": 1.10,\r\n \"note\": \"a\\nb\"\n}");
        job.version = Some("v2".into());
        job.sent_at = Some(Timestamp(0));
        let line = line(&job);
        assert!(!line.contains(['\n', '\r']), "{line}");
        assert!(line.contains("\"total\": 1.10"), "digits stay: {line}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["id"], job.id.to_string());
        assert_eq!(read["event_id"], job.event.id.to_string());
        assert_eq!(
            (&read["position"], &read["attempt"]),
            (&7.into(), &2.into())
        );
        assert_eq!(
            (&read["source"], &read["trigger"]),
            (&"web".into(), &"signup".into())
        );
        assert_eq!(
            (&read["job_version"], &read["context"]),
            (&"v2".into(), &serde_json::Value::Null)
        );
        assert_eq!(read["sent_at"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(read["data"]["note"], "a\nb");
        assert!(read.get("version").is_none() && read.get("parent_job_id").is_none());
    }
}
