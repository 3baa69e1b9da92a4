//! The list-page reader: no bytes make it panic, and no cut of a page that it takes is a page.
#![no_main]

use kube_s3_exporter::listing::Page;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok(page) = Page::read(body.to_vec()) else { return };
    let keys = page.objects().map(|object| object.key.len() + object.storage_class.len()).sum::<usize>();
    // A key is never longer than what it was read from.
    assert!(keys <= body.len() + page.len() * "STANDARD".len());
    let end = body.iter().rposition(|&byte| byte == b'<').expect("a page has tags");
    assert!(Page::read(body[..end].to_vec()).is_err() || body[end..].starts_with(b"<!--") || body[end..].starts_with(b"<?"));
});
