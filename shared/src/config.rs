//! Settings, read from the environment once, at start. Each function asks for its own groups only; all problems are reported together.

pub mod groups;
pub mod making;
mod reader;

use std::{cell::RefCell, collections::BTreeSet, io::Write};

pub use reader::{Reader, SettingProblem, SettingsError};

/// A function that is started with this argument prints the names of the settings it reads, one a line, and ends.
pub const LIST_ARGUMENT: &str = "settings";

/// Reads a function's settings from the environment (`read` answers none only where it has noted a problem), or ends the process with one message that lists everything wrong with them.
pub fn or_exit<T>(read: impl FnOnce(&mut Reader<'_>) -> Option<T>) -> T {
    if std::env::args().nth(1).as_deref() == Some(LIST_ARGUMENT) {
        let list: String = names(read)
            .into_iter()
            .map(|name| format!("{name}\n"))
            .collect();
        let written = std::io::stdout().write_all(list.as_bytes());
        std::process::exit(i32::from(written.is_err()));
    }
    let environment = |name: &str| std::env::var(name).ok();
    match from(&environment, read) {
        Ok(settings) => settings,
        Err(error) => {
            tracing::error!(problems = %error, "the settings cannot be used");
            std::process::exit(1);
        }
    }
}

/// Reads settings from anywhere: the environment, or a table in a test.
///
/// # Errors
/// [`SettingsError`] with every problem found.
pub fn from<T>(
    source: &dyn Fn(&str) -> Option<String>,
    read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
) -> Result<T, SettingsError> {
    let mut reader = Reader::new(source);
    let settings = read(&mut reader);
    reader.finish()?;
    // Nothing was read and no problem noted: a group broke its promise; an empty list is still no settings.
    settings.ok_or_else(|| SettingsError(Vec::new()))
}

/// The names of all settings that are read, those that may be left out too.
pub fn names<T>(read: impl FnOnce(&mut Reader<'_>) -> Option<T>) -> BTreeSet<String> {
    let asked = RefCell::new(BTreeSet::new());
    let nothing = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        None
    };
    // Without any setting no group can do its work; that it asked is what counts here.
    let _ = from(&nothing, read);
    asked.into_inner()
}
