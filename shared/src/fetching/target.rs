//! A URL that somebody wrote, checked as far as that goes without asking anybody.

use std::net::{IpAddr, SocketAddr};

use url::{Host, Url};

use super::{Refused, address::is_public};

/// The longest URL that is taken, in characters.
pub const LONGEST_URL: usize = 2048;

/// How far URLs may lead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    /// To the public Internet, by https.
    #[default]
    Public,
    /// To this machine too, by http as well: where the stand-ins of a local stack are.
    PublicAndLoopback,
}

/// A URL that may be asked, as far as the URL itself tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`Refused`] when it is none that is followed.
    pub fn parse(text: &str, reach: Reach) -> Result<Self, Refused> {
        if text.len() > LONGEST_URL {
            return Err(Refused::TooLong);
        }
        let url = Url::parse(text).map_err(|_| Refused::NotAUrl)?;
        Self::check(url, reach)
    }

    /// Where this URL's answer sends us.
    pub(super) fn redirected(&self, location: &str, reach: Reach) -> Result<Self, Refused> {
        if location.len() > LONGEST_URL {
            return Err(Refused::TooLong);
        }
        let url = self.url.join(location).map_err(|_| Refused::NotAUrl)?;
        Self::check(url, reach)
    }

    fn check(mut url: Url, reach: Reach) -> Result<Self, Refused> {
        match (url.scheme(), reach) {
            ("https", _) | ("http", Reach::PublicAndLoopback) => {}
            _ => return Err(Refused::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(Refused::NotAUrl);
        }
        url.set_fragment(None);
        let target = Self { url };
        if let Some(address) = target.literal() {
            target.check_address(address.ip(), reach)?;
        }
        Ok(target)
    }

    /// Whether this URL may be asked at an address: one that its host is, or that its host's name stands for.
    pub(super) fn check_address(&self, address: IpAddr, reach: Reach) -> Result<(), Refused> {
        if address.is_loopback() && reach == Reach::PublicAndLoopback {
            return Ok(());
        }
        if !is_public(address) {
            return Err(Refused::Address(address));
        }
        // Plain http is for this machine only.
        if self.url.scheme() != "https" {
            return Err(Refused::Scheme);
        }
        Ok(())
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// The name, or the address as text.
    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    pub(super) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(443)
    }

    /// The address that the URL names instead of a host. The URL standard's parser has turned all of its spellings
    /// (`0x7f.1`, `2130706433`, `0177.0.0.1`) into this one.
    pub(super) fn literal(&self) -> Option<SocketAddr> {
        let address = match self.url.host()? {
            Host::Ipv4(address) => IpAddr::V4(address),
            Host::Ipv6(address) => IpAddr::V6(address),
            Host::Domain(_) => return None,
        };
        Some(SocketAddr::new(address, self.port()))
    }
}
