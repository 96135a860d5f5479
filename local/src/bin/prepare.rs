//! `cargo prepare`: everything that a deployment needs but the deployment itself.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what it says is for the person who started it"
)]

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Parser;
use local::{
    binaries::Profile,
    bundle::{self, BundleOptions, Compiler, Machine},
    doctor::env_file,
    migrate,
    prepare::Secret,
};

/// Migrates the database, stores the secret that template.yaml refers to (with the AWS CLI), and builds the functions. `sam deploy` does
/// the rest. Stops at the first thing that is wrong; doing it again does no harm.
#[derive(Debug, Parser)]
#[command(name = "cargo prepare")]
struct Arguments {
    /// The settings, as NAME=value lines.
    #[arg(long, value_name = "PATH")]
    env_file: PathBuf,
    /// The secret's name: the template's parameter SecretName.
    #[arg(long, value_name = "NAME")]
    secret: String,
    /// A label for the secret's new version: the template's parameter SecretStage, when secrets are rotated.
    #[arg(long, value_name = "LABEL")]
    label: Option<String>,
    /// What the functions will run on: the template's parameter Architecture.
    #[arg(long, value_enum, default_value = "arm64")]
    arch: Machine,
    /// Who builds: cargo for this machine's own architecture, else cargo-lambda.
    #[arg(long, value_enum)]
    compiler: Option<Compiler>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = env_file::read(&arguments.env_file)?;
    let secret = Secret::of(&settings)?;
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");

    let url = settings.get("DATABASE_URL").map_or("", String::as_str);
    let ca = settings.get("DATABASE_CA_CERT").filter(|ca| !ca.is_empty());
    let migrations = workspace.join("migrations");
    let applied = migrate::apply_with_ca(url, ca.map(String::as_str), &migrations)
        .await
        .context("the database cannot be migrated")?;
    println!("migrations: {} applied", applied.len());

    let label = arguments.label.as_deref();
    secret.store(&arguments.secret, label).await?;
    println!("secret: {} is stored", arguments.secret);

    let options = BundleOptions {
        workspace,
        machine: arguments.arch,
        compiler: arguments.compiler,
        profile: Profile::Release,
    };
    let bundled = bundle::bundle(&options).await?;
    println!("functions: {} built for {}", bundled.len(), arguments.arch);

    let mut parameters = secret.parameters().join(" ");
    if let Some(label) = label {
        parameters = format!("{parameters} SecretStage={label}");
    }
    if !parameters.is_empty() {
        println!(
            "these parameters belong into samconfig.toml: {}",
            parameters.trim()
        );
    }
    println!("next: sam deploy --config-env …");
    Ok(())
}
