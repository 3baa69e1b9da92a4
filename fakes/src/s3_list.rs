//! ListObjectsV2 on the wire: the query of a request and the XML of a page, as AWS S3 writes it
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>).
//!
//! Both S3 fakes use it, since the details matter to clients: the order of the elements, which fields
//! `encoding-type=url` touches, and how a key with a carriage return looks without it.

use crate::text::{push_date_time, push_decimal};

/// More keys than this are in no page of AWS S3.
pub(crate) const MAX_KEYS: usize = 1_000;

/// A decoded list request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListQuery {
    pub(crate) prefix: String,
    pub(crate) delimiter: Option<String>,
    pub(crate) start_after: Option<String>,
    pub(crate) token: Option<String>,
    /// Between 0 and [`MAX_KEYS`].
    pub(crate) max_keys: usize,
    /// `encoding-type=url` was asked for.
    pub(crate) url: bool,
}

impl ListQuery {
    /// Reads the query string of a request; `None` if it is not a list request in version 2.
    pub(crate) fn parse(query: &str) -> Option<Self> {
        let mut version_2 = false;
        let mut list =
            Self { prefix: String::new(), delimiter: None, start_after: None, token: None, max_keys: MAX_KEYS, url: false };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "list-type" => version_2 = value == "2",
                "prefix" => list.prefix = value.into_owned(),
                "delimiter" if !value.is_empty() => list.delimiter = Some(value.into_owned()),
                "start-after" => list.start_after = Some(value.into_owned()),
                "continuation-token" => list.token = Some(value.into_owned()),
                "max-keys" => list.max_keys = value.parse().unwrap_or(MAX_KEYS).min(MAX_KEYS),
                "encoding-type" => list.url = value == "url",
                _ => {}
            }
        }
        version_2.then_some(list)
    }
}

/// One object of a page.
pub(crate) struct Entry<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) size: u64,
    /// Unix time in seconds; S3 lists whole seconds.
    pub(crate) modified: u64,
    /// Without quotes.
    pub(crate) etag: &'a [u8],
    pub(crate) storage_class: &'a str,
}

/// The part of a page that is not the objects.
pub(crate) struct Page<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) query: &'a ListQuery,
    pub(crate) truncated: bool,
    pub(crate) next_token: Option<&'a str>,
    /// Keys and common prefixes in the page.
    pub(crate) key_count: usize,
    /// `EncodingType` behind the objects, where some servers write it; AWS has it in front.
    pub(crate) encoding_type_last: bool,
}

impl Page<'_> {
    /// The whole document around `contents`, the output of [`push_entry`] and [`push_common_prefix`].
    pub(crate) fn document(&self, contents: &[u8]) -> Vec<u8> {
        let query = self.query;
        let mut out = Vec::with_capacity(contents.len() + query.prefix.len() * 3 + 1_024);
        out.extend_from_slice(
            b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
        );
        push_element(&mut out, "Name", self.bucket.as_bytes(), false);
        push_element(&mut out, "Prefix", query.prefix.as_bytes(), query.url);
        if let Some(start_after) = &query.start_after {
            push_element(&mut out, "StartAfter", start_after.as_bytes(), query.url);
        }
        if let Some(token) = &query.token {
            push_element(&mut out, "ContinuationToken", token.as_bytes(), false);
        }
        if let Some(token) = self.next_token {
            push_element(&mut out, "NextContinuationToken", token.as_bytes(), false);
        }
        push_number(&mut out, "KeyCount", self.key_count);
        push_number(&mut out, "MaxKeys", query.max_keys);
        if let Some(delimiter) = &query.delimiter {
            push_element(&mut out, "Delimiter", delimiter.as_bytes(), query.url);
        }
        if query.url && !self.encoding_type_last {
            push_element(&mut out, "EncodingType", b"url", false);
        }
        let truncated: &[u8] = if self.truncated { b"true" } else { b"false" };
        push_element(&mut out, "IsTruncated", truncated, false);
        out.extend_from_slice(contents);
        if query.url && self.encoding_type_last {
            push_element(&mut out, "EncodingType", b"url", false);
        }
        out.extend_from_slice(b"</ListBucketResult>");
        out
    }
}

/// Appends the `Contents` element of one object.
pub(crate) fn push_entry(out: &mut Vec<u8>, entry: &Entry<'_>, url: bool) {
    out.extend_from_slice(b"<Contents><Key>");
    push_name(out, entry.key, url);
    out.extend_from_slice(b"</Key><LastModified>");
    push_date_time(out, entry.modified, b':');
    out.extend_from_slice(b".000Z</LastModified><ETag>&quot;");
    out.extend_from_slice(entry.etag);
    out.extend_from_slice(b"&quot;</ETag><Size>");
    push_decimal(out, entry.size, 1);
    out.extend_from_slice(b"</Size><StorageClass>");
    out.extend_from_slice(entry.storage_class.as_bytes());
    out.extend_from_slice(b"</StorageClass></Contents>");
}

/// Appends the `CommonPrefixes` element of one rolled-up prefix.
pub(crate) fn push_common_prefix(out: &mut Vec<u8>, prefix: &[u8], url: bool) {
    out.extend_from_slice(b"<CommonPrefixes><Prefix>");
    push_name(out, prefix, url);
    out.extend_from_slice(b"</Prefix></CommonPrefixes>");
}

/// An `Error` document. `extra` is the XML of further elements.
pub(crate) fn error_document(code: &str, message: &str, extra: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>{extra}\
         <RequestId>4442587FB7D0A2F9</RequestId><HostId>fake</HostId></Error>"
    )
}

fn push_number(out: &mut Vec<u8>, name: &str, value: usize) {
    push_element(out, name, value.to_string().as_bytes(), false);
}

fn push_element(out: &mut Vec<u8>, name: &str, value: &[u8], url: bool) {
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
    push_name(out, value, url);
    out.extend_from_slice(b"</");
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
}

/// Bytes that stand for themselves with `encoding-type=url`. A space becomes `+`.
const URL_PLAIN: [bool; 256] = plain(b"-._*/");
/// Bytes, besides letters and digits, that need no look in XML text.
const XML_PLAIN: [bool; 256] = plain(b"-._*/ !#$%()+,:;=?@[\\]^`{|}~'");

const fn plain(marks: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut mark = 0;
    while mark < marks.len() {
        table[marks[mark] as usize] = true;
        mark += 1;
    }
    table
}

/// Appends a key, encoded as the request asked for.
fn push_name(out: &mut Vec<u8>, name: &[u8], url: bool) {
    let table = if url { &URL_PLAIN } else { &XML_PLAIN };
    let mut rest = name;
    loop {
        let run = rest.iter().position(|&byte| !table[usize::from(byte)]).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..run]);
        let Some(&byte) = rest.get(run) else { return };
        rest = &rest[run + 1..];
        if !url {
            push_xml_byte(out, byte);
        } else if byte == b' ' {
            out.push(b'+');
        } else {
            out.push(b'%');
            out.push(b"0123456789ABCDEF"[usize::from(byte >> 4)]);
            out.push(b"0123456789ABCDEF"[usize::from(byte & 0xf)]);
        }
    }
}

/// Control characters become character references, as in AWS S3, although XML 1.0 forbids most of
/// them: that is why `encoding-type=url` exists.
fn push_xml_byte(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'&' => out.extend_from_slice(b"&amp;"),
        b'<' => out.extend_from_slice(b"&lt;"),
        b'>' => out.extend_from_slice(b"&gt;"),
        b'"' => out.extend_from_slice(b"&quot;"),
        0..0x20 => {
            out.extend_from_slice(b"&#");
            push_decimal(out, u64::from(byte), 1);
            out.push(b';');
        }
        other => out.push(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str, url: bool) -> String {
        let mut out = Vec::new();
        push_name(&mut out, text.as_bytes(), url);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names() {
        let odd = "a//b c+d%41<&>\"'\r\u{1}é";
        assert_eq!(name(odd, true), "a//b+c%2Bd%2541%3C%26%3E%22%27%0D%01%C3%A9");
        assert_eq!(name(odd, false), "a//b c+d%41&lt;&amp;&gt;&quot;'&#13;&#1;é");
    }

    #[test]
    fn queries() {
        assert_eq!(ListQuery::parse("prefix=a"), None);
        let list = ListQuery::parse("list-type=2&prefix=a%2Fb+c&max-keys=5000&start-after=&encoding-type=url").unwrap();
        assert_eq!(list.prefix, "a/b c");
        assert_eq!(list.max_keys, MAX_KEYS);
        assert_eq!(list.start_after.as_deref(), Some(""));
        assert!(list.url);
    }
}
