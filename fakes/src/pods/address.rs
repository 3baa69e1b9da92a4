//! An address for each pod. Linux answers on all of 127.0.0.0/8.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};

/// The first address that is given out: 127.64.0.0. The last one is 127.191.255.255.
const FIRST: u32 = 0x7f40_0000;

/// How many addresses there are.
const COUNT: u32 = 1 << 23;

static GIVEN_OUT: AtomicU32 = AtomicU32::new(0);

/// A loopback address that nobody else in this process has, and hardly anybody in another one.
pub fn loopback() -> IpAddr {
    nth(std::process::id(), GIVEN_OUT.fetch_add(1, Ordering::Relaxed)).into()
}

/// Processes that follow each other are 65,536 addresses apart.
fn nth(process: u32, number: u32) -> Ipv4Addr {
    let offset = (process << 16).wrapping_add(number) % COUNT;
    Ipv4Addr::from_bits(FIRST + offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_apart() {
        assert_eq!(nth(128, 0), Ipv4Addr::new(127, 64, 0, 0));
        assert_eq!(nth(141, 258), Ipv4Addr::new(127, 77, 1, 2));
        assert_eq!(nth(127, 0), Ipv4Addr::new(127, 191, 0, 0));
        assert_eq!(nth(u32::MAX, u32::MAX), Ipv4Addr::new(127, 190, 255, 255));
        assert_ne!(loopback(), loopback());
    }
}
