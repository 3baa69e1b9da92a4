//! A page of `ListObjectsV2`: bytes in, objects out, whole or not at all.
//!
//! Objects are spans into the body, so that nothing is allocated per object and a page that turns out to be cut off or malformed has not been
//! counted. Keys are bytes. They are percent-decoded only if the answer says `<EncodingType>url`, which some servers write behind the keys:
//! so that is done when the whole page has been read.
//!
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>.

mod entry;

use memchr::memchr2;

use self::entry::{Entry, owned_text, read_entry};
use super::Object;
use super::values::percent_decode_into;
use super::xml::{Reader, Token, XmlError};

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
    #[error("{}: {}", .0.code, .0.message)]
    ErrorDocument(ErrorDocument),
}

/// What S3 answers instead of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorDocument {
    /// Such as `SlowDown`.
    pub code: String,
    /// S3's own explanation.
    pub message: String,
    /// The region that the bucket is in, where the server says so.
    pub region: Option<String>,
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
    pub fn objects(&self) -> impl DoubleEndedIterator<Item = Object<'_>> {
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
            b"Error" => return Err(error_document(reader, root)?.into()),
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

impl From<ErrorDocument> for PageError {
    fn from(document: ErrorDocument) -> Self {
        Self::ErrorDocument(document)
    }
}

/// Reads an error document, as S3 sends it with a 4xx or 5xx. `None` if `body` is something else.
pub(super) fn read_error_document(body: &[u8]) -> Option<ErrorDocument> {
    let mut reader = Reader::new(body);
    let root = root_element(&mut reader).ok()?;
    if root == b"Error" { error_document(reader, root).ok() } else { None }
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

/// One that is cut off behind its code still says what matters.
fn error_document(mut reader: Reader<'_>, root: &[u8]) -> Result<ErrorDocument, PageError> {
    let mut document = ErrorDocument::default();
    let mut read = || -> Result<(), PageError> {
        loop {
            match reader.require()? {
                Token::Open(b"Code") => document.code = owned_text(&mut reader, b"Code")?,
                Token::Open(b"Message") => document.message = owned_text(&mut reader, b"Message")?,
                Token::Open(b"Region") => document.region = Some(owned_text(&mut reader, b"Region")?),
                Token::Open(other) => reader.skip_element(other)?,
                Token::Close(name) => return Ok(reader.expect_name(root, name)?),
                Token::Text(_) | Token::Literal(_) => {}
            }
        }
    };
    match read() {
        Err(error) if document.code.is_empty() => Err(error),
        _ => Ok(document),
    }
}

#[cfg(test)]
mod tests;
