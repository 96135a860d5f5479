//! One connection of one's own, for what is no single statement: migrations, a check of the settings.

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use tokio_postgres::{Client, NoTls};

use super::connect::open;
use super::database::CONNECT_TIMEOUT;
use super::error::DatabaseSetupError;
use super::tls::ExtraRoots;
use super::url;

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum SessionError {
    /// A setting is wrong: trying again does not help.
    #[error(transparent)]
    Setup(#[from] DatabaseSetupError),
    /// The database cannot be reached or does not let us in.
    #[error("no connection to the database")]
    Connect(#[source] tokio_postgres::Error),
}

/// Connects to the database of `url`, read as [`url::parse`] does. `ca_cert` is the path of a PEM file or its text.
/// The connection ends when the client is dropped.
///
/// # Errors
/// [`SessionError`], which never quotes the URL.
pub async fn connect(
    url: &SecretString,
    ca_cert: Option<&str>,
    application_name: &str,
) -> Result<Client, SessionError> {
    let mut parsed = url::parse(url.expose_secret()).map_err(DatabaseSetupError::from)?;
    if parsed.config.get_connect_timeout().is_none() {
        parsed.config.connect_timeout(CONNECT_TIMEOUT);
    }
    if parsed.config.get_application_name().is_none() {
        parsed.config.application_name(application_name);
    }
    let opened = if parsed.encrypted {
        let ca = ca_cert.or(parsed.ca_file.as_deref());
        let roots = ca.map(ExtraRoots::read).transpose()?.unwrap_or_default();
        open(&parsed.config, roots.connector()).await
    } else {
        open(&parsed.config, NoTls).await
    };
    // The task that drives the connection ends with the client.
    let (client, _task) = opened.map_err(SessionError::Connect)?;
    Ok(client)
}
