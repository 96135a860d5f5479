//! Builds the function binaries with cargo, and says where they are.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, bail};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::template::Function;

/// How the binaries are built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Fast to build.
    #[default]
    Dev,
    /// As deployed: each package by itself, so that none has features that only another wants.
    Release,
}

/// The binaries that could be built.
#[derive(Clone, Debug, Default)]
pub struct Binaries {
    /// The executables by name.
    pub paths: BTreeMap<String, PathBuf>,
    /// Functions of the template whose package is not in the workspace.
    pub missing: Vec<String>,
}

/// Builds the functions' packages in the workspace at `root`. Compiler messages go to standard error.
///
/// # Errors
/// Cargo cannot be run, or a package cannot be compiled.
pub async fn build(
    root: &Path,
    functions: &[Function],
    profile: Profile,
) -> anyhow::Result<Binaries> {
    let mut binaries = Binaries::default();
    let mut packages = Vec::new();
    for function in functions {
        let manifest = root
            .join("functions")
            .join(&function.binary)
            .join("Cargo.toml");
        match manifest.is_file() {
            true => packages.push(function.binary.clone()),
            false => binaries.missing.push(function.binary.clone()),
        }
    }
    packages.sort();
    packages.dedup();
    match profile {
        _ if packages.is_empty() => {}
        Profile::Dev => binaries.paths = run_cargo(root, &packages, profile).await?,
        Profile::Release => {
            for package in packages.chunks(1) {
                let built = run_cargo(root, package, profile).await?;
                binaries.paths.extend(built);
            }
        }
    }
    Ok(binaries)
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Whether cargo, running us, has told us this about our own package. Build scripts that watch such a variable (that of ring does)
/// would run again at every change between a build from within a test and one from a shell, and with them half of all crates.
fn is_of_outer_package(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || name.starts_with("CARGO_BIN_")
        || ["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"].contains(&name.as_ref())
}

pub(crate) async fn run_cargo(
    root: &Path,
    packages: &[String],
    profile: Profile,
) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(&cargo);
    command
        .current_dir(root)
        .args(["build", "--quiet", "--bins"])
        // The paths come from cargo itself, which alone knows where its target directory is.
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // Who stops while it builds does not want the rest.
        .kill_on_drop(true);
    for package in packages {
        command.args(["--package", package]);
    }
    for (name, _) in std::env::vars_os() {
        if is_of_outer_package(&name) {
            command.env_remove(name);
        }
    }
    if profile == Profile::Release {
        command.arg("--release");
    }
    let mut child = command
        .spawn()
        .with_context(|| format!("{} cannot be run", cargo.display()))?;
    let stdout = child.stdout.take().context("cargo's output is a pipe")?;
    let mut lines = BufReader::new(stdout).lines();
    let mut built = BTreeMap::new();
    while let Some(line) = lines.next_line().await? {
        let Ok(message) = serde_json::from_str::<Message>(&line) else {
            continue;
        };
        if let (Some(executable), Some(target)) = (message.executable, message.target)
            && message.reason == "compiler-artifact"
        {
            built.insert(target.name, executable);
        }
    }
    let status = child.wait().await?;
    if !status.success() {
        bail!("cargo could not build {}", packages.join(", "));
    }
    Ok(built)
}
