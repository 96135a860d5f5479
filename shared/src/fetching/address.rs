//! Which network addresses belong to the public Internet. What is not known to is taken for somebody's own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network: its first address and the number of leading bits that its addresses share.
struct Block4(Ipv4Addr, u32);

/// As [`Block4`].
struct Block6(Ipv6Addr, u32);

/// IPv4 addresses that lead to this machine, its network, a cloud's metadata, or nowhere (IANA's special-purpose registry, October
/// 2026, and what clouds put beside it).
const NOT_PUBLIC_4: [Block4; 15] = [
    block4([0, 0, 0, 0], 8), // this network; most systems take it for this machine
    block4([10, 0, 0, 0], 8), // private
    block4([100, 64, 0, 0], 10), // shared by carriers; Alibaba's metadata is 100.100.100.200
    block4([127, 0, 0, 0], 8), // this machine
    block4([168, 63, 129, 16], 32), // Azure's own services, seen from its machines
    block4([169, 254, 0, 0], 16), // link-local; metadata of most clouds, Lambda's credentials
    block4([172, 16, 0, 0], 12), // private
    block4([192, 0, 0, 0], 24), // protocol assignments; Oracle's metadata is 192.0.0.192
    block4([192, 0, 2, 0], 24), // documentation
    block4([192, 88, 99, 0], 24), // 6to4 relays
    block4([192, 168, 0, 0], 16), // private
    block4([198, 18, 0, 0], 15), // benchmarking
    block4([198, 51, 100, 0], 24), // documentation
    block4([203, 0, 113, 0], 24), // documentation
    block4([224, 0, 0, 0], 3), // multicast, reserved, broadcast
];

/// The only IPv6 addresses that are public at all. Everything else is refused without a list: `::`, `::1`, mapped and compatible IPv4
/// (`::ffff:0:0/96`, `::/96`), NAT64 (`64:ff9b::/96` and `64:ff9b:1::/48`), unique local, link-local, site-local, multicast.
const PUBLIC_6: Block6 = block6([0x2000, 0], 3);

/// Parts of it that are not, or that carry an IPv4 address which a gateway would go on to.
const NOT_PUBLIC_6: [Block6; 4] = [
    block6([0x2001, 0], 23), // protocol assignments: Teredo, benchmarking, ORCHID
    block6([0x2001, 0xdb8], 32), // documentation
    block6([0x2002, 0], 16), // 6to4
    block6([0x3fff, 0], 20), // documentation
];

const fn block4(octets: [u8; 4], bits: u32) -> Block4 {
    let [a, b, c, d] = octets;
    Block4(Ipv4Addr::new(a, b, c, d), bits)
}

const fn block6(start: [u16; 2], bits: u32) -> Block6 {
    Block6(Ipv6Addr::new(start[0], start[1], 0, 0, 0, 0, 0, 0), bits)
}

impl Block4 {
    const fn has(&self, address: Ipv4Addr) -> bool {
        (self.0.to_bits() ^ address.to_bits()) >> (32 - self.1) == 0
    }
}

impl Block6 {
    const fn has(&self, address: Ipv6Addr) -> bool {
        (self.0.to_bits() ^ address.to_bits()) >> (128 - self.1) == 0
    }
}

/// Whether an address belongs to the public Internet.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_4.iter().any(|block| block.has(address)),
        IpAddr::V6(address) => {
            PUBLIC_6.has(address)
                && !NOT_PUBLIC_6.iter().any(|block| block.has(address))
                && !is_isatap(address)
        }
    }
}

/// Whether an address stands for an IPv4 host behind an ISATAP router, which may be any.
fn is_isatap(address: Ipv6Addr) -> bool {
    let [_, _, _, _, flags, protocol, _, _] = address.segments();
    flags & !0x0200 == 0 && protocol == 0x5efe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_at_the_edges_of_what_is_public() {
        let public = [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "203.0.114.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001:80e::200e",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2003::1",
            "2620:4e::1",
            "3ffe::1",
        ];
        let own = [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.0.0",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.0",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:1.1.1.1",
            "::ffff:0:1.1.1.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::101:101",
            "64:ff9b:1::7f00:1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:101:101::1",
            "3fff::1",
            "3fff:fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2a00:1450::5efe:7f00:1",
            "2a00:1450::200:5efe:a00:1",
        ];
        for text in public {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
        for text in own {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }
}
