use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn document(contents: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Name>b</Name><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
    )
}

fn contents(key: &str) -> String {
    format!(
        "<Contents><Key>{key}</Key><LastModified>2026-11-21T05:20:00.000Z</LastModified><ETag>&quot;x&quot;</ETag>\
         <Size>7</Size><Owner><ID>i</ID></Owner><StorageClass>GLACIER</StorageClass></Contents>"
    )
}

fn keys(document: &str) -> Result<Vec<Vec<u8>>, PageError> {
    let page = Page::read(document.into())?;
    Ok(page.objects().map(|object| object.key.to_vec()).collect())
}

fn key(document: &str) -> String {
    String::from_utf8(keys(document).unwrap().remove(0)).unwrap()
}

#[test]
fn an_object_has_key_size_date_and_class() {
    let document = document(&contents("prod-1"));
    let page = Page::read(document.into()).unwrap();
    let objects: Vec<_> = page.objects().collect();
    let expected = Object { key: b"prod-1", size: 7, modified: 1_795_238_400_000, storage_class: b"GLACIER" };
    assert_eq!(objects, [expected]);
    assert!(!page.truncated);
}

#[test]
fn keys_are_percent_decoded_only_if_the_answer_says_so_and_wherever_it_does() {
    let escaped = contents("a%2Fb+c%25");
    assert_eq!(key(&document(&escaped)), "a%2Fb+c%25");
    assert_eq!(key(&document(&format!("<EncodingType>url</EncodingType>{escaped}"))), "a/b c%");
    assert_eq!(key(&document(&format!("{escaped}<EncodingType>url</EncodingType>"))), "a/b c%");
    assert_eq!(key(&document(&format!("{}<EncodingType>url</EncodingType>", contents("a&amp;%26")))), "a&&");
}

#[test]
fn a_key_may_come_in_pieces() {
    assert_eq!(key(&document(&contents("a&lt;<!-- no --><![CDATA[b&amp;%20]]>&#x63;"))), "a<b&amp;%20c");
    assert_eq!(key(&document(&contents(""))), "");
    assert_eq!(key(&document(&contents(" a "))), " a ");
}

#[test]
fn truncation_and_token() {
    let body = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b</NextContinuationToken></ListBucketResult>";
    let page = Page::read(body.into()).unwrap();
    assert!(page.truncated);
    assert_eq!(page.next_token.as_deref(), Some("a&b"));
    let page = Page::read(document("").into()).unwrap();
    assert!(!page.truncated && page.next_token.is_none() && page.is_empty());
}

#[test]
fn what_is_no_page_is_refused() {
    let cases = [
        "",
        "<html><body>503</body></html>",
        "<ListBucketResult></ListBucketResult>",
        "<ListBucketResult/>",
        "<ListBucketResult><IsTruncated>maybe</IsTruncated></ListBucketResult>",
        "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult><a/>",
        "<ListBucketResult><IsTruncated>false</IsTruncated>stray</ListBucketResult>",
        "<ListBucketResult><IsTruncated>false</Wrong></ListBucketResult>",
        "<ListBucketResult><IsTruncated>false</IsTruncated></ListAllMyBucketsResult>",
        "{\"IsTruncated\": false}",
    ];
    for case in cases {
        assert!(keys(case).is_err(), "{case}");
    }
    let entry = contents("k");
    for (from, to) in [
        ("<Size>7</Size>", ""),
        ("<Size>7</Size>", "<Size></Size>"),
        ("<Size>7</Size>", "<Size>-7</Size>"),
        ("<Key>k</Key>", ""),
        ("<Key>k</Key>", "<Key>k</Key><Key>l</Key>"),
        ("<Key>k</Key>", "<Key><b>k</b></Key>"),
        ("<Key>k</Key>", "<Key>&unknown;</Key>"),
        ("2026-11-21", "2026-02-30"),
    ] {
        let broken = entry.replacen(from, to, 1);
        assert_ne!(broken, entry);
        assert!(matches!(keys(&document(&broken)), Err(PageError::Unexpected(_))), "{broken}");
    }
}

#[test]
fn an_error_document_is_told_with_its_code() {
    let body = "<?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code><Message>Please &lt;reduce&gt;</Message><Region>eu-west-1</Region></Error>";
    let expected = ErrorDocument { code: "SlowDown".into(), message: "Please <reduce>".into(), region: Some("eu-west-1".into()) };
    assert_eq!(keys(body), Err(PageError::ErrorDocument(expected.clone())));
    assert_eq!(read_error_document(body.as_bytes()), Some(expected));
    assert_eq!(read_error_document(b"<html/>"), None);
}

#[test]
fn every_cut_of_a_page_is_an_error() {
    let whole = document(&contents("prod-1"));
    for end in 0..whole.len() {
        assert!(keys(&whole[..end]).is_err(), "cut at {end} was taken: {}", &whole[..end]);
    }
}

proptest! {
    #[test]
    fn every_key_survives_url_encoding_and_entities(keys_in in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8)) {
        let mut listed = String::new();
        for key in &keys_in {
            let encoded = percent_encoding::percent_encode(key, percent_encoding::NON_ALPHANUMERIC);
            write!(listed, "{}", contents(&encoded.to_string())).unwrap();
        }
        let document = document(&format!("{listed}<EncodingType>url</EncodingType>"));
        prop_assert_eq!(keys(&document).unwrap(), keys_in);
    }

    #[test]
    fn a_general_xml_reader_sees_the_same_keys(keys_in in proptest::collection::vec("[ -~é日😀]{1,30}", 1..8)) {
        let listed: String = keys_in.iter().map(|key| contents(&quick_xml::escape::escape(key))).collect();
        let document = document(&listed);
        let expected: Vec<Vec<u8>> = keys_in.iter().map(|key| key.clone().into_bytes()).collect();
        prop_assert_eq!(keys(&document).unwrap(), expected);
        prop_assert_eq!(keys(&document).unwrap(), keys_by_quick_xml(&document));
    }

    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200), at in 0_usize..400, byte in any::<u8>()) {
        let _ = Page::read(body);
        let mut mutated = document(&contents("a&amp;b")).into_bytes();
        let at = at % mutated.len();
        mutated[at] = byte;
        if let Ok(page) = Page::read(mutated) {
            page.objects().for_each(drop);
        }
    }
}

fn keys_by_quick_xml(document: &str) -> Vec<Vec<u8>> {
    #[derive(serde::Deserialize)]
    struct List {
        #[serde(rename = "Contents")]
        contents: Vec<Contents>,
    }
    #[derive(serde::Deserialize)]
    struct Contents {
        #[serde(rename = "Key")]
        key: String,
    }
    let list: List = quick_xml::de::from_str(document).unwrap();
    list.contents.into_iter().map(|contents| contents.key.into_bytes()).collect()
}
