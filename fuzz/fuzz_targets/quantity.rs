//! The reader of Kubernetes quantities: no text makes it panic, and what it reads is what the text says, whichever way that is written.
#![no_main]

use kube_s3_exporter::quantity::Quantity;
use libfuzzer_sys::fuzz_target;

const UNITS: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, i32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

fn read(text: &str) -> Quantity {
    Quantity::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Whole and thousandth ones are the same number, and can be written and read again.
fn check_numbers(quantity: Quantity) {
    let (value, milli) = (quantity.value(), quantity.milli_value());
    assert_eq!(read(&value.to_string()), Quantity::of(value));
    assert_eq!(read(&format!("{milli}m")).milli_value(), milli);
    assert_eq!(value.signum(), milli.signum());
    if milli.abs() < i64::MAX {
        assert_eq!(value, milli / 1_000 + (milli % 1_000).signum(), "both are rounded away from zero");
    } else {
        assert!(value.abs() >= i64::MAX / 1_000);
    }
}

/// A float is good for about 15 digits.
fn check_float(quantity: Quantity, number: &str, ten: i64, two: i32) {
    let about: f64 = format!("{number}e{ten}").parse().expect("it is a number for Rust too");
    let about = (about * 2_f64.powi(two)).clamp(-9_223_372_036_854_775_807.0, 9_223_372_036_854_775_807.0);
    assert!((quantity.to_f64() - about).abs() <= 2e-9 + about.abs() * 1e-12, "{quantity:?} is not about {about}");
}

fuzz_target!(|text: &str| {
    let parsed = Quantity::parse(text);
    let json = serde_json::from_value::<Quantity>(text.into());
    let Ok(quantity) = parsed else {
        let told = parsed.expect_err("it is none").to_string();
        assert!(told.len() < 400, "an error is short: {told}");
        return assert!(json.is_err() || text.trim() != text);
    };
    assert_eq!(json.ok(), Some(quantity));
    check_numbers(quantity);

    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unsigned = text.trim_start_matches(['-', '+']);
    assert_eq!(read(&format!("-{unsigned}")), Quantity::ZERO.minus(read(unsigned)));
    assert_eq!(read(&format!("+000{unsigned}")), read(unsigned));
    if let Some((number, exponent)) = text.split_once(['e', 'E']).filter(|(_, exponent)| !exponent.is_empty() && *exponent != "i")
    {
        assert_eq!(read(&format!("{number}E{exponent}")), read(&format!("{number}e{exponent}")));
        check_float(quantity, number, exponent.parse().expect("a whole number"), 0);
    } else if let Some((_, two)) = BINARY.iter().find(|(suffix, _)| text[number.len()..] == **suffix) {
        check_float(quantity, number, 0, *two);
    } else {
        let unit = UNITS.iter().find(|(suffix, _)| text[number.len()..] == **suffix);
        let ten = unit.expect("there is no other suffix").1;
        assert_eq!(read(&format!("{number}e{ten}")), quantity);
        check_float(quantity, number, ten.into(), 0);
    }
});
