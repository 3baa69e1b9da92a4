//! Which addresses may be scraped. Whoever may label a pod chooses what this program connects to, and a pod's status can be forged by whoever may
//! write it; so nothing is asked that only this machine or its host can reach.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize as _, Deserializer, de};

/// Addresses that are not link-local and yet tell a machine about itself, credentials included, or that deserve the clearer word.
const METADATA: [IpAddr; 9] = [
    // AWS, Azure, Google, OpenStack, DigitalOcean and others.
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    // Credentials of ECS tasks, and of EKS pods.
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    // Alibaba Cloud; Azure's WireServer; Oracle Cloud.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// Why a pod is not scraped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// This machine.
    Loopback,
    /// Only on the same wire: `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// A cloud's metadata and credentials.
    Metadata,
    /// No address: `0.0.0.0/8`, `::`.
    Unspecified,
    /// Many machines.
    Multicast,
    /// All machines.
    Broadcast,
    /// The node's address, from where more can be reached than the pod.
    HostNetwork,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "a loopback address is not scraped",
            Self::LinkLocal => "a link-local address is not scraped",
            Self::Metadata => "the address of a metadata service is not scraped",
            Self::Unspecified => "the unspecified address is not scraped",
            Self::Multicast => "a multicast address is not scraped",
            Self::Broadcast => "the broadcast address is not scraped",
            Self::HostNetwork => "pods with the node's network are not scraped",
        })
    }
}

impl std::error::Error for Refused {}

/// Reads a range such as `10.0.0.0/8`, or a single address.
///
/// # Errors
/// Says what was expected.
pub fn parse_range(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let range = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let range: IpNet = range.map_err(|_| format!("`{text}` is no range of addresses such as 10.0.0.0/8"))?;
    // Who writes such a thing may mean less.
    if range.addr() == range.network() {
        Ok(range)
    } else {
        Err(format!("`{text}` is more than its address says; write {}", range.trunc()))
    }
}

/// For serde: an optional list of ranges in the form of [`parse_range`].
pub fn optional_ranges<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<IpNet>>, D::Error> {
    let ranges = Option::<Vec<String>>::deserialize(deserializer)?;
    let parse = |ranges: Vec<String>| ranges.iter().map(|range| parse_range(range)).collect::<Result<_, _>>();
    ranges.map(parse).transpose().map_err(de::Error::custom)
}

/// The rule of this program.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allow: Vec<IpNet>,
    allow_host_network: bool,
}

impl Guard {
    /// Addresses in `allow` may be scraped, whatever they are; pods with the node's network only if `allow_host_network`.
    pub fn new(allow: Vec<IpNet>, allow_host_network: bool) -> Self {
        Self { allow, allow_host_network }
    }

    /// Whether a pod with this address may be scraped.
    ///
    /// # Errors
    /// When it may not: why.
    pub fn check(&self, address: IpAddr, host_network: bool) -> Result<(), Refused> {
        if host_network && !self.allow_host_network {
            return Err(Refused::HostNetwork);
        }
        let allowed = |address: IpAddr| self.allow.iter().any(|range| range.contains(&address));
        if allowed(address) {
            return Ok(());
        }
        let judged = reached(address).into_iter().filter(|reached| !allowed(*reached));
        match judged.filter_map(judge).next() {
            Some(refused) => Err(refused),
            None => Ok(()),
        }
    }
}

fn judge(address: IpAddr) -> Option<Refused> {
    let (link_local, unspecified, broadcast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[0] == 0, v4.is_broadcast()),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.is_unspecified(), false),
    };
    let reasons = [
        (METADATA.contains(&address), Refused::Metadata),
        (address.is_loopback(), Refused::Loopback),
        (link_local, Refused::LinkLocal),
        (unspecified, Refused::Unspecified),
        (address.is_multicast(), Refused::Multicast),
        (broadcast, Refused::Broadcast),
    ];
    reasons.into_iter().find_map(|(applies, refused)| applies.then_some(refused))
}

/// The IPv4 address that an IPv6 address stands for, in the forms that a system or a gateway turns into it; else the address itself. Several where it
/// depends on the gateway.
fn reached(address: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V6(v6) = address else { return vec![address] };
    let segments = v6.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // `::` and `::1` look like IPv4-compatible addresses, but are none.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => vec![address],
        // IPv4-mapped and IPv4-compatible (RFC 4291), IPv4-translated (RFC 2765), NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            vec![v4(high, low)]
        }
        // NAT64 with a prefix of the network's own (RFC 8215).
        [0x64, 0xff9b, 1, ..] => translated(v6.octets()),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => vec![v4(high, low)],
        _ => vec![address],
    }
}

/// Where the IPv4 address is, by the length of the prefix of NAT64 (RFC 6052, 2.2), which only the gateway knows. What reads as `0.0.0.0/8` is most likely
/// the padding of another length, so it counts only if nothing else is there.
fn translated(octets: [u8; 16]) -> Vec<IpAddr> {
    let read = |at: [usize; 4]| IpAddr::V4(Ipv4Addr::from(at.map(|at| octets[at])));
    let all = [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12], [12, 13, 14, 15]].map(read);
    let told: Vec<IpAddr> = all.into_iter().filter(|address| judge(*address) != Some(Refused::Unspecified)).collect();
    if told.is_empty() { all.to_vec() } else { told }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(guard: &Guard, address: &str) -> Result<(), Refused> {
        guard.check(address.parse().unwrap(), false)
    }

    #[test]
    fn pods_are_scraped_and_what_only_the_host_can_reach_is_not() {
        let guard = Guard::default();
        for address in [
            "10.0.0.1",
            "100.64.0.7",
            "172.16.0.1",
            "192.168.1.1",
            "240.0.0.1",
            "8.8.8.8",
            "fd00::1",
            "2001:db8::1",
            "64:ff9b:1::a00:1",
        ] {
            assert_eq!(check(&guard, address), Ok(()), "{address}");
        }
        let refused = [
            (
                Refused::Loopback,
                &["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "2002:7f00:1::", "64:ff9b:1::7f00:1"][..],
            ),
            (
                Refused::LinkLocal,
                &["169.254.0.1", "fe80::1", "febf::1", "::ffff:169.254.1.1", "::ffff:0:169.254.1.1", "64:ff9b:1:a9fe:1:100::"],
            ),
            (
                Refused::Metadata,
                &[
                    "169.254.169.254",
                    "::ffff:169.254.169.254",
                    "64:ff9b::a9fe:a9fe",
                    "64:ff9b:1::a9fe:a9fe",
                    "64:ff9b:1:fffe::a9fe:a9fe",
                    "64:ff9b:1:a9fe:a9:fe00::",
                    "64:ff9b:1:a9:fe:a9fe::",
                    "64:ff9b:1:abcd:a9:fea9:fe00:0",
                    "2002:a9fe:a9fe::1",
                    "fd00:ec2::254",
                    "fd00:ec2::23",
                    "fd20:ce::254",
                    "169.254.170.2",
                    "169.254.170.23",
                    "100.100.100.200",
                    "168.63.129.16",
                    "192.0.0.192",
                ],
            ),
            (Refused::Unspecified, &["0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0", "::0.1.2.3", "64:ff9b:1::"]),
            (Refused::Multicast, &["224.0.0.1", "239.1.1.1", "ff02::1"]),
            (Refused::Broadcast, &["255.255.255.255"]),
        ];
        for (reason, addresses) in refused {
            for address in addresses {
                assert_eq!(check(&guard, address), Err(reason), "{address}");
            }
        }
    }

    #[test]
    fn a_range_permits_what_it_holds() {
        let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap(), "fd00:ec2::/32".parse().unwrap()], false);
        for address in ["127.0.0.1", "::ffff:127.0.0.1", "fd00:ec2::254"] {
            assert_eq!(check(&guard, address), Ok(()), "{address}");
        }
        assert_eq!(check(&guard, "::1"), Err(Refused::Loopback));
        let all = Guard::new(vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()], false);
        assert_eq!(check(&all, "169.254.169.254"), Ok(()));
        assert_eq!(all.check("10.0.0.1".parse().unwrap(), true), Err(Refused::HostNetwork));
    }

    #[test]
    fn the_nodes_network_is_allowed_apart() {
        let guard = Guard::new(Vec::new(), true);
        assert_eq!(guard.check("10.0.0.1".parse().unwrap(), true), Ok(()));
        assert_eq!(guard.check("127.0.0.1".parse().unwrap(), true), Err(Refused::Loopback));
    }

    #[test]
    fn ranges_say_what_they_mean() {
        for (text, range) in [("10.0.0.0/8", "10.0.0.0/8"), (" 10.1.2.3 ", "10.1.2.3/32"), ("fd00::/8", "fd00::/8")] {
            assert_eq!(parse_range(text).unwrap().to_string(), range);
        }
        for text in ["10.0.0.0/33", "10.0.0.5/8", "x", ""] {
            assert!(parse_range(text).is_err(), "{text} was taken");
        }
    }
}
