//! `Content-Encoding` of bodies: unpacked up to a limit, whatever they claim of themselves.

use std::borrow::Cow;
use std::io::{self, Read};

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// How a body is packed. The numbers are those in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Packing {
    /// Not at all.
    Identity = 0,
    /// RFC 1952
    Gzip = 1,
    /// RFC 8878
    Zstd = 2,
}

/// A body that cannot be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    /// It would be larger than allowed.
    #[error("the body is larger than {0} bytes once unpacked")]
    TooLarge(usize),
    /// It is not what its encoding says.
    #[error("the body cannot be unpacked: {0}")]
    Damaged(String),
}

impl Packing {
    /// The packing that headers tell; the text of an encoding that is not taken as error.
    ///
    /// # Errors
    /// For anything but one of `identity`, `gzip`, `x-gzip` and `zstd`.
    pub fn of(headers: &HeaderMap) -> Result<Self, String> {
        let told: Vec<&str> =
            headers.get_all(CONTENT_ENCODING).iter().map(|value| value.to_str().unwrap_or("?").trim()).collect();
        match told.join(", ").to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            other => Err(other.chars().take(64).collect()),
        }
    }

    /// As the journal knows it.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Identity, Self::Gzip, Self::Zstd].into_iter().find(|packing| *packing as u8 == number)
    }

    /// The bytes of a body, which are at most `limit`.
    ///
    /// # Errors
    /// For a body that is larger or damaged.
    pub fn unpack(self, body: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, UnpackError> {
        let reader: Box<dyn Read> = match self {
            Self::Identity if body.len() > limit => return Err(UnpackError::TooLarge(limit)),
            Self::Identity => return Ok(body.into()),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(body)),
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(body).map_err(damaged)?),
        };
        let mut unpacked = Vec::with_capacity((body.len() * 6).min(limit));
        reader.take(limit as u64 + 1).read_to_end(&mut unpacked).map_err(damaged)?;
        if unpacked.len() > limit { Err(UnpackError::TooLarge(limit)) } else { Ok(unpacked.into()) }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn damaged(error: io::Error) -> UnpackError {
    UnpackError::Damaged(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn what_is_packed_is_unpacked_up_to_the_limit() {
        let text = b"0123456789".repeat(1_000);
        let bodies = [
            (Packing::Identity, text.clone()),
            (Packing::Gzip, gzip(&text)),
            (Packing::Zstd, zstd::encode_all(&*text, 1).unwrap()),
        ];
        for (packing, body) in bodies {
            assert_eq!(packing.unpack(&body, 10_000).unwrap(), text);
            assert_eq!(packing.unpack(&body, 9_999), Err(UnpackError::TooLarge(9_999)));
            assert_eq!(Packing::from_number(packing as u8), Some(packing));
            if packing != Packing::Identity {
                assert!(matches!(packing.unpack(&body[..body.len() - 3], 10_000), Err(UnpackError::Damaged(_))), "{packing:?}");
                assert!(matches!(packing.unpack(b"plain", 10_000), Err(UnpackError::Damaged(_))), "{packing:?}");
            }
        }
        assert_eq!(Packing::from_number(3), None);
    }

    #[test]
    fn only_known_encodings_are_taken() {
        let of = |values: &[&'static str]| {
            let values = values.iter().map(|value| (CONTENT_ENCODING, value.parse().unwrap()));
            Packing::of(&values.collect())
        };
        assert_eq!(of(&[]), Ok(Packing::Identity));
        assert_eq!(of(&["GZIP"]), Ok(Packing::Gzip));
        assert_eq!(of(&["zstd"]), Ok(Packing::Zstd));
        assert_eq!(of(&["br"]), Err("br".to_owned()));
        assert_eq!(of(&["gzip", "zstd"]), Err("gzip, zstd".to_owned()));
    }
}
