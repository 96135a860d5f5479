//! `cargo dev` as a process: how it starts, what it says, and that it leaves nothing behind.
//!
//! The functions are not built here; what they do is in the end-to-end tests.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::process::{Child, Command};

const LONG: Duration = Duration::from_secs(60);

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cargo = directory.path().join("cargo");
        std::fs::write(&cargo, "#!/bin/sh\nexit 0\n").unwrap();
        std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn dev(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dev"));
        command
            .env("CARGO", self.path("cargo"))
            .env_remove("DATABASE_URL")
            .env_remove("OPENAI_API_KEY")
            .arg("--data-dir")
            .arg(self.path("data"))
            .arg("--ready-file")
            .arg(self.path("ready.json"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Starts it and waits for the ready file.
    async fn start(&self, arguments: &[&str]) -> (Child, Value) {
        let mut child = self.dev(arguments).spawn().unwrap();
        let begun = Instant::now();
        loop {
            if let Ok(text) = std::fs::read(self.path("ready.json")) {
                return (child, serde_json::from_slice(&text).unwrap());
            }
            if child.try_wait().unwrap().is_some() || begun.elapsed() > LONG {
                let output = child.wait_with_output().await.unwrap();
                panic!("not ready: {}", String::from_utf8_lossy(&output.stderr));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Sends SIGTERM, and gives what it wrote to standard output.
async fn stop(child: Child) -> String {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let ended = tokio::time::timeout(LONG, child.wait_with_output());
    let output = ended.await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

async fn refusal(mut command: Command) -> String {
    let output = tokio::time::timeout(LONG, command.output());
    let output = output.await.unwrap().unwrap();
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

async fn listens(url: &str) -> bool {
    let address = url.trim_start_matches("http://");
    tokio::net::TcpStream::connect(address).await.is_ok()
}

#[tokio::test]
async fn it_starts_stops_and_starts_again_as_it_was() {
    let place = Place::new();
    let env_file = place.path("env");
    let arguments = ["--port", "0", "--write-env", env_file.to_str().unwrap()];
    let (first, ready) = place.start(&arguments).await;
    let api_url = ready["api_url"].as_str().unwrap().to_owned();
    assert!(listens(&api_url).await);
    let port = api_url.rsplit(':').next().unwrap();
    let env = std::fs::read_to_string(env_file).unwrap();
    assert!(env.contains("RESPONSE_MODE=buffered\n"), "{env}");

    let other = Place::new();
    let taken = refusal(other.dev(&["--port", port])).await;
    assert!(taken.contains(&format!("port {port} is taken")), "{taken}");
    assert_eq!(taken.lines().count(), 1, "{taken}");
    assert!(!Path::exists(&other.path("ready.json")));

    let said = stop(first).await;
    assert!(said.starts_with(&format!("Darkroom is ready at {api_url}\n")));
    assert!(said.contains(ready["user"]["token"].as_str().unwrap()));
    assert!(said.contains(&format!("curl -sS {api_url}/ai/generate")));
    assert!(!place.path("ready.json").exists());
    for part in [
        "api_url",
        "lambda_url",
        "openai_url",
        "supabase_url",
        "ably_url",
    ] {
        assert!(!listens(ready[part].as_str().unwrap()).await, "{part}");
    }

    let (second, again) = place.start(&["--port", "0"]).await;
    for kept in ["storage_url", "openai_url", "queue_url", "database_url"] {
        assert_eq!(again[kept], ready[kept], "{kept}");
    }
    assert_eq!(again["user"]["id"], ready["user"]["id"]);
    assert_eq!(again["other_user"]["id"], ready["other_user"]["id"]);
    stop(second).await;
}

#[tokio::test]
async fn a_real_vendor_needs_its_key() {
    let place = Place::new();
    let message = refusal(place.dev(&["--port", "0", "--openai", "live"])).await;
    assert_eq!(
        message,
        "error: --openai live needs OPENAI_API_KEY in the environment\n"
    );
}
