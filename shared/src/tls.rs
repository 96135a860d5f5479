//! TLS and HTTP for every vendor client: one crypto backend (ring), the roots compiled in, nothing built before it is
//! needed.
//!
//! The configuration carries its crypto provider, so no process-wide `install_default()` is needed. That holds for
//! plain HTTP too: reqwest looks for a process default only when it is left to build a configuration of its own.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};

/// What Darkroom calls itself. Never browser-like: Supabase refuses a secret key from what looks like a browser.
pub const USER_AGENT: &str = concat!("darkroom/", env!("CARGO_PKG_VERSION"));

/// How a vendor's HTTP client waits and keeps connections.
#[derive(Debug, Clone, Copy)]
pub struct HttpClientOptions {
    /// TCP and TLS together.
    pub connect_timeout: Duration,
    /// From the start of a call to the end of its answer's body; `None` where the caller sets its own per request.
    pub timeout: Option<Duration>,
    /// Silence allowed while an answer is being read.
    pub read_timeout: Option<Duration>,
    /// How long an unused connection is kept. Shorter than the vendor's own limit, so that a call seldom meets a
    /// connection which the other side has just closed.
    pub pool_idle_timeout: Duration,
    /// How many unused connections are kept for one host. 0 where a call that meets a dead connection must not leave in
    /// doubt whether its request was sent.
    pub max_idle_per_host: usize,
}

impl Default for HttpClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            timeout: Some(Duration::from_secs(30)),
            read_timeout: None,
            pool_idle_timeout: Duration::from_secs(50),
            max_idle_per_host: usize::MAX,
        }
    }
}

impl HttpClientOptions {
    /// The defaults with one limit for a whole call.
    #[must_use]
    pub fn with_timeout(timeout: Duration) -> Self {
        Self {
            timeout: Some(timeout),
            ..Self::default()
        }
    }
}

/// A client of its own connections. No proxy from the environment, no redirects (no vendor's API sends any, and a key
/// must not follow one to another host).
///
/// # Errors
/// When reqwest refuses the configuration.
pub fn http_client(options: HttpClientOptions) -> Result<reqwest::Client, reqwest::Error> {
    client_builder(options).build()
}

/// The same before it is built, for a client that needs something more.
pub fn client_builder(options: HttpClientOptions) -> reqwest::ClientBuilder {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(http_config())
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(USER_AGENT)
        .connect_timeout(options.connect_timeout)
        .pool_idle_timeout(options.pool_idle_timeout)
        .pool_max_idle_per_host(options.max_idle_per_host)
        .tcp_nodelay(true);
    if let Some(timeout) = options.timeout {
        builder = builder.timeout(timeout);
    }
    if let Some(read_timeout) = options.read_timeout {
        builder = builder.read_timeout(read_timeout);
    }
    builder
}

/// An HTTP client that is built by the first call that uses it.
#[derive(Debug)]
pub struct LazyHttpClient {
    options: HttpClientOptions,
    client: OnceLock<reqwest::Client>,
}

impl LazyHttpClient {
    /// Only notes the options.
    #[must_use]
    pub fn new(options: HttpClientOptions) -> Self {
        Self {
            options,
            client: OnceLock::new(),
        }
    }

    /// The client, built now if it has not been.
    ///
    /// # Errors
    /// When reqwest refuses the configuration.
    pub fn get(&self) -> Result<&reqwest::Client, reqwest::Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = http_client(self.options)?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// The configuration for HTTPS: the public roots, and resumption shared by all clients of the process.
fn http_config() -> ClientConfig {
    static CONFIG: OnceLock<ClientConfig> = OnceLock::new();
    CONFIG
        .get_or_init(|| config_with_roots(public_roots()))
        .clone()
}

/// The public roots, compiled in: parsing those of the system costs more than the rest of a cold start.
#[must_use]
pub fn public_roots() -> RootCertStore {
    RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    }
}

/// A client configuration that trusts these roots.
#[must_use]
pub fn config_with_roots(roots: RootCertStore) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    #[expect(
        clippy::expect_used,
        reason = "fails only when the provider has no suite for a version, and ring has suites for both"
    )]
    let builder = builder
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3");
    builder.with_root_certificates(roots).with_no_client_auth()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_needs_no_process_wide_crypto_provider() {
        let client = LazyHttpClient::new(HttpClientOptions::default());
        assert!(client.get().is_ok());
        assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    }

    #[test]
    fn public_roots_are_compiled_in() {
        assert!(public_roots().len() > 100);
    }
}
