//! `cargo bench-local`: what each function and a whole run cost on this machine.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the tables are what it is for, and progress is for the person who waits"
)]

use std::path::{Path, PathBuf};

use clap::Parser;
use local::bench::{self, Options, Profile};

/// Builds the functions as they are deployed and measures size, start-up, requests, memory and database round trips.
#[derive(Debug, Parser)]
#[command(name = "bench-local")]
struct Arguments {
    /// How the functions are built.
    #[arg(long, value_enum, default_value = "release")]
    profile: Profile,
    /// Measures the executables in this folder, and builds nothing.
    #[arg(long, value_name = "FOLDER")]
    binaries: Option<PathBuf>,
    /// Only this function; may be given more than once.
    #[arg(long = "function")]
    functions: Vec<String>,
    /// Starts measured of each function.
    #[arg(long, default_value_t = 30)]
    starts: usize,
    /// Requests measured of each kind; 0 leaves out everything that needs a database.
    #[arg(long, default_value_t = 200)]
    requests: usize,
    /// Images made, one at a time.
    #[arg(long, default_value_t = 26)]
    images: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let options = Options {
        workspace: Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
        profile: arguments.profile,
        binaries: arguments.binaries,
        functions: arguments.functions,
        starts: arguments.starts,
        requests: arguments.requests,
        images: arguments.images,
    };
    let report = bench::run(&options, &|step| eprintln!("{step} …")).await?;
    println!("{report}");
    Ok(())
}
