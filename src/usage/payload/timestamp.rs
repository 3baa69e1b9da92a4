//! When a report was measured: ISO 8601 in the forms that programs write.
//!
//! `2026-03-01T12:00:00Z`, with a fraction, with an offset (`+05:30`, `+0530`, `+05`), with a space for the `T`, and without any offset, as Python's
//! `isoformat()` writes the UTC of `utcnow()`: that is taken for UTC. Years are 1970 to 9999. A 60th second, which a leap second has, counts as the 59th.

use jiff::Timestamp;
use jiff::civil::{Date, Time};

/// Microseconds since the Unix epoch. What is finer is cut off.
pub(super) fn microseconds(text: &str) -> Option<i64> {
    let mut rest = text.as_bytes();
    let year = digits(&mut rest, 4)?;
    let month = after(&mut rest, b"-").and_then(|_| digits(&mut rest, 2))?;
    let day = after(&mut rest, b"-").and_then(|_| digits(&mut rest, 2))?;
    let hour = after(&mut rest, b"Tt ").and_then(|_| digits(&mut rest, 2))?;
    let minute = after(&mut rest, b":").and_then(|_| digits(&mut rest, 2))?;
    let second = after(&mut rest, b":").and_then(|_| digits(&mut rest, 2))?;
    let fraction = if after(&mut rest, b".,").is_some() { nanoseconds(&mut rest)? } else { 0 };
    let ahead = offset(&mut rest)?;
    if !rest.is_empty() || second > 60 || year < 1970 {
        return None;
    }
    let small = |number: i32| i8::try_from(number).ok();
    let date = Date::new(i16::try_from(year).ok()?, small(month)?, small(day)?).ok()?;
    let time = Time::new(small(hour)?, small(minute)?, small(second.min(59))?, fraction).ok()?;
    let there = date.to_datetime(time).to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    let here = there.checked_sub(jiff::SignedDuration::from_secs(ahead)).ok()?;
    (here >= Timestamp::UNIX_EPOCH).then(|| here.as_microsecond())
}

/// One byte of those that may stand here.
fn after(rest: &mut &[u8], any: &[u8]) -> Option<u8> {
    let (&first, behind) = rest.split_first().filter(|(first, _)| any.contains(first))?;
    *rest = behind;
    Some(first)
}

/// A number of exactly so many digits.
fn digits(rest: &mut &[u8], count: usize) -> Option<i32> {
    let (number, behind) = rest.split_at_checked(count)?;
    *rest = behind;
    number.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i32::from(digit - b'0')))
}

/// One to nine digits behind the point.
fn nanoseconds(rest: &mut &[u8]) -> Option<i32> {
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let scale = [100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1].get(count.checked_sub(1)?)?;
    Some(digits(rest, count)? * scale)
}

/// Seconds by which the clock of the text is ahead of UTC.
fn offset(rest: &mut &[u8]) -> Option<i64> {
    let sign = match after(rest, b"Zz+-") {
        None | Some(b'Z' | b'z') => return Some(0),
        Some(b'-') => -1,
        Some(_) => 1,
    };
    let hours = digits(rest, 2).filter(|&hours| hours < 24)?;
    let colon = after(rest, b":").is_some();
    let minutes = if colon || !rest.is_empty() { digits(rest, 2).filter(|&minutes| minutes < 60)? } else { 0 };
    Some(sign * i64::from(hours * 3_600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_programs_write_mean_the_same_instant() {
        let noon = 1_772_366_400_000_000;
        let same = [
            "2026-03-01T12:00:00Z",
            "2026-03-01t12:00:00z",
            "2026-03-01 12:00:00",
            "2026-03-01T12:00:00.000000",
            "2026-03-01T12:00:00,0",
            "2026-03-01T17:30:00+05:30",
            "2026-03-01T17:30:00.0+0530",
            "2026-03-01T07:00:00-05",
            "2026-03-01T12:00:00-00:00",
            "2026-03-02T11:59:00+23:59",
        ];
        for text in same {
            assert_eq!(microseconds(text), Some(noon), "{text}");
        }
    }

    #[test]
    fn fractions_are_kept_to_the_microsecond() {
        let of = |fraction: &str| microseconds(&format!("1970-01-01T00:00:01.{fraction}Z"));
        assert_eq!(of("5"), Some(1_500_000));
        assert_eq!(of("123456"), Some(1_123_456));
        assert_eq!(of("123456999"), Some(1_123_456));
        assert_eq!(of("000001"), Some(1_000_001));
        assert_eq!((of(""), of("1234567890")), (None, None));
    }

    #[test]
    fn the_ends_of_the_calendar() {
        assert_eq!(microseconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(microseconds("1970-01-01T00:00:00+00:01"), None);
        assert_eq!(microseconds("1969-12-31T23:00:00-02:00"), None);
        assert_eq!(microseconds("9999-12-30T00:00:00Z"), Some(253_402_128_000_000_000));
        assert_eq!(microseconds("2024-02-29T00:00:00Z"), Some(1_709_164_800_000_000));
        assert_eq!(microseconds("2023-02-29T00:00:00Z"), None);
        assert_eq!(microseconds("2016-12-31T23:59:60Z"), microseconds("2016-12-31T23:59:59Z"));
    }

    /// What jiff reads as a timestamp or as a time without a zone, it reads as we do.
    #[test]
    fn jiff_agrees() {
        let mut seed = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let number = |rng: &mut fastrand::Rng, to: u32| rng.u32(0..=to);
            let mut text = format!("{}-{:02}-{:02}", seed.u32(1960..2100), number(&mut seed, 13), number(&mut seed, 32));
            text += if seed.bool() { "T" } else { " " };
            text += &format!("{:02}:{:02}:{:02}", number(&mut seed, 24), number(&mut seed, 60), number(&mut seed, 61));
            if seed.bool() {
                text += &format!(".{}", number(&mut seed, 999_999_999));
            }
            text += ["Z", "", "+02:00", "-0330", "+14"][seed.usize(0..5)];
            let theirs: Option<Timestamp> = text.parse().ok().or_else(|| {
                let bare: jiff::civil::DateTime = text.parse().ok()?;
                let zone = text[10..].contains(['+', '-']);
                bare.to_zoned(jiff::tz::TimeZone::UTC).ok().filter(|_| !zone).map(|zoned| zoned.timestamp())
            });
            let theirs = theirs.map(|time| time.as_microsecond()).filter(|&time| time >= 0 && !text.starts_with("19"));
            let ours = microseconds(&text).filter(|_| !text.starts_with("19"));
            assert_eq!(ours, theirs, "{text}");
        }
    }
}
