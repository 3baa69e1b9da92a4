//! Numbers that look random and are always the same.

use std::collections::HashMap;

/// Spreads `i` over all 64 bits, the same on every run (SplitMix64).
pub(crate) fn mix(i: u64) -> u64 {
    let mut z = i.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number for a text, and for the `seed` that it comes with.
pub(crate) fn mix_text(seed: u64, text: &str) -> u64 {
    text.bytes().fold(mix(seed), |sum, byte| mix(sum ^ u64::from(byte)))
}

/// How likely a fault is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probability {
    /// From 0 to 1.
    pub p: f64,
    /// Another one strikes other requests.
    pub seed: u64,
}

/// Decides with a [`Probability`]: by what is asked and how often it was asked before, and not by the
/// order in which different requests arrive.
#[derive(Debug, Default)]
pub(crate) struct Luck(HashMap<u64, u64>);

impl Luck {
    /// Whether it happens to the request with these texts; always without a probability.
    pub(crate) fn strikes<'a>(&mut self, probability: Option<Probability>, texts: impl IntoIterator<Item = &'a str>) -> bool {
        let Some(Probability { p, seed }) = probability else {
            return true;
        };
        let number = texts.into_iter().fold(mix(seed), mix_text);
        let times = self.0.entry(number).or_default();
        *times += 1;
        happens(p, number ^ mix(*times))
    }
}

/// Whether something of probability `p` happens to the one with this number.
fn happens(p: f64, number: u64) -> bool {
    // 32 bits are exact in a float, and more than any test needs.
    let upper = u32::try_from(mix(number) >> 32).unwrap_or(u32::MAX);
    f64::from(upper) < p * (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::happens;

    #[test]
    fn probabilities() {
        let of_1_000 = |p| (0..1_000).filter(|number| happens(p, *number)).count();
        assert_eq!([of_1_000(0.0), of_1_000(1.0)], [0, 1_000]);
        assert!((200..300).contains(&of_1_000(0.25)));
    }
}
