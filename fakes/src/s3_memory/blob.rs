//! Bodies: the bytes of an object, as they come and go.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, TryStreamExt};
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::objects::{Content, Object};

/// Bytes of one chunk of zeros.
const ZEROS: &[u8] = &[0; 64 * 1024];

/// A whole body; empty if there is none.
pub(super) async fn collect(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let Some(body) = body else {
        return Ok(Bytes::new());
    };
    let whole: BytesMut = body
        .map_err(|error| S3Error::with_source(S3ErrorCode::InternalError, error))
        .try_fold(BytesMut::new(), |mut whole, chunk| async move {
            whole.extend_from_slice(&chunk);
            Ok(whole)
        })
        .await?;
    Ok(whole.freeze())
}

/// A range of the content, as a stream.
pub(super) fn body(object: &Object, range: Range<u64>) -> StreamingBlob {
    match &object.content {
        Content::Bytes(bytes) => {
            let index = |at: u64| usize::try_from(at).expect("the range is within the bytes");
            let part = bytes.slice(index(range.start)..index(range.end));
            StreamingBlob::wrap(stream::iter([Ok::<_, std::io::Error>(part)]))
        }
        Content::Zeros(_) => {
            let left = range.end - range.start;
            StreamingBlob::wrap(stream::iter(zeros(left).map(Ok::<_, std::io::Error>)))
        }
    }
}

/// Chunks of `size` zeros in total.
fn zeros(size: u64) -> impl Iterator<Item = Bytes> {
    let chunk = ZEROS.len() as u64;
    (0..size.div_ceil(chunk)).map(move |i| {
        let length = (size - i * chunk).min(chunk);
        Bytes::from_static(&ZEROS[..usize::try_from(length).expect("at most one chunk")])
    })
}
