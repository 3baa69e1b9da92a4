//! Small bodies with one oddity each.

mod openmetrics;
mod text;

use kube_s3_exporter::exposition::Format;

/// What is no UTF-8, in text.
const BYTES: &[&[u8]] = &[
    b"# caf\xe9\na 1\n",
    b"#caf\xe9\na 1\n",
    b"# HELP a caf\xe9\na 1\n",
    b"# HELP a.b caf\xe9\na 1\n",
    b"# TYPE a caf\xe9\na 1\n",
    b"a{b=\"caf\xe9\"} 1\n",
    b"a{b=\"\xff\"} 1\n",
    b"a{b=\"\xed\xa0\x80\"} 1\n",
    b"a{b=\"\xc0\x80\"} 1\n",
    b"a\xe9 1\n",
    b"a 1\xe9\n",
    b"\xff\xfea\0 \x001\0\n\0",
    b"\x1f\x8b\x08\0\0\0\0\0\0\xff",
];

/// All of them.
pub fn all() -> Vec<(Format, Vec<u8>)> {
    let text = text::TEXT.iter().map(|body| body.as_bytes().to_vec()).chain(BYTES.iter().map(|body| body.to_vec()));
    let lines =
        openmetrics::LINES.iter().map(|lines| if lines.is_empty() { String::new() } else { format!("{lines}\n") } + "# EOF\n");
    let open = lines.chain(openmetrics::WHOLE.iter().map(|body| (*body).to_owned())).map(String::into_bytes);
    let help = format!("# HELP a {}\na 1\n", "b".repeat(200_000));
    let comment = format!("# {}\na 1\n", "b".repeat(200_000));
    let value = format!("a{{b=\"{}\"}} 1\n", "c".repeat(16_000));
    let name = format!("{} 1\n", "a".repeat(1_000));
    let labels: Vec<String> = (0..100).map(|at| format!("l{at}=\"v\"")).collect();
    let labels = format!("a{{{}}} 1\n", labels.join(","));
    let digits = format!("a {}.{}\n", "1".repeat(300), "2".repeat(5_000));
    let long = [help, comment, value, name, labels, digits].map(String::into_bytes);
    let text = text.chain(long).map(|body| (Format::Text, body));
    text.chain(open.map(|body| (Format::OpenMetrics, body))).collect()
}
