//! Bearer tokens in files. Kubernetes renews them there, so they are read anew for each request.

use std::path::Path;

use http::HeaderValue;
use url::{Host, Url};

/// Reads a token, as the value of `Authorization`.
///
/// # Errors
/// Says which file cannot be used.
pub(super) async fn bearer(file: &Path) -> Result<HeaderValue, String> {
    let unusable = |why: &dyn std::fmt::Display| format!("cannot use the token {}: {why}", file.display());
    let text = tokio::fs::read_to_string(file).await.map_err(|error| unusable(&error))?;
    if text.trim().is_empty() {
        return Err(unusable(&"it is empty"));
    }
    let mut header =
        HeaderValue::try_from(format!("Bearer {}", text.trim())).map_err(|_| unusable(&"it cannot stand in a header"))?;
    header.set_sensitive(true);
    Ok(header)
}

/// Whether nobody on the way to it can read along: TLS, or this machine itself.
pub(super) fn is_private(url: &Url) -> bool {
    url.scheme() == "https"
        || match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tls_and_this_machine_are_private() {
        for (url, private) in [
            ("https://10.0.0.1:10250/", true),
            ("http://127.0.0.1:1/", true),
            ("http://[::1]:1/", true),
            ("http://localhost/", true),
            ("http://10.0.0.1:10255/", false),
            ("http://localhost.example.com/", false),
            ("http://127.0.0.1.example.com/", false),
            ("http://[::ffff:10.0.0.1]/", false),
        ] {
            assert_eq!(is_private(&Url::parse(url).unwrap()), private, "{url}");
        }
    }

    #[tokio::test]
    async fn a_token_is_read_without_what_is_around_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "abc\n").unwrap();
        let header = bearer(&file).await.unwrap();
        assert!(header.is_sensitive() && header == "Bearer abc");
        for text in ["", "\n", "a\nb"] {
            std::fs::write(&file, text).unwrap();
            assert!(bearer(&file).await.unwrap_err().contains("token"), "{text:?}");
        }
        assert!(bearer(Path::new("/nowhere")).await.unwrap_err().starts_with("cannot use the token /nowhere: "));
    }
}
