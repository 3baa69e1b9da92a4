//! Objects in compressed form, written and read piece by piece.

use std::borrow::Cow;
use std::io::Write;

use flate2::write::{GzDecoder, GzEncoder};
use serde::Deserialize;

/// Fast ones: an export is bound by its source.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 3;

/// A form of compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// RFC 1952; the key ends in `.gz`.
    Gzip,
    /// RFC 8878; the key ends in `.zst`.
    Zstd,
}

impl Compression {
    /// The end of keys.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}

/// Compresses, or passes on.
pub enum Compressor {
    /// As it is.
    None,
    /// RFC 1952.
    Gzip(GzEncoder<Vec<u8>>),
    /// RFC 8878.
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Compressor {
    /// Begins.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(compression: Option<Compression>) -> std::io::Result<Self> {
        Ok(match compression {
            None => Self::None,
            Some(Compression::Gzip) => Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL))),
            Some(Compression::Zstd) => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?),
        })
    }

    /// Takes bytes and gives those that are ready.
    ///
    /// # Errors
    /// None with memory as its sink.
    pub fn write<'a>(&mut self, bytes: &'a [u8]) -> std::io::Result<Cow<'a, [u8]>> {
        let out = match self {
            Self::None => return Ok(bytes.into()),
            Self::Gzip(encoder) => {
                encoder.write_all(bytes)?;
                encoder.get_mut()
            }
            Self::Zstd(encoder) => {
                encoder.write_all(bytes)?;
                encoder.get_mut()
            }
        };
        Ok(std::mem::take(out).into())
    }

    /// The rest.
    ///
    /// # Errors
    /// None with memory as its sink.
    pub fn finish(self) -> std::io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(Vec::new()),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

/// Undoes it.
pub enum Decompressor {
    /// As it is.
    None,
    /// RFC 1952.
    Gzip(Box<GzDecoder<Vec<u8>>>),
    /// RFC 8878.
    Zstd(zstd::stream::write::Decoder<'static, Vec<u8>>),
}

impl Decompressor {
    /// Begins.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(compression: Option<Compression>) -> std::io::Result<Self> {
        Ok(match compression {
            None => Self::None,
            Some(Compression::Gzip) => Self::Gzip(Box::new(GzDecoder::new(Vec::new()))),
            Some(Compression::Zstd) => Self::Zstd(zstd::stream::write::Decoder::new(Vec::new())?),
        })
    }

    /// Takes bytes and gives those that are ready.
    ///
    /// # Errors
    /// When they are damaged.
    pub fn write<'a>(&mut self, bytes: &'a [u8]) -> std::io::Result<Cow<'a, [u8]>> {
        let out = match self {
            Self::None => return Ok(bytes.into()),
            Self::Gzip(decoder) => {
                decoder.write_all(bytes)?;
                decoder.flush()?;
                decoder.get_mut()
            }
            Self::Zstd(decoder) => {
                decoder.write_all(bytes)?;
                decoder.flush()?;
                decoder.get_mut()
            }
        };
        Ok(std::mem::take(out).into())
    }

    /// The rest.
    ///
    /// # Errors
    /// When the end is damaged or missing.
    pub fn finish(self) -> std::io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(Vec::new()),
            Self::Gzip(decoder) => decoder.finish(),
            Self::Zstd(mut decoder) => {
                decoder.flush()?;
                Ok(decoder.into_inner())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back() {
        let text: Vec<u8> = (0..300_000_u32).flat_map(|number| (number % 977).to_string().into_bytes()).collect();
        for compression in [None, Some(Compression::Gzip), Some(Compression::Zstd)] {
            let mut compressor = Compressor::new(compression).unwrap();
            let mut packed: Vec<u8> =
                text.chunks(10_007).flat_map(|piece| compressor.write(piece).unwrap().into_owned()).collect();
            packed.extend(compressor.finish().unwrap());
            assert!(compression.is_none() || packed.len() * 2 < text.len());
            let mut decompressor = Decompressor::new(compression).unwrap();
            let mut plain: Vec<u8> =
                packed.chunks(4_099).flat_map(|piece| decompressor.write(piece).unwrap().into_owned()).collect();
            plain.extend(decompressor.finish().unwrap());
            assert!(plain == text, "{compression:?}");
        }
    }
}
