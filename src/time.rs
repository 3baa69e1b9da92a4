//! Wall-clock time and durations as people write them. The only place that asks the operating system for the date, so that tests can set it.

mod hour;

use std::sync::Arc;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo, Timestamp};
use serde::{Deserialize, Deserializer, de};

pub use self::hour::UtcHour;

/// A source of wall-clock time. Scheduling uses tokio's own clock, which tests pause.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The operating system's clock.
    pub fn system() -> Self {
        Self(Arc::new(Timestamp::now))
    }

    /// A clock that tells whatever `now` returns.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The current instant.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }

    /// Seconds since the Unix epoch, as Prometheus' own `time()` gives them.
    pub fn unix_seconds(&self) -> f64 {
        self.now().as_duration().as_secs_f64()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// Reads a positive duration with its unit: `30s`, `20m`, `1h30m`, `500ms`, `7d`. A bare number is refused, since its unit would be a guess.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = parse_duration_or_zero(text)?;
    if duration.is_zero() { Err(format!("`{text}` is not longer than zero")) } else { Ok(duration) }
}

/// As [`parse_duration`]; `0s` is taken too.
pub fn parse_duration_or_zero(text: &str) -> Result<Duration, String> {
    let expected = || format!("`{text}` is not a duration; write a number with its unit, such as 30s, 20m or 1h30m");
    let span: Span = text.trim().parse().map_err(|_| expected())?;
    let signed = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| expected())?;
    Duration::try_from(signed).map_err(|_| expected())
}

/// For serde: an optional duration in the form of [`parse_duration`].
pub fn optional_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| parse_duration(&text).map_err(de::Error::custom)).transpose()
}

/// For serde: an optional duration in the form of [`parse_duration_or_zero`].
pub fn optional_duration_or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| parse_duration_or_zero(&text).map_err(de::Error::custom)).transpose()
}

/// A duration for people: the two largest units that matter, `3d 4h`, `12m 30s`, `250ms`.
pub fn humanize(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes, seconds % 60) {
        (0, 0, 0, 0) => format!("{}ms", duration.as_millis()),
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, 0) => format!("{m}m"),
        (0, 0, m, s) => format!("{m}m {s}s"),
        (0, h, 0, _) => format!("{h}h"),
        (0, h, m, _) => format!("{h}h {m}m"),
        (d, 0, ..) => format!("{d}d"),
        (d, h, ..) => format!("{d}d {h}h"),
    }
}

/// How long before `now` something was, for people; nothing for what lies ahead, which a clock that is behind sees.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    humanize(now.duration_since(at).try_into().unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_a_positive_value() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
        for refused in ["", "60", "-5s", "0s", "soon", "5 parsecs", "1 month"] {
            assert!(parse_duration(refused).is_err(), "{refused:?} was taken");
        }
    }

    #[test]
    fn durations_are_told_in_two_units() {
        assert_eq!(humanize(Duration::from_secs(3 * 86_400 + 4 * 3_600 + 59)), "3d 4h");
        assert_eq!(humanize(Duration::from_secs(750)), "12m 30s");
        assert_eq!(humanize(Duration::from_secs(1_200)), "20m");
        assert_eq!(humanize(Duration::from_millis(250)), "250ms");
        let (early, late) = (Timestamp::from_second(100).unwrap(), Timestamp::from_second(190).unwrap());
        assert_eq!((ago(early, late).as_str(), ago(late, early).as_str()), ("1m 30s", "0ms"));
    }
}
