//! End to end, over the real function binaries: a stack of its own for every test, called as an application calls it.

#[path = "e2e/harness.rs"]
mod harness;
#[path = "e2e/main_job.rs"]
mod main_job;
#[path = "e2e/settings.rs"]
mod settings;
