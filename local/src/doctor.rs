//! Tries each setting for real and says what is wrong. Nothing is written anywhere.

mod ably;
mod database;
pub mod env_file;
mod openai;
mod queue;
mod storage;
#[cfg(test)]
mod tests;
mod tokens;

use std::{collections::BTreeMap, path::Path, time::Duration};

use shared::{
    config::{self, Reader},
    tls::{HttpClientOptions, http_client},
};

/// For one question to one vendor.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was found out about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was tried.
    pub subject: String,
    /// What there is, or what is wrong; one line each.
    pub outcome: Result<String, String>,
}

/// Settings by name, and what asks vendors.
struct Case<'a> {
    settings: &'a BTreeMap<String, String>,
    http: reqwest::Client,
}

/// What a question to a vendor found.
type Findings = Vec<Finding>;

/// Tries everything that the settings name, all at once. `migrations` is the folder that the database should have applied.
///
/// # Errors
/// No HTTP client can be built.
pub async fn examine(
    settings: &BTreeMap<String, String>,
    migrations: &Path,
) -> anyhow::Result<Vec<Finding>> {
    let case = Case {
        settings,
        http: http_client(HttpClientOptions::with_timeout(PATIENCE))?,
    };
    let (database, storage, tokens, openai, queue, ably) = tokio::join!(
        database::examine(&case, migrations),
        storage::examine(&case),
        tokens::examine(&case),
        openai::examine(&case),
        queue::examine(&case),
        ably::examine(&case),
    );
    Ok([database, storage, tokens, openai, queue, ably].concat())
}

impl Case<'_> {
    /// Reads a group of settings as the functions do; what is wrong with them is a finding.
    fn read<T>(
        &self,
        subject: &str,
        group: impl FnOnce(&mut Reader<'_>) -> Option<T>,
    ) -> Result<T, Findings> {
        let source = |name: &str| self.settings.get(name).cloned();
        config::from(&source, group).map_err(|error| vec![wrong(subject, error.to_string())])
    }

    /// A setting that is there and not empty.
    fn get(&self, name: &str) -> Option<&str> {
        let value = self.settings.get(name)?.trim();
        (!value.is_empty()).then_some(value)
    }
}

fn right(subject: impl Into<String>, what: impl Into<String>) -> Finding {
    Finding {
        subject: subject.into(),
        outcome: Ok(what.into()),
    }
}

fn wrong(subject: impl Into<String>, what: impl Into<String>) -> Finding {
    // Some vendors' messages have several lines.
    let what: String = what.into();
    Finding {
        subject: subject.into(),
        outcome: Err(what.split_whitespace().collect::<Vec<_>>().join(" ")),
    }
}

/// An answer's status and its JSON, or why there is none.
async fn ask(request: reqwest::RequestBuilder) -> Result<(u16, serde_json::Value), String> {
    let response = request.send().await.map_err(|error| unreachable(&error))?;
    let status = response.status().as_u16();
    let body = response
        .bytes()
        .await
        .map_err(|error| unreachable(&error))?;
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}

fn unreachable(error: &reqwest::Error) -> String {
    format!("cannot be reached: {}", shared::telemetry::chain(error))
}
