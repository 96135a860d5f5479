//! Where the output of functions goes: to standard error with the function's name before it, to a file each, or both.

use std::{
    collections::HashMap,
    fs::File,
    io::Write,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use anyhow::Context;

/// Where the output of functions goes.
#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    /// To standard error, each line with `[name]` before it.
    pub to_stderr: bool,
    /// To `{name}.log` in this directory.
    pub directory: Option<PathBuf>,
}

#[derive(Debug)]
pub(super) struct Logs {
    options: LogOptions,
    files: Mutex<HashMap<String, Option<File>>>,
}

impl Logs {
    pub(super) fn open(options: LogOptions) -> anyhow::Result<Self> {
        if let Some(directory) = &options.directory {
            std::fs::create_dir_all(directory)
                .with_context(|| format!("{} cannot be made", directory.display()))?;
        }
        Ok(Self {
            options,
            files: Mutex::default(),
        })
    }

    pub(super) fn line(&self, function: &str, line: &str) {
        if self.options.to_stderr {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr().lock(), "[{function}] {line}");
        }
        let Some(directory) = &self.options.directory else {
            return;
        };
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let file = files.entry(function.to_owned()).or_insert_with(|| {
            let path = directory.join(format!("{function}.log"));
            let opened = File::options().create(true).append(true).open(&path);
            opened
                .inspect_err(|error| tracing::error!(%error, path = %path.display(), "no log file"))
                .ok()
        });
        if let Some(file) = file {
            // A full disk shall not end the function.
            let _ = writeln!(file, "{line}");
        }
    }
}
