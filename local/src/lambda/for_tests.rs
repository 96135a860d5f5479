//! The function of `examples/echo.rs`, for tests.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use tokio::sync::OnceCell;

use super::{FunctionOptions, Lambda, LambdaOptions, LogOptions};

static ECHO: OnceCell<PathBuf> = OnceCell::const_new();

/// Builds the example, once a test process.
async fn echo_binary() -> PathBuf {
    let built = ECHO.get_or_init(|| async {
        let output = tokio::process::Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--package",
                "local",
                "--example",
                "echo",
            ])
            .arg("--message-format=json-render-diagnostics")
            .output()
            .await
            .expect("cargo runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let messages = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
        let executable = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|message| message["target"]["name"] == "echo")
            .find_map(|message| message["executable"].as_str().map(PathBuf::from));
        executable.expect("cargo names the executable")
    });
    built.await.clone()
}

/// The example under this name. `mode` is `ECHO` of its environment.
pub(crate) async fn echo(name: &str, mode: &str, timeout: Duration) -> FunctionOptions {
    FunctionOptions {
        name: name.to_owned(),
        binary: Some(echo_binary().await),
        timeout,
        memory_mb: 128,
        environment: BTreeMap::from([
            ("ECHO".to_owned(), mode.to_owned()),
            ("SETTING".to_owned(), "its value".to_owned()),
        ]),
    }
}

pub(crate) async fn start(functions: Vec<FunctionOptions>, logs: LogOptions) -> Lambda {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let options = LambdaOptions {
        functions,
        logs,
        warm: false,
    };
    Lambda::start(listener, options).await.expect("it starts")
}
