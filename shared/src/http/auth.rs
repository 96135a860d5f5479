//! Who calls: the `Authorization` header of a request.

use http::header;
use jiff::Timestamp;
use lambda_http::Request;

use super::{Facts, Problem};
use crate::{
    domain::{caller::Caller, id::UserId},
    supabase::auth::{Bearer, TokenVerifier},
};

/// Tells who calls. No header, or a key that every page of the project carries, is an anonymous caller; anything else that does not
/// verify is refused, never taken for anonymous.
///
/// # Errors
/// 401 for what does not verify, 503 where the keys to verify it with cannot be had.
pub async fn caller(
    request: &Request,
    facts: &Facts,
    verifier: &TokenVerifier,
) -> Result<Caller, Problem> {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else {
        return Ok(Caller::anonymous(&facts.address));
    };
    let bearer = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let Some(token) = bearer.filter(|token| !token.is_empty()) else {
        return Err(Problem::unauthorized(
            "authorization: must be `Bearer` and a Supabase access token, or be left out.",
        ));
    };
    match verifier.verify(token, Timestamp::now()).await? {
        Bearer::SignedOut => Ok(Caller::anonymous(&facts.address)),
        Bearer::User(token) => Ok(Caller::User(UserId(token.user_id))),
    }
}
