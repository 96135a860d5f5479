//! The scripts of `tests/js`: Ably's own client and pages of another origin, in Node.

use std::{path::PathBuf, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::harness::SOON;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("js")
}

/// Says why and returns false where scripts cannot run. `package` is the npm package that is needed, if one is.
pub(crate) fn can_run(package: Option<&str>) -> bool {
    let node = std::process::Command::new("node")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if !node.is_ok_and(|status| status.success()) {
        println!("skipped: node is missing");
        return false;
    }
    let Some(package) = package else { return true };
    let is_there = directory().join("node_modules").join(package).exists();
    if !is_there {
        println!("skipped: the npm package {package} is missing (npm ci --prefix tests/js)");
    }
    is_there
}

/// A running script, which prints one JSON object a line.
pub(crate) struct Script {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Script {
    /// Starts it with these settings in its environment.
    pub(crate) fn start(name: &str, settings: &[(&str, &str)]) -> Self {
        let mut process = Command::new("node")
            .arg(directory().join(name))
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// The next line that `wanted` accepts; the test fails where the script ends without one.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Vec::new();
        while let Some(line) = self.line().await {
            if wanted(&line) {
                return line;
            }
            seen.push(line);
        }
        panic!("no such line in {seen:#?}");
    }

    /// All lines up to the end, and the exit status.
    pub(crate) async fn rest(mut self) -> (Vec<Value>, Option<i32>) {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line);
        }
        let status = self.process.wait().await.unwrap();
        (lines, status.code())
    }

    async fn line(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(SOON, self.lines.next_line());
        let line = line.await.expect("a line of the script").unwrap()?;
        Some(serde_json::from_str(&line).unwrap())
    }
}
