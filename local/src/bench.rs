//! What Darkroom costs in time and memory, measured over the binaries that would be deployed.
//!
//! Each part measures one thing by itself; [`run`] puts them together for `cargo bench-local`. Nothing here is asserted:
//! the figures depend on the machine.

pub mod binaries;
pub mod events;
pub mod export;
pub mod figures;
pub mod process;
pub mod report;
pub mod requests;
pub mod round_trips;
pub mod runtime_api;
pub mod settings;
pub mod start_up;
pub mod surroundings;
pub mod warm_function;
pub mod whole_path;
pub mod worker_memory;

use std::path::PathBuf;

use self::{binaries::Binary, requests::Bench, surroundings::Surroundings};
pub use self::{
    binaries::Profile,
    report::{FunctionReport, Report},
};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// The root of the workspace.
    pub workspace: PathBuf,
    /// How the functions are built.
    pub profile: Profile,
    /// Where the functions' executables are; they are built where this is not given.
    pub binaries: Option<PathBuf>,
    /// Only these functions; all where it is empty.
    pub functions: Vec<String>,
    /// How many starts of each function are measured.
    pub starts: usize,
    /// How many requests of each kind; none where it is 0, and no database is needed then.
    pub requests: usize,
    /// How many images are made.
    pub images: usize,
}

/// Builds the functions and measures them; `progress` is told what is being done.
///
/// # Errors
/// A function cannot be built, or does not work.
pub async fn run(options: &Options, progress: &dyn Fn(&str)) -> anyhow::Result<Report> {
    let mut names = binaries::function_names(&options.workspace)?;
    if !options.functions.is_empty() {
        names.retain(|name| options.functions.contains(name));
    }
    let mut report = Report::default();
    let mut binaries = Vec::new();
    for name in &names {
        if let Some(folder) = &options.binaries {
            binaries.push(binaries::built(folder, name)?);
            continue;
        }
        progress(&format!("building {name}"));
        binaries.push(binaries::build(&options.workspace, name, options.profile).await?);
    }
    for binary in &binaries {
        progress(&format!("{} starts of {}", options.starts, binary.name));
        let settings = settings::unreachable();
        report.functions.push(FunctionReport {
            name: binary.name.clone(),
            bytes: binary.bytes,
            start_up: start_up::measure(binary, &settings, options.starts).await?,
        });
    }
    if options.requests == 0 {
        return Ok(report);
    }

    progress("starting a database and the stand-ins");
    let surroundings = Surroundings::start().await?;
    let bench = Bench {
        surroundings: &surroundings,
        binaries: &binaries,
        requests: options.requests,
        images: options.images,
    };
    report.requests = bench.measure(progress).await?;
    let binary = |name: &str| binaries.iter().find(|binary: &&Binary| binary.name == name);
    if let Some(export) = binary("export") {
        for records in [1_000, 100_000] {
            progress(&format!("an export of {records} records"));
            let measured = export::measure(&surroundings, export, records).await?;
            report.exports.push(measured);
        }
    }
    if let (Some(generate), Some(worker)) = (binary("generate"), binary("worker")) {
        for in_hand in [1, 4] {
            progress(&format!(
                "the worker's memory with {in_hand} large images in hand"
            ));
            let memory = worker_memory::measure(&surroundings, generate, worker, in_hand).await?;
            report.worker_memory.extend(memory);
        }
        progress("the whole path");
        let images = options.images;
        report.whole_path =
            Some(whole_path::measure(&surroundings, generate, worker, images).await?);
    }
    Ok(report)
}
