//! `cargo bundle`: builds the functions for deployment.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what it says is for the person who started it"
)]

use std::{path::Path, process::ExitCode};

use clap::Parser;
use local::{
    binaries::Profile,
    bundle::{self, BundleOptions, Compiler, Machine},
};

/// Builds all functions once, and puts each where template.yaml looks for it (target/lambda/NAME/bootstrap). `sam deploy` does the rest.
#[derive(Debug, Parser)]
#[command(name = "cargo bundle")]
struct Arguments {
    /// What the functions will run on: the template's parameter Architecture.
    #[arg(long, value_enum, default_value = "arm64")]
    arch: Machine,
    /// Who builds: cargo for this machine's own architecture, else cargo-lambda.
    #[arg(long, value_enum)]
    compiler: Option<Compiler>,
    /// Fast to build, slow to start: for emulators.
    #[arg(long)]
    dev: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = BundleOptions {
        workspace: Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
        machine: arguments.arch,
        compiler: arguments.compiler,
        profile: match arguments.dev {
            true => Profile::Dev,
            false => Profile::Release,
        },
    };
    match bundle::bundle(&options).await {
        Ok(bundled) => {
            for function in bundled {
                let megabytes = function.bytes as f64 / 1e6;
                println!(
                    "{:20} {megabytes:5.1} MB  glibc 2.{}",
                    function.name, function.glibc_minor
                );
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
