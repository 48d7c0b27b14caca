//! Which addresses callbacks may be led to.
//!
//! An address that the operator wrote into the URL is meant; one that a name
//! resolves to is somebody else's word, and is taken only when it is public or
//! in a network that the operator listed. A connection goes to the addresses
//! that were checked and to no others, so a name that answers differently the
//! next time gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

/// Networks that the operator listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Networks(Vec<Network>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    first: u128,
    bits: u32,
}

impl Network {
    /// `10.0.0.0/8`, `fd00::/8`, or a lone address.
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let shift = if address.is_ipv4() { 96 } else { 0 };
        let bits: u32 = bits.map_or(Ok(128 - shift), str::parse).ok()?;
        let first = number(address);
        let bits = bits.checked_add(shift).filter(|bits| *bits <= 128)?;
        Some(Self {
            first: first & mask(bits),
            bits,
        })
    }

    fn has(self, address: IpAddr) -> bool {
        number(address) & mask(self.bits) == self.first
    }
}

/// An address as a number, an IPv4 one as IPv6 maps it.
fn number(address: IpAddr) -> u128 {
    let v6 = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    v6.to_bits()
}

fn mask(bits: u32) -> u128 {
    match bits {
        0 => 0,
        bits => u128::MAX << (128 - bits),
    }
}

impl Networks {
    /// `None` when one of them is no network.
    pub(super) fn parse(texts: &[String]) -> Option<Self> {
        let networks = texts.iter().map(|text| Network::parse(text));
        networks.collect::<Option<_>>().map(Self)
    }

    fn list(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.has(address))
    }

    /// Whether a connection may go to an address that a name resolved to.
    pub(super) fn allow(&self, address: IpAddr) -> bool {
        is_public(address) || self.list(address)
    }

    /// Whether an address that is written in the URL may be called. What only
    /// the machine itself or nobody answers at is no backend.
    pub(super) fn allow_written(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let Ok(address) = host.parse::<IpAddr>() else {
            return true;
        };
        let address = address.to_canonical();
        let meant = match address {
            IpAddr::V4(v4) => v4.is_private() || v4.is_loopback(),
            IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback(),
        };
        meant || self.allow(address)
    }
}

/// Whether the address belongs to nobody's own network.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = a == 192 && b == 0 && c == 0;
    let benchmark = a == 198 && (b == 18 || b == 19);
    let reserved = a == 0 || a >= 240;
    !(v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_documentation()
        || shared
        || protocol
        || benchmark
        || reserved)
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let segments = v6.segments();
    // Only what is assigned for use; without what embeds an IPv4 address.
    let global = segments[0] & 0xe000 == 0x2000;
    let teredo = segments[0] == 0x2001 && segments[1] == 0;
    let documentation = segments[0] == 0x2001 && segments[1] == 0x0db8;
    let six_to_four = segments[0] == 0x2002;
    global && !(teredo || documentation || six_to_four)
}

/// A name that leads where callbacks may not go.
#[derive(Debug, Error)]
#[error("the name resolves to no address that callbacks may go to; see apps.callback.networks")]
struct Forbidden;

/// Resolves names to addresses that may be called.
#[derive(Debug)]
pub(super) struct Resolver(Networks);

impl Resolver {
    /// Lets public addresses pass and those in `networks`.
    pub(super) fn new(networks: Networks) -> Self {
        Self(networks)
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let networks = self.0.clone();
        Box::pin(async move {
            // This machine, by the name that is nobody else's to give.
            let own = name.as_str() == "localhost";
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let may = |at: &SocketAddr| match own {
                true => at.ip().is_loopback(),
                false => networks.allow(at.ip()),
            };
            let allowed: Vec<SocketAddr> = found.filter(may).collect();
            if allowed.is_empty() {
                tracing::warn!("a callback's name resolves to no address that it may go to");
                return Err(Forbidden.into());
            }
            let allowed: Addrs = Box::new(allowed.into_iter());
            Ok(allowed)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Networks::parse(&texts).unwrap()
    }

    #[test]
    fn a_name_leads_to_public_addresses_only() {
        let none = Networks::default();
        let private = [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
        ];
        for text in private {
            assert!(!none.allow(text.parse().unwrap()), "{text}");
        }
        for text in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111"] {
            assert!(none.allow(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_listed_network_is_allowed_and_no_more() {
        let listed = networks(&["10.0.0.0/8", "fd00::/8", "127.0.0.1"]);
        for text in ["10.255.0.1", "::ffff:10.0.0.1", "fd12::1", "127.0.0.1"] {
            assert!(listed.allow(text.parse().unwrap()), "{text}");
        }
        for text in ["11.0.0.1", "127.0.0.2", "169.254.169.254", "fc00::1"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(listed.allow(address), is_public(address), "{text}");
        }
        for bad in ["10.0.0.0/33", "x", "fd00::/129", "10.0.0.0/", "10.0.0/8"] {
            assert_eq!(Networks::parse(&[bad.to_owned()]), None, "{bad}");
        }
    }

    #[test]
    fn an_address_in_the_url_is_meant_unless_it_is_nobody_s() {
        let none = Networks::default();
        let written = |text: &str| none.allow_written(&Url::parse(text).unwrap());
        for url in [
            "http://127.0.0.1:8080/",
            "http://10.0.0.5/",
            "http://[::1]/",
            // The same address in other clothes.
            "http://2130706433/",
            "http://0x7f.1/",
            "https://backend.example/",
        ] {
            assert!(written(url), "{url}");
        }
        for url in [
            "http://169.254.169.254/",
            "http://[::ffff:169.254.169.254]/",
            "http://2852039166/",
            "http://0.0.0.0/",
            "http://[fe80::1]/",
        ] {
            assert!(!written(url), "{url}");
        }
        let listed = networks(&["169.254.0.0/16"]);
        let url = Url::parse("http://169.254.169.254/").unwrap();
        assert!(listed.allow_written(&url));
    }

    #[tokio::test]
    async fn a_name_is_resolved_to_what_may_be_called() {
        let resolve = |networks: Networks, name: &str| {
            let name: Name = name.parse().unwrap();
            Resolver::new(networks).resolve(name)
        };
        let own: Vec<_> = resolve(Networks::default(), "localhost")
            .await
            .unwrap()
            .collect();
        assert!(own.iter().all(|at| at.ip().is_loopback()) && !own.is_empty());
        // A numeric name is resolved without asking anybody.
        assert!(resolve(Networks::default(), "127.0.0.1").await.is_err());
        assert!(
            resolve(networks(&["127.0.0.0/8"]), "127.0.0.1")
                .await
                .is_ok()
        );
    }
}
