//! Numbers of bytes, for configuration and for people.

use serde::{Deserialize, Deserializer, de};

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// Reads `64MiB`, `1.5 GiB`, `10MB` (powers of ten) or a plain number of bytes; above zero.
///
/// # Errors
/// Says what was expected.
pub fn parse_bytes(text: &str) -> Result<usize, String> {
    let wrong = || format!("`{text}` is not a number of bytes such as 64MiB");
    let trimmed = text.trim();
    let digits = trimmed.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let factor: f64 = match unit.trim_start() {
        "" | "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        _ => return Err(wrong()),
    };
    let bytes = number.parse::<f64>().map_err(|_| wrong())? * factor;
    // Up to here a float is exact.
    if !(1.0..=9_007_199_254_740_992.0).contains(&bytes) {
        return Err(wrong());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within the range")]
    let whole = bytes as usize;
    Ok(whole)
}

/// For serde: an optional number of bytes in the form of [`parse_bytes`].
pub fn optional_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Size {
        Number(u64),
        Text(String),
    }
    let text = match Option::<Size>::deserialize(deserializer)? {
        None => return Ok(None),
        Some(Size::Number(number)) => number.to_string(),
        Some(Size::Text(text)) => text,
    };
    parse_bytes(&text).map(Some).map_err(de::Error::custom)
}

/// A number of bytes for people: `1023 B`, `1.5 MiB`.
#[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
pub fn humanize(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in
            [("64MiB", 64 << 20), ("1.5 GiB", 3 << 29), ("10MB", 10_000_000), ("512", 512), (" 1 KiB ", 1024), ("7B", 7)]
        {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "MiB", "-1", "1 parsec", "1e3", "1.2.3", "99999999999GiB", "0.5"] {
            assert!(parse_bytes(text).is_err(), "{text} was taken");
        }
    }

    #[test]
    fn sizes_are_told_for_people() {
        assert_eq!(humanize(1_023), "1023 B");
        assert_eq!(humanize(1_572_864), "1.5 MiB");
        assert_eq!(humanize(u64::MAX), "16.0 EiB");
    }
}
