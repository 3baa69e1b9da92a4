//! From text to billionths. Digits may be any number: they are looked at once, and never kept as one number.

use super::{Excerpt, GREATEST, NANOS, Quantity, QuantityError};

/// What the number is multiplied by.
#[derive(Copy, Clone)]
enum Scale {
    /// 10 to the power of this.
    Ten(i64),
    /// 2 to the power of this, at most 60.
    Two(u32),
}

pub(super) fn scan(text: &str) -> Result<Quantity, QuantityError> {
    if text.is_empty() {
        return Err(QuantityError::Empty);
    }
    let (below_zero, rest) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (whole, rest) = digits(rest);
    let (fraction, suffix) = match rest {
        [b'.', rest @ ..] => digits(rest),
        rest => (&rest[..0], rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(QuantityError::Number(Excerpt::of(text)));
    }
    let nanos = match scale(suffix).map_err(|error| error(Excerpt::of(text)))? {
        Scale::Ten(exponent) => decimal(whole, fraction, exponent),
        Scale::Two(exponent) => binary(whole, fraction, exponent),
    };
    Ok(Quantity(if below_zero { -nanos } else { nanos }))
}

/// The digits at the beginning, and the rest.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len()))
}

fn scale(suffix: &[u8]) -> Result<Scale, fn(Excerpt) -> QuantityError> {
    Ok(match suffix {
        b"" => Scale::Ten(0),
        b"n" => Scale::Ten(-9),
        b"u" => Scale::Ten(-6),
        b"m" => Scale::Ten(-3),
        b"k" => Scale::Ten(3),
        b"M" => Scale::Ten(6),
        b"G" => Scale::Ten(9),
        b"T" => Scale::Ten(12),
        b"P" => Scale::Ten(15),
        // Only alone; with digits behind, it is an exponent.
        b"E" => Scale::Ten(18),
        b"Ki" => Scale::Two(10),
        b"Mi" => Scale::Two(20),
        b"Gi" => Scale::Two(30),
        b"Ti" => Scale::Two(40),
        b"Pi" => Scale::Two(50),
        b"Ei" => Scale::Two(60),
        [b'e' | b'E', exponent @ ..] => {
            let number = std::str::from_utf8(exponent).ok().and_then(|number| number.parse().ok());
            Scale::Ten(number.ok_or(QuantityError::Exponent as fn(_) -> _)?)
        }
        _ => return Err(QuantityError::Suffix),
    })
}

/// Billionths of `whole.fraction` times 10^`exponent`, rounded up and capped.
fn decimal(whole: &[u8], fraction: &[u8], exponent: i64) -> i128 {
    let all = whole.iter().chain(fraction);
    let Some(zeros) = all.clone().position(|&digit| digit != b'0') else { return 0 };
    // How many digits, from the first that is not zero, are left of the point when the unit is a billionth. No text has 2^63 digits, but an
    // exponent may be as great.
    let length = |digits: usize| i64::try_from(digits).unwrap_or(i64::MAX);
    let kept = exponent.saturating_add(length(whole.len()) - length(zeros)).saturating_add(9);
    let mut significant = all.skip(zeros);
    // 2^63-1 billions of billionths have 28 digits.
    let kept = match usize::try_from(kept) {
        Ok(kept @ ..=28) => kept,
        Ok(_) => return GREATEST,
        Err(_) => return if kept < 0 { 1 } else { GREATEST },
    };
    let mut nanos = 0;
    for _ in 0..kept {
        nanos = nanos * 10 + significant.next().map_or(0, value);
    }
    (nanos + i128::from(significant.any(|&digit| digit != b'0'))).min(GREATEST)
}

/// Billionths of `whole.fraction` times 2^`exponent`, rounded up and capped.
fn binary(whole: &[u8], fraction: &[u8], exponent: u32) -> i128 {
    let mut count = 0;
    for digit in whole {
        count = count * 10 + value(digit);
        if count > i128::from(i64::MAX) >> exponent {
            return GREATEST;
        }
    }
    // Long division from the last digit on: each adds its share of the unit, and a tenth of the sum goes on to the digit before it. Rounding down at
    // each step comes to the same as once at the end, and whether anything was cut off says whether the end must be rounded up.
    let unit = NANOS << exponent;
    let (mut part, mut lost) = (0, false);
    for digit in fraction.iter().rev() {
        let sum = part + value(digit) * unit;
        part = sum / 10;
        lost |= sum % 10 != 0;
    }
    (count * unit + part + i128::from(lost)).min(GREATEST)
}

fn value(digit: &u8) -> i128 {
    i128::from(digit - b'0')
}
