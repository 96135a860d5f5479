//! `/auth/v1`: the key set, and signing in for the test users.

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::bearer;
use super::project::{TEST_PASSWORD, TestUser};
use super::server::Server;
use super::token::{self, TokenClaims, VALID_FOR};

#[derive(Deserialize)]
struct Grant {
    #[serde(default)]
    grant_type: String,
}

/// Status, `error_code` and `msg`.
struct AuthError(StatusCode, &'static str, &'static str);

pub(super) fn routes() -> Router<Server> {
    Router::new()
        .route("/.well-known/jwks.json", get(jwks))
        .route("/health", get(health))
        .route("/user", get(user))
        .route("/token", post(sign_in))
        .route("/logout", post(|| async { StatusCode::NO_CONTENT }))
}

async fn jwks(State(server): State<Server>) -> Result<Response, AuthError> {
    let keys = server.project.jwks().map_err(|_| {
        AuthError(
            StatusCode::INTERNAL_SERVER_ERROR,
            "unexpected_failure",
            "Cannot read a key",
        )
    })?;
    let headers = [(header::CACHE_CONTROL, "public, max-age=600")];
    Ok((headers, Json(keys)).into_response())
}

async fn health() -> Json<Value> {
    Json(json!({
        "version": "v2.0.0-local",
        "name": "GoTrue",
        "description": "GoTrue is a user registration and authentication API",
    }))
}

async fn user(State(server): State<Server>, headers: HeaderMap) -> Result<Json<Value>, AuthError> {
    const NO_TOKEN: AuthError = AuthError(
        StatusCode::UNAUTHORIZED,
        "no_authorization",
        "This endpoint requires a valid Bearer token",
    );
    const BAD_TOKEN: AuthError = AuthError(
        StatusCode::FORBIDDEN,
        "bad_jwt",
        "invalid JWT: unable to verify the token",
    );

    let claims =
        token::verify(&server.project, bearer(&headers).ok_or(NO_TOKEN)?).map_err(|_| BAD_TOKEN)?;
    let id = claims["sub"].as_str().ok_or(BAD_TOKEN)?;
    let users = server.project.users();
    let user = users
        .iter()
        .find(|user| user.id.to_string() == id)
        .ok_or(AuthError(
            StatusCode::FORBIDDEN,
            "user_not_found",
            "User from sub claim in JWT does not exist",
        ))?;
    Ok(Json(to_json(user)))
}

async fn sign_in(
    State(server): State<Server>,
    Query(grant): Query<Grant>,
    body: Bytes,
) -> Result<Json<Value>, AuthError> {
    let body = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    let users = server.project.users();
    let user = match grant.grant_type.as_str() {
        "password" => users
            .iter()
            .find(|user| body["email"] == user.email && body["password"] == TEST_PASSWORD)
            .ok_or(AuthError(
                StatusCode::BAD_REQUEST,
                "invalid_credentials",
                "Invalid login credentials",
            ))?,
        "refresh_token" => users
            .iter()
            .find(|user| body["refresh_token"] == user.session_id.to_string())
            .ok_or(AuthError(
                StatusCode::BAD_REQUEST,
                "refresh_token_not_found",
                "Invalid Refresh Token: Refresh Token Not Found",
            ))?,
        _ => {
            return Err(AuthError(
                StatusCode::BAD_REQUEST,
                "validation_failed",
                "unsupported grant_type",
            ));
        }
    };
    let claims = TokenClaims::of(user);
    let access_token = server.project.token(&claims).map_err(|_| {
        AuthError(
            StatusCode::INTERNAL_SERVER_ERROR,
            "unexpected_failure",
            "Cannot sign a token",
        )
    })?;
    Ok(Json(json!({
        "access_token": access_token,
        "token_type": "bearer",
        "expires_in": VALID_FOR.as_secs(),
        "expires_at": (claims.issued_at + VALID_FOR).as_second(),
        "refresh_token": user.session_id,
        "user": to_json(user),
    })))
}

fn to_json(user: &TestUser) -> Value {
    let now = format!("{:.3}", Timestamp::now());
    json!({
        "id": user.id,
        "aud": "authenticated",
        "role": "authenticated",
        "email": user.email,
        "email_confirmed_at": now,
        "phone": "",
        "confirmed_at": now,
        "last_sign_in_at": now,
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": {},
        "identities": [],
        "created_at": now,
        "updated_at": now,
        "is_anonymous": false,
    })
}

impl IntoResponse for AuthError {
    fn into_response(self) -> Response {
        let AuthError(status, error_code, message) = self;
        let body = json!({"code": status.as_u16(), "error_code": error_code, "msg": message});
        (status, Json(body)).into_response()
    }
}
