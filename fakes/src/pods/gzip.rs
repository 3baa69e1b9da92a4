//! Compression: of bodies, and of bombs that are small and unpack to any size.

use std::io::Write;

use bytes::Bytes;
use flate2::write::GzEncoder;
use flate2::{Compress, Compression, Crc, FlushCompress};

/// What a bomb unpacks to at once. It is packed once and sent again and again.
const UNIT: usize = 1 << 20;

/// The length of a line in a bomb.
const LINE: usize = 1 << 10;

/// `text` as a gzip stream.
pub(super) fn pack(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("a vector takes everything");
    encoder.finish().expect("a vector takes everything").into()
}

/// The pieces of one gzip stream that unpacks to `unpacked` bytes of samples, each unpacking to no more
/// than a MiB. They are about a thousandth of it.
pub(super) fn bomb(unpacked: u64) -> impl Iterator<Item = Bytes> + Send {
    let unit = lines(UNIT);
    let units = unpacked / UNIT as u64;
    let rest = lines(usize::try_from(unpacked % UNIT as u64).expect("less than a unit"));
    let mut sum = Crc::new();
    let of_unit = sum_of(&unit);
    for _ in 0..units {
        sum.combine(&of_unit);
    }
    sum.combine(&sum_of(&rest));

    let packed = deflate(&unit);
    // No name, no time, unknown system.
    let head = Bytes::from_static(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    // An empty last block, the sum and the size.
    let mut end = vec![3, 0];
    end.extend(sum.sum().to_le_bytes());
    end.extend_from_slice(&unpacked.to_le_bytes()[..4]);
    let units = (0..units).map(move |_| packed.clone());
    std::iter::once(head).chain(units).chain([deflate(&rest), end.into()])
}

/// So many bytes of text: long lines of one series.
fn lines(bytes: usize) -> Vec<u8> {
    let (before, after) = ("bomb_packed_bytes{padding=\"", "\"} 1\n");
    let line = format!("{before}{}{after}", "x".repeat(LINE - before.len() - after.len()));
    let mut text = line.repeat(bytes / LINE).into_bytes();
    // Empty lines are allowed.
    text.resize(bytes, b'\n');
    text
}

fn sum_of(bytes: &[u8]) -> Crc {
    let mut sum = Crc::new();
    sum.update(bytes);
    sum
}

/// Packs so that it ends on a whole byte and depends on nothing before it.
fn deflate(bytes: &[u8]) -> Bytes {
    let mut deflate = Compress::new(Compression::best(), false);
    let mut packed = Vec::with_capacity(bytes.len() + LINE);
    deflate.compress_vec(bytes, &mut packed, FlushCompress::Full).expect("deflate takes any bytes");
    packed.into()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        GzDecoder::new(packed).read_to_end(&mut text).unwrap();
        text
    }

    #[test]
    fn bombs_unpack_to_their_size() {
        for size in [0, 1, 5_000, 1 << 20, (3 << 20) + 12_345] {
            let packed: Vec<u8> = bomb(size).flatten().collect();
            assert!(packed.len() < 100 + usize::try_from(size / 200).unwrap(), "{} bytes for {size}", packed.len());
            let text = String::from_utf8(unpacked(&packed)).unwrap();
            assert_eq!(text.len() as u64, size);
            assert!(text.lines().all(|line| line.is_empty() || line.starts_with("bomb_") && line.ends_with("\"} 1")));
        }
    }

    #[test]
    fn bodies() {
        assert_eq!(unpacked(&pack(b"up 1\n")), b"up 1\n");
    }
}
