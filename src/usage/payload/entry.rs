//! One entry of `pods`. Whatever is wrong with it, it is read to its end, so that the entries behind it can be.

use super::super::report::PodUsage;
use super::json::{Reader, Syntax, Value};
use super::text::Text;
use super::value::Said;

/// A good entry, in the place where it was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pod_id: Text<'a>,
    namespace: Text<'a>,
    name: Text<'a>,
    cpu_usage_cores: Option<f64>,
    cpu_usage_cum: Option<f64>,
    memory_usage_bytes: Option<i64>,
    net_tx_bytes: Option<i64>,
    net_rx_bytes: Option<i64>,
    pod_start_time: Option<Text<'a>>,
}

/// The first thing that is wrong.
#[derive(Debug)]
pub(super) struct Wrong {
    /// The field; empty for an entry that has none.
    pub(super) field: String,
    /// What is wrong with it.
    pub(super) reason: String,
}

/// What has been read. The outer `Option` says that the field came, the inner one that it is not null.
#[derive(Default)]
struct Slots<'a> {
    pod_id: Option<Text<'a>>,
    namespace: Option<Text<'a>>,
    name: Option<Text<'a>>,
    cpu_usage_cores: Option<Option<f64>>,
    cpu_usage_cum: Option<Option<f64>>,
    memory_usage_bytes: Option<Option<i64>>,
    net_tx_bytes: Option<Option<i64>>,
    net_rx_bytes: Option<Option<i64>>,
    pod_start_time: Option<Option<Text<'a>>>,
}

impl Wrong {
    pub(super) fn new(field: &str, reason: String) -> Self {
        Self { field: field.to_owned(), reason }
    }
}

impl<'a> Entry<'a> {
    /// Reads the value that comes next.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Result<Self, Wrong>, Syntax> {
        if !reader.enter(b'{') {
            let value = reader.value()?;
            return Ok(value.not("an object").map_err(|reason| Wrong::new("", reason)));
        }
        let (mut slots, mut wrong) = (Slots::default(), None);
        let mut first = true;
        while let Some(name) = reader.key(first)? {
            first = false;
            let value = reader.value()?;
            if wrong.is_none() {
                let name = name.unescaped();
                wrong = slots.fill(&name, value).err().map(|reason| Wrong::new(&name, reason));
            }
        }
        Ok(wrong.map_or_else(|| slots.done(), Err))
    }
}

impl<'a> Slots<'a> {
    #[inline]
    fn fill(&mut self, name: &str, value: Value<'a>) -> Said<()> {
        match name {
            "pod_id" => once(&mut self.pod_id, || value.name()),
            "namespace" => once(&mut self.namespace, || value.name()),
            "name" => once(&mut self.name, || value.name()),
            "cpu_usage_cores" => once(&mut self.cpu_usage_cores, || value.optional(Value::number)),
            "cpu_usage_cum" => once(&mut self.cpu_usage_cum, || value.optional(Value::number)),
            "memory_usage_bytes" => once(&mut self.memory_usage_bytes, || value.optional(Value::bytes)),
            "net_tx_bytes" => once(&mut self.net_tx_bytes, || value.optional(Value::bytes)),
            "net_rx_bytes" => once(&mut self.net_rx_bytes, || value.optional(Value::bytes)),
            "pod_start_time" => once(&mut self.pod_start_time, || value.optional(Value::text)),
            _ => Ok(()),
        }
    }

    fn done(self) -> Result<Entry<'a>, Wrong> {
        Ok(Entry {
            pod_id: required("pod_id", self.pod_id)?,
            namespace: required("namespace", self.namespace)?,
            name: required("name", self.name)?,
            cpu_usage_cores: self.cpu_usage_cores.flatten(),
            cpu_usage_cum: self.cpu_usage_cum.flatten(),
            memory_usage_bytes: self.memory_usage_bytes.flatten(),
            net_tx_bytes: self.net_tx_bytes.flatten(),
            net_rx_bytes: self.net_rx_bytes.flatten(),
            pod_start_time: self.pod_start_time.flatten(),
        })
    }
}

impl From<Entry<'_>> for PodUsage {
    fn from(entry: Entry<'_>) -> Self {
        Self {
            pod_id: entry.pod_id.unescaped().into_owned(),
            namespace: entry.namespace.unescaped().into_owned(),
            name: entry.name.unescaped().into_owned(),
            cpu_usage_cores: entry.cpu_usage_cores,
            cpu_usage_cum: entry.cpu_usage_cum,
            memory_usage_bytes: entry.memory_usage_bytes,
            net_tx_bytes: entry.net_tx_bytes,
            net_rx_bytes: entry.net_rx_bytes,
            pod_start_time: filled(entry.pod_start_time),
        }
    }
}

/// Takes what a field says, which may be said once. Senders and readers differ over which of two they believe.
#[inline]
pub(super) fn once<T>(slot: &mut Option<T>, read: impl FnOnce() -> Said<T>) -> Said<()> {
    if slot.is_some() {
        return Err("more than once".to_owned());
    }
    *slot = Some(read()?);
    Ok(())
}

/// What a field said that must be there.
#[inline]
pub(super) fn required<T>(field: &str, slot: Option<T>) -> Result<T, Wrong> {
    slot.ok_or_else(|| Wrong::new(field, "missing".to_owned()))
}

/// An optional string; one that is empty says nothing.
pub(super) fn filled(text: Option<Text<'_>>) -> Option<String> {
    text.filter(|text| !text.raw().is_empty()).map(|text| text.unescaped().into_owned())
}
