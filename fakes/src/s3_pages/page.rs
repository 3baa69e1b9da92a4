//! One page of a key space: from the query to the XML document.

use std::ops::Range;

use super::fault::Oddities;
use super::key_space::{KeySpace, after_prefix, push_etag};
use crate::s3_list::{Entry, ListQuery, Page, push_common_prefix, push_entry};

/// Bytes to reserve for each object besides its key.
const ENTRY_BYTES: usize = 256;

/// The contents of a page and where the next one begins.
struct Filled {
    contents: Vec<u8>,
    key_count: usize,
    next: u64,
}

/// The document that answers `query`; `None` if its token is not one of ours.
pub(super) fn build(space: &dyn KeySpace, bucket: &str, query: &ListQuery, odd: Oddities) -> Option<Vec<u8>> {
    let (range, synthetic) = range(space, query, odd)?;
    let limit = query.max_keys.min(odd.short_pages.unwrap_or(usize::MAX));
    let filled = if odd.empty_truncated && !range.is_empty() {
        Filled { contents: Vec::new(), key_count: 0, next: range.start }
    } else if let Some(delimiter) = &query.delimiter {
        grouped(space, query, delimiter.as_bytes(), range.clone(), limit)
    } else {
        flat(space, query.url, range.clone(), limit, odd.out_of_order)
    };
    let truncated = filled.next < range.end && query.max_keys > 0;
    let next = filled.next + u64::from(synthetic && odd.skip_after_synthetic);
    let next_token = match &query.token {
        Some(same) if odd.same_token => same.clone(),
        _ => token(next),
    };
    let page = Page {
        bucket,
        query,
        truncated,
        next_token: (truncated && !odd.no_next_token).then_some(next_token.as_str()),
        key_count: filled.key_count,
        encoding_type_last: odd.encoding_type_last,
    };
    Some(page.document(&filled.contents))
}

/// The objects from the start of this page to the end of the listing, and whether the start is a
/// `start-after` that is no existing key.
fn range(space: &dyn KeySpace, query: &ListQuery, odd: Oddities) -> Option<(Range<u64>, bool)> {
    let prefix = query.prefix.as_bytes();
    let (first, end) = if prefix.is_empty() {
        (0, space.len())
    } else {
        let end = after_prefix(prefix).map_or(space.len(), |above| space.rank_at(&above));
        (space.rank_at(prefix), end)
    };
    let mut synthetic = false;
    let start = if let Some(token) = &query.token {
        let start = index(token)?;
        start.saturating_sub(u64::from(odd.repeat_last_key))
    } else {
        match &query.start_after {
            Some(key) if !odd.ignore_start_after => {
                let start = space.rank_after(key.as_bytes());
                synthetic = start == space.rank_at(key.as_bytes());
                start
            }
            _ => 0,
        }
    };
    let start = start.max(first);
    Some((start..end.max(start), synthetic))
}

/// Every object of the page by itself.
fn flat(space: &dyn KeySpace, url: bool, range: Range<u64>, limit: usize, out_of_order: bool) -> Filled {
    let count = (range.end - range.start).min(limit as u64);
    let end = range.start + count;
    let mut writer = Writer::new(space, url);
    for i in range.start..end {
        // Mirrored ends change places, the rest stays.
        let swapped = out_of_order && (i == range.start || i + 1 == end);
        writer.entry(if swapped { range.start + end - 1 - i } else { i });
        if i == range.start {
            let entry = writer.contents.len().max(ENTRY_BYTES);
            writer.contents.reserve(entry * limit.min(1_000));
        }
    }
    Filled { contents: writer.contents, key_count: usize::try_from(count).unwrap_or(limit), next: end }
}

/// Keys that share everything up to the delimiter become one common prefix, which is jumped over.
fn grouped(space: &dyn KeySpace, query: &ListQuery, delimiter: &[u8], range: Range<u64>, limit: usize) -> Filled {
    let mut writer = Writer::new(space, query.url);
    let (mut next, mut key_count) = (range.start, 0);
    while next < range.end && key_count < limit {
        key_count += 1;
        writer.load(next);
        let behind = &writer.key[query.prefix.len()..];
        let found = behind.windows(delimiter.len()).position(|window| window == delimiter);
        if let Some(at) = found {
            let group = writer.key[..query.prefix.len() + at + delimiter.len()].to_vec();
            push_common_prefix(&mut writer.contents, &group, query.url);
            next = after_prefix(&group).map_or(range.end, |above| space.rank_at(&above));
        } else {
            writer.entry(next);
            next += 1;
        }
    }
    Filled { contents: writer.contents, key_count, next }
}

/// Buffers that are reused from object to object.
struct Writer<'a> {
    space: &'a dyn KeySpace,
    url: bool,
    key: Vec<u8>,
    etag: Vec<u8>,
    contents: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn new(space: &'a dyn KeySpace, url: bool) -> Self {
        Self { space, url, key: Vec::with_capacity(1_024), etag: Vec::with_capacity(32), contents: Vec::new() }
    }

    fn load(&mut self, i: u64) {
        self.key.clear();
        self.space.key(i, &mut self.key);
    }

    fn entry(&mut self, i: u64) {
        self.load(i);
        self.etag.clear();
        push_etag(&mut self.etag, i);
        let entry = Entry {
            key: &self.key,
            size: self.space.size(i),
            modified: self.space.modified(i),
            etag: &self.etag,
            storage_class: self.space.storage_class(i),
        };
        push_entry(&mut self.contents, &entry, self.url);
    }
}

/// A continuation token. Its `/`, `+` and `=` are there to be encoded by the client, as in the Base64
/// tokens of AWS.
fn token(next: u64) -> String {
    format!("1/{next:016x}+A==")
}

fn index(token: &str) -> Option<u64> {
    let hex = token.strip_prefix("1/")?.strip_suffix("+A==")?;
    u64::from_str_radix(hex, 16).ok()
}
