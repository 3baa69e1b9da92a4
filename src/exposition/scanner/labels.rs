//! Labels between braces: where most of the time of reading a text goes, and so the one place where inlining is forced (measured: a tenth of it).

use super::super::{Format, name};
use super::{Label, Layout, Name, Read, Scanner};

impl<'a> Scanner<'a> {
    /// Reads on to behind `}`: from behind `{`, or from behind the last of the labels that are kept. `line` is the offset of the line. Gives the name of
    /// the metric if it stands there, in quotation marks.
    pub(super) fn read_labels(&mut self, line: usize, layout: &mut Layout) -> Read<Option<Name<'a>>> {
        let mut metric = None;
        let mut first = self.labels.is_empty();
        if !first && !self.read_separator(layout)? {
            return Ok(None);
        }
        loop {
            let start = self.skip_blanks(layout);
            match self.text.get(self.at) {
                Some(b'}') => {
                    // The comma that led here was the last one's.
                    layout.loose |= !first;
                    self.at += 1;
                    return Ok(metric);
                }
                Some(b'"') => {
                    let (raw, _) = self.read_quoted()?;
                    check_quoted_name(raw)?;
                    let name = Name { raw, quoted: true };
                    layout.plain = false;
                    if self.peek_behind_blanks() == Some(b'=') {
                        self.read_value(name, start, layout)?;
                    } else if first {
                        metric = Some(name);
                    } else {
                        return Err("a label has no value");
                    }
                }
                _ => {
                    let length = name::label_name(&self.text[self.at..]);
                    if length == 0 {
                        return Err("the name of a label was expected");
                    }
                    let raw = &self.text[self.at..self.at + length];
                    self.at += length;
                    self.read_value(Name { raw, quoted: false }, start, layout)?;
                }
            }
            self.ends.resize(self.labels.len(), self.at - line);
            first = false;
            if !self.read_separator(layout)? {
                return Ok(metric);
            }
        }
    }

    /// Reads what follows a label; true if it is a comma, false if it is the closing brace.
    fn read_separator(&mut self, layout: &mut Layout) -> Read<bool> {
        self.skip_blanks(layout);
        let comma = match self.text.get(self.at) {
            Some(b',') => true,
            Some(b'}') => false,
            _ => return Err("a comma or a closing brace was expected"),
        };
        self.at += 1;
        Ok(comma)
    }

    /// Keeps the labels that the line at `start` has in common with the last sample, from the first on, if it begins with the same name and `{`. True if
    /// it does; then `self.at` is behind what was kept. Neighbours mostly differ in their last label alone, so most of a text is read by comparing.
    #[inline(always)]
    pub(super) fn keep_labels(&mut self, start: usize, layout: &mut Layout) -> bool {
        let Some((last, loose)) = self.last_plain else { return false };
        let brace = self.last_name.len();
        let end = self.ends.last().map_or(brace + 1, |end| *end);
        let common = common_prefix(&self.text[last..last + end], &self.text[start..]);
        if common <= brace || self.text[start + brace] != b'{' {
            return false;
        }
        // What is kept may be what made the last one loose.
        layout.loose = loose;
        let kept = self.ends.partition_point(|end| *end <= common);
        self.labels.truncate(kept);
        self.ends.truncate(kept);
        self.at = start + self.ends.last().map_or(brace + 1, |end| *end);
        true
    }

    /// Reads `="value"`.
    #[inline(always)]
    fn read_value(&mut self, name: Name<'a>, start: usize, layout: &mut Layout) -> Read<()> {
        self.skip_blanks(layout);
        if self.text.get(self.at) != Some(&b'=') {
            return Err("a label has no value");
        }
        self.at += 1;
        self.skip_blanks(layout);
        if self.text.get(self.at) != Some(&b'"') {
            return Err("the value of a label is not in quotation marks");
        }
        let (value, escaped) = self.read_quoted()?;
        self.utf8_or(value, "the value of a label is not UTF-8")?;
        if escaped {
            layout.plain &= only_known_escapes(value);
        }
        self.labels.push(Label { name, value, escaped, whole: &self.text[start..self.at - 1] });
        Ok(())
    }

    /// Reads from a quotation mark to behind the next that is not escaped. Tells whether there are escapes.
    #[inline(always)]
    pub(super) fn read_quoted(&mut self) -> Read<(&'a [u8], bool)> {
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            at += find_quoted_end(self.text.get(at..).unwrap_or_default()).ok_or("a quotation mark is not closed")?;
            match self.text[at] {
                b'"' => {
                    self.at = at + 1;
                    return Ok((&self.text[start..at], escaped));
                }
                b'\\' if self.text.get(at + 1) != Some(&b'\n') => {
                    escaped = true;
                    at += 2;
                }
                _ => return Err("a quotation mark is not closed in its line"),
            }
        }
    }

    pub(super) fn utf8_or(&self, part: &[u8], what: &'static str) -> Read<()> {
        if self.utf8 || std::str::from_utf8(part).is_ok() { Ok(()) } else { Err(what) }
    }

    /// Skips blanks, which no plain sample has there; OpenMetrics has none at all. Gives the offset behind them.
    fn skip_blanks(&mut self, layout: &mut Layout) -> usize {
        while self.format == Format::Text && matches!(self.text.get(self.at), Some(b' ' | b'\t')) {
            layout.loose = true;
            self.at += 1;
        }
        self.at
    }

    fn peek_behind_blanks(&self) -> Option<u8> {
        let blanks = if self.format == Format::Text { &b" \t"[..] } else { b"" };
        self.text[self.at..].iter().copied().find(|byte| !blanks.contains(byte))
    }
}

/// How many bytes two texts have in common at their beginnings.
fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    let (ones, others) = (one.chunks_exact(8), other.chunks_exact(8));
    let mut common = 0;
    for (one, other) in ones.zip(others) {
        let word = |chunk: &[u8]| chunk.try_into().map(u64::from_le_bytes).unwrap_or_default();
        let difference = word(one) ^ word(other);
        if difference != 0 {
            return common + difference.trailing_zeros() as usize / 8;
        }
        common += 8;
    }
    common + one[common..].iter().zip(&other[common..]).take_while(|(one, other)| one == other).count()
}

/// A name in quotation marks: anything but nothing, and Prometheus reads no NUL in it.
pub(super) fn check_quoted_name(raw: &[u8]) -> Read<()> {
    if raw.is_empty() {
        return Err("a name is empty");
    }
    if memchr::memchr(0, raw).is_some() {
        return Err("a name has a NUL byte");
    }
    std::str::from_utf8(raw).map(|_| ()).map_err(|_| "a name is not UTF-8")
}

/// Offset of the first quotation mark, backslash or line feed. Values are short, so eight bytes are looked at in one go before `memchr` is called.
fn find_quoted_end(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    let mut at = 0;
    for chunk in text.chunks_exact(8).take(4) {
        let word = chunk.try_into().map(u64::from_le_bytes).unwrap_or_default();
        // The lowest bit that is set marks the first byte that is equal (Hacker's Delight, 6-1).
        let equal = |byte: u8| {
            let difference = word ^ (ONES * u64::from(byte));
            difference.wrapping_sub(ONES) & !difference & HIGHS
        };
        let found = equal(b'"') | equal(b'\\') | equal(b'\n');
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    memchr::memchr3(b'"', b'\\', b'\n', &text[at..]).map(|found| at + found)
}

/// True if all escapes are those of the documents.
fn only_known_escapes(value: &[u8]) -> bool {
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        if !matches!(rest.get(at + 1), Some(b'\\' | b'n' | b'"')) {
            return false;
        }
        rest = &rest[at + 2..];
    }
    true
}
