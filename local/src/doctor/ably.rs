//! The key that publishes progress.

use secrecy::ExposeSecret;
use shared::config::groups;

use super::{Case, Findings, ask, right, wrong};

const SUBJECT: &str = "ably";

/// The key is good, but may not read history, which Darkroom never does.
const NOT_CAPABLE: u64 = 40160;

pub(super) async fn examine(case: &Case<'_>) -> Findings {
    let options = match case.read(SUBJECT, |reader| Some(groups::ably(reader))) {
        Ok(Some(options)) => options,
        Ok(None) => return vec![right(SUBJECT, "off (REALTIME=off)")],
        Err(findings) => return findings,
    };
    let base_url = options
        .base_url
        .as_deref()
        .unwrap_or("https://main.realtime.ably.net");
    let url = format!("{base_url}/channels/ai%3Aimage%3Adoctor/messages?limit=1");
    let request = case.http.get(url).basic_auth(
        options.key.name(),
        Some(options.key.secret().expose_secret()),
    );
    vec![match ask(request).await {
        Ok((200, _)) => right(SUBJECT, "the key is accepted"),
        Ok((401, answer)) if answer["error"]["code"] == NOT_CAPABLE => {
            right(SUBJECT, "the key is accepted")
        }
        Ok((401, answer)) => wrong(
            SUBJECT,
            format!(
                "ABLY_API_KEY is refused: {}",
                answer["error"]["message"].as_str().unwrap_or("no message")
            ),
        ),
        Ok((status, _)) => wrong(SUBJECT, format!("{base_url} answered with status {status}")),
        Err(error) => wrong(SUBJECT, format!("{base_url} {error}")),
    }]
}
