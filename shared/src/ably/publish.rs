//! Publishing over REST: each message in a request of its own, in order.
//!
//! Ably drops a message whose id it has seen on the channel within two minutes, so a repeat is harmless. That holds for
//! a whole request: an array must share one base id (`<base>:0`, `<base>:1`, …), and one of ids that do not is refused
//! with 40031. Messages that are repeated one by one are therefore sent one by one.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Response;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::key::AblyKey;
use crate::tls::{HttpClientOptions, LazyHttpClient};

/// Ably's own host.
pub const DEFAULT_BASE_URL: &str = "https://main.realtime.ably.net";
/// Where to turn when it does not answer, in other data centres.
const FALLBACK_BASE_URLS: [&str; 5] = [
    "https://main.a.fallback.ably-realtime.com",
    "https://main.b.fallback.ably-realtime.com",
    "https://main.c.fallback.ably-realtime.com",
    "https://main.d.fallback.ably-realtime.com",
    "https://main.e.fallback.ably-realtime.com",
];
/// How many of them are tried for one message: what Ably's own clients do.
const FALLBACKS_TRIED: usize = 3;
/// Ably's limit for a message: the bytes of its id, name and data.
pub const LARGEST_MESSAGE: usize = 64 * 1024;
/// The protocol that the answers are read by.
const API_VERSION: HeaderValue = HeaderValue::from_static("6");
/// More than this of an error's body is not read.
const LONGEST_ERROR: usize = 64 * 1024;

const CHANNEL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Where to publish and with what.
#[derive(Debug)]
pub struct AblyOptions {
    /// Another host than Ably's own; it has no fallbacks.
    pub base_url: Option<String>,
    /// A key that may publish.
    pub key: AblyKey,
    /// For one request to one host.
    pub timeout: Duration,
}

/// Publishes. Connects when first used.
#[derive(Debug)]
pub struct AblyClient {
    base_urls: Vec<String>,
    key: AblyKey,
    http: LazyHttpClient,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// The same for the same event, always.
    pub id: String,
    /// What kind of event.
    pub name: String,
    /// JSON, as text.
    pub data: String,
}

/// A message on its way: Ably decodes `data` for its listeners.
#[derive(Serialize)]
struct Outgoing<'a> {
    #[serde(flatten)]
    message: &'a Message,
    encoding: &'static str,
}

/// Not all messages were published.
#[derive(Debug, Error)]
#[error("after {published} messages were published")]
pub struct PublishError {
    /// How many were, from the first on.
    pub published: usize,
    /// Why the next was not.
    #[source]
    pub source: AblyError,
}

/// Why a message was not published, named by what the caller can do.
#[derive(Debug, Error)]
pub enum AblyError {
    /// Ably did not answer, or is in trouble: the same message later.
    #[error("Ably cannot be reached")]
    Unavailable(#[source] UnavailableCause),
    /// Too many messages: the same later.
    #[error("Ably asks to wait")]
    RateLimited {
        /// How long, if it says.
        retry_after: Option<Duration>,
    },
    /// The key is wrong or may not publish here.
    #[error("Ably refuses the key")]
    Misconfigured(#[source] Refusal),
    /// The message is larger than Ably takes.
    #[error("the message is larger than {LARGEST_MESSAGE} bytes")]
    TooLarge,
    /// Ably refuses this message, now and later.
    #[error("Ably refuses the message")]
    Rejected(#[source] Refusal),
}

/// What kept Ably from answering.
#[derive(Debug, Error)]
pub enum UnavailableCause {
    /// No answer.
    #[error("no answer")]
    NoAnswer(#[from] reqwest::Error),
    /// An answer that says so.
    #[error(transparent)]
    Refusal(#[from] Refusal),
}

/// Ably's status and code, without its text, which may quote what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("status {status}, code {code}")]
pub struct Refusal {
    /// HTTP's.
    pub status: u16,
    /// Ably's own, five digits; 0 where the answer has none.
    pub code: u32,
}

impl AblyClient {
    /// Notes the settings; connects to nothing.
    #[must_use]
    pub fn new(options: AblyOptions) -> Self {
        let given = options
            .base_url
            .map(|url| url.trim_end_matches('/').to_owned());
        let base_urls = match given {
            Some(url) if url != DEFAULT_BASE_URL => vec![url],
            _ => std::iter::once(DEFAULT_BASE_URL)
                .chain(FALLBACK_BASE_URLS)
                .map(str::to_owned)
                .collect(),
        };
        Self {
            base_urls,
            key: options.key,
            http: LazyHttpClient::new(HttpClientOptions {
                connect_timeout: options.timeout.min(Duration::from_secs(5)),
                ..HttpClientOptions::with_timeout(options.timeout)
            }),
        }
    }

    /// Publishes in order and stops at the first failure, so that no later message overtakes an earlier one.
    ///
    /// # Errors
    /// [`PublishError`], which says how many went out.
    pub async fn publish(&self, channel: &str, messages: &[Message]) -> Result<(), PublishError> {
        for (published, message) in messages.iter().enumerate() {
            self.publish_one(channel, message)
                .await
                .map_err(|source| PublishError { published, source })?;
        }
        Ok(())
    }

    async fn publish_one(&self, channel: &str, message: &Message) -> Result<(), AblyError> {
        if message.id.len() + message.name.len() + message.data.len() > LARGEST_MESSAGE {
            return Err(AblyError::TooLarge);
        }
        let path = format!(
            "/channels/{}/messages",
            utf8_percent_encode(channel, CHANNEL)
        );
        let outgoing = Outgoing {
            message,
            encoding: "json",
        };
        // Texts always serialise.
        let body = serde_json::to_string(&outgoing).unwrap_or_default();

        let mut hosts = self.hosts(&message.id);
        let mut outcome = self.send(&hosts.remove(0), &path, &body).await;
        for host in hosts {
            if !outcome.as_ref().is_err_and(concerns_the_host) {
                break;
            }
            tracing::debug!(host, "Ably is asked at another host");
            outcome = self.send(&host, &path, &body).await;
        }
        outcome
    }

    /// The main host, then some of the others: not the same ones for every message, or one of them would carry all.
    fn hosts(&self, message_id: &str) -> Vec<String> {
        let (main, others) = match self.base_urls.split_first() {
            Some((main, others)) => (main.clone(), others),
            None => (DEFAULT_BASE_URL.to_owned(), &[][..]),
        };
        let mut hosts = vec![main];
        if !others.is_empty() {
            let start = crc32fast::hash(message_id.as_bytes()) as usize % others.len();
            let rotated = others.iter().cycle().skip(start).take(FALLBACKS_TRIED);
            hosts.extend(rotated.cloned());
        }
        hosts
    }

    async fn send(&self, host: &str, path: &str, body: &str) -> Result<(), AblyError> {
        let client = self.http.get().map_err(unavailable)?;
        let whole_key = STANDARD.encode(self.key.whole().expose_secret());
        // Base64 always fits a header.
        let mut authorization = HeaderValue::try_from(format!("Basic {whole_key}"))
            .unwrap_or(HeaderValue::from_static(""));
        authorization.set_sensitive(true);
        let response = client
            .post(format!("{host}{path}"))
            .header(AUTHORIZATION, authorization)
            .header("x-ably-version", API_VERSION)
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_owned())
            .send()
            .await
            .map_err(unavailable)?;
        if !response.status().is_success() {
            return Err(refused(response).await);
        }
        // Read to its end, the connection serves the next message.
        response.bytes().await.map_err(unavailable)?;
        Ok(())
    }
}

fn unavailable(error: reqwest::Error) -> AblyError {
    AblyError::Unavailable(error.into())
}

/// Whether another host may do better: no answer, or 500 to 504.
fn concerns_the_host(error: &AblyError) -> bool {
    match error {
        AblyError::Unavailable(UnavailableCause::NoAnswer(_)) => true,
        AblyError::Unavailable(UnavailableCause::Refusal(refusal)) => {
            (500..=504).contains(&refusal.status)
        }
        _ => false,
    }
}

async fn refused(mut response: Response) -> AblyError {
    #[derive(Default, Deserialize)]
    struct Body {
        error: Details,
    }
    #[derive(Default, Deserialize)]
    struct Details {
        code: u32,
    }
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    let mut body = Vec::new();
    while body.len() < LONGEST_ERROR {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return unavailable(error),
        }
    }
    let body: Body = serde_json::from_slice(&body).unwrap_or_default();
    let refusal = Refusal {
        status,
        code: body.error.code,
    };
    match status {
        429 => AblyError::RateLimited { retry_after },
        401 | 403 => AblyError::Misconfigured(refusal),
        408 | 500.. => AblyError::Unavailable(refusal.into()),
        413 => AblyError::TooLarge,
        // 40009: the limit of this account is lower than the usual one.
        _ if refusal.code == 40009 => AblyError::TooLarge,
        _ => AblyError::Rejected(refusal),
    }
}

#[cfg(test)]
mod tests;
