//! Each label and annotation: what it may say, and what that means.

use std::net::IpAddr;
use std::time::Duration;

use http::uri::PathAndQuery;

use super::{Malformed, MalformedReason, Settings, Tls};
use crate::k8s::LONGEST_VALUE;

const DEFAULT_ENDPOINT: &str = "metrics";
const DEFAULT_PORT: &str = "80";
const DEFAULT_TIMEOUT_SECONDS: &str = "5";
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3_600);
/// Each is a scrape of its own.
const MOST_PORTS: usize = 64;
/// How many characters of a value a message repeats.
const SHOWN: usize = 64;

/// What a pod says, as it stands there; annotations are set after labels and so override them.
#[derive(Debug, Default)]
pub(super) struct Values<'a> {
    pub(super) job: Option<&'a str>,
    empty_suffix: Option<&'a str>,
    endpoint: Option<&'a str>,
    port: Option<&'a str>,
    scrape_timeout_seconds: Option<&'a str>,
    tls_enabled: Option<&'a str>,
    tls_verify: Option<&'a str>,
    tls_server_name: Option<&'a str>,
}

impl<'a> Values<'a> {
    /// Takes the value of the label or annotation with this `suffix`. Unknown ones may belong to a newer version.
    pub(super) fn set(&mut self, suffix: &str, value: &'a str) {
        let place = match suffix {
            "" => &mut self.empty_suffix,
            "job-name" => &mut self.job,
            "endpoint" => &mut self.endpoint,
            "port" => &mut self.port,
            "scrape-timeout-seconds" => &mut self.scrape_timeout_seconds,
            "tls-enabled" => &mut self.tls_enabled,
            "tls-verify" => &mut self.tls_verify,
            "tls-server-name" => &mut self.tls_server_name,
            _ => return,
        };
        *place = Some(value);
    }

    /// The settings, or the first value in the order of [`MalformedReason::ALL`] that cannot be used.
    pub(super) fn settings(&self) -> Result<Settings, Malformed> {
        use MalformedReason as Reason;
        if let Some(value) = self.empty_suffix {
            return Err(malformed(Reason::EmptySuffix, value, "stands under the bare prefix; a name is missing behind it"));
        }
        let path = read(Reason::Endpoint, self.endpoint.unwrap_or(DEFAULT_ENDPOINT), endpoint)?;
        let ports = read(Reason::Port, self.port.unwrap_or(DEFAULT_PORT), ports)?;
        let timeout =
            read(Reason::ScrapeTimeoutSeconds, self.scrape_timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS), timeout)?;
        let enabled = read(Reason::TlsEnabled, self.tls_enabled.unwrap_or("false"), truth)?;
        let verify = read(Reason::TlsVerify, self.tls_verify.unwrap_or("true"), truth)?;
        let server_name = self.tls_server_name.map(|name| read(Reason::TlsServerName, name, server_name)).transpose()?;
        Ok(Settings { path, ports, timeout, tls: enabled.then_some(Tls { verify, server_name }) })
    }
}

/// The name of a job. Any text, since it comes from annotations too, but one that can be asked for.
pub(super) fn job(value: &str) -> Result<&str, Malformed> {
    match value {
        "" => Err(malformed(MalformedReason::JobName, value, "is empty")),
        _ if value.len() > LONGEST_VALUE => Err(malformed(MalformedReason::JobName, value, "is too long")),
        _ if value.contains(char::is_control) => Err(malformed(MalformedReason::JobName, value, "has control characters")),
        name => Ok(name),
    }
}

/// Reads a value by `rule`, which says what is wrong with it in words that go on after it.
fn read<T>(reason: MalformedReason, value: &str, rule: impl FnOnce(&str) -> Result<T, &'static str>) -> Result<T, Malformed> {
    if value.len() > LONGEST_VALUE {
        return Err(malformed(reason, value, "is too long"));
    }
    rule(value).map_err(|why| malformed(reason, value, why))
}

fn malformed(reason: MalformedReason, value: &str, why: &str) -> Malformed {
    let mut shown: String = value.chars().take(SHOWN).collect();
    if shown.len() < value.len() {
        shown.push_str("...");
    }
    let name = reason.as_str().replace('_', "-");
    Malformed { reason, message: format!("{name} {shown:?} {why}").into() }
}

fn endpoint(value: &str) -> Result<Box<str>, &'static str> {
    if value.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("has whitespace or control characters");
    }
    if value.contains('#') {
        return Err("has a fragment, which is never sent");
    }
    // Both are taken for the beginning of a host by those who resolve references.
    if value.starts_with("//") || value.contains('\\') {
        return Err("is no plain path");
    }
    if is_absolute(value) {
        return Err("is a URL; it must be a path");
    }
    if !value.is_ascii() {
        return Err("has characters that must be percent-encoded");
    }
    let path = if value.starts_with('/') { value.to_owned() } else { format!("/{value}") };
    match path.parse::<PathAndQuery>() {
        Ok(parsed) if parsed.as_str() == path => Ok(path.into()),
        _ => Err("is no path that can be asked for"),
    }
}

/// Begins with a scheme and a host.
fn is_absolute(value: &str) -> bool {
    value.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}

fn ports(value: &str) -> Result<Box<[u16]>, &'static str> {
    let mut ports = Vec::new();
    for text in value.split(',').map(str::trim) {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let Some(port) = text.parse().ok().filter(|&port: &u16| digits && port > 0) else {
            return Err("must be a port from 1 to 65535, or several with commas between them");
        };
        if ports.contains(&port) {
            return Err("has a port twice");
        }
        ports.push(port);
    }
    if ports.len() > MOST_PORTS { Err("has too many ports") } else { Ok(ports.into()) }
}

fn timeout(value: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "must be a number of seconds above 0 and up to 3600, such as 5 or 0.5";
    let text = value.trim();
    // The grammar of Rust has `inf`, `nan` and exponents too.
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(EXPECTED);
    }
    let seconds = text.parse().map_err(|_| EXPECTED)?;
    let timeout = Duration::try_from_secs_f64(seconds).map_err(|_| EXPECTED)?;
    if timeout.is_zero() || timeout > LONGEST_TIMEOUT { Err(EXPECTED) } else { Ok(timeout) }
}

fn truth(value: &str) -> Result<bool, &'static str> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("must be true or false"),
    }
}

/// What TLS can ask a server for: the same rule that the client has, so that it cannot fail there.
fn server_name(value: &str) -> Result<Box<str>, &'static str> {
    let legal = value.parse::<IpAddr>().is_ok() || rustls::pki_types::DnsName::try_from(value).is_ok();
    if legal { Ok(value.into()) } else { Err("must be a DNS name or an IP address") }
}
