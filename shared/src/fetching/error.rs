//! Why an image was not fetched.

use std::error::Error;
use std::net::IpAddr;

use crate::domain::sniff::NotAnImage;

/// Why a URL is not followed at all. The texts are for whoever wrote the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No absolute URL, or none with a host.
    #[error("it is not an absolute URL")]
    NotAUrl,
    /// Longer than any image's address.
    #[error("it is longer than {} characters", super::LONGEST_URL)]
    TooLong,
    /// Another scheme than https.
    #[error("it does not begin with https://")]
    Scheme,
    /// A user's name or password in it.
    #[error("it holds a user name or a password")]
    Credentials,
    /// It leads somewhere that is not on the public Internet.
    #[error("its host is not on the public Internet")]
    Address(IpAddr),
    /// More redirects than are followed.
    #[error("it redirects more than {} times", super::MOST_REDIRECTS)]
    Redirects,
}

/// Why an image was not fetched, named by what can be done.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL, or one that it redirects to, is not followed.
    #[error("the URL is not followed: {0}")]
    Refused(#[from] Refused),
    /// No connection, or half of an answer.
    #[error("no whole answer came")]
    NoAnswer(#[source] Box<dyn Error + Send + Sync>),
    /// The time is up.
    #[error("no whole answer came in {} seconds", super::FETCH_TIME.as_secs())]
    TooSlow,
    /// An answer that says no.
    #[error("the answer has status {status}")]
    Answered {
        /// The HTTP status.
        status: u16,
    },
    /// More bytes than are taken.
    #[error("the answer has more than {} bytes", super::FETCH_LIMIT)]
    TooLarge,
    /// An answer that holds something else.
    #[error("the answer is no image")]
    NotAnImage(#[from] NotAnImage),
}

impl FetchError {
    /// Whether the same URL may give an image a moment later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NoAnswer(_) | Self::TooSlow => true,
            Self::Answered { status } => matches!(status, 408 | 425 | 429 | 500..),
            Self::Refused(_) | Self::TooLarge | Self::NotAnImage(_) => false,
        }
    }

    /// The URL is kept out: it may hold a signature that opens more than this image.
    pub(super) fn no_answer(error: reqwest::Error) -> Self {
        Self::NoAnswer(error.without_url().into())
    }

    pub(super) fn unknown_name(error: std::io::Error) -> Self {
        Self::NoAnswer(error.into())
    }

    pub(super) fn no_address() -> Self {
        Self::NoAnswer("the host's name stands for no address".into())
    }
}
