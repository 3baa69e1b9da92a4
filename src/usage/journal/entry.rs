//! An entry of the journal: a report as it was sent, with a checksum of its own, so that one damaged entry costs no other.

use flate2::Crc;

use super::super::packing::{Packing, UnpackError};

/// Checksum, time, rows, packing, length.
const HEADER: usize = 4 + 8 + 4 + 1 + 4;

/// An entry as it stands in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was taken, in milliseconds since the Unix epoch.
    pub taken_at: i64,
    /// Pods in it, those included that could not be read.
    pub rows: u32,
    packing: Packing,
    /// Bytes once unpacked.
    length: u32,
    body: Vec<u8>,
}

/// An entry that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Too short, or its checksum differs.
    #[error("its checksum differs")]
    Checksum,
    /// Its checksum is right and yet it cannot be read.
    #[error("it cannot be unpacked: {0}")]
    Packing(#[from] UnpackError),
    /// Written by a later version.
    #[error("its packing {0} is unknown")]
    Unknown(u8),
}

impl Entry {
    /// The bytes of an entry for a `body` that is packed so, and has `length` bytes once unpacked.
    pub fn bytes(taken_at: i64, rows: u32, packing: Packing, length: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&taken_at.to_le_bytes());
        bytes.extend_from_slice(&rows.to_le_bytes());
        bytes.push(packing as u8);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(body);
        let checksum = checksum(&bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Time, rows and length, for counting; nothing is checked.
    pub(super) fn peek(bytes: &[u8]) -> Option<(i64, u32, u32)> {
        let number = |at| Some(u32::from_le_bytes(field(bytes, at)?));
        Some((i64::from_le_bytes(field(bytes, 4)?), number(12)?, number(17)?))
    }

    /// Reads an entry and checks it.
    ///
    /// # Errors
    /// When a bit of it is not as it was written.
    pub fn read(bytes: &[u8]) -> Result<Self, EntryError> {
        let read = || {
            let told = u32::from_le_bytes(field(bytes, 0)?);
            let (taken_at, rows, length) = Self::peek(bytes)?;
            (told == checksum(&bytes[4..])).then_some((taken_at, rows, *bytes.get(16)?, length))
        };
        let (taken_at, rows, packing, length) = read().ok_or(EntryError::Checksum)?;
        let packing = Packing::from_number(packing).ok_or(EntryError::Unknown(packing))?;
        Ok(Self { taken_at, rows, packing, length, body: bytes[HEADER..].to_vec() })
    }

    /// The report as it was sent, unpacked.
    ///
    /// # Errors
    /// When it is not what was packed.
    pub fn body(&self) -> Result<Vec<u8>, EntryError> {
        Ok(self.packing.unpack(&self.body, self.length as usize)?.into_owned())
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_seen() {
        let body = zstd::encode_all(&b"a report"[..], 1).unwrap();
        let bytes = Entry::bytes(-7, 3, Packing::Zstd, 8, &body);
        let entry = Entry::read(&bytes).unwrap();
        assert_eq!((entry.taken_at, entry.rows, entry.body().unwrap().as_slice()), (-7, 3, &b"a report"[..]));
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert_eq!(Entry::read(&flipped), Err(EntryError::Checksum), "bit {at}");
        }
        for length in 0..bytes.len() {
            assert_eq!(Entry::read(&bytes[..length]), Err(EntryError::Checksum), "{length} bytes");
        }
    }

    #[test]
    fn what_cannot_be_unpacked_is_an_error() {
        let entry = Entry::read(&Entry::bytes(0, 1, Packing::Gzip, 8, b"no gzip")).unwrap();
        assert!(matches!(entry.body(), Err(EntryError::Packing(UnpackError::Damaged(_)))));
        let entry = Entry::read(&Entry::bytes(0, 1, Packing::Identity, 3, b"longer")).unwrap();
        assert_eq!(entry.body(), Err(EntryError::Packing(UnpackError::TooLarge(3))));
    }
}
