//! UIDs as keys of indexes.

/// A UID. They are opaque, but in practice UUIDs, which fit without an allocation; so do the hashes that static pods have instead.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Uid {
    /// A UUID in its usual form, 36 lower-case characters.
    Uuid([u8; 16]),
    /// 32 lower-case hexadecimal digits.
    Hash([u8; 16]),
    /// Anything else, as it is.
    Other(Box<str>),
}

impl Uid {
    /// Reads any text; two texts that differ are two UIDs.
    pub fn new(text: &str) -> Self {
        match text.len() {
            36 => uuid(text).map(Self::Uuid),
            32 => hex(text).map(Self::Hash),
            _ => None,
        }
        .unwrap_or_else(|| Self::Other(text.into()))
    }
}

/// The bytes of a UUID in its usual form; any other form would not be told apart from it.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let dashes = text.bytes().enumerate().all(|(place, byte)| (byte == b'-') == matches!(place, 8 | 13 | 18 | 23));
    if !dashes {
        return None;
    }
    let mut digits = [0; 32];
    for (to, from) in digits.iter_mut().zip(text.bytes().filter(|&byte| byte != b'-')) {
        *to = from;
    }
    hex(str::from_utf8(&digits).ok()?)
}

fn hex(digits: &str) -> Option<[u8; 16]> {
    let lower = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if lower { u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_that_differ_stay_different() {
        let usual = "0c1d2e3f-0000-4000-8000-0123456789ab";
        assert!(matches!(Uid::new(usual), Uid::Uuid([0x0c, 0x1d, .., 0xab])));
        let hash = "0c1d2e3f0000400080000123456789ab";
        assert!(matches!(Uid::new(hash), Uid::Hash([0x0c, 0x1d, .., 0xab])));
        assert_ne!(Uid::new(hash), Uid::new(usual));
        let others = [
            "",
            "u",
            "0C1D2E3F-0000-4000-8000-0123456789AB",
            "0c1d2e3f000040008000-0123456789ab----",
            "0C1D2E3F0000400080000123456789AB",
            "+c1d2e3f0000400080000123456789ab",
            "0c1d2e3f-0000-4000-80000-123456789ab",
            "ä1d2e3f-0000-4000-8000-0123456789ab",
            &usual[1..],
        ];
        for other in others {
            assert!(matches!(Uid::new(other), Uid::Other(_)), "{other}");
            assert_ne!(Uid::new(other), Uid::new(usual));
        }
        assert_eq!(std::mem::size_of::<Uid>(), 24);
    }
}
