//! Sends an answer piece by piece, packed or not.

use std::io::{self, Write as _};

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream;

use super::page::Page;

/// The response of which `page` is the body.
pub(super) fn send(page: &Page, gzip: bool) -> Response {
    let pieces = page.pieces();
    let body = if gzip {
        Body::from_stream(stream::iter(packed(pieces)))
    } else {
        Body::from_stream(stream::iter(pieces.map(Ok::<_, io::Error>)))
    };
    let mut response = ([(header::CONTENT_TYPE, page.answer().content_type())], body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    if gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// The pieces as one gzip member.
fn packed(mut pieces: impl Iterator<Item = Vec<u8>>) -> impl Iterator<Item = io::Result<Vec<u8>>> {
    let mut encoder = Some(GzEncoder::new(Vec::new(), Compression::fast()));
    std::iter::from_fn(move || {
        let open = encoder.as_mut()?;
        for piece in pieces.by_ref() {
            if let Err(error) = open.write_all(&piece) {
                return Some(Err(error));
            }
            if !open.get_ref().is_empty() {
                return Some(Ok(std::mem::take(open.get_mut())));
            }
        }
        encoder.take().map(GzEncoder::finish)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn pieces_are_packed_to_one_member() {
        let pieces: Vec<Vec<u8>> = (0..50_u8).map(|at| vec![at; 10_000]).collect();
        let whole: Vec<u8> = packed(pieces.clone().into_iter()).flat_map(Result::unwrap).collect();
        let mut unpacked = Vec::new();
        flate2::bufread::GzDecoder::new(whole.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, pieces.concat());
    }
}
