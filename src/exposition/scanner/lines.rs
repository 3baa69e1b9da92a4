//! Lines: comments with a meaning, and samples.

use super::super::{Format, Kind, name, number};
use super::labels::check_quoted_name;
use super::{Entry, Layout, Name, Read, Sample, Scanner};

/// A name, and what follows it in its line.
type Named<'a> = (Name<'a>, &'a [u8]);

/// A timestamp and an exemplar.
type Tail<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

impl<'a> Scanner<'a> {
    pub(super) fn read_line(&mut self) -> Read<Entry<'a>> {
        let start = self.at;
        if self.format == Format::Text {
            self.at += blanks(&self.text[start..]);
        }
        match self.text.get(self.at) {
            None => Ok(Entry::Nothing),
            Some(b'#') => self.read_comment(),
            Some(b'\n') if self.format == Format::OpenMetrics => Err("an empty line"),
            Some(b'\n') => {
                self.at += 1;
                Ok(Entry::Nothing)
            }
            Some(_) => self.read_sample(start).map(|()| Entry::Sample),
        }
    }

    /// The rest of the line; goes on behind its line feed.
    fn take_line(&mut self) -> &'a [u8] {
        let rest = &self.text[self.at..];
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.at += length + 1;
        &rest[..length]
    }

    fn read_comment(&mut self) -> Read<Entry<'a>> {
        self.at += 1;
        let line = self.take_line();
        match self.format {
            Format::OpenMetrics => self.read_directive(line),
            Format::Text => match split_word(line) {
                Some((b"HELP", rest)) => Ok(help(name_and_rest(rest)?, self)?),
                Some((b"TYPE", rest)) => type_of(name_and_rest(rest)?, self.format),
                _ => Ok(Entry::Nothing),
            },
        }
    }

    fn read_directive(&mut self, line: &'a [u8]) -> Read<Entry<'a>> {
        if line == b" EOF" {
            self.ended = true;
            return Ok(Entry::Eof);
        }
        let (word, rest) = match line {
            [b' ', word @ ..] if word.len() > 5 && word[4] == b' ' => word.split_at(4),
            _ => return Err("a comment that OpenMetrics does not know"),
        };
        let named = name_and_rest(&rest[1..])?;
        match word {
            b"HELP" => help(named, self),
            b"TYPE" => type_of(named, self.format),
            b"UNIT" => {
                let (name, rest) = named;
                let unit = rest.strip_prefix(b" ").ok_or("a UNIT without a unit")?;
                let suffix = name.raw.strip_suffix(unit).is_some_and(|stem| unit.is_empty() || stem.ends_with(b"_"));
                if suffix { Ok(Entry::Unit(name, unit)) } else { Err("a UNIT that its metric does not end in") }
            }
            _ => Err("a comment that OpenMetrics does not know"),
        }
    }

    /// Reads a sample; `start` is the offset of its line, `self.at` that of its first byte.
    fn read_sample(&mut self, start: usize) -> Read<()> {
        let mut layout = Layout { plain: self.at == start, loose: false };
        let metric = if layout.plain && self.keep_labels(start, &mut layout) {
            (self.same_name, self.unchanged) = (true, self.labels.len());
            if self.read_labels(start, &mut layout)?.is_some() {
                return Err("a sample has two names");
            }
            Some(Name { raw: self.last_name, quoted: false })
        } else {
            self.read_series(start, &mut layout)?
        };
        let name = metric.ok_or("a sample has no name")?;
        self.last_plain = layout.plain.then_some((start, layout.loose));
        self.last_name = name.raw;
        let value = self.read_token(&mut layout)?;
        number::check_value(value)?;
        let (timestamp, exemplar) = match self.format {
            Format::Text => (self.read_milliseconds(&mut layout)?, None),
            Format::OpenMetrics => self.read_seconds_and_exemplar(&mut layout)?,
        };
        self.sample = Sample { name, value, timestamp, exemplar, layout, start, end: self.at.min(self.text.len()) };
        Ok(())
    }

    /// Reads name and labels of a sample that has no name in common with the last.
    fn read_series(&mut self, start: usize, layout: &mut Layout) -> Read<Option<Name<'a>>> {
        self.labels.clear();
        self.ends.clear();
        (self.same_name, self.unchanged) = (false, 0);
        let rest = &self.text[self.at..];
        let length = name::metric_name(rest);
        let metric = (length > 0).then(|| Name { raw: &rest[..length], quoted: false });
        self.at += length;
        let gap = if self.format == Format::Text { blanks(&self.text[self.at..]) } else { 0 };
        match self.text.get(self.at + gap) {
            Some(b'{') => {
                layout.plain &= gap == 0;
                self.at += gap + 1;
                match (self.read_labels(start, layout)?, metric) {
                    (Some(_), Some(_)) => Err("a sample has two names"),
                    (quoted, unquoted) => Ok(quoted.or(unquoted)),
                }
            }
            _ if length == 0 => Err("neither a comment nor the name of a metric"),
            _ => {
                layout.plain &= self.text.get(self.at) == Some(&b' ');
                Ok(metric)
            }
        }
    }

    /// Blanks and what stands between them and the next.
    fn read_token(&mut self, layout: &mut Layout) -> Read<&'a [u8]> {
        let gap = self.gap()?;
        layout.loose |= gap != 1 || self.text[self.at] != b' ';
        self.at += gap;
        let rest = &self.text[self.at..];
        let length = rest.iter().position(|byte| matches!(byte, b' ' | b'\t' | b'\n')).unwrap_or(rest.len());
        self.at += length;
        Ok(&rest[..length])
    }

    /// Length of the blanks that separate two tokens. Behind a closing brace the text format needs none.
    fn gap(&self) -> Read<usize> {
        let rest = &self.text[self.at.min(self.text.len())..];
        match (self.format, rest.first()) {
            (Format::OpenMetrics, Some(b' ')) => Ok(1),
            (Format::Text, Some(b' ' | b'\t')) => Ok(blanks(rest)),
            (Format::Text, Some(byte)) if *byte != b'\n' => Ok(0),
            _ => Err("a value was expected"),
        }
    }

    fn read_milliseconds(&mut self, layout: &mut Layout) -> Read<Option<&'a [u8]>> {
        let mut timestamp = None;
        loop {
            match self.text.get(self.at) {
                None | Some(b'\n') => {
                    self.at += 1;
                    return Ok(timestamp);
                }
                Some(b' ' | b'\t') => {
                    let gap = blanks(&self.text[self.at..]);
                    if matches!(self.text.get(self.at + gap), None | Some(b'\n')) {
                        layout.loose = true;
                        self.at += gap;
                    } else if timestamp.is_some() {
                        return Err("something follows the timestamp");
                    } else {
                        let token = self.read_token(layout)?;
                        number::check_milliseconds(token)?;
                        timestamp = Some(token);
                    }
                }
                Some(_) => return Err("the end of the line was expected"),
            }
        }
    }

    fn read_seconds_and_exemplar(&mut self, layout: &mut Layout) -> Read<Tail<'a>> {
        let line = self.take_line();
        let (timestamp, rest) = match line {
            [b' ', rest @ ..] if !rest.starts_with(b"#") => {
                let length = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
                number::check_seconds(&rest[..length])?;
                (Some(&rest[..length]), &rest[length..])
            }
            _ => (None, line),
        };
        if rest.is_empty() {
            return Ok((timestamp, None));
        }
        let exemplar = rest.strip_prefix(b" # ").ok_or("the end of the line was expected")?;
        let labels = check_exemplar(exemplar, self.utf8)?;
        layout.plain &= labels.plain;
        Ok((timestamp, Some(exemplar)))
    }
}

/// Whether an exemplar of a good sample has labels that only some readers take.
pub fn exemplar_has_quoted_names(exemplar: &[u8]) -> bool {
    let mut scanner = Scanner::resume(exemplar.strip_prefix(b"{").unwrap_or_default(), Format::OpenMetrics, 0);
    let _ = scanner.read_labels(0, &mut Layout::default());
    scanner.labels.iter().any(|label| label.name.quoted)
}

/// `{labels} value`, perhaps with a timestamp. Gives how the labels are laid out.
fn check_exemplar(text: &[u8], utf8: bool) -> Read<Layout> {
    let behind = text.strip_prefix(b"{").ok_or("an exemplar has no labels")?;
    let mut scanner = Scanner::resume(behind, Format::OpenMetrics, 0);
    scanner.utf8 = utf8;
    let mut layout = Layout { plain: true, loose: false };
    if scanner.read_labels(0, &mut layout)?.is_some() {
        return Err("an exemplar has a name");
    }
    // Neither of which Prometheus 2 reads.
    if layout.loose {
        return Err("a comma follows the last label of an exemplar");
    }
    if memchr::memchr(0, text).is_some() {
        return Err("an exemplar has a NUL byte");
    }
    let rest = behind[scanner.at..].strip_prefix(b" ").ok_or("an exemplar has no value")?;
    let mut tokens = rest.split(|byte| *byte == b' ');
    number::check_value(tokens.next().unwrap_or_default())?;
    match (tokens.next(), tokens.next()) {
        (None, _) => Ok(layout),
        (Some(timestamp), None) => number::check_seconds(timestamp).map(|()| layout),
        _ => Err("something follows an exemplar"),
    }
}

fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// The first word behind blanks and what follows it, from the blank on.
fn split_word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = blanks(line);
    let length = line[start..].iter().position(|byte| matches!(byte, b' ' | b'\t'))?;
    (start > 0).then(|| line[start..].split_at(length))
}

/// A name, in quotation marks or not, and what follows it.
fn name_and_rest(text: &[u8]) -> Read<Named<'_>> {
    let text = &text[blanks(text)..];
    if text.first() == Some(&b'"') {
        let mut scanner = Scanner::resume(text, Format::Text, 0);
        let (raw, _) = scanner.read_quoted()?;
        check_quoted_name(raw)?;
        return Ok((Name { raw, quoted: true }, &text[scanner.at..]));
    }
    let length = name::metric_name(text);
    if length == 0 {
        return Err("the name of a metric was expected");
    }
    Ok((Name { raw: &text[..length], quoted: false }, &text[length..]))
}

fn help<'a>((name, rest): Named<'a>, scanner: &Scanner<'a>) -> Read<Entry<'a>> {
    match rest {
        [b' ' | b'\t', text @ ..] => {
            scanner.utf8_or(text, "a help text is not UTF-8")?;
            Ok(Entry::Help(name, text))
        }
        [] if scanner.format == Format::Text => Ok(Entry::Help(name, rest)),
        // For a name that is none, such as `a.b`.
        _ if scanner.format == Format::Text => Ok(Entry::Nothing),
        _ => Err("a HELP without a text"),
    }
}

fn type_of<'a>((name, rest): Named<'a>, format: Format) -> Read<Entry<'a>> {
    let word = match (format, rest) {
        (Format::Text, [b' ' | b'\t', ..]) => rest.trim_ascii(),
        (Format::OpenMetrics, [b' ', word @ ..]) => word,
        _ => return Err("a TYPE without a type"),
    };
    Kind::parse(word, format).map(|kind| Entry::Type(name, kind)).ok_or("an unknown TYPE")
}
