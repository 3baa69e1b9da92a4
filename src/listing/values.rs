//! The values inside a list page: sizes, dates and percent-encoded keys.

use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// A number of bytes: decimal digits only, at most `u64::MAX`.
pub(super) fn parse_size(text: &[u8]) -> Option<u64> {
    let digits = (!text.is_empty()).then_some(text)?;
    digits.iter().try_fold(0_u64, |sum, byte| match byte {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// Milliseconds since the Unix epoch. S3's own form, `2026-11-21T05:20:00.000Z`, is read by position, any other of RFC 3339 by `jiff`.
pub(super) fn parse_timestamp(text: &[u8]) -> Option<i64> {
    let timestamp = match parse_s3_form(text) {
        Some(timestamp) => timestamp,
        None => std::str::from_utf8(text).ok()?.parse().ok()?,
    };
    Some(timestamp.as_millisecond())
}

fn parse_s3_form(text: &[u8]) -> Option<Timestamp> {
    let text: &[u8; 24] = text.try_into().ok()?;
    let separators = [text[4], text[7], text[10], text[13], text[16], text[19], text[23]];
    if &separators != b"--T::.Z" {
        return None;
    }
    let number = |range: Range<usize>| {
        text[range].iter().try_fold(0_i16, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i16::from(byte - b'0')))
    };
    let small = |range| number(range).and_then(|number| i8::try_from(number).ok());
    let nanoseconds = i32::from(number(20..23)?) * 1_000_000;
    let (month, day, hour, minute, second) = (small(5..7)?, small(8..10)?, small(11..13)?, small(14..16)?, small(17..19)?);
    let date_time = DateTime::new(number(0..4)?, month, day, hour, minute, second, nanoseconds).ok()?;
    Offset::UTC.to_timestamp(date_time).ok()
}

/// Appends `encoded` with `%XX` and `+` undone, as servers write keys under `encoding-type=url`. An incomplete escape stays as it is.
pub(super) fn percent_decode_into(encoded: &[u8], out: &mut Vec<u8>) {
    let mut rest = encoded;
    loop {
        rest = match rest {
            [] => return,
            [b'%', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex_digit(*high) << 4 | hex_digit(*low));
                tail
            }
            [b'+', tail @ ..] => {
                out.push(b' ');
                tail
            }
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
        };
    }
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_digits_that_fit() {
        assert_eq!(parse_size(b"0"), Some(0));
        assert_eq!(parse_size(b"18446744073709551615"), Some(u64::MAX));
        for refused in ["", "18446744073709551616", "-1", "+1", "1.0", "1e3", "0x10", " 1"] {
            assert_eq!(parse_size(refused.as_bytes()), None, "{refused:?}");
        }
    }

    #[test]
    fn dates_that_servers_write_are_read_and_impossible_ones_refused() {
        let expected = Some(1_795_238_400_000);
        for text in
            ["2026-11-21T05:20:00.000Z", "2026-11-21T05:20:00Z", "2026-11-21T06:20:00+01:00", "2026-11-21T05:20:00.0000000Z"]
        {
            assert_eq!(parse_timestamp(text.as_bytes()), expected, "{text}");
        }
        for refused in
            ["", "2026-02-30T00:00:00.000Z", "2026-13-01T00:00:00.000Z", "2026-11-21T25:00:00.000Z", "yesterday", "2026-11-21"]
        {
            assert_eq!(parse_timestamp(refused.as_bytes()), None, "{refused:?}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_form_agrees_with_jiff(milliseconds in -60_000_000_000_000_i64..250_000_000_000_000) {
            let timestamp = Timestamp::from_millisecond(milliseconds).unwrap();
            let text = format!("{timestamp:.3}");
            prop_assert_eq!(parse_timestamp(text.as_bytes()), Some(milliseconds));
        }

        #[test]
        fn decoding_undoes_encoding(key in proptest::collection::vec(any::<u8>(), 0..64)) {
            let encoded = percent_encoding::percent_encode(&key, percent_encoding::NON_ALPHANUMERIC).to_string();
            let mut decoded = Vec::new();
            percent_decode_into(encoded.as_bytes(), &mut decoded);
            prop_assert_eq!(&decoded, &key);
            let plus = encoded.replace("%20", "+").to_ascii_lowercase();
            decoded.clear();
            percent_decode_into(plus.as_bytes(), &mut decoded);
            prop_assert_eq!(decoded.to_ascii_lowercase(), key.to_ascii_lowercase());
        }

        #[test]
        fn nothing_that_is_no_escape_is_touched(text in "[a-z%]{0,20}") {
            let mut decoded = Vec::new();
            percent_decode_into(text.as_bytes(), &mut decoded);
            let reference: Vec<u8> = percent_encoding::percent_decode_str(&text).collect();
            prop_assert_eq!(decoded, reference);
        }
    }
}
