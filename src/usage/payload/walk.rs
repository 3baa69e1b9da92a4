//! A body from its first byte to its last: what is said of the node is kept, and each good entry is handed on.

use super::super::report::DeadLetter;
use super::entry::{Entry, Wrong, once, required};
use super::json::{Reader, Syntax, Value};
use super::text::Text;
use super::value::Said;
use super::{LONGEST_ENTRY, MOST_PODS, Rejection, timestamp};

/// All but the entries.
pub(super) struct Head<'a> {
    pub(super) timestamp: Text<'a>,
    pub(super) collected_at: i64,
    pub(super) node_name: Text<'a>,
    pub(super) hostname: Text<'a>,
    pub(super) ec2_instance_id: Option<Text<'a>>,
    pub(super) interval_seconds: Option<f64>,
    /// How many entries were handed on.
    pub(super) good: usize,
    pub(super) dead: Vec<DeadLetter>,
}

#[derive(Default)]
struct Slots<'a> {
    timestamp: Option<(Text<'a>, i64)>,
    node_name: Option<Text<'a>>,
    hostname: Option<Text<'a>>,
    ec2_instance_id: Option<Option<Text<'a>>>,
    interval_seconds: Option<Option<f64>>,
    pods: Option<()>,
    good: usize,
    dead: Vec<DeadLetter>,
}

/// Reads `body`. Good entries go to `keep`, in their order; also if the body is refused in the end.
pub(super) fn walk<'a>(body: &'a [u8], keep: &mut impl FnMut(Entry<'a>)) -> Result<Head<'a>, Rejection> {
    let text = str::from_utf8(body).map_err(|error| Rejection::not_json(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    let mut reader = Reader::new(text);
    match whole(&mut reader, text, keep) {
        Ok(read) => read.map_err(|wrong| Rejection::invalid(wrong.field, wrong.reason)),
        Err(Syntax) => Err(Rejection::not_json(reader.complaint())),
    }
}

fn whole<'a>(reader: &mut Reader<'a>, text: &str, keep: &mut impl FnMut(Entry<'a>)) -> Result<Result<Head<'a>, Wrong>, Syntax> {
    if !reader.enter(b'{') {
        let value = reader.value()?;
        reader.end()?;
        return Ok(value.not("an object").map_err(|reason| Wrong::new("", reason)));
    }
    let (mut slots, mut wrong) = (Slots::default(), None);
    let mut first = true;
    while let Some(name) = reader.key(first)? {
        first = false;
        let name = name.unescaped();
        let said = if name == "pods" && slots.pods.is_none() && reader.enter(b'[') {
            slots.pods = Some(());
            slots.entries(reader, text, keep)?
        } else {
            slots.fill(&name, reader.value()?)
        };
        wrong = wrong.or_else(|| said.err().map(|reason| Wrong::new(&name, reason)));
    }
    reader.end()?;
    Ok(wrong.map_or_else(|| slots.done(), Err))
}

impl<'a> Slots<'a> {
    fn fill(&mut self, name: &str, value: Value<'a>) -> Said<()> {
        match name {
            "timestamp" => once(&mut self.timestamp, || measured(value)),
            "node_name" => once(&mut self.node_name, || value.name()),
            "hostname" => once(&mut self.hostname, || value.text()),
            "ec2_instance_id" => once(&mut self.ec2_instance_id, || value.optional(Value::text)),
            "interval_seconds" => once(&mut self.interval_seconds, || value.optional(Value::number)),
            // Arrays do not come here, but for a second one.
            "pods" => once(&mut self.pods, || value.not("an array")),
            _ => Ok(()),
        }
    }

    /// The entries of `pods`, up to its end.
    fn entries(&mut self, reader: &mut Reader<'a>, text: &str, keep: &mut impl FnMut(Entry<'a>)) -> Result<Said<()>, Syntax> {
        let mut index = 0;
        while reader.element(index == 0)? {
            if index >= MOST_PODS {
                reader.value()?;
                index = MOST_PODS + 1;
                continue;
            }
            let begin = reader.at();
            match Entry::read(reader)? {
                Ok(entry) => {
                    self.good += 1;
                    keep(entry);
                }
                Err(wrong) => self.dead.push(letter(index, wrong, &text[begin..reader.at()])),
            }
            index += 1;
        }
        Ok(if index > MOST_PODS { Err(format!("more than {MOST_PODS} entries")) } else { Ok(()) })
    }

    fn done(mut self) -> Result<Head<'a>, Wrong> {
        let (timestamp, collected_at) = required("timestamp", self.timestamp)?;
        let node_name = required("node_name", self.node_name)?;
        let hostname = required("hostname", self.hostname)?;
        required("pods", self.pods)?;
        if self.good == 0 && !self.dead.is_empty() {
            let first = self.dead.swap_remove(0);
            return Err(Wrong { field: first.field, reason: first.reason });
        }
        Ok(Head {
            timestamp,
            collected_at,
            node_name,
            hostname,
            ec2_instance_id: self.ec2_instance_id.flatten(),
            interval_seconds: self.interval_seconds.flatten(),
            good: self.good,
            dead: self.dead,
        })
    }
}

fn measured(value: Value<'_>) -> Said<(Text<'_>, i64)> {
    let text = value.name()?;
    match timestamp::microseconds(&text.unescaped()) {
        Some(time) => Ok((text, time)),
        None => value.not("a time of ISO 8601 between 1970 and 9999, such as `2026-03-01T12:00:00Z`"),
    }
}

fn letter(index: usize, wrong: Wrong, entry: &str) -> DeadLetter {
    let field = if wrong.field.is_empty() { format!("pods[{index}]") } else { format!("pods[{index}].{}", wrong.field) };
    let entry = entry[..entry.floor_char_boundary(LONGEST_ENTRY)].to_owned();
    DeadLetter { index, field, reason: wrong.reason, entry }
}
