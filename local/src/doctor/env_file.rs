//! Files of settings, as `cargo dev --write-env` and `cargo lambda watch --env-file` have them.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, bail};

/// Reads `NAME=value` lines; empty lines and comments are passed over, quotes around a value taken off.
///
/// # Errors
/// The file cannot be read, or a line is no setting; it is named by its number, never quoted.
pub fn read(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    parse(&text).with_context(|| format!("{} is no file of settings", path.display()))
}

fn parse(text: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let mut settings = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            bail!("line {} is not NAME=value", number + 1);
        };
        let value = value.trim();
        let unquoted = ['"', '\'']
            .iter()
            .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        settings.insert(name.trim().to_owned(), unquoted.unwrap_or(value).to_owned());
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        let text = "# the project\nA=1\n\nexport B=\"two words\"\nC='x=y'\n D = \nE=a\\nb\n";
        let settings = parse(text).unwrap();
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(settings, ["A=1", "B=two words", "C=x=y", "D=", "E=a\\nb"]);
    }

    #[test]
    fn a_secret_on_a_broken_line_is_not_quoted() {
        let error = parse("A=1\nhunter2").unwrap_err();
        assert_eq!(error.to_string(), "line 2 is not NAME=value");
    }
}
