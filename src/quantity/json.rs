//! A quantity in JSON: a text, or a bare number, which people write in manifests.

use std::fmt::{self, Write as _};

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Quantity, QuantityError};

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

struct Written;

impl Visitor<'_> for Written {
    type Value = Quantity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quantity such as \"500m\"")
    }

    /// With white space around it, which apimachinery too allows in JSON only.
    fn visit_str<E: Error>(self, text: &str) -> Result<Quantity, E> {
        Quantity::parse(text.trim()).map_err(E::custom)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Quantity, E> {
        Ok(Quantity::of(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Quantity, E> {
        Ok(Quantity::of(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Quantity, E> {
        Quantity::of_f64(number).map_err(E::custom)
    }
}

impl Quantity {
    /// The decimal number that `number` stands for: the shortest that is read as it, `0.1` and not the binary fraction beside it.
    ///
    /// # Errors
    /// When it is not finite.
    pub fn of_f64(number: f64) -> Result<Self, QuantityError> {
        if !number.is_finite() {
            return Err(QuantityError::Infinite);
        }
        let mut shortest = Short::default();
        // Never longer than `-1.2345678901234567e-308`.
        let _ = write!(shortest, "{number:e}");
        Self::parse(shortest.text())
    }
}

/// A few letters, not on the heap.
#[derive(Default)]
struct Short {
    bytes: [u8; 32],
    length: usize,
}

impl Short {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
