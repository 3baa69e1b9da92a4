//! Instants and durations as Prometheus reads and writes them. Here they are whole milliseconds, as in
//! its own store.

use crate::text::push_decimal;

/// About ten thousand years: what is beyond cannot be meant.
const LIMIT: f64 = 253_402_300_800_000.0;

/// Milliseconds of the units of a duration, from the longest; `ms` stands before `m` and `s`.
const UNITS: [(&str, i64); 7] =
    [("y", 365 * 86_400_000), ("w", 7 * 86_400_000), ("d", 86_400_000), ("h", 3_600_000), ("ms", 1), ("m", 60_000), ("s", 1_000)];

/// Unix seconds, with a fraction or without, or RFC 3339.
pub(super) fn instant(text: &str) -> Option<i64> {
    match text.parse() {
        Ok(seconds) => milliseconds(seconds),
        Err(_) => text.parse().ok().map(jiff::Timestamp::as_millisecond),
    }
}

/// Seconds as a number, or a duration. It is never zero.
pub(super) fn step(text: &str) -> Option<i64> {
    let step = text.parse().map_or_else(|_| duration(text), milliseconds);
    step.filter(|step| *step > 0)
}

/// `15s`, `500ms`, `1h30m`. It is never zero.
pub(super) fn duration(text: &str) -> Option<i64> {
    let (mut rest, mut sum) = (text, 0_i64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: i64 = rest[..digits].parse().ok()?;
        let (unit, length) = UNITS.iter().find(|(unit, _)| rest[digits..].starts_with(unit))?;
        sum = sum.checked_add(count.checked_mul(*length)?)?;
        rest = &rest[digits + unit.len()..];
    }
    (sum > 0).then_some(sum)
}

#[expect(clippy::cast_possible_truncation, reason = "checked against the limit, and rounded")]
fn milliseconds(seconds: f64) -> Option<i64> {
    let exact = seconds * 1_000.0;
    (exact.is_finite() && exact.abs() < LIMIT).then(|| exact.round() as i64)
}

/// Appends unix seconds with as many decimals as they need.
pub(super) fn push_instant(out: &mut Vec<u8>, milliseconds: i64) {
    if milliseconds < 0 {
        out.push(b'-');
    }
    let milliseconds = milliseconds.unsigned_abs();
    push_decimal(out, milliseconds / 1_000, 1);
    let fraction = milliseconds % 1_000;
    if fraction > 0 {
        out.push(b'.');
        push_decimal(out, fraction, 3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants() {
        assert_eq!(instant("1700000000"), Some(1_700_000_000_000));
        assert_eq!(instant("1700000000.0015"), Some(1_700_000_000_002));
        assert_eq!(instant("1.7e9"), Some(1_700_000_000_000));
        assert_eq!(instant("2023-11-14T22:13:20Z"), Some(1_700_000_000_000));
        assert_eq!(instant("2023-11-14T23:13:20.5+01:00"), Some(1_700_000_000_500));
        for wrong in ["", "yesterday", "NaN", "+Inf", "1e300", "2023-11-14"] {
            assert_eq!(instant(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations() {
        for (text, milliseconds) in [("15s", 15_000), ("500ms", 500), ("1h30m", 5_400_000), ("1d", 86_400_000)] {
            assert_eq!(duration(text), Some(milliseconds), "{text}");
        }
        for wrong in ["", "15", "s", "0s", "1.5h", "-1m", "1m 2s", "99999999999999999y"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
        assert_eq!(
            [step("15"), step("0.5"), step("1m"), step("0"), step("-1")],
            [Some(15_000), Some(500), Some(60_000), None, None]
        );
    }

    #[test]
    fn written() {
        let text = |milliseconds| {
            let mut out = Vec::new();
            push_instant(&mut out, milliseconds);
            String::from_utf8(out).unwrap()
        };
        let texts = [0, 1, 10, 1_500, 1_700_000_000_000, 1_700_000_000_123, -1_500].map(text);
        assert_eq!(texts, ["0", "0.001", "0.010", "1.500", "1700000000", "1700000000.123", "-1.500"]);
    }
}
