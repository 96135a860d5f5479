//! The function of `examples/echo.rs`, for tests.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::sync::OnceCell;

use super::{FunctionOptions, Lambda, LambdaOptions, LogOptions};

static ECHO: OnceCell<PathBuf> = OnceCell::const_new();

/// The example as `cargo test` has built it, or built now where that has not, as with `--lib`.
async fn echo_binary() -> PathBuf {
    let built = ECHO.get_or_init(|| async {
        match built_before() {
            Some(binary) => binary,
            None => build().await,
        }
    });
    built.await.clone()
}

/// Beside the tests' own executable, unless it is older than its source.
fn built_before() -> Option<PathBuf> {
    let tests = std::env::current_exe().ok()?;
    let binary = tests.parent()?.parent()?.join("examples/echo");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/echo.rs");
    let modified = |path: &Path| {
        std::fs::metadata(path)
            .and_then(|data| data.modified())
            .ok()
    };
    (modified(&binary)? > modified(Path::new(source))?).then_some(binary)
}

async fn build() -> PathBuf {
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
