//! Images from the internet, for servers that were told to fetch them.
//!
//! Whoever can ask the server to fetch an address must not reach with it what only the server can reach. So each name is
//! resolved here and every address that is not one of the public internet is dropped, for redirects as for the first
//! address, and the connection is made to what was checked. Proxies are not used: what they resolve cannot be checked.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

/// The largest file that is fetched.
const MAX_BYTES: u64 = 20 << 20;

/// How long fetching may take, all redirects together.
const TIME_LIMIT: Duration = Duration::from_secs(10);

const MAX_REDIRECTS: u32 = 3;

/// Fetches images.
#[derive(Debug)]
pub(super) struct Fetcher(Agent);

impl Fetcher {
    pub(super) fn new() -> Self {
        Self::with(is_public)
    }

    fn with(is_allowed: fn(IpAddr) -> bool) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(TIME_LIMIT))
            .max_redirects(MAX_REDIRECTS)
            .proxy(None)
            .user_agent(concat!("parrot-serve/", env!("CARGO_PKG_VERSION")))
            .build();
        let resolver = CheckedResolver { inner: DefaultResolver::default(), is_allowed };
        Self(Agent::with_parts(config, DefaultConnector::default(), resolver))
    }

    /// The bytes at this address.
    pub(super) fn fetch(&self, url: &str) -> Result<Vec<u8>, String> {
        // What is there is no concern of the one who asks: a refused address and a silent one look alike.
        let failed = |error: ureq::Error| match error {
            ureq::Error::StatusCode(status) => format!("its server answered {status}"),
            ureq::Error::Timeout(_) => {
                format!("could not be fetched within {} seconds", TIME_LIMIT.as_secs())
            }
            _ => "could not be fetched".into(),
        };
        let mut response = self.0.get(url).call().map_err(failed)?;
        let mut bytes = Vec::new();
        let mut body = response.body_mut().as_reader().take(MAX_BYTES + 1);
        body.read_to_end(&mut bytes).map_err(|_| "could not be fetched as a whole")?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(format!("has more than {MAX_BYTES} bytes"));
        }
        Ok(bytes)
    }
}

/// Resolves names to those of their addresses that are allowed.
#[derive(Debug)]
struct CheckedResolver {
    inner: DefaultResolver,
    is_allowed: fn(IpAddr) -> bool,
}

impl Resolver for CheckedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let resolved = self.inner.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        for address in resolved.iter().filter(|address| (self.is_allowed)(address.ip())) {
            allowed.push(*address);
        }
        if allowed.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(allowed) }
    }
}

/// Whether the address is one of the public internet, as IANA's registries of special addresses have it.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        // This network, carrier-grade NAT, protocol assignments, 6to4 relays, benchmarks, reserved.
        (0, ..) | (100, 64..=127, _) | (192, 0, 0) | (192, 88, 99) | (198, 18..=19, _) | (240.., ..) => true,
        _ => false,
    };
    !(special
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Addresses that stand for one of IPv4: mapped, NAT64, 6to4.
    let segments = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] => return is_public_v4(v4(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => return is_public_v4(v4(high, low)),
        [0x2002, high, low, ..] => return is_public_v4(v4(high, low)),
        _ => {}
    }
    // Only 2000::/3 is given out; in it, protocol assignments (Teredo among them) and documentation are not public.
    let given_out = segments[0] & 0xe000 == 0x2000;
    let special = matches!(segments, [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..]);
    given_out && !special
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        let private = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.0.8",
            "203.0.113.9",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "::7f00:1",
            "64:ff9b:1::1",
        ];
        for address in private {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "1.1.1.1",
            "192.1.0.1",
            "172.15.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "2a00::1",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    /// Answers one request after the other with these bytes.
    fn server(answers: Vec<String>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        address
    }

    fn answer(head: &str, body: &str) -> String {
        format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    }

    #[test]
    fn what_is_private_cannot_be_fetched() {
        let address = server(vec![answer("200 OK", "secret")]);
        assert_eq!(Fetcher::new().fetch(&address).unwrap_err(), "could not be fetched");
        assert!(Fetcher::new().fetch("http://localhost:1/").is_err());
        assert!(Fetcher::new().fetch("http://[::1]:1/").is_err());
        assert!(Fetcher::new().fetch("http://2130706433/").is_err());
    }

    #[test]
    fn a_redirect_is_checked_too() {
        // 127.0.0.1 stands for the public internet here, 127.0.0.2 for what is private.
        let fetcher = Fetcher::with(|address| address == IpAddr::from([127, 0, 0, 1]));
        let target = server(vec![answer("200 OK", "an image")]);
        let redirect = answer(&format!("302 Found\r\nlocation: {target}/a.png"), "");
        assert_eq!(fetcher.fetch(&server(vec![redirect])).unwrap(), b"an image");
        let private = answer("302 Found\r\nlocation: http://127.0.0.2:9/", "");
        assert_eq!(fetcher.fetch(&server(vec![private])).unwrap_err(), "could not be fetched");
        let file = answer("302 Found\r\nlocation: file:///etc/passwd", "");
        assert!(fetcher.fetch(&server(vec![file])).is_err());
    }

    #[test]
    fn failures_are_told() {
        let fetcher = Fetcher::with(|_| true);
        assert_eq!(
            fetcher.fetch(&server(vec![answer("404 Not Found", "")])).unwrap_err(),
            "its server answered 404"
        );
        let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_owned();
        assert_eq!(fetcher.fetch(&server(vec![cut])).unwrap_err(), "could not be fetched as a whole");
    }
}
