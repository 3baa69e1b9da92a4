//! A zero-copy scanner: one entry per line, everything a slice of the text.
//!
//! It takes what Prometheus takes, apart from what the formats' documents forbid and other readers refuse (labels without a comma between them,
//! line feeds in label values), and says of each sample whether its layout is the plain one, so that it can be copied as it is.

mod labels;
mod lines;

use super::{Format, Kind};

pub use self::lines::exemplar_has_quoted_names;

/// Why a text is not of its format, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct SyntaxError {
    /// Line, from 1.
    pub line: u32,
    /// What is the matter.
    pub what: &'static str,
}

/// A name as it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Name<'a> {
    /// Without its quotation marks, escapes as they are.
    pub raw: &'a [u8],
    /// Whether it was in quotation marks, which names need that are not of the old form.
    pub quoted: bool,
}

/// A label as it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label<'a> {
    /// Its name.
    pub name: Name<'a>,
    /// Its value without the quotation marks, escapes as they are.
    pub value: &'a [u8],
    /// Whether the value has a backslash.
    pub escaped: bool,
    /// From the first byte of the name to the last of the value, without the closing quotation mark.
    pub whole: &'a [u8],
}

/// How a sample is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layout {
    /// Begins with a name of the old form, directly followed by `{` or a space; no escape but those of the documents.
    pub plain: bool,
    /// Legal in the text format alone: tabs, several spaces, a comma behind the last label.
    pub loose: bool,
}

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sample<'a> {
    /// Its name.
    pub name: Name<'a>,
    /// As it stands there.
    pub value: &'a [u8],
    /// Milliseconds in the text format, seconds in OpenMetrics, as it stands there.
    pub timestamp: Option<&'a [u8]>,
    /// From its `{` to the end of the line.
    pub exemplar: Option<&'a [u8]>,
    /// How it is written.
    pub layout: Layout,
    /// Offset of the line.
    pub start: usize,
    /// Offset behind its line feed, or of the end of the text.
    pub end: usize,
}

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// `# HELP`, with the text as it stands there.
    Help(Name<'a>, &'a [u8]),
    /// `# TYPE`.
    Type(Name<'a>, Kind),
    /// `# UNIT`, of OpenMetrics alone.
    Unit(Name<'a>, &'a [u8]),
    /// A sample: it is in [`Scanner::sample`], and its labels in [`Scanner::labels`], until the next entry is read.
    Sample,
    /// A comment or an empty line.
    Nothing,
    /// `# EOF`, of OpenMetrics alone; nothing follows it.
    Eof,
}

/// Reads a text line by line.
#[derive(Debug)]
pub struct Scanner<'a> {
    text: &'a [u8],
    format: Format,
    at: usize,
    line: u32,
    sample: Sample<'a>,
    /// Of the last sample. Those that it had in common with the one before stand in the line of that.
    labels: Vec<Label<'a>>,
    /// Where its labels end, from the beginning of its line.
    ends: Vec<usize>,
    last_name: &'a [u8],
    /// Offset of its line if its layout is plain, and whether it is loose.
    last_plain: Option<(usize, bool)>,
    /// Whether its name is that of the sample before.
    same_name: bool,
    /// How many of its labels are.
    unchanged: usize,
    /// The text is UTF-8 as a whole, so that its parts need not be looked at.
    utf8: bool,
    ended: bool,
}

/// The result of reading a part of a line.
type Read<T> = Result<T, &'static str>;

impl<'a> Scanner<'a> {
    /// Begins at the first line of `text`.
    pub fn new(text: &'a [u8], format: Format) -> Self {
        Self { utf8: std::str::from_utf8(text).is_ok(), ..Self::resume(text, format, 0) }
    }

    /// Begins at `offset`, the first byte of a line of a text that was found to be good before.
    pub fn resume(text: &'a [u8], format: Format, offset: usize) -> Self {
        Self {
            text,
            format,
            at: offset,
            line: 0,
            sample: Sample::default(),
            labels: Vec::with_capacity(16),
            ends: Vec::with_capacity(16),
            last_name: b"",
            last_plain: None,
            same_name: false,
            unchanged: 0,
            utf8: true,
            ended: false,
        }
    }

    /// The entry of the next line; `None` at the end.
    ///
    /// # Errors
    /// At the first line that is not of the format, and at the end of OpenMetrics without its `# EOF`.
    pub fn entry(&mut self) -> Result<Option<Entry<'a>>, SyntaxError> {
        if self.at >= self.text.len() {
            return match self.format {
                Format::OpenMetrics if !self.ended => Err(self.error("the end comes without `# EOF`")),
                _ => Ok(None),
            };
        }
        self.line += 1;
        if self.ended {
            return Err(self.error("something follows `# EOF`"));
        }
        match self.read_line() {
            Ok(entry) => Ok(Some(entry)),
            Err(what) => Err(self.error(what)),
        }
    }

    /// The last sample.
    pub fn sample(&self) -> &Sample<'a> {
        &self.sample
    }

    /// The labels of the last sample, in their order.
    pub fn labels(&self) -> &[Label<'a>] {
        &self.labels
    }

    /// Whether the last sample has the name of the one before, and how many of its first labels are the same.
    pub fn unchanged(&self) -> (bool, usize) {
        (self.same_name, self.unchanged)
    }

    /// Offset of the next line.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Number of the line read last, from 1.
    pub fn line(&self) -> u32 {
        self.line
    }

    fn error(&self, what: &'static str) -> SyntaxError {
        SyntaxError { line: self.line, what }
    }
}

#[cfg(test)]
mod tests;
