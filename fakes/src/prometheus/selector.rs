//! As much of PromQL as selects series: a name, matchers, a range.

use super::pattern::Pattern;
use super::time;

/// The label that holds the name of a metric.
pub(super) const NAME: &str = "__name__";

/// `name{label="value"}[5m]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selector {
    pub(super) matchers: Vec<Matcher>,
    /// Milliseconds in the brackets.
    pub(super) range: Option<i64>,
}

/// What one label has to be. A label that is not there is an empty one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Matcher {
    pub(super) label: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Equal(String),
    NotEqual(String),
    Fits(Pattern),
    FitsNot(Pattern),
}

impl Matcher {
    fn name(name: String) -> Self {
        Self { label: NAME.to_owned(), test: Test::Equal(name) }
    }

    pub(super) fn holds(&self, value: &str) -> bool {
        match &self.test {
            Test::Equal(wanted) => value == wanted,
            Test::NotEqual(unwanted) => value != unwanted,
            Test::Fits(pattern) => pattern.fits(value),
            Test::FitsNot(pattern) => !pattern.fits(value),
        }
    }
}

impl Selector {
    /// Reads a selector, or says in the way of Prometheus why it is none.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, rest: text };
        reader.selector().map_err(|error| {
            let column = text.len() - reader.rest.len() + 1;
            format!("1:{column}: parse error: {error}")
        })
    }

    /// The name of the only metric that this may select.
    pub(super) fn metric(&self) -> Option<&str> {
        self.matchers.iter().find_map(|matcher| match &matcher.test {
            Test::Equal(name) if matcher.label == NAME => Some(name.as_str()),
            _ => None,
        })
    }
}

/// What is left of a text.
struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Reader<'_> {
    fn selector(&mut self) -> Result<Selector, String> {
        let mut matchers: Vec<Matcher> = self.identifier().map(Matcher::name).into_iter().collect();
        if self.eat("{") {
            while !self.eat("}") {
                matchers.push(self.matcher()?);
                if !self.eat(",") {
                    self.expect("}")?;
                    break;
                }
            }
        }
        let range = if self.eat("[") { Some(self.range()?) } else { None };
        self.skip_space();
        if !self.rest.is_empty() {
            return Err(format!("unexpected {:?}", self.rest));
        }
        if self.text.trim().is_empty() {
            return Err("no expression found in input".to_owned());
        }
        if matchers.iter().all(|matcher| matcher.holds("")) {
            return Err("vector selector must contain at least one non-empty matcher".to_owned());
        }
        Ok(Selector { matchers, range })
    }

    /// `label="value"`, or only `"name"`.
    fn matcher(&mut self) -> Result<Matcher, String> {
        let label = match self.string()? {
            Some(quoted) => {
                self.skip_space();
                if self.rest.starts_with([',', '}']) {
                    return Ok(Matcher::name(quoted));
                }
                quoted
            }
            None => self.identifier().ok_or("unexpected character inside braces")?,
        };
        let operator = ["=~", "!~", "!=", "="].into_iter().find(|operator| self.eat(operator));
        let operator = operator.ok_or("expected label matching operator")?;
        let value = self.string()?.ok_or("expected string after label matching operator")?;
        let test = match operator {
            "=~" => Test::Fits(Pattern::parse(&value)?),
            "!~" => Test::FitsNot(Pattern::parse(&value)?),
            "!=" => Test::NotEqual(value),
            _ => Test::Equal(value),
        };
        Ok(Matcher { label, test })
    }

    fn range(&mut self) -> Result<i64, String> {
        let end = self.rest.find(']').ok_or("unclosed left bracket")?;
        let range = time::duration(self.rest[..end].trim()).ok_or("bad number or duration syntax")?;
        self.rest = &self.rest[end + 1..];
        Ok(range)
    }

    /// A name without quotes.
    fn identifier(&mut self) -> Option<String> {
        self.skip_space();
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let end = self.rest.find(|c| !inside(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        self.rest = rest;
        Some(name.to_owned())
    }

    /// A string in quotes, if one is next, without its escapes.
    fn string(&mut self) -> Result<Option<String>, String> {
        self.skip_space();
        let Some(quote) = self.rest.chars().next().filter(|c| ['"', '\'', '`'].contains(c)) else {
            return Ok(None);
        };
        let mut value = String::new();
        let mut characters = self.rest[1..].chars();
        loop {
            match characters.next().ok_or("unterminated quoted string")? {
                end if end == quote => break,
                '\\' if quote != '`' => value.push(escaped(&mut characters).ok_or("unknown escape sequence")?),
                plain => value.push(plain),
            }
        }
        self.rest = characters.as_str();
        Ok(Some(value))
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.eat(token) { Ok(()) } else { Err(format!("expected {token:?}")) }
    }

    fn eat(&mut self, token: &str) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }
}

/// The character behind a backslash. The escapes are those of Go, without octal ones.
fn escaped(characters: &mut std::str::Chars<'_>) -> Option<char> {
    let digits = match characters.next()? {
        'n' => return Some('\n'),
        'r' => return Some('\r'),
        't' => return Some('\t'),
        same @ ('\\' | '"' | '\'') => return Some(same),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return None,
    };
    let hex: String = characters.by_ref().take(digits).collect();
    let code = u32::from_str_radix(&hex, 16).ok().filter(|_| hex.len() == digits)?;
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for text in ["up", " up ", r#"{__name__="up"}"#, r#"{"up"}"#, r#"{ 'up' , }"#, r#"{__name__=`up`}"#, r#"{"\u0075\x70"}"#]
        {
            let selector = Selector::parse(text).unwrap();
            assert_eq!((selector.metric(), selector.range, selector.matchers.len()), (Some("up"), None, 1), "{text}");
        }
        assert_eq!(Selector::parse(r#"{__name__=~"up"}"#).unwrap().metric(), None);
        assert_eq!(Selector::parse(r#"{"a.b"}[90s]"#).unwrap().metric(), Some("a.b"));
    }

    #[test]
    fn matchers() {
        let selector = Selector::parse(r#"up{a="1", b!="2", c=~"x|y\\.z", d!~"w", "e f"="3"} [5m]"#).unwrap();
        assert_eq!(selector.range, Some(300_000));
        let holds = |index: usize, value: &str| selector.matchers[index].holds(value);
        assert!(holds(1, "1") && !holds(1, "") && holds(2, "") && !holds(2, "2"));
        assert!(holds(3, "y.z") && !holds(3, "y-z") && holds(4, "") && !holds(4, "w"));
        assert_eq!(selector.matchers[5].label, "e f");
    }

    #[test]
    fn refused() {
        for text in [
            "",
            " ",
            "{}",
            r#"{a=""}"#,
            r#"{a=~".*"}"#,
            "sum(up)",
            "up offset 5m",
            "up[5]",
            "up[5m",
            "up{a}",
            "up{a=b}",
            "up{",
            "1up",
            r#"up{a="\q"}"#,
            r#"up{a="x}"#,
            r#"up{a=~"(x)"}"#,
            "up + up",
            r#"up{a="1" b="2"}"#,
            "é",
        ] {
            let error = Selector::parse(text).unwrap_err();
            assert!(error.starts_with("1:") && error.contains(": parse error: "), "{text}: {error}");
        }
    }
}
