//! One object of a list page: the `Contents` element, and the texts inside it.

use std::ops::Range;

use memchr::memchr;

use super::PageError;
use crate::listing::values::{parse_size, parse_timestamp};
use crate::listing::xml::{Reader, Token, unescape_into};

/// An object as spans: into the body, or (`decoded`) into the page's decoded keys.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: Range<usize>,
    pub(super) decoded: bool,
    pub(super) size: u64,
    pub(super) modified: i64,
    pub(super) storage_class: Range<usize>,
}

/// Reads a `Contents` element, just opened. A key that has to be decoded is put at the end of `decoded`.
pub(super) fn read_entry<'a>(reader: &mut Reader<'a>, body: &'a [u8], decoded: &mut Vec<u8>) -> Result<Entry, PageError> {
    let mut entry = PartialEntry::default();
    loop {
        while let Some((name, text)) = reader.simple_element() {
            entry.set(name, &Leaf::Span(text), body, decoded)?;
        }
        match reader.require()? {
            Token::Open(name @ (b"Key" | b"Size" | b"LastModified" | b"StorageClass")) => {
                let leaf = leaf(reader, name)?;
                entry.set(name, &leaf, body, decoded)?;
            }
            Token::Open(other) => reader.skip_element(other)?,
            Token::Close(name) => {
                reader.expect_name(b"Contents", name)?;
                return entry.complete();
            }
            Token::Text(text) if text.trim_ascii().is_empty() => {}
            Token::Text(_) | Token::Literal(_) => return Err(PageError::Unexpected("text between elements")),
        }
    }
}

/// An object of which not every element has been read.
#[derive(Default)]
struct PartialEntry {
    key: Option<Range<usize>>,
    decoded: bool,
    size: Option<u64>,
    modified: Option<i64>,
    storage_class: Range<usize>,
}

impl PartialEntry {
    /// Takes the element `name` if it is one of those that count.
    #[inline]
    fn set(&mut self, name: &[u8], leaf: &Leaf<'_>, body: &[u8], decoded: &mut Vec<u8>) -> Result<(), PageError> {
        match name {
            b"Key" if self.key.is_some() => return Err(PageError::Unexpected("an object with two keys")),
            b"Key" => {
                let start = decoded.len();
                match leaf {
                    Leaf::Span(text) if memchr(b'&', text).is_none() => {
                        self.key = Some(span_in(body, text));
                        return Ok(());
                    }
                    Leaf::Span(text) => unescape_into(text, decoded).map_err(PageError::Unexpected)?,
                    Leaf::Pieces(bytes) => decoded.extend_from_slice(bytes),
                }
                (self.key, self.decoded) = (Some(start..decoded.len()), true);
            }
            b"Size" => {
                let size = parse_size(leaf.value()?).ok_or(PageError::Unexpected("a Size that is not a number of bytes"))?;
                self.size = Some(size);
            }
            b"LastModified" => {
                let modified =
                    parse_timestamp(leaf.value()?).ok_or(PageError::Unexpected("a LastModified that is not a date"))?;
                self.modified = Some(modified);
            }
            b"StorageClass" => self.storage_class = span_in(body, leaf.value()?),
            _ => {}
        }
        Ok(())
    }

    fn complete(self) -> Result<Entry, PageError> {
        Ok(Entry {
            key: self.key.ok_or(PageError::Unexpected("an object without a Key"))?,
            decoded: self.decoded,
            size: self.size.ok_or(PageError::Unexpected("an object without a Size"))?,
            modified: self.modified.ok_or(PageError::Unexpected("an object without a LastModified"))?,
            storage_class: self.storage_class,
        })
    }
}

/// The text of an element without children: nearly always one span of the body, still escaped.
enum Leaf<'a> {
    Span(&'a [u8]),
    /// Several pieces put together, entities replaced.
    Pieces(Vec<u8>),
}

impl Leaf<'_> {
    /// A value that needs no escaping in any legal form.
    fn value(&self) -> Result<&[u8], PageError> {
        match self {
            Self::Span(text) => Ok(text.trim_ascii()),
            Self::Pieces(_) => Err(PageError::Unexpected("a number or a date in several pieces")),
        }
    }
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

pub(super) fn owned_text(reader: &mut Reader<'_>, name: &[u8]) -> Result<String, PageError> {
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
