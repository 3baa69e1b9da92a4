//! Escapes in help texts, label values and quoted names.

use super::Format;

/// Escapes `\` and line feed, and `"` where it is a delimiter.
pub fn escape_into(text: &[u8], quoted: bool, out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quoted => out.extend_from_slice(b"\\\""),
            other => out.push(*other),
        }
    }
}

/// Undoes [`escape_into`]. A backslash before anything else stands for itself, as Prometheus has it.
pub fn unescape(text: &[u8], quoted: bool, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let (byte, used) = match rest.get(at + 1) {
            Some(b'\\') => (b'\\', 2),
            Some(b'n') => (b'\n', 2),
            Some(b'"') if quoted => (b'"', 2),
            _ => (b'\\', 1),
        };
        out.push(byte);
        rest = &rest[at + used..];
    }
    out.extend_from_slice(rest);
}

/// A help text of one format in the other: only OpenMetrics escapes quotation marks in it.
pub fn convert_help(text: &[u8], from: Format, to: Format, out: &mut Vec<u8>) {
    let mut plain = Vec::with_capacity(text.len());
    unescape(text, from == Format::OpenMetrics, &mut plain);
    escape_into(&plain, to == Format::OpenMetrics, out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_escape_stands_for_itself() {
        let mut out = Vec::new();
        unescape(br#"a\xb\\c\"d\ne\"#, true, &mut out);
        assert_eq!(out, b"a\\xb\\c\"d\ne\\");
        out.clear();
        unescape(br#"\""#, false, &mut out);
        assert_eq!(out, br#"\""#);
    }

    #[test]
    fn help_changes_its_quotation_marks_only() {
        let mut out = Vec::new();
        convert_help(br#"Say "x" \\ \n"#, Format::Text, Format::OpenMetrics, &mut out);
        assert_eq!(out, br#"Say \"x\" \\ \n"#);
        let mut back = Vec::new();
        convert_help(&out, Format::OpenMetrics, Format::Text, &mut back);
        assert_eq!(back, br#"Say "x" \\ \n"#);
    }

    proptest! {
        #[test]
        fn escaping_can_be_undone(text: Vec<u8>, quoted: bool) {
            let (mut escaped, mut back) = (Vec::new(), Vec::new());
            escape_into(&text, quoted, &mut escaped);
            prop_assert!(!escaped.contains(&b'\n'));
            unescape(&escaped, quoted, &mut back);
            prop_assert_eq!(back, text);
        }
    }
}
