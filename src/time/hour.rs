//! UTC hours: the half-open windows `[start, start + 1 h)` that exports are cut into.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Of an hour.
const SECONDS: i64 = 3_600;

/// A UTC hour, counted from 1970. POSIX time has no leap seconds, so each has 3,600.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcHour(i64);

impl UtcHour {
    /// The hour that contains `at`.
    pub fn containing(at: Timestamp) -> Self {
        Self(at.as_second().div_euclid(SECONDS))
    }

    /// Unix seconds of its first instant.
    pub fn start(self) -> i64 {
        self.0 * SECONDS
    }

    /// Unix seconds of the first instant behind it.
    pub fn end(self) -> i64 {
        self.start() + SECONDS
    }

    /// The hour `count` hours later, or earlier if negative.
    #[must_use]
    pub fn plus(self, count: i64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// Hours from `earlier` to this one.
    pub fn since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }

    /// `YYYY_MM_DD`, as it stands in keys.
    pub fn day(self) -> String {
        self.civil().strftime("%Y_%m_%d").to_string()
    }

    /// `HH`, as it stands in keys.
    pub fn hour(self) -> String {
        self.civil().strftime("%H").to_string()
    }

    /// The hour that the parts of a key name; `None` for anything else, such as `2026_02_30`.
    pub fn from_key(day: &str, hour: &str) -> Option<Self> {
        let parsed = DateTime::strptime("%Y_%m_%d %H", format!("{day} {hour}")).ok()?;
        let found = Self::containing(parsed.to_zoned(TimeZone::UTC).ok()?.timestamp());
        (found.day() == day && found.hour() == hour).then_some(found)
    }

    fn civil(self) -> DateTime {
        Timestamp::from_second(self.start()).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::UTC).datetime()
    }
}

impl fmt::Display for UtcHour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.civil().strftime("%Y-%m-%dT%HZ"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_half_open_and_named_by_its_start() {
        let at = |text: &str| UtcHour::containing(text.parse().unwrap());
        let hour = at("2026-02-28T23:00:00Z");
        assert_eq!(hour, at("2026-02-28T23:59:59.999Z"));
        assert_eq!(hour.plus(1), at("2026-03-01T00:00:00Z"));
        assert_eq!((hour.day().as_str(), hour.hour().as_str()), ("2026_02_28", "23"));
        assert_eq!(hour.end() - hour.start(), 3_600);
        assert_eq!(hour.plus(1).since(hour), 1);
        assert_eq!(at("1969-12-31T23:30:00Z").start(), -3_600);
        assert_eq!(hour.to_string(), "2026-02-28T23Z");
    }

    #[test]
    fn the_parts_of_a_key_name_an_hour_or_nothing() {
        let hour = UtcHour::containing("2026-11-21T07:30:00Z".parse().unwrap());
        assert_eq!(UtcHour::from_key("2026_11_21", "07"), Some(hour));
        for (day, hour) in [("2026_02_30", "07"), ("2026_11_21", "24"), ("2026_11_21", "7"), ("2026-11-21", "07"), ("", "")] {
            assert_eq!(UtcHour::from_key(day, hour), None, "{day} {hour}");
        }
    }
}
