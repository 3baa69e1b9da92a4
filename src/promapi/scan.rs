//! Reads an answer of the Prometheus HTTP API as it arrives, in constant memory: whether it is whole and valid JSON, what it says of itself, how many
//! series and samples it holds, and where each series begins and ends.
//!
//! Rules: RFC 8259 for JSON; <https://prometheus.io/docs/prometheus/latest/querying/api/#format-overview> for what the members mean.

mod number;
mod role;
mod text;

use self::number::Number;
use self::role::Role;
use self::text::{Capture, Utf8};

/// Answers nest six levels deep, native histograms two more.
const DEEPEST: usize = 32;
/// Warnings and infos kept of an answer.
const MOST_NOTES: usize = 20;

/// What an answer says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// `success` or `error`.
    pub status: String,
    /// Set with the status `error`.
    pub error_type: String,
    /// Set with the status `error`.
    pub error: String,
    /// `matrix`, `vector`, `scalar` or `string`.
    pub result_type: String,
    /// Reasons why the answer may be partial.
    pub warnings: Vec<String>,
    /// Remarks about the query, which do not make the answer partial.
    pub infos: Vec<String>,
    /// Elements of the result.
    pub series: u64,
    /// Samples and native histograms in all series.
    pub samples: u64,
}

/// Bytes that are no answer, or not a whole one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends too early.
    #[error("it ends after {0} bytes, before its end")]
    Truncated(u64),
    /// It is something else.
    #[error("it is not valid JSON at byte {at}: {what}; it begins with `{head}`")]
    NotJson {
        /// Offset of the byte that cannot stand where it stands.
        at: u64,
        /// What is the matter.
        what: &'static str,
        /// The first bytes.
        head: String,
    },
}

/// Reads an answer that is there as a whole.
///
/// # Errors
/// When it is none.
pub fn whole(bytes: &[u8]) -> Result<Answer, Malformed> {
    let mut scanner = Scanner::default();
    scanner.feed(bytes)?;
    scanner.finish()
}

/// Where a series lies in the bytes that were fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// Its first byte.
    Begin(usize),
    /// Behind its last byte.
    End(usize),
}

/// An open container.
#[derive(Debug, Clone, Copy)]
struct Open {
    role: Role,
    is_object: bool,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    String { key: bool },
    Escape { key: bool },
    Unicode { key: bool, left: u8 },
    Number(Number),
    Literal(&'static [u8]),
    Done,
}

/// Reads one answer.
#[derive(Debug)]
pub struct Scanner {
    state: State,
    open: Vec<Open>,
    /// Of the value that comes next.
    role: Role,
    capture: Capture,
    utf8: Utf8,
    answer: Answer,
    /// Bytes fed before.
    offset: u64,
    head: Vec<u8>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            state: State::Value,
            open: Vec::with_capacity(8),
            role: Role::Answer,
            capture: Capture::default(),
            utf8: Utf8::default(),
            answer: Answer::default(),
            offset: 0,
            head: Vec::new(),
        }
    }
}

impl Scanner {
    /// Reads the next bytes.
    ///
    /// # Errors
    /// At the first byte that cannot stand where it stands.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.feed_marking(bytes, |_| ())
    }

    /// Reads the next bytes and tells where series begin and end in them.
    ///
    /// # Errors
    /// At the first byte that cannot stand where it stands.
    pub fn feed_marking(&mut self, bytes: &[u8], mut mark: impl FnMut(Boundary)) -> Result<(), Malformed> {
        let room = 60_usize.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.utf8.feed(bytes).map_err(|at| self.malformed(at, "it is not UTF-8"))?;
        let mut at = 0;
        while at < bytes.len() {
            // Most bytes of an answer are inside short strings and numbers.
            match self.state {
                State::Value if self.parent() == Role::Samples => {
                    let (samples, used) = text::usual_samples(&bytes[at..]);
                    self.answer.samples += samples;
                    at += used;
                    if at < bytes.len() {
                        self.step(bytes[at], at, &mut mark).map_err(|what| self.malformed(at, what))?;
                        at += 1;
                    }
                }
                State::String { key } => {
                    let rest = &bytes[at..];
                    let plain = text::plain(rest);
                    if self.capture.is_on() {
                        self.capture.push(&rest[..plain]);
                    }
                    at += plain;
                    if at == bytes.len() {
                        break;
                    }
                    match bytes[at] {
                        b'"' => self.string_ended(key, at, &mut mark),
                        b'\\' => self.state = State::Escape { key },
                        _ => return Err(self.malformed(at, "a control character in a string")),
                    }
                    at += 1;
                }
                State::Number(number) => match number.next(bytes[at]) {
                    Some(next) => {
                        self.state = State::Number(next);
                        at += 1;
                    }
                    None if number.may_end() => self.value_ended(at, &mut mark),
                    None => return Err(self.malformed(at, "a number is cut off")),
                },
                _ => {
                    self.step(bytes[at], at, &mut mark).map_err(|what| self.malformed(at, what))?;
                    at += 1;
                }
            }
        }
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// What the answer said.
    ///
    /// # Errors
    /// When it is not at its end.
    pub fn finish(self) -> Result<Answer, Malformed> {
        if self.state == State::Done { Ok(self.answer) } else { Err(Malformed::Truncated(self.offset)) }
    }

    fn step(&mut self, byte: u8, at: usize, mark: &mut impl FnMut(Boundary)) -> Result<(), &'static str> {
        match (self.state, byte) {
            (State::Escape { key }, b'u') => self.state = State::Unicode { key, left: 4 },
            (State::Escape { key }, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.capture.push(&[b'\\', byte]);
                self.state = State::String { key };
            }
            (State::Escape { .. }, _) => return Err("an unknown escape"),
            (State::Unicode { key, left }, _) if byte.is_ascii_hexdigit() => {
                self.capture.push(if left == 4 { b"\\u" } else { b"" });
                self.capture.push(&[byte]);
                self.state = if left == 1 { State::String { key } } else { State::Unicode { key, left: left - 1 } };
            }
            (State::Unicode { .. }, _) => return Err("an escape is cut off"),
            (State::Literal(rest), _) => match rest.split_first() {
                Some((&first, rest)) if first == byte => {
                    self.state = State::Literal(rest);
                    if rest.is_empty() {
                        self.value_ended(at + 1, mark);
                    }
                }
                _ => return Err("an unknown word"),
            },
            (_, b' ' | b'\n' | b'\r' | b'\t') => {}
            (State::Value | State::ValueOrEnd, b'{' | b'[') => return self.container(byte == b'{', at, mark),
            (State::ValueOrEnd, b']') | (State::KeyOrEnd, b'}') => self.container_ended(at, mark),
            (State::Value | State::ValueOrEnd, _) => return self.scalar(byte, at, mark),
            (State::Key | State::KeyOrEnd, b'"') => {
                if self.parent() != Role::Other {
                    self.capture.start();
                }
                self.state = State::String { key: true };
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::CommaOrEnd, b',') => {
                let inner = self.open.last().copied();
                self.state = if inner.is_some_and(|open| open.is_object) { State::Key } else { State::Value };
                self.role = inner.map_or(Role::Other, |open| open.role.of_element());
            }
            (State::CommaOrEnd, b'}' | b']') if self.open.last().is_some_and(|open| open.is_object == (byte == b'}')) => {
                self.container_ended(at, mark);
            }
            (State::Done, _) => return Err("something follows the answer"),
            _ => return Err("an unexpected character"),
        }
        Ok(())
    }

    fn container(&mut self, is_object: bool, at: usize, mark: &mut impl FnMut(Boundary)) -> Result<(), &'static str> {
        if self.open.len() == DEEPEST {
            return Err("it nests too deep");
        }
        if self.open.is_empty() && !is_object {
            return Err("an answer is an object");
        }
        self.value_begins(at, mark);
        self.open.push(Open { role: self.role, is_object });
        self.role = self.role.of_element();
        self.state = if is_object { State::KeyOrEnd } else { State::ValueOrEnd };
        Ok(())
    }

    fn scalar(&mut self, byte: u8, at: usize, mark: &mut impl FnMut(Boundary)) -> Result<(), &'static str> {
        let state = match byte {
            b'"' => State::String { key: false },
            b't' => State::Literal(b"rue"),
            b'f' => State::Literal(b"alse"),
            b'n' => State::Literal(b"ull"),
            _ => State::Number(Number::begin(byte).ok_or("a value was expected")?),
        };
        self.value_begins(at, mark);
        if self.open.is_empty() {
            return Err("an answer is an object");
        }
        if state == (State::String { key: false }) && self.role.is_captured() {
            self.capture.start();
        }
        self.state = state;
        Ok(())
    }

    fn value_begins(&mut self, at: usize, mark: &mut impl FnMut(Boundary)) {
        match self.role {
            Role::Series => {
                self.answer.series += 1;
                mark(Boundary::Begin(at));
            }
            Role::Sample => self.answer.samples += 1,
            _ => {}
        }
    }

    fn string_ended(&mut self, key: bool, at: usize, mark: &mut impl FnMut(Boundary)) {
        if key {
            self.role = self.parent().of_member(self.capture.raw());
            self.capture.stop();
            self.state = State::Colon;
            return;
        }
        if self.capture.is_on() {
            self.note(self.capture.text());
            self.capture.stop();
        }
        self.value_ended(at + 1, mark);
    }

    /// What the innermost open container means.
    fn parent(&self) -> Role {
        self.open.last().map_or(Role::Other, |open| open.role)
    }

    fn note(&mut self, text: String) {
        match self.role {
            Role::Status => self.answer.status = text,
            Role::ErrorType => self.answer.error_type = text,
            Role::Error => self.answer.error = text,
            Role::ResultType => self.answer.result_type = text,
            Role::Warning if self.answer.warnings.len() < MOST_NOTES => self.answer.warnings.push(text),
            Role::Info if self.answer.infos.len() < MOST_NOTES => self.answer.infos.push(text),
            _ => {}
        }
    }

    /// A value ended before `at`; its role is still known.
    fn value_ended(&mut self, at: usize, mark: &mut impl FnMut(Boundary)) {
        if self.role == Role::Series {
            mark(Boundary::End(at));
        }
        self.state = if self.open.is_empty() { State::Done } else { State::CommaOrEnd };
    }

    fn container_ended(&mut self, at: usize, mark: &mut impl FnMut(Boundary)) {
        self.role = self.open.pop().map_or(Role::Other, |open| open.role);
        self.value_ended(at + 1, mark);
    }

    fn malformed(&self, at: usize, what: &'static str) -> Malformed {
        let head: String = String::from_utf8_lossy(&self.head).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Malformed::NotJson { at: self.offset + at as u64, what, head: head.trim_end_matches('\u{fffd}').to_owned() }
    }
}

#[cfg(test)]
mod tests;
