//! Settings, read from the environment once, at start. Each function asks for its own groups only; all problems are reported together.

pub mod groups;
mod reader;

pub use reader::{Reader, SettingProblem, SettingsError};

/// Reads a function's settings from the environment (`read` answers none only where it has noted a problem), or ends the process with one message that lists everything wrong with them.
pub fn or_exit<T>(read: impl FnOnce(&mut Reader<'_>) -> Option<T>) -> T {
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
