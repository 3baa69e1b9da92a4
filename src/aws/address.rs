//! Where requests for a bucket go, and for which region they are signed.

use url::{Host, Url};

use super::{Addressing, Endpoint, S3Options, S3OptionsError};

/// Where no region is named and none can be told from the endpoint. S3-compatible servers ignore it or use this one.
const DEFAULT_REGION: &str = "us-east-1";

/// The address of one bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketAddress {
    endpoint: Endpoint,
    bucket: String,
    addressing: Addressing,
    region: String,
    /// The operator named no region, so the bucket's own answer may correct it.
    region_is_a_guess: bool,
    url: Url,
}

impl BucketAddress {
    /// The address of `bucket` behind `endpoint`, which is no folder.
    ///
    /// # Errors
    /// When the region cannot be one, or bucket and endpoint make no address together.
    pub fn new(options: &S3Options, endpoint: &Endpoint, bucket: &str) -> Result<Self, S3OptionsError> {
        let named = match endpoint {
            Endpoint::Url(url) => url.host_str().and_then(region_of_host),
            Endpoint::Aws | Endpoint::Folder(_) => None,
        };
        let certain = options.region.clone().or(named);
        let region_is_a_guess = certain.is_none();
        let region = certain.or_else(|| options.region_hint.clone()).unwrap_or_else(|| DEFAULT_REGION.to_owned());
        Self::in_checked_region(
            endpoint.clone(),
            bucket.to_owned(),
            options.addressing.unwrap_or_default(),
            region,
            region_is_a_guess,
        )
    }

    /// The bucket's URL, without a trailing slash or query.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The region in the signature.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// True where the operator named no region, and the endpoint's name does not tell it.
    pub fn has_guessed_region(&self) -> bool {
        self.region_is_a_guess
    }

    /// The same bucket in `region`, which the server named; on AWS itself the host follows. `None` where the operator named a region, or `region`
    /// is the present one or none at all.
    pub fn in_region(&self, region: &str) -> Option<Self> {
        if !self.region_is_a_guess || region == self.region {
            return None;
        }
        Self::in_checked_region(self.endpoint.clone(), self.bucket.clone(), self.addressing, region.to_owned(), false).ok()
    }

    fn in_checked_region(
        endpoint: Endpoint,
        bucket: String,
        addressing: Addressing,
        region: String,
        region_is_a_guess: bool,
    ) -> Result<Self, S3OptionsError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=64).contains(&region.len()) || !region.bytes().all(legal) {
            return Err(S3OptionsError::Region(region));
        }
        let base = match &endpoint {
            Endpoint::Url(url) => url.clone(),
            Endpoint::Aws | Endpoint::Folder(_) => aws_endpoint(&region)?,
        };
        let url = bucket_url(base, &bucket, addressing)?;
        Ok(Self { endpoint, bucket, addressing, region, region_is_a_guess, url })
    }
}

fn aws_endpoint(region: &str) -> Result<Url, S3OptionsError> {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    Url::parse(&format!("https://s3.{region}.{domain}")).map_err(|_| S3OptionsError::Region(region.to_owned()))
}

fn bucket_url(mut base: Url, bucket: &str, addressing: Addressing) -> Result<Url, S3OptionsError> {
    let host = base.host_str().unwrap_or_default().to_owned();
    let on_aws = host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
    let path_style = match addressing {
        Addressing::Path => true,
        Addressing::Virtual => false,
        Addressing::Auto => !on_aws || !is_host_label(bucket),
    };
    if path_style {
        let path = format!("{}/{bucket}", base.path().trim_end_matches('/'));
        base.set_path(&path);
        return Ok(base);
    }
    if !matches!(base.host(), Some(Host::Domain(_))) {
        return Err(S3OptionsError::VirtualHostedAddress(host));
    }
    if !bucket.split('.').all(is_host_label) {
        return Err(S3OptionsError::Bucket(bucket.to_owned()));
    }
    base.set_host(Some(&format!("{bucket}.{host}"))).map_err(|_| S3OptionsError::Bucket(bucket.to_owned()))?;
    Ok(base)
}

/// Names with capitals exist in us-east-1, and a host name would lose them.
fn is_host_label(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// `eu-west-1` from `s3.eu-west-1.amazonaws.com`, `s3-eu-west-1...`, `s3.dualstack.eu-west-1...` or `bucket.vpce-1.s3.eu-west-1.vpce...`.
pub fn region_of_host(host: &str) -> Option<String> {
    let service = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    let labels = service.split('.').map(|label| label.strip_prefix("s3-").unwrap_or(label));
    let looks_like_one = |label: &&str| {
        let mut parts = label.rsplit('-');
        parts.next().is_some_and(|last| last.parse::<u8>().is_ok())
            && parts.clone().count() >= 2
            && parts.all(|part| part.parse::<u8>().is_err())
    };
    labels.rev().find(looks_like_one).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(
        endpoint: Option<&str>,
        region: Option<&str>,
        addressing: Addressing,
        bucket: &str,
    ) -> Result<BucketAddress, S3OptionsError> {
        let options = S3Options {
            endpoint: endpoint.map(Into::into),
            region: region.map(Into::into),
            addressing: Some(addressing),
            ..Default::default()
        };
        BucketAddress::new(&options, &options.endpoint()?, bucket)
    }

    #[test]
    fn a_bucket_is_addressed_as_its_server_expects() {
        use Addressing::{Auto, Path, Virtual};
        let cases = [
            (None, None, Auto, "b", "https://b.s3.us-east-1.amazonaws.com/", "us-east-1"),
            (None, Some("eu-west-1"), Auto, "b", "https://b.s3.eu-west-1.amazonaws.com/", "eu-west-1"),
            (None, Some("cn-north-1"), Auto, "b", "https://b.s3.cn-north-1.amazonaws.com.cn/", "cn-north-1"),
            (None, Some("eu-west-1"), Auto, "b.c", "https://s3.eu-west-1.amazonaws.com/b.c", "eu-west-1"),
            (None, Some("eu-west-1"), Auto, "MyBackups", "https://s3.eu-west-1.amazonaws.com/MyBackups", "eu-west-1"),
            (None, Some("eu-west-1"), Path, "b", "https://s3.eu-west-1.amazonaws.com/b", "eu-west-1"),
            (Some("http://minio:9000"), None, Auto, "b", "http://minio:9000/b", "us-east-1"),
            (Some("http://minio:9000/s3/"), None, Auto, "b", "http://minio:9000/s3/b", "us-east-1"),
            (Some("minio:9000"), None, Virtual, "b", "https://b.minio:9000/", "us-east-1"),
            (Some("https://s3.eu-north-1.amazonaws.com"), None, Path, "b", "https://s3.eu-north-1.amazonaws.com/b", "eu-north-1"),
            (Some("https://s3.amazonaws.com"), None, Auto, "b", "https://b.s3.us-east-1.amazonaws.com/", "us-east-1"),
            (
                Some("https://bucket.vpce-1a2b-3c4d.s3.eu-west-1.vpce.amazonaws.com"),
                None,
                Auto,
                "b",
                "https://b.bucket.vpce-1a2b-3c4d.s3.eu-west-1.vpce.amazonaws.com/",
                "eu-west-1",
            ),
        ];
        for (endpoint, region, addressing, bucket, url, signed_for) in cases {
            let address = address(endpoint, region, addressing, bucket).unwrap();
            assert_eq!((address.url().as_str(), address.region()), (url, signed_for));
        }
    }

    #[test]
    fn the_region_that_a_bucket_names_is_adopted_where_none_was_named() {
        for (endpoint, bucket, url) in [
            (None, "b", "https://b.s3.eu-west-3.amazonaws.com/"),
            (None, "my.s3.x", "https://s3.eu-west-3.amazonaws.com/my.s3.x"),
            (Some("https://s3.amazonaws.com"), "b", "https://b.s3.eu-west-3.amazonaws.com/"),
            (Some("http://minio:9000"), "b", "http://minio:9000/b"),
        ] {
            let moved = address(endpoint, None, Addressing::Auto, bucket).unwrap().in_region("eu-west-3").unwrap();
            assert_eq!((moved.url().as_str(), moved.region()), (url, "eu-west-3"));
            assert_eq!(moved.in_region("eu-west-4"), None);
        }
        let named = address(None, Some("eu-west-1"), Addressing::Auto, "b").unwrap();
        assert_eq!(named.in_region("eu-west-3"), None);
        let guess = address(None, None, Addressing::Auto, "b").unwrap();
        assert!(guess.in_region("us-east-1").is_none() && guess.in_region("eu\nx").is_none() && guess.in_region("").is_none());
    }

    #[test]
    fn the_environments_region_is_a_guess() {
        let options = S3Options { region_hint: Some("eu-west-1".into()), ..Default::default() };
        let address = BucketAddress::new(&options, &Endpoint::Aws, "b").unwrap();
        assert_eq!(address.url().as_str(), "https://b.s3.eu-west-1.amazonaws.com/");
        assert!(address.in_region("eu-west-3").is_some());
    }

    #[test]
    fn what_makes_no_address_is_refused() {
        assert!(matches!(address(None, Some("us-east-1\n"), Addressing::Auto, "b"), Err(S3OptionsError::Region(_))));
        assert!(matches!(address(None, None, Addressing::Virtual, "MyBackups"), Err(S3OptionsError::Bucket(_))));
        assert!(matches!(
            address(Some("http://127.0.0.1:1"), None, Addressing::Virtual, "b"),
            Err(S3OptionsError::VirtualHostedAddress(_))
        ));
    }
}
