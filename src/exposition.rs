//! Prometheus' exposition: the text format 0.0.4 and OpenMetrics 1.0. A zero-copy scanner, a writer, names, numbers and content negotiation.
//!
//! Rules: <https://prometheus.io/docs/instrumenting/exposition_formats/> and
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>; where they leave it open, what Prometheus does.

mod name;
mod negotiation;
mod number;
mod scanner;
mod text;
mod writer;

pub use self::name::{Escaping, is_label_name, is_metric_name};
pub use self::negotiation::{Answer, input_format, negotiate};
pub use self::number::{fits_milliseconds, milliseconds_to_seconds, seconds_to_milliseconds};
pub use self::scanner::{Entry, Label, Layout, Name, Sample, Scanner, SyntaxError, exemplar_has_quoted_names};
pub use self::text::{convert_help, escape_into, unescape};
pub use self::writer::{CONTENT_TYPE, Family, Labels, Writer};

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// The type of a metric family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `untyped` in the text format, `unknown` in OpenMetrics; also where nothing was said.
    Unknown,
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts by upper bound.
    Histogram,
    /// Quantiles.
    Summary,
    /// OpenMetrics alone: a histogram that can fall.
    GaugeHistogram,
    /// OpenMetrics alone: labels that describe.
    Info,
    /// OpenMetrics alone: one of several states.
    StateSet,
}

impl Kind {
    /// Reads the word in a `TYPE` line; each format has its own set.
    pub fn parse(word: &[u8], format: Format) -> Option<Self> {
        Some(match (word, format) {
            (b"counter", _) => Self::Counter,
            (b"gauge", _) => Self::Gauge,
            (b"histogram", _) => Self::Histogram,
            (b"summary", _) => Self::Summary,
            (b"untyped", Format::Text) | (b"unknown", Format::OpenMetrics) => Self::Unknown,
            (b"gaugehistogram", Format::OpenMetrics) => Self::GaugeHistogram,
            (b"info", Format::OpenMetrics) => Self::Info,
            (b"stateset", Format::OpenMetrics) => Self::StateSet,
            _ => return None,
        })
    }

    /// The word for it. Types that the text format lacks are written as what they are there: gauges, or nothing known.
    pub fn word(self, format: Format) -> &'static str {
        match (self, format) {
            (Self::Unknown, Format::OpenMetrics) => "unknown",
            (Self::Unknown | Self::GaugeHistogram, Format::Text) => "untyped",
            (Self::Info | Self::StateSet, Format::Text) | (Self::Gauge, _) => "gauge",
            (Self::Counter, _) => "counter",
            (Self::Histogram, _) => "histogram",
            (Self::Summary, _) => "summary",
            (Self::GaugeHistogram, Format::OpenMetrics) => "gaugehistogram",
            (Self::Info, Format::OpenMetrics) => "info",
            (Self::StateSet, Format::OpenMetrics) => "stateset",
        }
    }

    /// What the names of its samples may add to the name of the family.
    pub fn suffixes(self, format: Format) -> &'static [&'static str] {
        match (self, format) {
            (Self::Histogram, Format::Text) => &["_bucket", "_sum", "_count"],
            (Self::Histogram, Format::OpenMetrics) => &["_bucket", "_sum", "_count", "_created"],
            (Self::Summary, Format::Text) => &["", "_sum", "_count"],
            (Self::Summary, Format::OpenMetrics) => &["", "_sum", "_count", "_created"],
            (Self::Counter, Format::OpenMetrics) => &["_total", "_created"],
            (Self::GaugeHistogram, _) => &["_bucket", "_gsum", "_gcount"],
            (Self::Info, Format::OpenMetrics) => &["_info"],
            _ => &[""],
        }
    }
}
