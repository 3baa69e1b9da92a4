//! Numbers as Prometheus reads them: Go's `ParseFloat` without hexadecimal digits and underscores, and `ParseInt` for milliseconds.

/// Why a number is none, in words.
type Refusal = &'static str;

/// Digits before the point up to which no number can be out of range.
const SAFE_DIGITS: usize = 300;

/// Checks a value.
///
/// # Errors
/// When Prometheus would refuse it.
pub(super) fn check_value(text: &[u8]) -> Result<(), Refusal> {
    let unsigned = match text {
        [b'+' | b'-', rest @ ..] => rest,
        _ => text,
    };
    let digits = |from: usize| unsigned[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let integer = digits(0);
    let mut at = integer;
    let mut fraction = 0;
    if unsigned.get(at) == Some(&b'.') {
        fraction = digits(at + 1);
        at += 1 + fraction;
    }
    if integer + fraction == 0 {
        return special(text, unsigned);
    }
    if at == unsigned.len() && integer <= SAFE_DIGITS {
        return Ok(());
    }
    if matches!(unsigned.get(at), Some(b'e' | b'E')) {
        at += 1;
        at += usize::from(matches!(unsigned.get(at), Some(b'+' | b'-')));
        let exponent = digits(at);
        if exponent == 0 {
            return Err("a value is not a number");
        }
        at += exponent;
    }
    if at != unsigned.len() {
        return Err("a value is not a number");
    }
    match float(text) {
        Some(value) if value.is_finite() => Ok(()),
        _ => Err("a value is out of range"),
    }
}

/// Infinities have a sign or none, `NaN` has none.
fn special(text: &[u8], unsigned: &[u8]) -> Result<(), Refusal> {
    let infinite = unsigned.eq_ignore_ascii_case(b"inf") || unsigned.eq_ignore_ascii_case(b"infinity");
    if infinite || text.eq_ignore_ascii_case(b"nan") { Ok(()) } else { Err("a value is not a number") }
}

/// Checks a timestamp of the text format: whole milliseconds.
pub(super) fn check_milliseconds(text: &[u8]) -> Result<(), Refusal> {
    let parsed: Option<i64> = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    // Prometheus takes no sign here, though Go would.
    let digits = text.iter().all(u8::is_ascii_digit);
    parsed.filter(|_| digits).map(|_| ()).ok_or("a timestamp is not a number of milliseconds")
}

/// Checks a timestamp of OpenMetrics: seconds, with a fraction or not.
pub(super) fn check_seconds(text: &[u8]) -> Result<(), Refusal> {
    let refused = "a timestamp is not a number of seconds";
    check_value(text).map_err(|_| refused)?;
    float(text).filter(|seconds| seconds.is_finite()).map(|_| ()).ok_or(refused)
}

/// Whether seconds, checked before, can be said in the text format as Prometheus reads it: from 1970 on, and in 63 bits of milliseconds.
pub fn fits_milliseconds(seconds: &[u8]) -> bool {
    let short = seconds.len() < 16 && seconds.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    short || float(seconds).is_some_and(|seconds| (0.0..9.2e15).contains(&seconds))
}

fn float(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Milliseconds, checked before, as seconds with three decimals; no digit passes through floating point.
pub fn milliseconds_to_seconds(text: &[u8], out: &mut Vec<u8>) {
    let cut = text.len().saturating_sub(3);
    let (whole, fraction) = text.split_at(cut);
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
    out.push(b'.');
    out.extend(std::iter::repeat_n(b'0', 3 - fraction.len()));
    out.extend_from_slice(fraction);
}

/// Seconds, checked before, as whole milliseconds; what is finer is cut off, as Prometheus does.
pub fn seconds_to_milliseconds(text: &[u8], out: &mut Vec<u8>) {
    let (sign, unsigned) = match text {
        [b'-', rest @ ..] => (&b"-"[..], rest),
        [b'+', rest @ ..] => (&b""[..], rest),
        _ => (&b""[..], text),
    };
    let point = unsigned.iter().position(|byte| *byte == b'.').unwrap_or(unsigned.len());
    let (whole, fraction) = (&unsigned[..point], unsigned.get(point + 1..).unwrap_or_default());
    if whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        let digits: Vec<u8> = whole.iter().chain(fraction.iter().take(3)).copied().collect();
        let padding = 3 - fraction.len().min(3);
        let leading = digits.iter().take_while(|byte| **byte == b'0').count();
        if leading == digits.len() {
            out.push(b'0');
        } else {
            out.extend_from_slice(sign);
            out.extend_from_slice(&digits[leading..]);
            out.extend(std::iter::repeat_n(b'0', padding));
        }
    } else {
        // An exponent, as client_golang has it: what Prometheus computes.
        #[expect(clippy::cast_possible_truncation, reason = "what does not fit was refused")]
        let milliseconds = (float(text).unwrap_or_default() * 1000.0) as i64;
        out.extend_from_slice(milliseconds.to_string().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_prometheus() {
        let legal = [
            "0",
            "1",
            "-1",
            "+1",
            "1.",
            ".5",
            "-.5",
            "1e5",
            "1E+5",
            "1e-400",
            "0.1e1",
            "Inf",
            "+inf",
            "-INF",
            "infinity",
            "NaN",
            "nan",
            "1.7976931348623157e308",
            "00012",
        ];
        for text in legal {
            assert_eq!(check_value(text.as_bytes()), Ok(()), "{text}");
        }
        let illegal = [
            "", "-", ".", "+.", "e5", "1e", "1e+", "1_000", "0x10", "0x1p-2", "1,5", "1 5", "+nan", "-NaN", "infi", "1e400",
            "-1e400", "one", "1f", "0b1", "1\r", "\u{661}",
        ];
        for text in illegal {
            assert!(check_value(text.as_bytes()).is_err(), "{text} was taken");
        }
        let long = |digits| format!("1{}", "0".repeat(digits));
        assert!(check_value(long(308).as_bytes()).is_ok() && check_value(long(309).as_bytes()).is_err());
    }

    #[test]
    fn timestamps_are_those_of_their_format() {
        for text in ["0", "1395066363000", "9223372036854775807"] {
            assert!(check_milliseconds(text.as_bytes()).is_ok(), "{text}");
        }
        for text in ["", "-1", "+1", "1.5", "1e3", "9223372036854775808", "x"] {
            assert!(check_milliseconds(text.as_bytes()).is_err(), "{text} was taken");
        }
        for text in ["0", "1395066363.123", "-1", "1e9", ".5"] {
            assert!(check_seconds(text.as_bytes()).is_ok(), "{text}");
        }
        for text in ["", "NaN", "Inf", "1_0", "0x1p3", "1e999"] {
            assert!(check_seconds(text.as_bytes()).is_err(), "{text} was taken");
        }
    }

    #[test]
    fn times_that_fit() {
        for text in ["0", "1395066363.123456789", "+1", "-0", "999999999999999", "9.1e15", "1e-9"] {
            assert!(fits_milliseconds(text.as_bytes()), "{text}");
        }
        for text in ["-1", "-0.001", "9300000000000000", "9.3e15", "1e300"] {
            assert!(!fits_milliseconds(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn times_change_their_unit_and_nothing_else() {
        let seconds = |text: &str| {
            let mut out = Vec::new();
            milliseconds_to_seconds(text.as_bytes(), &mut out);
            String::from_utf8(out).unwrap()
        };
        for (from, to) in
            [("1395066363123", "1395066363.123"), ("0", "0.000"), ("7", "0.007"), ("123", "0.123"), ("1000", "1.000")]
        {
            assert_eq!(seconds(from), to);
        }
        let milliseconds = |text: &str| {
            let mut out = Vec::new();
            seconds_to_milliseconds(text.as_bytes(), &mut out);
            String::from_utf8(out).unwrap()
        };
        let cases = [
            ("1395066363.123", "1395066363123"),
            ("1395066363.1239", "1395066363123"),
            ("1395066363", "1395066363000"),
            ("1395066363.", "1395066363000"),
            ("0.5", "500"),
            (".5", "500"),
            ("0", "0"),
            ("0.0001", "0"),
            ("-1.5", "-1500"),
            ("-0.0001", "0"),
            ("1.5e9", "1500000000000"),
            ("-0e0", "0"),
        ];
        for (from, to) in cases {
            assert_eq!(milliseconds(from), to, "{from}");
        }
    }
}
