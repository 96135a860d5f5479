//! From the start of a process to its first poll of the runtime API.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tokio::{io::AsyncReadExt, net::TcpListener, time::timeout};

use super::{binaries::Binary, figures::Times, process::FunctionProcess};

/// A start-up, measured many times.
#[derive(Clone, Copy, Debug)]
pub struct StartUp {
    /// Start to first poll.
    pub first_poll: Times,
    /// Peak memory by then, in bytes, of the last start.
    pub memory: Option<u64>,
}

/// No function takes so long, unless it never polls.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts the function `count` times, and once before: the first start reads the executable from disk.
///
/// # Errors
/// The function ends before it polls, or reports that it cannot start.
pub async fn measure(
    binary: &Binary,
    settings: &BTreeMap<String, String>,
    count: usize,
) -> anyhow::Result<StartUp> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut series = Vec::with_capacity(count);
    let mut memory = None;
    for index in 0..=count {
        let (elapsed, peak) = start_once(&listener, binary, settings)
            .await
            .with_context(|| format!("{} did not start", binary.name))?;
        if index > 0 {
            series.push(elapsed);
        }
        memory = peak;
    }
    let first_poll = Times::of(series).context("no start was asked for")?;
    Ok(StartUp { first_poll, memory })
}

async fn start_once(
    listener: &TcpListener,
    binary: &Binary,
    settings: &BTreeMap<String, String>,
) -> anyhow::Result<(Duration, Option<u64>)> {
    let address = listener.local_addr()?;
    let began = Instant::now();
    let mut process = FunctionProcess::start(binary, address, settings)?;
    let request = tokio::select! {
        request = timeout(PATIENCE, first_request(listener)) => {
            request.with_context(|| format!("no poll within {PATIENCE:?}"))??
        }
        error = process.ended() => return Err(error),
    };
    let elapsed = began.elapsed();
    if !request.starts_with("GET /2018-06-01/runtime/invocation/next ") {
        bail!("its first request was {request}");
    }
    let memory = process.peak_memory();
    process.kill().await?;
    Ok((elapsed, memory))
}

/// What came first on the next connection. The connection is closed then; its process is about to be killed.
async fn first_request(listener: &TcpListener) -> anyhow::Result<String> {
    let (mut stream, _) = listener.accept().await?;
    let mut bytes = [0; 2_048];
    let length = stream.read(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_function_that_ends_is_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("broken");
        std::fs::write(
            &path,
            "#!/bin/sh\necho DATABASE_URL is missing >&2\nexit 3\n",
        )
        .unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let binary = Binary {
            name: "broken".to_owned(),
            path,
            bytes: 0,
        };
        let error = measure(&binary, &BTreeMap::new(), 1).await.unwrap_err();
        let message = format!("{error:#}");
        assert!(
            message.contains("exit status: 3: DATABASE_URL is missing"),
            "{message}"
        );
    }
}
