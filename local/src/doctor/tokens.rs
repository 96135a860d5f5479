//! What checks access tokens: the project's key set, or the shared secret of an older project.

use serde_json::Value;
use shared::config::groups;

use super::{Case, Findings, ask, right, wrong};

const SUBJECT: &str = "tokens";

pub(super) async fn examine(case: &Case<'_>) -> Findings {
    if let Err(findings) = case.read(SUBJECT, |reader| Some(groups::token_verifier(reader))) {
        return findings;
    }
    let default = || {
        let base = case.get("SUPABASE_URL").unwrap_or_default();
        format!(
            "{}/auth/v1/.well-known/jwks.json",
            base.trim_end_matches('/')
        )
    };
    let url = case
        .get("SUPABASE_JWKS_URL")
        .map_or_else(default, str::to_owned);
    let has_secret = case.get("SUPABASE_JWT_SECRET").is_some();
    vec![match ask(case.http.get(&url)).await {
        Ok((200, answer)) => match usable(&answer) {
            0 if has_secret => right(SUBJECT, "are checked with SUPABASE_JWT_SECRET (HS256)"),
            0 => wrong(
                SUBJECT,
                "the project has no ES256 or RS256 key: add one under JWT signing keys, or set SUPABASE_JWT_SECRET",
            ),
            keys => right(SUBJECT, format!("{keys} signing key(s) at {url}")),
        },
        Ok((status, _)) if has_secret => right(
            SUBJECT,
            format!("are checked with SUPABASE_JWT_SECRET (HS256); {url} answers {status}"),
        ),
        Ok((status, _)) => wrong(SUBJECT, format!("{url} answered with status {status}")),
        Err(error) => wrong(SUBJECT, format!("{url} {error}")),
    }]
}

fn usable(answer: &Value) -> usize {
    let keys = answer["keys"].as_array();
    let is_usable = |key: &&Value| matches!(key["alg"].as_str(), Some("ES256" | "RS256"));
    keys.map(|keys| keys.iter().filter(is_usable).count())
        .unwrap_or_default()
}
