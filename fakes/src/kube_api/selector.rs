//! Selectors: `app=web,tier!=db,!job,team in (a,b)`.

/// One term of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Requirement {
    Is(String, String),
    IsNot(String, String),
    Exists(String),
    Missing(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

impl Requirement {
    pub(super) fn holds<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        let any = |key: &str, wanted: &[String]| value(key).is_some_and(|value| wanted.iter().any(|wanted| wanted == value));
        match self {
            // A field that is not there counts as empty.
            Self::Is(key, wanted) => value(key).unwrap_or_default() == wanted,
            Self::IsNot(key, other) => value(key).unwrap_or_default() != other,
            Self::Exists(key) => value(key).is_some(),
            Self::Missing(key) => value(key).is_none(),
            Self::In(key, wanted) => any(key, wanted),
            Self::NotIn(key, others) => !any(key, others),
        }
    }

    fn parse(term: &str) -> Self {
        let text = |part: &str| part.trim().to_owned();
        if let Some((before, set)) = term.strip_suffix(')').and_then(|term| term.split_once('(')) {
            let values = set.split(',').map(text).collect();
            let before = before.trim();
            match before.strip_suffix(" notin") {
                Some(key) => Self::NotIn(text(key), values),
                None => Self::In(text(before.strip_suffix(" in").unwrap_or(before)), values),
            }
        } else if let Some((key, value)) = term.split_once("!=") {
            Self::IsNot(text(key), text(value))
        } else if let Some((key, value)) = term.split_once('=') {
            Self::Is(text(key), text(value.trim_start_matches('=')))
        } else if let Some(key) = term.strip_prefix('!') {
            Self::Missing(text(key))
        } else {
            Self::Exists(text(term))
        }
    }
}

/// The terms of a selector. A comma within parentheses is none between terms.
pub(super) fn requirements(selector: &str) -> Vec<Requirement> {
    let mut in_set = false;
    let terms = selector.split(|character| {
        match character {
            '(' => in_set = true,
            ')' => in_set = false,
            _ => {}
        }
        character == ',' && !in_set
    });
    terms.map(str::trim).filter(|term| !term.is_empty()).map(Requirement::parse).collect()
}
