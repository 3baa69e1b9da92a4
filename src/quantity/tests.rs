use std::time::{Duration, Instant};

use super::*;

/// From apimachinery itself; its head says what the columns are.
const VECTORS: &str = include_str!("../../tests/fixtures/quantity/vectors.tsv");

fn quantity(text: &str) -> Quantity {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn numbers(text: &str) -> Option<(i64, i64)> {
    Quantity::parse(text).ok().map(|quantity| (quantity.value(), quantity.milli_value()))
}

#[test]
fn every_text_is_read_as_kubernetes_reads_it() {
    let two = |value: &str, milli: &str| Some((value.parse().unwrap(), milli.parse().unwrap()));
    let (mut same, mut no_digit, mut overflow, mut below_zero, mut exponents) = (0, 0, 0, 0, 0);
    for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let text = columns[0];
        let expected = match columns[1..] {
            ["-"] => None,
            [value, milli] => two(value, milli),
            [_, _, "-"] => None,
            [_, _, value, milli] => two(value, milli),
            _ => panic!("no vector: {line}"),
        };
        assert_eq!(numbers(text), expected, "{line}");
        // They differ from the code for these reasons alone.
        let exponent = text.split_once(['e', 'E']).and_then(|(_, exponent)| exponent.parse::<i64>().ok());
        match (columns.len(), expected) {
            (2 | 3, _) => same += 1,
            (_, None) => {
                assert!(!text.bytes().take_while(|byte| !b"eE".contains(byte)).any(|byte| byte.is_ascii_digit()), "{line}");
                no_digit += 1;
            }
            (_, Some(_)) if exponent.is_some_and(|exponent| i32::try_from(exponent).is_err()) => exponents += 1,
            (_, Some((_, milli))) if milli.abs() == i64::MAX => overflow += 1,
            (_, Some(_)) => {
                assert!(text.starts_with('-'), "{line}");
                below_zero += 1;
            }
        }
    }
    assert!(
        same > 3_300 && no_digit > 20 && overflow > 1_000 && below_zero > 50 && exponents > 3,
        "{same} {no_digit} {overflow} {below_zero} {exponents}"
    );
}

#[test]
fn what_people_write_is_read() {
    for (text, value, milli) in [
        ("500M", 500_000_000, 500_000_000_000),
        ("1.5", 2, 1_500),
        ("2Ti", 2 << 40, (2 << 40) * 1_000),
        ("1e3", 1_000, 1_000_000),
        ("100k", 100_000, 100_000_000),
        ("128974848000m", 128_974_848, 128_974_848_000),
        ("1E", 10_i64.pow(18), i64::MAX),
        ("1E3", 1_000, 1_000_000),
        (".5Gi", 1 << 29, (1 << 29) * 1_000),
        ("5.", 5, 5_000),
        ("250u", 1, 1),
        ("8Ei", i64::MAX, i64::MAX),
        ("-9Ei", -i64::MAX, -i64::MAX),
        ("-1500m", -2, -1_500),
    ] {
        assert_eq!(numbers(text), Some((value, milli)), "{text}");
    }
}

#[test]
fn finer_than_a_billionth_is_rounded_away_from_zero() {
    for (text, nanos) in [
        ("0.1n", 1),
        ("1.1n", 2),
        ("-1.1n", -2),
        ("1e-1000", 1),
        ("1e-9223372036854775808", 1),
        ("0e-1000", 0),
        (".0000000000000000000000001Ei", 116),
        (".0000000000000000000000000001Ei", 1),
        (".000000000001Ki", 2),
        // Exactly a billionth of 2^60 and a little more: far behind the point it is still seen.
        ("0.000000001Ei", 1 << 60),
        ("0.00000000100000000000000000000000000000000000000000000001Ei", (1 << 60) + 1),
        ("1.00000000000000000000000000000000000000000000000000000000001", NANOS + 1),
        ("0.000000000000000000867361737988403547205962240695953369140625Ei", NANOS),
    ] {
        assert_eq!(quantity(text), Quantity(nanos), "{text}");
    }
}

#[test]
fn what_is_too_great_is_capped() {
    for text in ["1e1000", "1e9223372036854775807", "9223372036854775808", "8Ei", "99999E", "9223372036854775807.0000000001"] {
        assert_eq!(quantity(text), Quantity(GREATEST), "{text}");
        assert_eq!(quantity(&format!("-{text}")), Quantity(-GREATEST), "-{text}");
    }
    let (most, one) = (quantity("8Ei"), Quantity::of(1));
    assert_eq!((most + most, Quantity::ZERO.minus(most).minus(most)), (most, Quantity(-GREATEST)));
    assert_eq!((Quantity::of(i64::MIN), most.minus(one) + one), (Quantity(-GREATEST), most));
}

#[test]
fn length_is_no_matter() {
    let started = Instant::now();
    let zeros = "0".repeat(1_000_000);
    let nines = "9".repeat(1_000_000);
    for suffix in ["", "n", "m", "Ki", "Ei", "E", "e5", "e-1000000"] {
        assert_eq!(quantity(&format!("{zeros}7{suffix}")), quantity(&format!("7{suffix}")), "{suffix}");
        assert_eq!(quantity(&format!("1.{zeros}{suffix}")), quantity(&format!("1{suffix}")), "{suffix}");
        assert!(quantity(&format!("1.{zeros}1{suffix}")) >= quantity(&format!("1{suffix}")), "{suffix}");
        assert!(quantity(&format!("0.{nines}{suffix}")) <= quantity(&format!("1{suffix}")), "{suffix}");
    }
    assert_eq!(quantity(&format!("{nines}Ei")), Quantity(GREATEST));
    assert_eq!(quantity(&format!("{nines}e-999999")), Quantity(10 * NANOS));
    assert_eq!(quantity(&format!("0.{zeros}5e1000001")), Quantity::of(5));
    assert!(started.elapsed() < Duration::from_secs(20), "it takes as long as reading the text a few times");
}

#[test]
fn an_error_tells_the_text_and_the_reason() {
    let error = |text: &str| Quantity::parse(text).unwrap_err().to_string();
    assert_eq!(error(""), "a quantity must not be empty");
    assert_eq!(error("Gi"), "`Gi` is no quantity: it has no digits");
    assert!(error("1GiB").starts_with("`1GiB` is no quantity: its suffix must be"));
    assert_eq!(error("1e"), "`1e` is no quantity: its exponent must be a whole number of 64 bits");
    let long = error(&format!("\n{}", "é".repeat(1_000)));
    assert_eq!(long, format!("`\\n{}...` is no quantity: it has no digits", "é".repeat(18)));
}

#[test]
fn json_has_texts_and_numbers() {
    for (json, text) in [
        ("\"1500m\"", "1.5"),
        ("\" 2Gi\\u000a\"", "2Gi"),
        ("1", "1"),
        ("-3", "-3"),
        ("0.1", "100m"),
        ("1.5", "1500m"),
        ("1e3", "1k"),
        ("2.5E-7", "250n"),
        ("1e300", "8Ei"),
        ("-1.7976931348623157e308", "-8Ei"),
        ("5e-324", "1n"),
        ("18446744073709551615", "8Ei"),
        ("340282366920938463463374607431768211456", "8Ei"),
    ] {
        assert_eq!(serde_json::from_str::<Quantity>(json).unwrap(), quantity(text), "{json}");
    }
    for json in ["\"\"", "\"1GB\"", "null", "true", "[]", "{}"] {
        assert!(serde_json::from_str::<Quantity>(json).is_err(), "{json}");
    }
    assert!(Quantity::of_f64(f64::NAN).is_err() && Quantity::of_f64(f64::NEG_INFINITY).is_err());
}

#[test]
fn cores_are_floats_too() {
    for (text, cores) in [("96", 96.0), ("3920m", 3.92), ("0", 0.0), ("-500m", -0.5), ("1n", 1e-9), ("100u", 1e-4)] {
        assert_eq!(quantity(text).to_f64().to_bits(), f64::to_bits(cores), "{text}");
    }
}
