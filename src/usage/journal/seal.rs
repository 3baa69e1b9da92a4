//! A seal: the decision that a range of entries becomes certain files. Once it is recorded nothing about it changes, so that whatever is sent, and
//! however often, is the same.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// A range of entries, and what has become of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Number of the first entry.
    pub first: u64,
    /// Number of the last entry.
    pub last: u64,
    /// Entries in the range.
    pub entries: u64,
    /// Bytes of these entries.
    pub bytes: u64,
    /// Pods in them, as far as they are not damaged.
    pub rows: u64,
    /// When the first of them was taken, in milliseconds since the Unix epoch.
    pub oldest: i64,
    /// None where all its entries were damaged.
    pub files: Vec<SealedFile>,
}

/// A finished file beside the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedFile {
    /// In the folder of sealed files.
    pub name: String,
    /// Key of its object.
    pub key: String,
    /// The cluster whose rows it has.
    pub cluster_id: String,
    /// The day of these rows, in UTC.
    pub day: Date,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
    /// Rows of the table; dead letters for a file of those.
    pub rows: u64,
    /// What it holds.
    pub kind: FileKind,
}

/// What a sealed file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// Rows, as Parquet.
    Table,
    /// Entries of reports that could not be read, as lines of JSON.
    DeadLetters,
}

impl FileKind {
    /// `Content-Type` of its object.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Table => "application/vnd.apache.parquet",
            Self::DeadLetters => "application/x-ndjson",
        }
    }
}

impl Seal {
    /// Bytes of its files.
    pub fn file_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The cluster of all its files, if it is one.
    pub fn only_cluster(&self) -> Option<&str> {
        let first = &self.files.first()?.cluster_id;
        self.files.iter().all(|file| file.cluster_id == *first).then_some(first)
    }

    pub(super) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    pub(super) fn from_json(json: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(json)
    }
}
