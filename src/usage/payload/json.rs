//! JSON (RFC 8259) piece by piece, in place: nothing is copied, nothing recurses, and a value of the wrong kind is no error of the syntax.
//!
//! That is why this is not serde: there a number that is too large for a double, half a surrogate pair, or a string where an object was expected ends
//! the reading, and with it all entries behind it. Properties and a fuzz target hold it to what `serde_json` takes and refuses.

use super::text::{Text, shortened};

/// A body is no JSON. The [`Reader`] knows where and why.
#[derive(Debug)]
pub(super) struct Syntax;

/// A value as it was found. Of arrays and objects nothing is kept.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(&'static str),
    /// Digits as they were written.
    Number(&'a str),
    /// A string.
    Text(Text<'a>),
    /// `[...]`
    Array,
    /// `{...}`
    Object,
}

/// A body, and how much of it was read. What is always inlined is so because results would else go through memory: that takes as long again.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// The brackets that are open around what is being skipped.
    open: Vec<u8>,
    /// What should have come at `at`, if it did not.
    expected: &'static str,
}

impl<'a> Reader<'a> {
    /// Before the first byte.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, open: Vec::new(), expected: "" }
    }

    /// How much was read, in bytes. Behind [`element`](Self::element) it is where the element begins.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// What is wrong with the syntax, in one line.
    pub(super) fn complaint(&self) -> String {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let word = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let found = match (word, rest.chars().next()) {
            (_, None) => "the end".to_owned(),
            ("", Some(one)) => format!("`{}`", shortened(one.encode_utf8(&mut [0; 4]))),
            (word, _) => format!("`{}`", shortened(word)),
        };
        format!("expected {} at byte {}, found {found}", self.expected, self.at)
    }

    /// Nothing may follow but space.
    pub(super) fn end(&mut self) -> Result<(), Syntax> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.wrong("the end of the body"),
        }
    }

    /// The next byte behind space.
    #[inline(always)]
    pub(super) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Steps into the array or object that comes next, if one does and it begins with `bracket`. Then come [`key`](Self::key) or
    /// [`element`](Self::element).
    pub(super) fn enter(&mut self, bracket: u8) -> bool {
        let inside = self.peek() == Some(bracket);
        self.at += usize::from(inside);
        inside
    }

    /// The next name in an object, up to the value; nothing at its end, which is stepped over.
    #[inline(always)]
    pub(super) fn key(&mut self, first: bool) -> Result<Option<Text<'a>>, Syntax> {
        if !self.next(first, b'}', "`,` or `}`")? {
            return Ok(None);
        }
        if self.peek() != Some(b'"') {
            return self.wrong("a name in quotes");
        }
        let name = self.string()?;
        if self.peek() != Some(b':') {
            return self.wrong("`:`");
        }
        self.at += 1;
        Ok(Some(name))
    }

    /// True if another element of an array follows; false at its end, which is stepped over.
    pub(super) fn element(&mut self, first: bool) -> Result<bool, Syntax> {
        self.next(first, b']', "`,` or `]`")
    }

    /// The next value, read to its end.
    #[inline(always)]
    pub(super) fn value(&mut self) -> Result<Value<'a>, Syntax> {
        let value = self.begun()?;
        match value {
            Value::Array => self.skip(b'[')?,
            Value::Object => self.skip(b'{')?,
            _ => {}
        }
        Ok(value)
    }

    /// The next value; of arrays and objects only the bracket.
    #[inline(always)]
    fn begun(&mut self) -> Result<Value<'a>, Syntax> {
        match self.peek() {
            Some(b'"') => self.string().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            Some(b'[') => self.one(Value::Array),
            Some(b'{') => self.one(Value::Object),
            _ => self.word(),
        }
    }

    /// Reads to the end of what began with `bracket`, however deep that goes.
    fn skip(&mut self, bracket: u8) -> Result<(), Syntax> {
        self.open.clear();
        let (mut innermost, mut first) = (bracket, true);
        loop {
            let more = if innermost == b'{' { self.key(first)?.is_some() } else { self.element(first)? };
            if !more {
                let Some(outer) = self.open.pop() else { return Ok(()) };
                (innermost, first) = (outer, false);
                continue;
            }
            let inner = match self.begun()? {
                Value::Array => b'[',
                Value::Object => b'{',
                _ => {
                    first = false;
                    continue;
                }
            };
            self.open.push(innermost);
            (innermost, first) = (inner, true);
        }
    }

    #[inline(always)]
    fn next(&mut self, first: bool, end: u8, expected: &'static str) -> Result<bool, Syntax> {
        match self.peek() {
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(false)
            }
            Some(_) if first => Ok(true),
            Some(b',') => {
                self.at += 1;
                // Else `[1,]` would be taken.
                if self.peek() == Some(end) { self.wrong("a value or a name") } else { Ok(true) }
            }
            _ => self.wrong(expected),
        }
    }

    fn one(&mut self, value: Value<'a>) -> Result<Value<'a>, Syntax> {
        self.at += 1;
        Ok(value)
    }

    fn word(&mut self) -> Result<Value<'a>, Syntax> {
        let rest = &self.text.as_bytes()[self.at..];
        for (word, value) in [("null", Value::Null), ("true", Value::Bool("true")), ("false", Value::Bool("false"))] {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        self.wrong("a value")
    }

    #[inline]
    fn number(&mut self) -> Result<&'a str, Syntax> {
        let begin = self.at;
        let bytes = self.text.as_bytes();
        self.at += usize::from(bytes[begin] == b'-');
        if bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = bytes.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(bytes.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(&self.text[begin..self.at])
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Syntax> {
        let begin = self.at;
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == begin { self.wrong("a digit") } else { Ok(()) }
    }

    #[inline(always)]
    fn string(&mut self) -> Result<Text<'a>, Syntax> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        let begin = self.at;
        let mut escapes = 0;
        loop {
            self.at += plain(&bytes[self.at..]);
            match bytes.get(self.at) {
                Some(b'"') => {
                    let raw = &self.text[begin..self.at];
                    self.at += 1;
                    return Ok(Text::new(raw, escapes));
                }
                Some(b'\\') => {
                    escapes += 1;
                    self.escape()?;
                }
                _ => return self.wrong("the end of a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Syntax> {
        let rest = &self.text.as_bytes()[self.at + 1..];
        let length = match rest {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
            [b'u', hex @ ..] if hex.len() >= 4 && hex[..4].iter().all(u8::is_ascii_hexdigit) => 6,
            _ => return self.wrong("an escape of JSON"),
        };
        self.at += length;
        Ok(())
    }

    #[cold]
    fn wrong<T>(&mut self, expected: &'static str) -> Result<T, Syntax> {
        self.expected = expected;
        Err(Syntax)
    }
}

/// How many bytes at the beginning stand for themselves in a string. Eight at a time: names and identifiers are most of a body.
#[inline]
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    // The top bit of the lowest byte that is zero is set; those above it may be wrong.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    let mut at = 0;
    while let Some(&eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(eight);
        let quote = zero(word ^ (ONES * u64::from(b'"')));
        let backslash = zero(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word & TOPS;
        let special = quote | backslash | control;
        if special != 0 {
            return at + usize::try_from(special.trailing_zeros() / 8).unwrap_or_default();
        }
        at += 8;
    }
    at + bytes[at..].iter().take_while(|&&byte| byte >= 0x20 && byte != b'"' && byte != b'\\').count()
}
