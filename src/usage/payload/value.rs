//! What the fields may say. `schema/usage.json` states the same rules.

use super::json::Value;
use super::text::{Text, shortened};

/// Names of nodes and pods have at most 253 characters in Kubernetes, and nothing else that is reported is longer.
pub(super) const LONGEST_TEXT: usize = 253;
/// 2^63, the first whole number that is too large.
const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;

/// What a field says, or what is wrong with it.
pub(super) type Said<T> = Result<T, String>;

impl<'a> Value<'a> {
    /// What was found instead, in a few words.
    fn found(self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(word) => word.to_owned(),
            Self::Number(digits) => format!("`{}`", shortened(digits)),
            Self::Text(text) => format!("the string `{}`", shortened(text.raw())),
            Self::Array => "an array".to_owned(),
            Self::Object => "an object".to_owned(),
        }
    }

    /// Says that something else was expected.
    pub(super) fn not<T>(self, expected: &str) -> Said<T> {
        Err(format!("expected {expected}, found {}", self.found()))
    }

    /// Nothing where it is null.
    #[inline]
    pub(super) fn optional<T>(self, read: impl FnOnce(Self) -> Said<T>) -> Said<Option<T>> {
        if let Self::Null = self { Ok(None) } else { read(self).map(Some) }
    }

    /// A string of at most [`LONGEST_TEXT`] characters, none of which is a control character below U+0020.
    #[inline]
    pub(super) fn text(self) -> Said<Text<'a>> {
        let Self::Text(text) = self else { return self.not("a string") };
        match text.plain() {
            Some(plain) if plain.len() <= LONGEST_TEXT || plain.chars().count() <= LONGEST_TEXT => Ok(text),
            Some(_) => too_long(),
            None => escaped(text),
        }
    }

    /// The same, and not empty.
    #[inline]
    pub(super) fn name(self) -> Said<Text<'a>> {
        let text = self.text()?;
        if text.raw().is_empty() { Err("must not be empty".to_owned()) } else { Ok(text) }
    }

    /// A finite double that is not negative.
    #[inline]
    pub(super) fn number(self) -> Said<f64> {
        let Self::Number(digits) = self else { return self.not("a number") };
        match digits.parse::<f64>() {
            Ok(number) if number < 0.0 => negative(digits),
            // So that -0 is 0.
            Ok(number) if number.is_finite() => Ok(number + 0.0),
            _ => Err(format!("`{}` is beyond the range of a double", shortened(digits))),
        }
    }

    /// A whole number below 2^63 that is not negative. A fraction is rounded, half of one up.
    #[inline]
    pub(super) fn bytes(self) -> Said<i64> {
        let Self::Number(digits) = self else { return self.not("a number") };
        match digits.parse::<i64>() {
            Ok(number) if number >= 0 => Ok(number),
            Ok(_) => negative(digits),
            Err(_) => rounded(digits),
        }
    }
}

/// A number that is written with a point or an exponent, or is too large.
#[expect(clippy::cast_possible_truncation, reason = "it is whole and below 2^63")]
fn rounded(digits: &str) -> Said<i64> {
    match digits.parse::<f64>() {
        Ok(number) if number < 0.0 => negative(digits),
        Ok(number) if number < TOO_LARGE => Ok(number.round() as i64),
        _ => Err(format!("`{}` is more than {}", shortened(digits), i64::MAX)),
    }
}

fn escaped(text: Text<'_>) -> Said<Text<'_>> {
    let mut count = 0_usize;
    for one in text.chars() {
        match one {
            None => return Err(format!("half a surrogate pair in `{}`", shortened(text.raw()))),
            Some('\0'..'\u{20}') => return Err(format!("a control character in `{}`", shortened(text.raw()))),
            Some(_) => count += 1,
        }
    }
    if count <= LONGEST_TEXT { Ok(text) } else { too_long() }
}

fn too_long<T>() -> Said<T> {
    Err(format!("longer than {LONGEST_TEXT} characters"))
}

fn negative<T>(digits: &str) -> Said<T> {
    Err(format!("must not be negative, found `{}`", shortened(digits)))
}
