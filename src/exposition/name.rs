//! Names of metrics and labels, and how those that not every reader takes are written for it.
//!
//! The schemes are those that Prometheus asks for with `escaping=` in `Accept`: <https://prometheus.io/docs/instrumenting/escaping_schemes/>.

use std::borrow::Cow;

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
    /// Each character that is not allowed becomes `_`. Who asks for another scheme gets this one, which every reader takes.
    #[default]
    Underscores,
}

impl Escaping {
    /// Reads the parameter `escaping` of a media type.
    pub fn parse(word: &str) -> Self {
        if word == "allow-utf-8" { Self::AllowUtf8 } else { Self::Underscores }
    }

    /// The name of a metric.
    pub fn apply(self, name: &str) -> Cow<'_, str> {
        self.replace(name, METRIC_START, METRIC)
    }

    /// The name of a label, which may have no colons.
    pub fn apply_to_label(self, name: &str) -> Cow<'_, str> {
        self.replace(name, LABEL_START, LABEL)
    }

    fn replace(self, name: &str, start: u8, rest: u8) -> Cow<'_, str> {
        if self == Self::AllowUtf8 || length(name.as_bytes(), start, rest) == name.len() {
            return Cow::Borrowed(name);
        }
        let replaced = name.char_indices().map(|(at, letter)| {
            let class = if at == 0 { start } else { rest };
            let legal = u8::try_from(letter).is_ok_and(|byte| CLASSES[usize::from(byte)] & class != 0);
            if legal { letter } else { '_' }
        });
        Cow::Owned(replaced.collect())
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

    /// The first is the example of the page that defines the schemes.
    #[test]
    fn schemes() {
        assert_eq!(Escaping::Underscores.apply("metric.name/with/slashes"), "metric_name_with_slashes");
        assert_eq!(Escaping::Underscores.apply("9\u{ff71}"), "__");
        assert_eq!(Escaping::Underscores.apply("no_change:9"), "no_change:9");
        assert_eq!(Escaping::Underscores.apply_to_label("a:b"), "a_b");
        assert_eq!(Escaping::AllowUtf8.apply("a.b"), "a.b");
        assert_eq!(
            ["allow-utf-8", "dots", ""].map(Escaping::parse),
            [Escaping::AllowUtf8, Escaping::Underscores, Escaping::Underscores]
        );
    }
}
