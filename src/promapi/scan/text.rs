//! Text in JSON: what needs no attention, what is kept, and whether it is UTF-8.

/// Of a text that is kept. Prometheus cuts none of its own, but a page of HTML as an error is of no use.
const MOST_KEPT: usize = 2_000;

/// How many bytes from the beginning are neither quote, backslash nor control character.
pub(super) fn plain(bytes: &[u8]) -> usize {
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    let mut at = 0;
    // Eight at a time: the highest bit of each byte of `hit` says whether it is special, up to the first that is.
    while let Some(eight) = bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()) {
        let word = u64::from_le_bytes(eight);
        let zeros = |word: u64| word.wrapping_sub(EACH) & !word & (EACH << 7);
        let control = word.wrapping_sub(EACH * 0x20) & !word & (EACH << 7);
        let hit = control | zeros(word ^ (EACH * u64::from(b'"'))) | zeros(word ^ (EACH * u64::from(b'\\')));
        if hit != 0 {
            return at + (hit.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + bytes[at..].iter().position(special).unwrap_or(bytes.len() - at)
}

/// One in each byte of a word.
const EACH: u64 = 0x0101_0101_0101_0101;

/// Samples in their usual form, `[1700000000.123,"1"],` with the comma: how many, and in how many bytes. Anything else is left to be read byte by byte.
pub(super) fn usual_samples(bytes: &[u8]) -> (u64, usize) {
    let (mut count, mut used) = (0, 0);
    while let Some(length) = usual_sample(&bytes[used..]) {
        count += 1;
        used += length;
    }
    (count, used)
}

fn usual_sample(bytes: &[u8]) -> Option<usize> {
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !matches!(bytes, [b'[', b'1'..=b'9', ..]) {
        return None;
    }
    let mut at = 1 + digits(1);
    if bytes.get(at) == Some(&b'.') {
        let decimals = digits(at + 1);
        if decimals == 0 {
            return None;
        }
        at += 1 + decimals;
    }
    let value = bytes[at..].strip_prefix(b",\"")?;
    let rest = value[plain(value)..].strip_prefix(b"\"],")?;
    Some(bytes.len() - rest.len())
}

/// A string that is kept, as it stands in the JSON.
#[derive(Debug, Default)]
pub(super) struct Capture {
    on: bool,
    raw: Vec<u8>,
}

impl Capture {
    pub(super) fn start(&mut self) {
        self.on = true;
        self.raw.clear();
    }

    pub(super) fn stop(&mut self) {
        self.on = false;
    }

    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.on {
            let room = MOST_KEPT.saturating_sub(self.raw.len());
            self.raw.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    pub(super) fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Unescaped.
    pub(super) fn text(&self) -> String {
        let quoted = [b"\"", &self.raw[..], b"\""].concat();
        serde_json::from_slice(&quoted).unwrap_or_else(|_| String::from_utf8_lossy(&self.raw).into_owned())
    }
}

/// Whether bytes in pieces are UTF-8.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    /// The beginning of a character that the last piece cut.
    carried: Vec<u8>,
}

impl Utf8 {
    /// `Err` with the offset of the first wrong byte, about.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), usize> {
        let mut at = 0;
        while !self.carried.is_empty() && at < bytes.len() {
            self.carried.push(bytes[at]);
            at += 1;
            match std::str::from_utf8(&self.carried) {
                Ok(_) => self.carried.clear(),
                Err(error) if error.error_len().is_some() => return Err(at - 1),
                Err(_) => {}
            }
        }
        bytes = &bytes[at..];
        match std::str::from_utf8(bytes) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(at + error.valid_up_to()),
            Err(error) => {
                self.carried.extend_from_slice(&bytes[error.valid_up_to()..]);
                Ok(())
            }
        }
    }
}
