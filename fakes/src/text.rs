//! Numbers and instants as text, appended to a byte buffer.
//!
//! The list pages of `s3_pages` are built while a benchmark runs on the same machine, so nothing here
//! allocates and nothing goes through `format!`.

/// Seconds of one day.
const DAY: u64 = 86_400;

/// A UTC instant in the fields of the Gregorian calendar.
pub(crate) struct Civil {
    pub(crate) year: u64,
    pub(crate) month: u64,
    pub(crate) day: u64,
    pub(crate) hour: u64,
    pub(crate) minute: u64,
    pub(crate) second: u64,
}

/// The calendar fields of a Unix time, for years after 1970 (days-from-civil by Howard Hinnant,
/// <https://howardhinnant.github.io/date_algorithms.html>).
pub(crate) fn civil(unix_seconds: u64) -> Civil {
    let of_day = unix_seconds % DAY;
    let shifted = unix_seconds / DAY + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    Civil {
        year: year_of_era + era * 400 + u64::from(month <= 2),
        month,
        day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
        hour: of_day / 3_600,
        minute: of_day % 3_600 / 60,
        second: of_day % 60,
    }
}

/// Appends `value` in decimal with at least `width` digits, filled with zeros on the left.
pub(crate) fn push_decimal(out: &mut Vec<u8>, mut value: u64, width: usize) {
    // 20 digits hold every u64, and no field here is wider.
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    while value > 0 {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits[first.min(20 - width.clamp(1, 20))..]);
}

/// Appends `value` as 16 hexadecimal digits in lower case, from digit `from` on and before digit `to`.
pub(crate) fn push_hex(out: &mut Vec<u8>, value: u64, from: usize, to: usize) {
    let mut digits = [0; 16];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(value.to_be_bytes()) {
        pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]]);
    }
    out.extend_from_slice(&digits[from..to]);
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `2026-11-21T05:20:00`, with `between` in place of the colons.
pub(crate) fn push_date_time(out: &mut Vec<u8>, unix_seconds: u64, between: u8) {
    let at = civil(unix_seconds);
    let mut text = *b"0000-00-00T00:00:00";
    text[13] = between;
    text[16] = between;
    let fields =
        [(0, at.year / 100), (2, at.year % 100), (5, at.month), (8, at.day), (11, at.hour), (14, at.minute), (17, at.second)];
    for (place, value) in fields {
        text[place] += (value / 10 % 10) as u8;
        text[place + 1] += (value % 10) as u8;
    }
    out.extend_from_slice(&text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date_time(unix_seconds: u64) -> String {
        let mut out = Vec::new();
        push_date_time(&mut out, unix_seconds, b':');
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn instants() {
        assert_eq!(date_time(0), "1970-01-01T00:00:00");
        assert_eq!(date_time(951_782_399), "2000-02-28T23:59:59");
        assert_eq!(date_time(951_782_400), "2000-02-29T00:00:00");
        assert_eq!(date_time(1_795_238_400), "2026-11-21T05:20:00");
    }

    #[test]
    fn numbers() {
        let mut out = Vec::new();
        for (value, width) in [(0, 0), (7, 3), (12_345, 2), (u64::MAX, 20)] {
            push_decimal(&mut out, value, width);
            out.push(b' ');
        }
        push_hex(&mut out, 0xbeef, 10, 16);
        assert_eq!(out, b"0 007 12345 18446744073709551615 00beef");
    }
}
