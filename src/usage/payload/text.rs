//! Strings of JSON as they stand in the body: unescaped only by who needs it, and shown in one short line.

use std::borrow::Cow;
use std::str::Chars;

/// What is shown of a value that is refused, in characters.
const MOST_SHOWN: usize = 40;

/// A string between its quotes. Its escapes are well-formed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    raw: &'a str,
    escapes: usize,
}

impl<'a> Text<'a> {
    /// `escapes` says how many characters in it are escaped.
    pub(super) fn new(raw: &'a str, escapes: usize) -> Self {
        Self { raw, escapes }
    }

    /// As it was written.
    pub(super) fn raw(self) -> &'a str {
        self.raw
    }

    /// What it says, if nothing of it had to be escaped.
    #[inline]
    pub(super) fn plain(self) -> Option<&'a str> {
        (self.escapes == 0).then_some(self.raw)
    }

    /// What it says. Half a surrogate pair, which stands for nothing, becomes U+FFFD.
    pub(super) fn unescaped(self) -> Cow<'a, str> {
        match self.plain() {
            Some(text) => Cow::Borrowed(text),
            None => self.chars().map(|one| one.unwrap_or(char::REPLACEMENT_CHARACTER)).collect(),
        }
    }

    /// Its characters; nothing in the place of half a surrogate pair.
    pub(super) fn chars(self) -> impl Iterator<Item = Option<char>> {
        Unescape(self.raw.chars())
    }
}

struct Unescape<'a>(Chars<'a>);

impl Unescape<'_> {
    fn unit(&mut self) -> Option<u32> {
        let hex = self.0.as_str().get(..4)?;
        let unit = u32::from_str_radix(hex, 16).ok()?;
        self.0 = self.0.as_str()[4..].chars();
        Some(unit)
    }

    /// The other half of a pair; if there is none, all stays where it is.
    fn low(&mut self) -> Option<u32> {
        let before = self.0.clone();
        let low = self.0.next().filter(|&c| c == '\\').and_then(|_| self.0.next()).filter(|&c| c == 'u');
        let low = low.and_then(|_| self.unit()).filter(|unit| (0xDC00..0xE000).contains(unit));
        if low.is_none() {
            self.0 = before;
        }
        low
    }
}

impl Iterator for Unescape<'_> {
    type Item = Option<char>;

    fn next(&mut self) -> Option<Self::Item> {
        let one = self.0.next()?;
        if one != '\\' {
            return Some(Some(one));
        }
        Some(match self.0.next()? {
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'u' => match self.unit()? {
                high @ 0xD800..0xDC00 => {
                    self.low().and_then(|low| char::from_u32(0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00)))
                }
                unit => char::from_u32(unit),
            },
            itself => Some(itself),
        })
    }
}

/// The beginning of what was found, for people: in one line, and without anything that moves the cursor.
pub(super) fn shortened(text: &str) -> String {
    let mut shown = String::new();
    for (index, one) in text.chars().enumerate() {
        if index == MOST_SHOWN {
            shown.push('…');
            break;
        }
        match one {
            ' '..='~' => shown.push(one),
            _ if one.is_alphanumeric() => shown.push(one),
            _ => shown.extend(one.escape_unicode()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_pair_takes_nothing_with_it() {
        let said = |raw: &str| Text::new(raw, 1).unescaped().into_owned();
        assert_eq!(said(r"\ud83d\ude00"), "\u{1f600}");
        assert_eq!(said(r"\ud83dab\n"), "\u{fffd}ab\n");
        assert_eq!(said(r"\ud83d\n\ude00"), "\u{fffd}\n\u{fffd}");
        assert_eq!(said(r"\ud83d\ud83d\ude00"), "\u{fffd}\u{1f600}");
        assert_eq!(said(r"\ud83d\u0041"), "\u{fffd}A");
    }

    #[test]
    fn what_is_shown_is_one_short_line() {
        assert_eq!(shortened("caf\u{e9} \u{202e}\u{7f}\n"), "caf\u{e9} \\u{202e}\\u{7f}\\u{a}");
        assert_eq!(shortened(&"x".repeat(41)), format!("{}\u{2026}", "x".repeat(40)));
    }
}
