//! `cargo doctor`: tries each setting of a deployment for real.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what it says is for the person who started it"
)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use local::doctor::{self, env_file};

/// Tries each setting for real (database and migrations, bucket, keys, queue, tokens, Ably) and says in one line each what there is
/// or what is wrong. Nothing is written anywhere.
///
/// Exit codes: 0 all is well, 1 something is wrong, 2 the settings cannot be read.
#[derive(Debug, Parser)]
#[command(name = "cargo doctor")]
struct Arguments {
    /// The settings, as NAME=value lines; the environment where this is left out.
    #[arg(long, value_name = "PATH")]
    env_file: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let settings: BTreeMap<String, String> = match &arguments.env_file {
        Some(path) => env_file::read(path)?,
        None => std::env::vars().collect(),
    };
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let findings = doctor::examine(&settings, &migrations).await?;
    let mut all_is_well = true;
    for finding in &findings {
        let (mark, what) = match &finding.outcome {
            Ok(what) => ("ok   ", what),
            Err(what) => ("WRONG", what),
        };
        all_is_well &= finding.outcome.is_ok();
        println!("{mark}  {:10}  {what}", finding.subject);
    }
    Ok(all_is_well)
}
