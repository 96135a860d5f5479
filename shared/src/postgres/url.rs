//! Database URLs as people paste them: from Supabase's dashboard, from Prisma's settings, from psql.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use thiserror::Error;
use tokio_postgres::config::SslMode;

/// A URL taken apart.
#[derive(Debug, Clone)]
pub struct DatabaseUrl {
    /// Host, port, user, password, database.
    pub config: tokio_postgres::Config,
    /// Whether the connection is encrypted, its certificate checked.
    pub encrypted: bool,
    /// `sslrootcert`: the file of a CA.
    pub ca_file: Option<String>,
    /// `connection_limit`, a parameter of Prisma's: how many connections at most.
    pub connection_limit: Option<usize>,
    /// `pool_timeout`, another: how long to wait for a free connection.
    pub pool_timeout: Option<Duration>,
    /// Names of the parameters that mean nothing here.
    pub ignored: Vec<String>,
}

/// Why a URL cannot be used. Never quotes it: it holds a password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DatabaseUrlError {
    /// Another scheme, or none.
    #[error("DATABASE_URL must start with postgresql:// or postgres://")]
    Scheme,
    /// Copied from the dashboard and not filled in.
    #[error("DATABASE_URL still holds the placeholder [YOUR-PASSWORD]")]
    Placeholder,
    /// No host.
    #[error("DATABASE_URL names no host")]
    Host,
    /// Not a port.
    #[error("DATABASE_URL: the port is not a number from 1 to 65535")]
    Port,
    /// A parameter's value.
    #[error("DATABASE_URL: {name} must be {expected}")]
    Parameter {
        /// Which parameter.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
    },
}

/// Reads a URL.
///
/// `sslmode`: `disable` is no TLS. `require`, `verify-ca` and `verify-full` all mean the same, a checked chain and host:
/// a connection that encrypts to whoever answers protects nothing. `allow`, `prefer` and no mode at all mean that too,
/// except on the loopback interface, where they mean no TLS.
///
/// # Errors
/// When it is no Postgres URL, or a parameter that matters has a value that means nothing.
pub fn parse(url: &str) -> Result<DatabaseUrl, DatabaseUrlError> {
    let url = url.trim();
    let rest = url
        .strip_prefix("postgresql://")
        .or_else(|| url.strip_prefix("postgres://"))
        .ok_or(DatabaseUrlError::Scheme)?;
    if rest.contains("[YOUR-PASSWORD]") {
        return Err(DatabaseUrlError::Placeholder);
    }
    let (user_info, rest) = split_user_info(rest);
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host_and_port, database) = rest.split_once('/').unwrap_or((rest, ""));

    let mut config = tokio_postgres::Config::new();
    if let Some(user_info) = user_info {
        let (user, password) = match user_info.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (user_info, None),
        };
        config.user(decode(user));
        if let Some(password) = password {
            config.password(decode(password));
        }
    }
    if !database.is_empty() {
        config.dbname(decode(database));
    }

    let mut parsed = DatabaseUrl {
        config,
        encrypted: false,
        ca_file: None,
        connection_limit: None,
        pool_timeout: None,
        ignored: Vec::new(),
    };
    let parameters = read_parameters(query, &mut parsed)?;

    let (host, port) = split_port(host_and_port)?;
    let host = match parameters.host {
        Some(host) => host,
        None if host.is_empty() => return Err(DatabaseUrlError::Host),
        None => decode(host),
    };
    parsed.config.host(host.as_str()).port(port);
    let at_home = is_loopback(&host);
    parsed.encrypted = match parameters.sslmode.as_deref() {
        Some("disable") => false,
        Some("require" | "verify-ca" | "verify-full") => true,
        None | Some("allow" | "prefer") => !at_home,
        Some(_) => {
            return Err(DatabaseUrlError::Parameter {
                name: "sslmode",
                expected: "disable, prefer, require, verify-ca or verify-full",
            });
        }
    };
    parsed.config.ssl_mode(if parsed.encrypted {
        SslMode::Require
    } else {
        SslMode::Disable
    });
    Ok(parsed)
}

/// What the rest of the URL's reading needs of the parameters.
#[derive(Default)]
struct Parameters {
    sslmode: Option<String>,
    host: Option<String>,
}

fn read_parameters(query: &str, parsed: &mut DatabaseUrl) -> Result<Parameters, DatabaseUrlError> {
    let mut parameters = Parameters::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value);
        match name {
            "sslmode" => parameters.sslmode = Some(value.to_ascii_lowercase()),
            "host" if !value.is_empty() => parameters.host = Some(value),
            "sslrootcert" if value != "system" => parsed.ca_file = Some(value),
            "connection_limit" => parsed.connection_limit = Some(positive(name_of(name), &value)?),
            "pool_timeout" => parsed.pool_timeout = seconds(name_of(name), &value)?,
            "connect_timeout" => {
                if let Some(timeout) = seconds(name_of(name), &value)? {
                    parsed.config.connect_timeout(timeout);
                }
            }
            "application_name" => {
                parsed.config.application_name(value);
            }
            "options" => {
                parsed.config.options(value);
            }
            // Prisma's way to say that there is a pooler: no statement here is ever prepared, so it holds anyway.
            "pgbouncer" => {}
            _ => parsed.ignored.push(name.to_owned()),
        }
    }
    Ok(parameters)
}

fn name_of(name: &str) -> &'static str {
    match name {
        "connection_limit" => "connection_limit",
        "pool_timeout" => "pool_timeout",
        _ => "connect_timeout",
    }
}

/// The user and the password end at the last `@` before the path. Where there is none, the password probably holds a
/// `/`, `?` or `#` that should have been percent-encoded: then they end at the last `@` of all.
fn split_user_info(rest: &str) -> (Option<&str>, &str) {
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let at = rest[..authority_end].rfind('@').or_else(|| rest.rfind('@'));
    match at {
        Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
        None => (None, rest),
    }
}

fn split_port(host_and_port: &str) -> Result<(&str, u16), DatabaseUrlError> {
    const DEFAULT_PORT: u16 = 5432;
    let (host, port) = match host_and_port.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(DatabaseUrlError::Host)?;
            (host, rest.strip_prefix(':'))
        }
        None => match host_and_port.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host_and_port, None),
        },
    };
    match port {
        None | Some("") => Ok((host, DEFAULT_PORT)),
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port > 0 => Ok((host, port)),
            _ => Err(DatabaseUrlError::Port),
        },
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.starts_with('/')
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Percent-decoded; as it stands where that does not give text.
fn decode(text: &str) -> String {
    percent_decode_str(text)
        .decode_utf8()
        .map_or_else(|_| text.to_owned(), |decoded| decoded.into_owned())
}

fn positive(name: &'static str, value: &str) -> Result<usize, DatabaseUrlError> {
    value
        .parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or(DatabaseUrlError::Parameter {
            name,
            expected: "a whole number from 1",
        })
}

/// Whole seconds; 0 means no limit of its own.
fn seconds(name: &'static str, value: &str) -> Result<Option<Duration>, DatabaseUrlError> {
    let seconds: u64 = value.parse().map_err(|_| DatabaseUrlError::Parameter {
        name,
        expected: "a number of seconds",
    })?;
    Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests;
