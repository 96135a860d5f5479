//! Fetching images from URLs that others wrote. Such a URL may name anything, this network's own machines too: where it leads is
//! checked before anything is asked, what was checked is what is connected to, and a redirect is a new URL.

pub mod address;
mod error;
mod pinned;
mod target;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCEPT, HeaderValue, LOCATION};
use reqwest::Response;

use crate::domain::sniff::{self, Inspected};

pub use error::{FetchError, Refused};
pub use target::{LONGEST_URL, Reach, Target};

/// The largest image that is fetched, in bytes.
pub const FETCH_LIMIT: usize = 20_000_000;
/// For one image, from the first name looked up to the last byte, redirects included.
pub const FETCH_TIME: Duration = Duration::from_secs(10);
/// Redirects that are followed.
pub const MOST_REDIRECTS: usize = 3;

/// What the models take; an image in another format would be refused anyway.
const WANTED: HeaderValue = HeaderValue::from_static("image/png, image/jpeg, image/webp");

/// An image that was fetched. Its format is what its bytes are, whatever the server said.
#[derive(Clone)]
pub struct Fetched {
    /// The file.
    pub bytes: Bytes,
    /// Its format and dimensions.
    pub inspected: Inspected,
}

/// Fetches an image.
///
/// # Errors
/// [`FetchError`]
pub async fn fetch(reach: Reach, url: &str) -> Result<Fetched, FetchError> {
    fetch_within(FETCH_TIME, reach, url).await
}

async fn fetch_within(time: Duration, reach: Reach, url: &str) -> Result<Fetched, FetchError> {
    match tokio::time::timeout(time, follow(reach, url)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(FetchError::TooSlow),
    }
}

async fn follow(reach: Reach, url: &str) -> Result<Fetched, FetchError> {
    let mut target = Target::parse(url, reach)?;
    for _ in 0..=MOST_REDIRECTS {
        let response = ask(&target, reach).await?;
        let Some(location) = redirect_of(&response) else {
            return read(response).await;
        };
        target = target.redirected(&location, reach)?;
    }
    Err(Refused::Redirects.into())
}

/// Asks the addresses that the target's name stands for now, all of which must be allowed: of a mixed list, which one is connected to
/// would be up to whoever wrote it.
async fn ask(target: &Target, reach: Reach) -> Result<Response, FetchError> {
    let addresses: Vec<SocketAddr> = match target.literal() {
        Some(address) => vec![address],
        None => tokio::net::lookup_host((target.host(), target.port()))
            .await
            .map_err(FetchError::unknown_name)?
            .collect(),
    };
    if addresses.is_empty() {
        return Err(FetchError::no_address());
    }
    for address in &addresses {
        target.check_address(address.ip(), reach)?;
    }
    let client = pinned::client(addresses, FETCH_TIME).map_err(FetchError::no_answer)?;
    let request = client.get(target.url().clone()).header(ACCEPT, WANTED);
    request.send().await.map_err(FetchError::no_answer)
}

/// Where an answer sends us, if it does.
fn redirect_of(response: &Response) -> Option<String> {
    let is_redirect = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = response.headers().get(LOCATION).filter(|_| is_redirect)?;
    // A header that is no text leads nowhere that a URL could name.
    Some(location.to_str().unwrap_or_default().to_owned())
}

async fn read(mut response: Response) -> Result<Fetched, FetchError> {
    if !response.status().is_success() {
        return Err(FetchError::Answered {
            status: response.status().as_u16(),
        });
    }
    let length = response
        .content_length()
        .map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
    if length > FETCH_LIMIT {
        return Err(FetchError::TooLarge);
    }
    let mut bytes = Vec::with_capacity(length);
    while let Some(piece) = response.chunk().await.map_err(FetchError::no_answer)? {
        if bytes.len() + piece.len() > FETCH_LIMIT {
            return Err(FetchError::TooLarge);
        }
        bytes.extend_from_slice(&piece);
    }
    let inspected = sniff::inspect(&bytes)?;
    Ok(Fetched {
        bytes: bytes.into(),
        inspected,
    })
}

#[cfg(test)]
mod tests;
