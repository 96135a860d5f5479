//! Who calls: the `Authorization` header of a request.

use http::header;
use jiff::Timestamp;
use lambda_http::Request;

use serde_json::Value;

use super::{Facts, FieldError, Problem, query::Query};
use crate::{
    domain::{caller::Caller, id::UserId},
    supabase::auth::{Bearer, TokenVerifier},
};

/// Tells who calls. No header, or a key that every page of the project carries, is an anonymous caller; anything else that does not
/// verify is refused, never taken for anonymous. So is the service role, which has no images of its own.
///
/// # Errors
/// 401 for what does not verify, 503 where the keys to verify it with cannot be had.
pub async fn caller(
    request: &Request,
    facts: &Facts,
    verifier: &TokenVerifier,
) -> Result<Caller, Problem> {
    match caller_or_service(request, facts, verifier).await? {
        Caller::Service => Err(Problem::unauthorized(
            "authorization: the service role is not served here; send a user's access token, or none.",
        )),
        caller @ (Caller::User(_) | Caller::Anonymous { .. }) => Ok(caller),
    }
}

/// As [`caller`], where the application's own backend may call with the service role.
///
/// # Errors
/// As [`caller`].
pub async fn caller_or_service(
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
        Bearer::Service => Ok(Caller::Service),
    }
}

/// The user that the application's own backend asks about, by the parameter `user_id`; none for all of them. Anybody else who sends it
/// makes a mistake, which is noted in `query`.
pub fn user_asked_about(caller: &Caller, query: &mut Query) -> Option<UserId> {
    match caller {
        Caller::Service => query.parsed("user_id", "a UUID"),
        Caller::User(_) | Caller::Anonymous { .. } => {
            if query.text("user_id").is_some() {
                let message = "is for the service role only; a user sees what is their own.";
                query.error(FieldError::new("user_id", message, Value::Null));
            }
            None
        }
    }
}
