//! Who may ask.

use http::{HeaderMap, header};

/// What requests have to show; nothing if neither is set.
#[derive(Debug, Clone, Default)]
pub(super) struct Auth {
    bearer: Option<String>,
    basic: Option<String>,
}

impl Auth {
    pub(super) fn require_bearer(&mut self, token: &str) {
        self.bearer = Some(format!("Bearer {token}"));
    }

    pub(super) fn require_basic(&mut self, user: &str, password: &str) {
        self.basic = Some(format!("Basic {}", base64(format!("{user}:{password}").as_bytes())));
    }

    /// Whether a request with these headers is let in; either way is enough.
    pub(super) fn lets_in(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(header::AUTHORIZATION).map(http::HeaderValue::as_bytes);
        let open = self.bearer.is_none() && self.basic.is_none();
        let mut keys = [&self.bearer, &self.basic].into_iter().flatten();
        open || keys.any(|key| shown == Some(key.as_bytes()))
    }
}

/// Base64 with padding (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | usize::from(three.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            let digit = ALPHABET[bits >> (18 - 6 * i) & 63];
            text.push(if i <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn vectors_of_rfc_4648() {
        let texts = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|text| base64(text.as_bytes()));
        assert_eq!(texts, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }
}
