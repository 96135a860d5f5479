//! Builds the functions as they are deployed, one by one.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::process::Command;

/// How the functions are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// What is deployed. Link-time optimisation takes minutes.
    Release,
    /// Quick to build; its figures say little.
    Dev,
}

/// A function's executable.
#[derive(Clone, Debug)]
pub struct Binary {
    /// The package and function name.
    pub name: String,
    /// Where cargo left it.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// The functions of this workspace: the folders in `functions/`.
///
/// # Errors
/// The folder cannot be read.
pub fn function_names(workspace: &Path) -> anyhow::Result<Vec<String>> {
    let folder = workspace.join("functions");
    let entries =
        std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.join("Cargo.toml").is_file()
            && let Some(name) = path.file_name().and_then(|name| name.to_str())
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The executable of a function in a folder, as it is.
///
/// # Errors
/// It is not there.
pub fn built(folder: &Path, name: &str) -> anyhow::Result<Binary> {
    let path = folder.join(name);
    let metadata =
        std::fs::metadata(&path).with_context(|| format!("looking for {}", path.display()))?;
    Ok(Binary {
        name: name.to_owned(),
        path,
        bytes: metadata.len(),
    })
}

/// Builds one function by itself: built together, each would have the features that any of them needs.
///
/// # Errors
/// Cargo fails; its messages went to this process' standard error.
pub async fn build(workspace: &Path, name: &str, profile: Profile) -> anyhow::Result<Binary> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(workspace)
        .args([
            "build",
            "--quiet",
            "--message-format",
            "json-render-diagnostics",
        ])
        .args(["--package", name])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    let output = cargo.output().await.context("cargo could not be run")?;
    if !output.status.success() {
        bail!("cargo could not build {name}");
    }
    let path = executable(&output.stdout, name)
        .with_context(|| format!("cargo built no executable of {name}"))?;
    let bytes = std::fs::metadata(&path)?.len();
    Ok(Binary {
        name: name.to_owned(),
        path,
        bytes,
    })
}

/// The path in cargo's message about the binary target of that name.
fn executable(messages: &[u8], name: &str) -> Option<PathBuf> {
    messages
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
}
