//! Path-style and virtual-hosted requests: where the bucket is named.

use s3s::S3Result;
use s3s::host::{S3Host, VirtualHost};

/// The bucket in front of `domain` in a `Host` header, if the request is virtual-hosted.
pub(super) fn bucket_in_host<'a>(host: &'a str, domain: &str) -> Option<&'a str> {
    let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
    name.strip_suffix(domain)?.strip_suffix('.')
}

/// Tells `s3s` which requests are virtual-hosted. Any other host is path-style.
pub(super) struct Domain(pub(super) String);

impl S3Host for Domain {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let plain = VirtualHost::new(host);
        Ok(match bucket_in_host(host, &self.0) {
            Some(bucket) => plain.with_bucket(bucket),
            None => plain,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::bucket_in_host;

    #[test]
    fn hosts() {
        assert_eq!(bucket_in_host("a.b.localhost:9000", "localhost"), Some("a.b"));
        assert_eq!(bucket_in_host("localhost:9000", "localhost"), None);
        assert_eq!(bucket_in_host("127.0.0.1:9000", "localhost"), None);
        assert_eq!(bucket_in_host("notlocalhost", "localhost"), None);
    }
}
