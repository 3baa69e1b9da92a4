//! Why a text is no quantity.

use std::fmt;

/// A text that is no quantity, and why.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QuantityError {
    /// Nothing at all.
    #[error("a quantity must not be empty")]
    Empty,
    /// No digit where the number must be.
    #[error("`{0}` is no quantity: it has no digits")]
    Number(Excerpt),
    /// What follows the number is none of the known suffixes.
    #[error("`{0}` is no quantity: its suffix must be one of n u m k M G T P E Ki Mi Gi Ti Pi Ei")]
    Suffix(Excerpt),
    /// What follows `e` or `E` is no whole number, or one of more than 64 bits.
    #[error("`{0}` is no quantity: its exponent must be a whole number of 64 bits")]
    Exponent(Excerpt),
    /// JSON has infinite numbers in no form, but other formats do.
    #[error("a quantity must be finite")]
    Infinite,
}

/// Longest text that an error repeats, in bytes.
const LONGEST: usize = 38;

/// The beginning of a text, kept without allocating.
#[derive(Copy, Clone, PartialEq, Eq)]
pub struct Excerpt {
    bytes: [u8; LONGEST],
    kept: u8,
    cut: bool,
}

impl Excerpt {
    pub(super) fn of(text: &str) -> Self {
        let beginning = &text.as_bytes()[..text.floor_char_boundary(LONGEST)];
        let mut bytes = [0; LONGEST];
        bytes[..beginning.len()].copy_from_slice(beginning);
        Self { bytes, kept: u8::try_from(beginning.len()).unwrap_or_default(), cut: beginning.len() < text.len() }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.kept)]).unwrap_or_default()
    }
}

/// Without line feeds and the like, with `...` where it was cut.
impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text().escape_debug(), if self.cut { "..." } else { "" })
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text())
    }
}
