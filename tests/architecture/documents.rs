//! What the README, ARCHITECTURE.md and docs/operations.md must name, so that they do not fall behind the code.

use shared::domain::style::PRESETS;

use crate::{
    files::modules_of,
    manifests::{functions, routes},
    sources::{Source, assert_kept, files_below, read, rust_sources},
};

/// The settings that a file reads: the words in capitals that stand in quotes where settings are read.
fn settings(source: &Source) -> Vec<String> {
    if !source.is_deployed() || !source.text.contains("mut Reader<'_>") {
        return Vec::new();
    }
    let in_quotes = source.text.split('"').skip(1).step_by(2);
    in_quotes
        .filter(|word| word.len() > 4)
        .filter(|word| {
            word.bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        })
        .map(str::to_owned)
        .collect()
}

/// Which of these the text does not have between backticks.
fn unnamed(text: &str, words: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut missing: Vec<String> = words
        .into_iter()
        .filter(|word| !text.contains(&format!("`{word}`")))
        .collect();
    missing.sort();
    missing.dedup();
    missing
}

#[test]
fn the_readme_has_every_setting() {
    let found: Vec<String> = rust_sources().iter().flat_map(settings).collect();
    assert!(found.len() > 20, "{found:?}");
    assert_kept(
        "Not in the README's table of settings:",
        &unnamed(&read("README.md"), found),
    );
    let text =
        "fn read(reader: &mut Reader<'_>) { reader.number(\"NEW_LIMIT\", 1, 1..=2); \"info\" }";
    let source = Source::of("functions/list/src/list.rs", text);
    assert_eq!(settings(&source), ["NEW_LIMIT"]);
    assert_eq!(unnamed("`OLD_LIMIT`", settings(&source)), ["NEW_LIMIT"]);
}

#[test]
fn the_readme_has_every_endpoint() {
    let template = read("template.yaml");
    let paths: Vec<String> = routes(&template)
        .into_iter()
        .map(|(_, path)| path)
        .collect();
    assert!(paths.len() > 5, "{paths:?}");
    let readme = read("README.md");
    let missing: Vec<String> = paths
        .into_iter()
        .filter(|path| !readme.contains(&format!(" {path}`")))
        .collect();
    assert_kept("Not in the README's table of endpoints:", &missing);
    let sample = "Resources:\n  A:\n    Properties:\n      Events:\n        E:\n          Properties: {Method: PUT, Path: /a}\n";
    assert_eq!(routes(sample), [("PUT".to_owned(), "/a".to_owned())]);
}

#[test]
fn the_readme_has_every_style_preset() {
    let names: Vec<String> = PRESETS
        .iter()
        .map(|preset| preset.name.to_owned())
        .collect();
    assert_kept(
        "Style presets that the README does not list:",
        &unnamed(&read("README.md"), names),
    );
}

/// The ends of the alarms' names, which begin with the stack's.
fn alarms(template: &str) -> Vec<String> {
    let names = template.lines().filter_map(|line| {
        let name = line.trim().strip_prefix("AlarmName: !Sub ")?;
        name.trim_matches('"').strip_prefix("${AWS::StackName}-")
    });
    names.map(str::to_owned).collect()
}

#[test]
fn operations_say_what_each_alarm_means() {
    let (text, template) = (read("docs/operations.md"), read("template.yaml"));
    let found = alarms(&template);
    let count = template.matches("Type: AWS::CloudWatch::Alarm").count();
    assert_eq!(found.len(), count, "{found:?}");
    let missing: Vec<String> = found
        .into_iter()
        .filter(|alarm| !text.contains(&format!("\n| `{alarm}` | ")))
        .collect();
    assert_kept("Alarms without a line in docs/operations.md:", &missing);
    let sample = "  AlarmName: !Sub \"${AWS::StackName}-new\"\n";
    assert_eq!(alarms(sample), ["new"]);
    assert!(read("README.md").contains("](docs/operations.md)"));
}

#[test]
fn architecture_maps_every_function_module_and_transition() {
    let text = read("ARCHITECTURE.md");
    let modules = modules_of(&read("shared/src/lib.rs"));
    assert_kept(
        "Modules of `shared` that it does not name:",
        &unnamed(&text, modules),
    );
    assert_kept(
        "Functions that it does not name:",
        &unnamed(&text, functions()),
    );
    let statements = files_below("shared/src/recording", "sql")
        .iter()
        .filter_map(|path| path.rsplit('/').next().map(str::to_owned))
        .collect::<Vec<_>>();
    assert!(statements.len() > 3, "{statements:?}");
    assert_kept(
        "Transitions that it does not name:",
        &unnamed(&text, statements),
    );
}
