//! The regular expressions that a matcher may have: alternatives of texts, `.*` and `.+`.

/// An expression that has to fit a whole text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Vec<Piece>>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// At least so many characters.
    Any(usize),
}

impl Pattern {
    /// Reads an expression; anything beyond the above is an error, so that no answer is quietly wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut alternatives = vec![Vec::new()];
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let pieces: &mut Vec<Piece> = alternatives.last_mut().expect("there is one from the start");
            let unknown = || format!("this fake does not know the regular expression {text:?}");
            match character {
                '|' => alternatives.push(Vec::new()),
                '\\' => match characters.next() {
                    // An escaped letter is a class, such as `\d`.
                    Some(escaped) if !escaped.is_ascii_alphanumeric() => push(pieces, escaped),
                    _ => return Err(unknown()),
                },
                '.' => match characters.next() {
                    Some('*') => pieces.push(Piece::Any(0)),
                    Some('+') => pieces.push(Piece::Any(1)),
                    _ => return Err(unknown()),
                },
                '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$' | '*' | '+' | '?' => return Err(unknown()),
                plain => push(pieces, plain),
            }
        }
        Ok(Self(alternatives))
    }

    pub(super) fn fits(&self, text: &str) -> bool {
        self.0.iter().any(|pieces| fits(pieces, text))
    }
}

fn push(pieces: &mut Vec<Piece>, character: char) {
    match pieces.last_mut() {
        Some(Piece::Text(text)) => text.push(character),
        _ => pieces.push(Piece::Text(character.to_string())),
    }
}

fn fits(pieces: &[Piece], text: &str) -> bool {
    match pieces.split_first() {
        None => text.is_empty(),
        Some((Piece::Text(wanted), rest)) => text.strip_prefix(wanted.as_str()).is_some_and(|behind| fits(rest, behind)),
        Some((Piece::Any(least), rest)) => {
            let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]).skip(*least);
            ends.any(|end| fits(rest, &text[end..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn whole_texts() {
        let fits = |pattern: &str, text: &str| Pattern::parse(pattern).unwrap().fits(text);
        assert!(fits("a|b", "a") && fits("a|b", "b"));
        assert!(!fits("a|b", "ab") && !fits("a", "ba") && !fits("a|b", ""));
        assert!(fits(r"a\.b", "a.b") && !fits(r"a\.b", "axb"));
        assert!(fits(r"a\|b\-c", "a|b-c"));
        assert!(fits("a|", "") && fits(".*", "") && !fits(".+", ""));
        assert!(fits("ns-.*", "ns-1") && fits(".*a.+", "xaay") && !fits("ns-.+", "ns-"));
    }

    #[test]
    fn beyond_this_fake() {
        for pattern in ["(a)", "a?", "[ab]", "^a", "a.b", r"\d", "\\", "a{2}"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
