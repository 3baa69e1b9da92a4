//! What a client takes: the formats of its `Accept` header and the compression.

/// The formats of a client library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    OpenMetrics,
}

/// Chooses as the Go client library does (`expfmt.Negotiate`): the first known format in the order of
/// the q-values, and the text format if there is none.
pub(super) fn format(accept: &str) -> Format {
    let mut ranges: Vec<MediaRange<'_>> = accept.split(',').map(MediaRange::parse).collect();
    // Stable: of equals the first one wins.
    ranges.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    ranges.iter().filter(|range| range.quality > 0.0).find_map(MediaRange::format).unwrap_or(Format::Text)
}

/// Whether the `Accept-Encoding` header allows gzip.
pub(super) fn takes_gzip(accept_encoding: &str) -> bool {
    accept_encoding.split(',').map(MediaRange::parse).any(|range| range.name == "gzip" && range.quality > 0.0)
}

struct MediaRange<'a> {
    name: &'a str,
    version: &'a str,
    quality: f64,
}

impl<'a> MediaRange<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let mut range = Self { name: parts.next().unwrap_or_default(), version: "", quality: 1.0 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "q" => range.quality = value.trim().parse().unwrap_or(0.0),
                "version" => range.version = value.trim(),
                _ => {}
            }
        }
        range
    }

    fn format(&self) -> Option<Format> {
        match (self.name, self.version) {
            ("application/openmetrics-text", "" | "0.0.1" | "1.0.0") => Some(Format::OpenMetrics),
            ("text/plain", "" | "0.0.4") => Some(Format::Text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        assert_eq!(format(prometheus), Format::OpenMetrics);
        assert_eq!(format("application/openmetrics-text;version=1.0.0;q=0.3, text/plain;version=0.0.4;q=0.5"), Format::Text);
        assert_eq!(format("application/openmetrics-text; version=1.0.0; q=0, */*"), Format::Text);
        assert_eq!(format("application/openmetrics-text; version=2.0.0"), Format::Text);
        assert_eq!(format("text/plain, application/openmetrics-text"), Format::Text);
        assert_eq!([format(""), format("*/*")], [Format::Text; 2]);
    }

    #[test]
    fn encodings() {
        assert!(takes_gzip("deflate, gzip;q=0.5"));
        assert!(!takes_gzip("gzip;q=0") && !takes_gzip("") && !takes_gzip("identity"));
    }
}
