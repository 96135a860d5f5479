//! A client that can connect to the given addresses and to no others.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::tls::{HttpClientOptions, client_builder};

/// Answers every name with the addresses that were checked, so that no second look-up can say otherwise.
struct Checked(Vec<SocketAddr>);

impl Resolve for Checked {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

/// A client for one request: its connection is not for the next URL.
pub(super) fn client(
    addresses: Vec<SocketAddr>,
    timeout: Duration,
) -> Result<reqwest::Client, reqwest::Error> {
    let options = HttpClientOptions {
        max_idle_per_host: 0,
        ..HttpClientOptions::with_timeout(timeout)
    };
    client_builder(options)
        .dns_resolver(Checked(addresses))
        .build()
}
