//! Builds the functions for deployment: the workspace once, then a folder with a `bootstrap` for each function, where the template's
//! `CodeUri` looks for it.

mod elf;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use tokio::process::Command;

pub use self::elf::Machine;
use crate::{
    binaries::{self, Profile},
    template::Template,
};

/// What `provided.al2023` has: a binary that needs a newer glibc does not start there.
const GLIBC_MINOR: u32 = 34;

/// Who compiles and links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Compiler {
    /// Plain `cargo build`; for this machine's own architecture.
    Cargo,
    /// `cargo lambda build`, which links with zig: for the other architecture, or where this machine's glibc is newer than Lambda's.
    CargoLambda,
}

/// What is built, and how.
#[derive(Clone, Debug)]
pub struct BundleOptions {
    /// The workspace: `template.yaml` and the functions.
    pub workspace: PathBuf,
    /// What the functions will run on.
    pub machine: Machine,
    /// Who builds; `None` for cargo where it can, else cargo-lambda.
    pub compiler: Option<Compiler>,
    /// `Release` for a deployment.
    pub profile: Profile,
}

/// One function, ready to be deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundled {
    /// The function's package.
    pub name: String,
    /// Its `bootstrap`.
    pub path: PathBuf,
    /// Of the `bootstrap`.
    pub bytes: u64,
    /// The minor version of the newest glibc 2 that it asks for.
    pub glibc_minor: u32,
}

/// Builds all functions of the template and puts them where the template looks for them.
///
/// # Errors
/// Something cannot be built, was built for another architecture, or needs a newer glibc than Lambda has.
pub async fn bundle(options: &BundleOptions) -> anyhow::Result<Vec<Bundled>> {
    let template = Template::read(&options.workspace.join("template.yaml"))?;
    let packages: Vec<String> = template
        .functions
        .iter()
        .map(|function| function.binary.clone())
        .collect();
    let foreign = options.machine != Machine::here();
    let compiler = options.compiler.unwrap_or(match foreign {
        true => Compiler::CargoLambda,
        false => Compiler::Cargo,
    });
    let built = match compiler {
        Compiler::Cargo if foreign => bail!(
            "cargo alone cannot build for {} here; use --compiler cargo-lambda",
            options.machine
        ),
        Compiler::Cargo => {
            binaries::run_cargo(&options.workspace, &packages, options.profile).await?
        }
        Compiler::CargoLambda => build_with_cargo_lambda(options, &packages).await?,
    };
    let mut bundled = Vec::new();
    for function in &template.functions {
        let name = &function.binary;
        let executable = built
            .get(name)
            .with_context(|| format!("nothing was built for {name}"))?;
        let folder = options.workspace.join(&function.code_uri);
        bundled.push(place(options, name, executable, &folder)?);
    }
    Ok(bundled)
}

fn place(
    options: &BundleOptions,
    name: &str,
    executable: &Path,
    folder: &Path,
) -> anyhow::Result<Bundled> {
    let bytes = std::fs::read(executable)
        .with_context(|| format!("{} cannot be read", executable.display()))?;
    let found =
        elf::read(&bytes).with_context(|| format!("{} is no program", executable.display()))?;
    if found.machine != Some(options.machine) {
        bail!("{name} was not built for {}", options.machine);
    }
    if found.glibc_minor > GLIBC_MINOR {
        bail!(
            "{name} needs glibc 2.{}, Lambda has 2.{GLIBC_MINOR}; build with --compiler cargo-lambda (pip install cargo-lambda)",
            found.glibc_minor
        );
    }
    let path = folder.join("bootstrap");
    if path != executable {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        // A copy keeps the mode, and a rename never leaves half a file.
        let draft = folder.join(".bootstrap");
        std::fs::copy(executable, &draft)
            .and_then(|_| std::fs::rename(&draft, &path))
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(Bundled {
        name: name.to_owned(),
        path,
        bytes: u64::try_from(bytes.len())?,
        glibc_minor: found.glibc_minor,
    })
}

async fn build_with_cargo_lambda(
    options: &BundleOptions,
    packages: &[String],
) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let folder = options.workspace.join("target/lambda");
    let mut command = Command::new(cargo);
    command
        .current_dir(&options.workspace)
        .args(["lambda", "build", "--lambda-dir"])
        .arg(&folder)
        .arg(match options.machine {
            Machine::Arm64 => "--arm64",
            Machine::X86_64 => "--x86-64",
        });
    if options.profile == Profile::Release {
        // The workspace's own release profile, not cargo-lambda's.
        command.args(["--release", "--disable-optimizations"]);
    }
    for package in packages {
        command.args(["--package", package]);
    }
    let status = command.status().await.context("cargo cannot be run")?;
    if !status.success() {
        bail!(
            "cargo lambda could not build the functions; it comes with `pip install cargo-lambda`"
        );
    }
    let path = |name: &String| (name.clone(), folder.join(name).join("bootstrap"));
    Ok(packages.iter().map(path).collect())
}
