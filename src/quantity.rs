//! Kubernetes resource quantities (`1500m`, `2Ti`, `128974848000m`, `1e3`): the whole grammar, in integers, rounded and capped as Kubernetes says.
//!
//! The grammar is the one that `k8s.io/apimachinery/pkg/api/resource/quantity.go` documents: a sign, digits with or without a point, and a suffix:
//! `n u m k M G T P E` are powers of ten, `Ki Mi Gi Ti Pi Ei` are powers of 1024, and `e` or `E` with a whole number is a power of ten too. So `1E`
//! is 10^18 and `1E3` is 1000. What is finer than 10^-9 is rounded away from zero: who asks for something gets something. What is greater than
//! 2^63-1 becomes 2^63-1.
//!
//! Where the code there does other things than it documents, the documents are followed here. Its `Value()` and `MilliValue()` overflow into numbers
//! without sense (`MilliValue` of `1E` is 0, of `7Ei` it is below zero), and are often wrong for numbers below zero (`Value` of `-1.0001Ki` is -1023);
//! it cuts exponents to 32 bits (`1e4294967296` is 1); and it reads 0 from some texts that have no digit (`m`, `Ti`), though not from all (`Ei`).

mod error;
mod json;
mod scan;
#[cfg(test)]
mod tests;

use std::ops::Add;
use std::str::FromStr;

pub use self::error::{Excerpt, QuantityError};

/// What one unit of a quantity is kept in: the finest that Kubernetes knows.
const NANOS: i128 = 1_000_000_000;
/// No quantity is greater than this, and none less than its negative.
const GREATEST: i128 = i64::MAX as i128 * NANOS;

/// An amount of a resource: cores, bytes or devices, in billionths, from -(2^63-1) to 2^63-1 whole ones.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Quantity(i128);

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Reads a quantity, in one pass over `text` however long it is. White space is not allowed (and not sent by Kubernetes).
    ///
    /// # Errors
    /// When `text` is none, with its beginning and the reason.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        scan::scan(text)
    }

    /// So many whole ones.
    pub const fn of(whole: i64) -> Self {
        Self::capped(whole as i128 * NANOS)
    }

    /// Whole ones (bytes, devices), rounded away from zero, as apimachinery's `Value()`.
    pub fn value(self) -> i64 {
        saturate(away(self.0, NANOS))
    }

    /// Thousandths (millicores), rounded away from zero, as apimachinery's `MilliValue()`. What does not fit is capped.
    pub fn milli_value(self) -> i64 {
        saturate(away(self.0, NANOS / 1_000))
    }

    /// The nearest float; exact enough for cores.
    #[expect(clippy::cast_precision_loss, reason = "a float cannot do better")]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / NANOS as f64
    }

    /// Whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The difference, capped as any quantity.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self::capped(self.0 - other.0)
    }

    /// Of two capped quantities the sum fits: so nothing overflows before this.
    const fn capped(nanos: i128) -> Self {
        Self(if nanos > GREATEST {
            GREATEST
        } else if nanos < -GREATEST {
            -GREATEST
        } else {
            nanos
        })
    }
}

/// The sum, capped as any quantity.
impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::capped(self.0 + other.0)
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        Self::parse(text)
    }
}

/// `nanos` in units of `unit`, rounded away from zero.
const fn away(nanos: i128, unit: i128) -> i128 {
    nanos / unit + (nanos % unit).signum()
}

fn saturate(number: i128) -> i64 {
    let most = i128::from(i64::MAX);
    i64::try_from(number.clamp(-most, most)).unwrap_or(i64::MAX)
}
