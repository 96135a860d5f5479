//! What Darkroom costs in time and memory, measured over the binaries that would be deployed.
//!
//! Each part measures one thing by itself; [`run`] puts them together for `cargo bench-local`. Nothing here is asserted:
//! the figures depend on the machine.

pub mod binaries;
pub mod figures;
pub mod process;
pub mod report;
pub mod round_trips;
pub mod runtime_api;
pub mod settings;
pub mod start_up;

use std::path::PathBuf;

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
    /// Only these functions; all where it is empty.
    pub functions: Vec<String>,
    /// How many starts of each function are measured.
    pub starts: usize,
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
    for name in &names {
        progress(&format!("building {name}"));
        let binary = binaries::build(&options.workspace, name, options.profile).await?;
        progress(&format!("starting {name} {} times", options.starts));
        let start_up = start_up::measure(&binary, &settings::unreachable(), options.starts).await?;
        report.functions.push(FunctionReport {
            name: binary.name,
            bytes: binary.bytes,
            start_up,
        });
    }
    Ok(report)
}
