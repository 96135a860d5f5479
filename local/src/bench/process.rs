//! A function's process, and what the kernel says about it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    net::SocketAddr,
    process::Stdio,
    time::Duration,
};

use anyhow::Context;
use tokio::process::{Child, Command};

use super::binaries::Binary;

/// A running function. It is killed when this is dropped.
#[derive(Debug)]
pub struct FunctionProcess {
    child: Child,
    output: File,
}

impl FunctionProcess {
    /// Starts it with these settings and nothing else of this process' environment, as Lambda would.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start(
        binary: &Binary,
        runtime_api: SocketAddr,
        settings: &BTreeMap<String, String>,
    ) -> anyhow::Result<Self> {
        // A file takes what it writes without anybody reading along.
        let output = tempfile::tempfile()?;
        let mut command = Command::new(&binary.path);
        command
            .env_clear()
            .env("TZ", ":UTC")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .env("AWS_LAMBDA_FUNCTION_NAME", &binary.name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "bench")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "bench")
            .envs(settings)
            .env("AWS_LAMBDA_RUNTIME_API", runtime_api.to_string())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output.try_clone()?)
            .kill_on_drop(true);
        let child = command
            .spawn()
            .with_context(|| format!("starting {}", binary.path.display()))?;
        Ok(Self { child, output })
    }

    /// Waits for its end, and answers what it wrote last: it ends by itself only when something is wrong.
    pub async fn ended(&mut self) -> anyhow::Error {
        match self.child.wait().await {
            Ok(status) => anyhow::anyhow!("it ended with {status}: {}", self.last_words()),
            Err(error) => error.into(),
        }
    }

    /// Kills it and waits until it is gone.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// The most memory that it ever had resident, in bytes; `None` where there is no `/proc`.
    #[must_use]
    pub fn peak_memory(&self) -> Option<u64> {
        peak_memory(self.child.id()?)
    }

    /// Processor time that it has used so far.
    #[must_use]
    pub fn processor_time(&self) -> Option<Duration> {
        processor_time(self.child.id()?)
    }

    /// The end of what it wrote.
    #[must_use]
    pub fn last_words(&mut self) -> String {
        let mut text = Vec::new();
        let length = self.output.seek(SeekFrom::End(0)).unwrap_or(0);
        let _ = self
            .output
            .seek(SeekFrom::Start(length.saturating_sub(4_000)));
        let _ = self.output.read_to_end(&mut text);
        String::from_utf8_lossy(&text).trim().to_owned()
    }
}

/// `VmHWM` of a process, in bytes.
#[must_use]
pub fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024)
}

/// Processor time of a process so far, its own and the kernel's for it. In steps of 10 ms.
#[must_use]
pub fn processor_time(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    processor_time_of(&stat)
}

fn processor_time_of(stat: &str) -> Option<Duration> {
    // The name is in brackets and may hold anything; utime and stime are the 12th and 13th fields after it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    // Linux reports in hundredths of a second to user space, whatever the kernel's own tick is.
    Some(Duration::from_millis((user + system) * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_past_an_odd_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 7 5 0 0 20 0 1 0 100 1000 10";
        assert_eq!(processor_time_of(stat), Some(Duration::from_millis(120)));
        assert_eq!(processor_time_of("nonsense"), None);
    }
}
