//! Names of metrics and labels, and how those that not every reader takes are written for it.
//!
//! The schemes are those that Prometheus asks for with `escaping=` in `Accept`: <https://prometheus.io/docs/instrumenting/escaping_schemes/>.

use std::borrow::Cow;
use std::fmt::Write as _;

const METRIC_START: u8 = 1;
const METRIC: u8 = 2;
const LABEL_START: u8 = 4;
const LABEL: u8 = 8;

/// What each byte may be part of.
const CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0_u8;
    loop {
        table[at as usize] = match at {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => METRIC_START | METRIC | LABEL_START | LABEL,
            b':' => METRIC_START | METRIC,
            b'0'..=b'9' => METRIC | LABEL,
            _ => 0,
        };
        if at == u8::MAX {
            return table;
        }
        at += 1;
    }
}

/// Length of the metric name that `text` begins with; 0 if it begins with none.
pub(super) fn metric_name(text: &[u8]) -> usize {
    length(text, METRIC_START, METRIC)
}

/// Length of the label name that `text` begins with; 0 if it begins with none.
pub(super) fn label_name(text: &[u8]) -> usize {
    length(text, LABEL_START, LABEL)
}

fn length(text: &[u8], start: u8, rest: u8) -> usize {
    match text.first() {
        Some(first) if CLASSES[usize::from(*first)] & start != 0 => {}
        _ => return 0,
    }
    text.iter().position(|byte| CLASSES[usize::from(*byte)] & rest == 0).unwrap_or(text.len())
}

/// True for `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_metric_name(name: &[u8]) -> bool {
    !name.is_empty() && metric_name(name) == name.len()
}

/// True for `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_label_name(name: &[u8]) -> bool {
    !name.is_empty() && label_name(name) == name.len()
}

/// How a name is written that is none in the formats of old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Escaping {
    /// As it is, in quotes.
    AllowUtf8,
    /// Each character that is not allowed becomes `_`.
    #[default]
    Underscores,
    /// `_` doubled, `.` as `_dot_`, others as `_`.
    Dots,
    /// `U__` and the code of each character.
    Values,
}

impl Escaping {
    /// Reads the parameter `escaping` of a media type.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "allow-utf-8" => Self::AllowUtf8,
            "underscores" => Self::Underscores,
            "dots" => Self::Dots,
            "values" => Self::Values,
            _ => return None,
        })
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }

    /// The name of a label in this scheme, without the colons that only metrics may have.
    pub fn apply_to_label(self, name: &str) -> Cow<'_, str> {
        match self.apply(name) {
            escaped if self != Self::AllowUtf8 && escaped.contains(':') => Cow::Owned(escaped.replace(':', "_")),
            escaped => escaped,
        }
    }

    /// The name of a metric in this scheme. Only dots touch names that were legal anyway.
    pub fn apply(self, name: &str) -> Cow<'_, str> {
        let unchanged = match self {
            Self::AllowUtf8 => true,
            Self::Dots => !name.contains(['_', '.']) && is_metric_name(name.as_bytes()),
            Self::Underscores | Self::Values => is_metric_name(name.as_bytes()),
        };
        if unchanged || name.is_empty() {
            return Cow::Borrowed(name);
        }
        let mut out = String::with_capacity(name.len() + 8);
        if self == Self::Values {
            out.push_str("U__");
        }
        for (at, letter) in name.char_indices() {
            let class = if at == 0 { METRIC_START } else { METRIC };
            let legal = letter.is_ascii() && u8::try_from(letter).is_ok_and(|byte| CLASSES[usize::from(byte)] & class != 0);
            match (self, letter) {
                (Self::Dots | Self::Values, '_') => out.push_str("__"),
                (Self::Dots, '.') => out.push_str("_dot_"),
                _ if legal => out.push(letter),
                (Self::Values, _) => {
                    let _ = write!(out, "_{:X}_", u32::from(letter));
                }
                _ => out.push('_'),
            }
        }
        Cow::Owned(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["a", "_", "a:b", ":a", "A9_"] {
            assert!(is_metric_name(name.as_bytes()), "{name}");
        }
        for name in ["", "9", "a.b", "a b", "\u{e9}"] {
            assert!(!is_metric_name(name.as_bytes()) && !is_label_name(name.as_bytes()), "{name}");
        }
        assert!(is_label_name(b"a_9") && !is_label_name(b"a:b"));
    }

    /// The first three are the examples of the page that defines the schemes.
    #[test]
    fn schemes() {
        assert_eq!(Escaping::Underscores.apply("metric.name/with/slashes"), "metric_name_with_slashes");
        assert_eq!(Escaping::Dots.apply("metric.name.with.dots"), "metric_dot_name_dot_with_dot_dots");
        assert_eq!(Escaping::Values.apply("metric.name"), "U__metric_2E_name");
        assert_eq!(Escaping::Dots.apply("a_b c"), "a__b_c");
        assert_eq!(Escaping::Values.apply("9_\u{ff71}"), "U___39____FF71_");
        assert_eq!(Escaping::Underscores.apply("9\u{ff71}"), "__");
        for scheme in [Escaping::Underscores, Escaping::Values, Escaping::AllowUtf8] {
            assert_eq!(scheme.apply("no_change:9"), "no_change:9");
            assert_eq!(Escaping::parse(scheme.word()), Some(scheme));
        }
        assert_eq!(Escaping::AllowUtf8.apply("a.b"), "a.b");
        assert_eq!(Escaping::Underscores.apply_to_label("a:b"), "a_b");
    }
}
