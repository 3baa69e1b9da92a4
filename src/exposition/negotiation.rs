//! Which format is asked for, and which one came: media types with their parameters.
//!
//! Rules: RFC 9110, 12.5.1; <https://prometheus.io/docs/instrumenting/content_negotiation/>.

use super::{Escaping, Format};

const TEXT: &str = "text/plain";
const OPENMETRICS: &str = "application/openmetrics-text";

/// What an answer is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Answer {
    /// The format.
    pub format: Format,
    /// Its version, as it was asked for.
    version: Version,
    /// How names are written that are none of old.
    pub escaping: Escaping,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Version {
    /// The text format; also the first draft of OpenMetrics was called 0.0.1.
    Text004,
    Text100,
    Draft,
    OpenMetrics100,
}

impl Answer {
    /// The text format 0.0.4, for those who ask for nothing.
    pub const TEXT: Self = Self { format: Format::Text, version: Version::Text004, escaping: Escaping::Underscores };

    /// `Content-Type` of the answer.
    pub fn content_type(self) -> String {
        let (media_type, version) = match self.version {
            Version::Text004 => (TEXT, "0.0.4"),
            Version::Text100 => (TEXT, "1.0.0"),
            Version::Draft => (OPENMETRICS, "0.0.1"),
            Version::OpenMetrics100 => (OPENMETRICS, "1.0.0"),
        };
        let escaping = match self.escaping {
            Escaping::Underscores => "",
            Escaping::AllowUtf8 => "; escaping=allow-utf-8",
        };
        format!("{media_type}; version={version}; charset=utf-8{escaping}")
    }

    /// `Accept` for peers whose answers are to become part of this one: the same format if they can, else the other.
    pub fn accept(self) -> String {
        let escaping = match self.escaping {
            Escaping::AllowUtf8 => ";escaping=allow-utf-8",
            _ => "",
        };
        let open = |quality: &str| format!("{OPENMETRICS};version=1.0.0{escaping}{quality}");
        let text = |quality: &str| match self.escaping {
            Escaping::AllowUtf8 => format!("{TEXT};version=1.0.0{escaping}{quality},{TEXT};version=0.0.4{quality}"),
            _ => format!("{TEXT};version=0.0.4{quality}"),
        };
        match self.format {
            Format::Text => format!("{},{},*/*;q=0.1", text(""), open(";q=0.5")),
            Format::OpenMetrics => format!("{},{OPENMETRICS};version=0.0.1;q=0.75,{},*/*;q=0.1", open(""), text(";q=0.5")),
        }
    }
}

/// A media type with its parameters, as far as they matter here.
struct MediaType<'a> {
    name: &'a str,
    version: Option<&'a str>,
    escaping: Option<Escaping>,
    /// In thousandths.
    quality: u16,
}

fn parse(text: &str) -> MediaType<'_> {
    let mut parts = text.split(';').map(str::trim);
    let mut parsed = MediaType { name: parts.next().unwrap_or_default(), version: None, escaping: None, quality: 1000 };
    for (key, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        match key.trim().to_ascii_lowercase().as_str() {
            "version" => parsed.version = Some(value),
            "escaping" => parsed.escaping = Some(Escaping::parse(value)),
            "q" => parsed.quality = quality(value),
            _ => {}
        }
    }
    parsed
}

/// `0`, `0.5`, `1.000`; what cannot be read counts as not asked for.
fn quality(text: &str) -> u16 {
    let quality: f32 = text.parse().unwrap_or(0.0);
    if !(0.0..=1.0).contains(&quality) {
        return 0;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 1000")]
    let thousandths = (quality * 1000.0).round() as u16;
    thousandths
}

/// Chooses what `Accept` asks for most, the first of equals. Who asks for nothing that there is gets the text format.
pub fn negotiate<'a>(accept: impl Iterator<Item = &'a str>) -> Answer {
    let mut best: Option<(u16, Answer)> = None;
    for media_type in accept.flat_map(|value| value.split(',')).map(parse) {
        let version = match (media_type.name.to_ascii_lowercase().as_str(), media_type.version) {
            (OPENMETRICS, None | Some("1.0.0")) => Version::OpenMetrics100,
            (OPENMETRICS, Some("0.0.1")) => Version::Draft,
            (TEXT, Some("1.0.0")) => Version::Text100,
            (TEXT, None | Some("0.0.4")) | ("*/*" | "text/*", _) => Version::Text004,
            _ => continue,
        };
        let format = match version {
            Version::Text004 | Version::Text100 => Format::Text,
            Version::Draft | Version::OpenMetrics100 => Format::OpenMetrics,
        };
        let answer = Answer { format, version, escaping: media_type.escaping.unwrap_or_default() };
        if media_type.quality > best.map_or(0, |(quality, _)| quality) {
            best = Some((media_type.quality, answer));
        }
    }
    best.map_or(Answer::TEXT, |(_, answer)| answer)
}

/// The format of a body by its `Content-Type`. Anything but OpenMetrics and protobuf may be the text format: many a script says nothing, or
/// something else. `None` for protobuf, which nobody asked for.
pub fn input_format(content_type: Option<&str>) -> Option<Format> {
    match parse(content_type.unwrap_or(TEXT)).name.to_ascii_lowercase().as_str() {
        OPENMETRICS => Some(Format::OpenMetrics),
        "application/vnd.google.protobuf" => None,
        _ => Some(Format::Text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(accept: &str) -> String {
        negotiate(std::iter::once(accept)).content_type()
    }

    #[test]
    fn prometheus_gets_what_it_asks_for() {
        let two = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                   text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(chosen(two), "application/openmetrics-text; version=1.0.0; charset=utf-8");
        let three = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,\
                     application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,\
                     text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(chosen(three), "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8");
        let text = "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5";
        assert_eq!(chosen(text), "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8");
        assert_eq!(chosen("text/plain;version=0.0.4;escaping=values"), "text/plain; version=0.0.4; charset=utf-8");
    }

    #[test]
    fn anybody_else_gets_text() {
        for accept in ["", "*/*", "text/html", "application/json", "application/openmetrics-text;version=2.0.0", "text/plain;q=0"]
        {
            assert_eq!(chosen(accept), "text/plain; version=0.0.4; charset=utf-8", "{accept}");
        }
        assert_eq!(negotiate(std::iter::empty()), Answer::TEXT);
        assert!(chosen("text/plain;q=0.5, application/openmetrics-text;q=0.9").starts_with(OPENMETRICS));
        assert!(chosen("text/plain;q=1.5, application/openmetrics-text;version=0.0.1;q=0.1").contains("version=0.0.1"));
    }

    #[test]
    fn what_is_asked_of_others_prefers_the_same() {
        for accept in ["text/plain", "application/openmetrics-text", "application/openmetrics-text;escaping=allow-utf-8"] {
            let answer = negotiate(std::iter::once(accept));
            assert_eq!(negotiate(std::iter::once(answer.accept().as_str())).format, answer.format, "{accept}");
            assert_eq!(answer.accept().contains("allow-utf-8"), accept.contains("allow-utf-8"));
        }
    }

    #[test]
    fn bodies() {
        assert_eq!(input_format(Some("application/OpenMetrics-text; version=1.0.0")), Some(Format::OpenMetrics));
        for text in [None, Some("text/plain; version=0.0.4"), Some("application/octet-stream"), Some("")] {
            assert_eq!(input_format(text), Some(Format::Text));
        }
        assert_eq!(input_format(Some("application/vnd.google.protobuf; proto=x")), None);
    }
}
