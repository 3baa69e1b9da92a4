//! The bodies that collectors send: read, checked, and told what is wrong with them.
//!
//! [`read`] gives the report; [`check`] only finds out whether `read` would, for the moment at which a body is taken: then it must be known to be
//! usable, and what it says is not needed before it is joined. Both are one walk, and differ in what they keep.
//!
//! What is taken is what [`SCHEMA`] describes. Fields that it does not name are passed over, whatever they hold; no field may come twice. A pod's
//! entry that is not usable becomes a [`DeadLetter`], and the others are taken, unless there is none. Numbers are decimal and of any length: one that is
//! no finite double, such as `1e999`, is JSON, but in no range.

mod entry;
mod json;
mod text;
mod timestamp;
mod value;
mod walk;

use std::borrow::Cow;

use super::report::{DeadLetter, PodUsage, Report};

/// JSON Schema of the bodies that are taken whole.
pub const SCHEMA: &str = include_str!("../../schema/usage.json");
/// A node has some hundred pods at most. More entries than this are an error of the sender, which must not become as many dead letters.
pub const MOST_PODS: usize = 10_000;
/// Of an entry that is not usable, so many bytes are kept.
pub const LONGEST_ENTRY: usize = 64 << 10;

/// A body that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload {
    /// What is usable of it.
    pub report: Report,
    /// Entries that are not, in their order.
    pub dead: Vec<DeadLetter>,
}

/// A body that [`read`] will take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked<'a> {
    /// `metadata.name` of the node; 1 to 253 characters.
    pub node_name: Cow<'a, str>,
    /// When it was measured, as the collector wrote it. Together with the name of the node it tells one report from another.
    pub timestamp: Cow<'a, str>,
    /// The same, in microseconds since the Unix epoch.
    pub collected_at: i64,
    /// How many usable entries it has.
    pub pods: usize,
    /// Entries that are not usable, in their order.
    pub dead: Vec<DeadLetter>,
}

/// What is wrong with a body. In one line: field and reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", place(field))]
pub struct Rejection {
    /// Whose fault it is.
    pub kind: RejectionKind,
    /// Path of the field, such as `pods[3].net_rx_bytes`; empty if it is the body as a whole.
    pub field: String,
    /// What is wrong with it; what was found is quoted, but not at length.
    pub reason: String,
}

/// How to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectionKind {
    /// 400: not JSON in UTF-8.
    NotJson,
    /// 422: JSON, but no report.
    Invalid,
}

impl Rejection {
    fn not_json(reason: String) -> Self {
        Self { kind: RejectionKind::NotJson, field: String::new(), reason }
    }

    fn invalid(field: String, reason: String) -> Self {
        Self { kind: RejectionKind::Invalid, field, reason }
    }
}

fn place(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("`{field}`: ") }
}

/// Reads a body.
///
/// # Errors
/// With the first thing that is wrong, if the body is not JSON, if a field of the report is missing or wrong, or if there are entries and none is usable.
pub fn read(body: &[u8]) -> Result<Payload, Rejection> {
    let mut pods = Vec::new();
    let head = walk::walk(body, &mut |entry| pods.push(PodUsage::from(entry)))?;
    let report = Report {
        timestamp: head.timestamp.unescaped().into_owned(),
        collected_at: head.collected_at,
        node_name: head.node_name.unescaped().into_owned(),
        hostname: head.hostname.unescaped().into_owned(),
        ec2_instance_id: entry::filled(head.ec2_instance_id),
        interval_seconds: head.interval_seconds,
        pods,
    };
    Ok(Payload { report, dead: head.dead })
}

/// Finds out whether a body can be read. For good entries nothing is allocated.
///
/// # Errors
/// As [`read`], word for word.
pub fn check(body: &[u8]) -> Result<Checked<'_>, Rejection> {
    let head = walk::walk(body, &mut |_| {})?;
    Ok(Checked {
        node_name: head.node_name.unescaped(),
        timestamp: head.timestamp.unescaped(),
        collected_at: head.collected_at,
        pods: head.good,
        dead: head.dead,
    })
}
