//! A page of `ListObjectsV2`: bytes in, objects out, whole or not at all.
//!
//! Objects are spans into the body, so that nothing is allocated per object and a page that turns out to be cut off or malformed has not been
//! counted. Keys are bytes. They are percent-decoded only if the answer says `<EncodingType>url`, which some servers write behind the keys:
//! so that is done when the whole page has been read.
//!
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>.

use std::ops::Range;

use memchr::{memchr, memchr2};

use super::Object;
use super::values::{parse_size, parse_timestamp, percent_decode_into};
use super::xml::{Reader, Token, XmlError, unescape_into};

/// Why the body of a 200 is not a page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// Not well-formed, or cut off.
    #[error("not a complete XML document: {0}")]
    Xml(#[from] XmlError),
    /// Well-formed, but not what `ListObjectsV2` answers.
    #[error("not a list page: {0}")]
    Unexpected(&'static str),
    /// S3's error document, which may come with any status, 200 included.
    #[error("{code}: {message}")]
    ErrorDocument {
        /// Such as `SlowDown`.
        code: String,
        /// S3's own explanation.
        message: String,
        /// The region that the bucket is in, where the server says so.
        region: Option<String>,
    },
}

/// A page, with the bytes that its objects are spans of.
#[derive(Debug, Default)]
pub struct Page {
    body: Vec<u8>,
    entries: Vec<Entry>,
    /// Keys that had to be decoded, one behind the other.
    decoded: Vec<u8>,
    /// More objects follow.
    pub truncated: bool,
    /// Where the next page starts; present on truncated pages.
    pub next_token: Option<String>,
}

/// An object as spans: into the body, or (`decoded`) into [`Page::decoded`].
#[derive(Debug, Clone)]
struct Entry {
    key: Range<usize>,
    decoded: bool,
    size: u64,
    modified: i64,
    storage_class: Range<usize>,
}

/// S3 leaves the storage class out for some servers' standard class.
const STANDARD: &[u8] = b"STANDARD";

/// An object takes about this many bytes of XML.
const USUAL_OBJECT: usize = 250;

impl Page {
    /// Reads what `body` says.
    ///
    /// # Errors
    /// When `body` is not one complete and valid page.
    pub fn read(body: Vec<u8>) -> Result<Self, PageError> {
        let mut page = Self { entries: Vec::with_capacity(body.len() / USUAL_OBJECT), ..Self::default() };
        page.fill(&body)?;
        page.body = body;
        Ok(page)
    }

    /// The page's objects in the order of the server.
    pub fn objects(&self) -> impl Iterator<Item = Object<'_>> {
        self.entries.iter().map(|entry| Object {
            key: &(if entry.decoded { &self.decoded } else { &self.body })[entry.key.clone()],
            size: entry.size,
            modified: entry.modified,
            storage_class: if entry.storage_class.is_empty() { STANDARD } else { &self.body[entry.storage_class.clone()] },
        })
    }

    /// Adds an object that comes from no body, of class `STANDARD`.
    pub(super) fn push(&mut self, key: &[u8], size: u64, modified: i64) {
        let start = self.decoded.len();
        self.decoded.extend_from_slice(key);
        self.entries.push(Entry { key: start..self.decoded.len(), decoded: true, size, modified, storage_class: 0..0 });
    }

    /// Number of objects on the page.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True for a page without objects.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn fill(&mut self, body: &[u8]) -> Result<(), PageError> {
        let mut reader = Reader::new(body);
        let root = root_element(&mut reader)?;
        match root {
            b"ListBucketResult" => {}
            b"Error" => return Err(error_document(reader, root)),
            _ => return Err(PageError::Unexpected("the root element is not ListBucketResult")),
        }
        let mut truncated = None;
        let mut url_encoded = false;
        loop {
            match reader.require()? {
                Token::Open(b"Contents") => self.entries.push(read_entry(&mut reader, body, &mut self.decoded)?),
                Token::Open(b"IsTruncated") => truncated = Some(owned_text(&mut reader, b"IsTruncated")?),
                Token::Open(b"NextContinuationToken") => {
                    self.next_token = Some(owned_text(&mut reader, b"NextContinuationToken")?);
                }
                Token::Open(b"EncodingType") => url_encoded = owned_text(&mut reader, b"EncodingType")? == "url",
                Token::Open(other) => reader.skip_element(other)?,
                Token::Close(name) => {
                    reader.expect_name(root, name)?;
                    break;
                }
                Token::Text(text) if text.trim_ascii().is_empty() => {}
                Token::Text(_) | Token::Literal(_) => return Err(PageError::Unexpected("text between elements")),
            }
        }
        reader.finish()?;
        self.truncated = match truncated.as_deref() {
            Some("true") => true,
            Some("false") => false,
            _ => return Err(PageError::Unexpected("IsTruncated is missing or neither true nor false")),
        };
        self.next_token = self.next_token.take().filter(|token| !token.is_empty());
        if url_encoded {
            self.percent_decode_keys(body);
        }
        Ok(())
    }

    /// Undoes `encoding-type=url`; keys without an escape stay where they are.
    fn percent_decode_keys(&mut self, body: &[u8]) {
        for entry in &mut self.entries {
            let unescaped;
            let encoded = if entry.decoded {
                unescaped = self.decoded[entry.key.clone()].to_vec();
                &unescaped
            } else {
                &body[entry.key.clone()]
            };
            if memchr2(b'%', b'+', encoded).is_some() {
                let start = self.decoded.len();
                percent_decode_into(encoded, &mut self.decoded);
                entry.key = start..self.decoded.len();
                entry.decoded = true;
            }
        }
    }
}

/// Reads an error document, as S3 sends it with a 4xx or 5xx. `None` if `body` is something else.
pub(super) fn read_error_document(body: &[u8]) -> Option<PageError> {
    let mut reader = Reader::new(body);
    let root = root_element(&mut reader).ok()?;
    (root == b"Error").then(|| error_document(reader, root))
}

fn root_element<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], PageError> {
    match reader.require()? {
        Token::Open(name) => Ok(name),
        Token::Text(text) if text.trim_ascii().is_empty() => match reader.require()? {
            Token::Open(name) => Ok(name),
            _ => Err(PageError::Unexpected("no root element")),
        },
        _ => Err(PageError::Unexpected("the body does not start with an element")),
    }
}

fn error_document(mut reader: Reader<'_>, root: &[u8]) -> PageError {
    let (mut code, mut message, mut region) = (String::new(), String::new(), None);
    let mut read = || -> Result<(), PageError> {
        loop {
            match reader.require()? {
                Token::Open(b"Code") => code = owned_text(&mut reader, b"Code")?,
                Token::Open(b"Message") => message = owned_text(&mut reader, b"Message")?,
                Token::Open(b"Region") => region = Some(owned_text(&mut reader, b"Region")?),
                Token::Open(other) => reader.skip_element(other)?,
                Token::Close(name) => return Ok(reader.expect_name(root, name)?),
                Token::Text(_) | Token::Literal(_) => {}
            }
        }
    };
    match read() {
        Err(error) if code.is_empty() => error,
        _ => PageError::ErrorDocument { code, message, region },
    }
}

/// Reads a `Contents` element, just opened. A key in several pieces (CDATA, a comment inside) is put together in `decoded`.
fn read_entry<'a>(reader: &mut Reader<'a>, body: &'a [u8], decoded: &mut Vec<u8>) -> Result<Entry, PageError> {
    let (mut key, mut key_decoded, mut size, mut modified) = (None, false, None, None);
    let mut storage_class = 0..0;
    loop {
        match reader.require()? {
            Token::Open(b"Key") if key.is_some() => return Err(PageError::Unexpected("an object with two keys")),
            Token::Open(b"Key") => {
                let start = decoded.len();
                match leaf(reader, b"Key")? {
                    Leaf::Span(text) if memchr(b'&', text).is_none() => key = Some(span_in(body, text)),
                    Leaf::Span(text) => unescape_into(text, decoded).map_err(PageError::Unexpected)?,
                    Leaf::Pieces(bytes) => decoded.extend_from_slice(&bytes),
                }
                key_decoded = key.is_none();
                key = key.or(Some(start..decoded.len()));
            }
            Token::Open(b"Size") => {
                let parsed = parse_size(span(reader, b"Size")?);
                size = Some(parsed.ok_or(PageError::Unexpected("a Size that is not a number of bytes"))?);
            }
            Token::Open(b"LastModified") => {
                let parsed = parse_timestamp(span(reader, b"LastModified")?);
                modified = Some(parsed.ok_or(PageError::Unexpected("a LastModified that is not a date"))?);
            }
            Token::Open(b"StorageClass") => storage_class = span_in(body, span(reader, b"StorageClass")?),
            Token::Open(other) => reader.skip_element(other)?,
            Token::Close(name) => {
                reader.expect_name(b"Contents", name)?;
                break;
            }
            Token::Text(text) if text.trim_ascii().is_empty() => {}
            Token::Text(_) | Token::Literal(_) => return Err(PageError::Unexpected("text between elements")),
        }
    }
    Ok(Entry {
        key: key.ok_or(PageError::Unexpected("an object without a Key"))?,
        decoded: key_decoded,
        size: size.ok_or(PageError::Unexpected("an object without a Size"))?,
        modified: modified.ok_or(PageError::Unexpected("an object without a LastModified"))?,
        storage_class,
    })
}

/// The text of an element without children: nearly always one span of the body, still escaped.
enum Leaf<'a> {
    Span(&'a [u8]),
    /// Several pieces put together, entities replaced.
    Pieces(Vec<u8>),
}

fn leaf<'a>(reader: &mut Reader<'a>, name: &[u8]) -> Result<Leaf<'a>, PageError> {
    let first = match reader.require()? {
        Token::Text(text) => text,
        Token::Close(closed) => {
            reader.expect_name(name, closed)?;
            return Ok(Leaf::Span(b""));
        }
        Token::Literal(literal) => return pieces(reader, name, literal.to_vec()),
        Token::Open(_) => return Err(PageError::Unexpected("an element inside a text")),
    };
    match reader.require()? {
        Token::Close(closed) => {
            reader.expect_name(name, closed)?;
            Ok(Leaf::Span(first))
        }
        Token::Open(_) => Err(PageError::Unexpected("an element inside a text")),
        next => {
            let mut whole = Vec::new();
            unescape_into(first, &mut whole).map_err(PageError::Unexpected)?;
            append_piece(next, &mut whole)?;
            pieces(reader, name, whole)
        }
    }
}

fn pieces<'a>(reader: &mut Reader<'a>, name: &[u8], mut whole: Vec<u8>) -> Result<Leaf<'a>, PageError> {
    loop {
        match reader.require()? {
            Token::Close(closed) => {
                reader.expect_name(name, closed)?;
                return Ok(Leaf::Pieces(whole));
            }
            piece => append_piece(piece, &mut whole)?,
        }
    }
}

fn append_piece(piece: Token<'_>, whole: &mut Vec<u8>) -> Result<(), PageError> {
    match piece {
        Token::Text(text) => unescape_into(text, whole).map_err(PageError::Unexpected),
        Token::Literal(literal) => {
            whole.extend_from_slice(literal);
            Ok(())
        }
        Token::Open(_) | Token::Close(_) => Err(PageError::Unexpected("an element inside a text")),
    }
}

/// The text of an element whose legal values need no escaping.
fn span<'a>(reader: &mut Reader<'a>, name: &[u8]) -> Result<&'a [u8], PageError> {
    match leaf(reader, name)? {
        Leaf::Span(text) => Ok(text.trim_ascii()),
        Leaf::Pieces(_) => Err(PageError::Unexpected("a number or a date in several pieces")),
    }
}

fn owned_text(reader: &mut Reader<'_>, name: &[u8]) -> Result<String, PageError> {
    let bytes = match leaf(reader, name)? {
        Leaf::Pieces(bytes) => bytes,
        Leaf::Span(text) => {
            let mut bytes = Vec::with_capacity(text.len());
            unescape_into(text, &mut bytes).map_err(PageError::Unexpected)?;
            bytes
        }
    };
    String::from_utf8(bytes).map_err(|_| PageError::Unexpected("text that is not UTF-8"))
}

/// Where in `body` its slice `part` lies.
fn span_in(body: &[u8], part: &[u8]) -> Range<usize> {
    if part.is_empty() {
        // An empty slice may lie anywhere.
        return 0..0;
    }
    let start = part.as_ptr().addr() - body.as_ptr().addr();
    start..start + part.len()
}

#[cfg(test)]
mod tests;
