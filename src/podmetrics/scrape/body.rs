//! The body of an answer: to its end, within its limit, unpacked.

use std::io::Write as _;

use flate2::write::MultiGzDecoder;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use super::super::budget::Share;
use super::super::reason::{Failure, Reason};
use super::Unscraped;
use crate::exposition::Format;
use crate::http::chain;

/// Gzip packs at most about a thousand times, so that so much unpacks to a few MiB before the limit is looked at.
const SLICE: usize = 4 << 10;
/// What is allocated for a body before any of it has come.
const FIRST_ALLOCATION: usize = 1 << 20;

/// Reads all of it; `tell` hears how many bytes have come.
pub(super) async fn read_body(
    response: Response<Incoming>,
    format: Format,
    limit: usize,
    share: &mut Share,
    mut tell: impl FnMut(usize),
) -> Result<Vec<u8>, Unscraped> {
    let gzip = is_gzip(response.headers())?;
    let headers = response.headers();
    let ends_with_connection = !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING);
    let mut body = response.into_body();
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(too_large(limit).into());
    }
    let mut reader = Reader::new(gzip, announced);
    let mut came = 0;
    tell(came);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::new(Reason::Transport, format!("the answer broke off: {}", chain(&error))))?;
        let Ok(data) = frame.into_data() else { continue };
        came += data.len();
        if came > limit {
            return Err(too_large(limit).into());
        }
        for slice in data.chunks(SLICE) {
            reader.take(slice)?;
            if reader.len() > limit {
                return Err(too_large(limit).into());
            }
        }
        share.resize(reader.len())?;
        tell(came);
    }
    let text = reader.finish()?;
    share.resize(text.len())?;
    let whole = gzip || !ends_with_connection || format == Format::OpenMetrics || text.last().is_none_or(|last| *last == b'\n');
    if !whole {
        // Its length was not told, so that nothing but its last line feed says that it is whole.
        return Err(Failure::new(Reason::Transport, "the answer breaks off within a line, and its length is not known").into());
    }
    Ok(text)
}

fn too_large(limit: usize) -> Failure {
    Failure::new(Reason::BodySize, format!("the answer is larger than {limit} bytes"))
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, Failure> {
    match headers.get(CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase()).as_deref() {
        None | Some(b"" | b"identity") => Ok(false),
        Some(b"gzip" | b"x-gzip") => Ok(true),
        Some(other) => {
            let other = String::from_utf8_lossy(other).escape_debug().to_string();
            Err(Failure::new(Reason::Encoding, format!("it answered with the encoding `{other}`")))
        }
    }
}

/// Takes bytes as they come.
enum Reader {
    Plain(Vec<u8>),
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl Reader {
    fn new(gzip: bool, announced: usize) -> Self {
        // One more for a line feed at the end.
        let out = Vec::with_capacity((announced + 1).min(FIRST_ALLOCATION));
        if gzip { Self::Gzip(Box::new(MultiGzDecoder::new(out))) } else { Self::Plain(out) }
    }

    fn take(&mut self, slice: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Plain(out) => out.extend_from_slice(slice),
            Self::Gzip(decoder) => decoder.write_all(slice).map_err(|error| not_gzip(&error))?,
        }
        Ok(())
    }

    fn len(&self) -> usize {
        match self {
            Self::Plain(out) => out.len(),
            Self::Gzip(decoder) => decoder.get_ref().len(),
        }
    }

    fn finish(self) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Gzip(decoder) => decoder.finish().map_err(|error| not_gzip(&error)),
        }
    }
}

fn not_gzip(error: &std::io::Error) -> Failure {
    Failure::new(Reason::Encoding, format!("the answer is no whole gzip: {error}"))
}
