//! Pieces of exposition that are rendered and compressed once and sent many times without being copied.
//!
//! Several pieces make one gzip member: each is deflated on its own and ends on a byte boundary (sync flush), so that the pieces can follow each
//! other; the checksum of the whole is combined from theirs. A chain of members would be legal too, but some readers stop behind the first.
//! Formats: RFC 1951 and RFC 1952.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use futures::stream;

/// No name, no time, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// An empty last block, which ends the deflate stream.
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];

/// A piece of a response in both forms.
#[derive(Debug, Clone)]
pub struct Fragment {
    plain: Bytes,
    deflated: Bytes,
    checksum: Arc<Crc>,
}

impl Fragment {
    /// Compresses `plain`, which is kept as it is too.
    pub fn new(plain: Vec<u8>) -> Self {
        let mut crc = Crc::new();
        crc.update(&plain);
        Self { deflated: deflate(&plain).into(), checksum: Arc::new(crc), plain: plain.into() }
    }

    /// For a body that will not be compressed.
    pub(super) fn plain(plain: Vec<u8>) -> Self {
        Self { plain: plain.into(), deflated: Bytes::new(), checksum: Arc::default() }
    }
}

/// A body of all `fragments`, with its length.
pub(super) fn body(fragments: &[Fragment], gzip: bool) -> (Body, usize) {
    let chunks: Vec<Bytes> =
        if gzip { gzip_member(fragments) } else { fragments.iter().map(|fragment| fragment.plain.clone()).collect() };
    let length = chunks.iter().map(Bytes::len).sum();
    (Body::from_stream(stream::iter(chunks.into_iter().map(Ok::<_, io::Error>))), length)
}

fn gzip_member(fragments: &[Fragment]) -> Vec<Bytes> {
    let mut crc = Crc::new();
    let mut chunks = vec![Bytes::from_static(&HEADER)];
    for fragment in fragments {
        crc.combine(&fragment.checksum);
        chunks.push(fragment.deflated.clone());
    }
    let mut trailer = LAST_BLOCK.to_vec();
    trailer.extend_from_slice(&crc.sum().to_le_bytes());
    // The length modulo 2^32, which is how `Crc` counts too.
    trailer.extend_from_slice(&crc.amount().to_le_bytes());
    chunks.push(trailer.into());
    chunks
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut compress = Compress::new(Compression::fast(), false);
    let mut out = Vec::with_capacity(plain.len() / 8 + 64);
    loop {
        let consumed = usize::try_from(compress.total_in()).unwrap_or(usize::MAX);
        let status = compress.compress_vec(&plain[consumed..], &mut out, FlushCompress::Sync);
        let all_in = compress.total_in() == plain.len() as u64;
        match status {
            // Room left in the output means that the flush is complete.
            Ok(Status::Ok | Status::BufError) if all_in && out.len() < out.capacity() => break,
            Ok(_) => out.reserve(out.capacity().max(64)),
            Err(error) => unreachable!("deflating from memory to memory: {error}"),
        }
    }
    out.shrink_to_fit();
    out
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn fragments_make_one_gzip_member_that_any_reader_takes() {
        let texts: Vec<Vec<u8>> = [0_usize, 1, 100, 70_000, 3_000_000]
            .iter()
            .map(|length| (0..*length).map(|at| b'a' + u8::try_from(at * at % 23).unwrap()).collect())
            .collect();
        let fragments: Vec<Fragment> = texts.iter().cloned().map(Fragment::new).collect();
        let member: Vec<u8> = gzip_member(&fragments).concat();
        let mut unpacked = Vec::new();
        // This reader stops behind the first member, and checks sum and length.
        let mut reader = flate2::bufread::GzDecoder::new(member.as_slice());
        reader.read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, texts.concat());
        assert!(reader.into_inner().is_empty());
        assert!(member.len() * 5 < unpacked.len());
    }

    #[test]
    fn noise_that_cannot_be_compressed_survives() {
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(1 << 20).collect();
        let member = gzip_member(&[Fragment::new(noise.clone())]).concat();
        let mut unpacked = Vec::new();
        flate2::bufread::GzDecoder::new(member.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, noise);
    }
}
