//! Who is calling Storage.

use axum::http::{HeaderMap, header};

use super::error::StorageError;
use super::project::Project;
use super::token;

/// What a key or token allows. There are no policies for users here, so that only the service may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// A service key: everything.
    Service,
    /// A user, or nobody: only what is public.
    Public,
}

impl Access {
    /// Only for the service; for others the answer of the database's rules.
    pub(super) fn must_write(self) -> Result<(), StorageError> {
        match self {
            Access::Service => Ok(()),
            Access::Public => Err(StorageError::AccessDenied(
                "new row violates row-level security policy",
            )),
        }
    }

    /// Only for the service; others see no row.
    pub(super) fn must_read(self) -> Result<(), StorageError> {
        match self {
            Access::Service => Ok(()),
            Access::Public => Err(StorageError::NoSuchKey),
        }
    }
}

/// Reads `Authorization`, else `apikey`.
pub(super) fn identify(project: &Project, headers: &HeaderMap) -> Result<Access, StorageError> {
    let key = bearer(headers).or_else(|| headers.get("apikey")?.to_str().ok());
    let Some(key) = key else {
        return Err(StorageError::InvalidRequest(
            "headers must have required property 'authorization'".to_owned(),
        ));
    };
    if key.starts_with("sb_secret_") && is_browser(headers) {
        return Err(StorageError::SecretKeyInBrowser);
    }
    if key == project.secret_key() {
        return Ok(Access::Service);
    }
    if key == project.publishable_key() {
        return Ok(Access::Public);
    }
    let claims = token::verify(project, key).map_err(StorageError::AccessDenied)?;
    match claims["role"].as_str() {
        Some("service_role") => Ok(Access::Service),
        _ => Ok(Access::Public),
    }
}

/// The token of `Authorization: Bearer …`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn is_browser(headers: &HeaderMap) -> bool {
    headers
        .get(header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .is_some_and(|agent| agent.contains("Mozilla/"))
}
