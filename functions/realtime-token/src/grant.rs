//! Granting a token.

use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use lambda_http::Request;
use secrecy::ExposeSecret;
use serde_json::json;
use shared::{
    ably::{
        publish::AblyOptions,
        token::{Capability, sign},
    },
    config::{
        Reader,
        groups::{self, HttpSettings},
    },
    domain::{
        caller::{Caller, Scope},
        event,
        id::RunId,
    },
    http::{Facts, Problem, Reply, auth, query::Query},
    postgres::{Database, runs::find_run},
    supabase::auth::TokenVerifier,
};

/// How long a token is good for.
const LIFETIME: std::time::Duration = std::time::Duration::from_secs(3600);

/// What the function holds between requests.
pub(crate) struct Tokens {
    database: Database,
    verifier: TokenVerifier,
    pub(crate) http: HttpSettings,
    ably: Option<AblyOptions>,
}

impl Tokens {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let database = groups::database(reader, "realtime-token", 1);
        let verifier = groups::token_verifier(reader);
        let http = groups::http(reader);
        let ably = groups::ably(reader);
        Some(Self {
            database: database?,
            verifier,
            http,
            ably,
        })
    }

    /// Of the query and of a form, `run_id` counts and all else is passed over: the official client adds its own idea of a client id.
    pub(crate) async fn grant(&self, request: Request, facts: Facts) -> Result<Reply, Problem> {
        let caller = auth::caller(&request, &facts, &self.verifier).await?;
        let Some(ably) = &self.ably else {
            return Err(Problem::new(
                StatusCode::NOT_FOUND,
                "realtime-off",
                "Realtime is off",
                "This deployment has no realtime (REALTIME=off).",
            ));
        };
        let mut query = Query::with_form_passing_over_unknown(&request, &["run_id"]);
        let run_id = query.parsed::<RunId>("run_id", "a UUID");
        query.finish()?;
        let (channel, client_id) = match &caller {
            Caller::User(user) => (event::user_channel(*user), user.to_string()),
            Caller::Anonymous { .. } | Caller::Service => {
                let Some(run_id) = run_id else {
                    return Err(Problem::unauthorized(
                        "authorization: sign in, or name a run without an owner with run_id, in the query or in a form",
                    ));
                };
                let run = find_run(&self.database, Scope::Ownerless, run_id).await?;
                run.ok_or_else(|| {
                    Problem::not_found(
                        "run_id",
                        format!("There is no run {run_id} without an owner."),
                    )
                })?;
                (event::run_channel(run_id), format!("run:{run_id}"))
            }
        };
        let capability = Capability::subscribe(channel.as_str());
        let granted = sign(
            &ably.key,
            &capability,
            Some(&client_id),
            Timestamp::now(),
            LIFETIME,
        )
        .map_err(|error| Problem::internal().caused_by(error))?;
        let body = json!({
            "provider": "ably",
            "token": granted.token.expose_secret(),
            "issued": granted.issued_ms,
            "expires": granted.expires_ms,
            "capability": granted.capability,
            "clientId": client_id,
            "channel": channel,
            "environment": null,
        });
        Ok(Reply::json_value(StatusCode::OK, &body)
            .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
    }
}
