//! What the packages depend on, and that what is built is what is deployed.

use std::collections::BTreeSet;

use serde_yaml_ng::Value as Yaml;
use toml::{Table, Value};

use crate::sources::{assert_kept, files_below, read};

/// A package's manifest.
struct Manifest {
    /// The package's folder.
    folder: String,
    table: Table,
}

impl Manifest {
    fn of(folder: &str, text: &str) -> Self {
        let table = text
            .parse()
            .unwrap_or_else(|error| panic!("{folder}/Cargo.toml: {error}"));
        Self {
            folder: folder.to_owned(),
            table,
        }
    }

    fn name(&self) -> &str {
        let name = self
            .table
            .get("package")
            .and_then(|package| package.get("name"));
        name.and_then(Value::as_str).unwrap_or_default()
    }

    fn is_function(&self) -> bool {
        self.folder.starts_with("functions/")
    }

    /// Everything that it depends on, for tests and for building too.
    fn dependencies(&self) -> BTreeSet<&str> {
        ["dependencies", "dev-dependencies", "build-dependencies"]
            .iter()
            .filter_map(|kind| self.table.get(*kind)?.as_table())
            .flat_map(|table| table.keys().map(String::as_str))
            .collect()
    }

    fn obeys_the_lints(&self) -> bool {
        let lints = self
            .table
            .get("lints")
            .and_then(|lints| lints.get("workspace"));
        lints.and_then(Value::as_bool) == Some(true)
    }
}

/// The manifests of the workspace's members.
fn manifests() -> Vec<Manifest> {
    let workspace = Manifest::of(".", &read("Cargo.toml")).table;
    let members = workspace
        .get("workspace")
        .and_then(|workspace| workspace.get("members")?.as_array());
    let mut folders: Vec<String> = Vec::new();
    for member in members.into_iter().flatten().filter_map(Value::as_str) {
        match member.strip_suffix("/*") {
            None => folders.push(member.to_owned()),
            Some(parent) => {
                let below = files_below(parent, "toml");
                let found = below
                    .iter()
                    .filter_map(|path| path.strip_suffix("/Cargo.toml"));
                folders.extend(found.map(str::to_owned));
            }
        }
    }
    folders
        .iter()
        .map(|folder| Manifest::of(folder, &read(&format!("{folder}/Cargo.toml"))))
        .collect()
}

/// Packages that depend on a member of the workspace that is not theirs to know.
fn wrong_dependencies(manifests: &[Manifest]) -> Vec<String> {
    let members: BTreeSet<&str> = manifests.iter().map(Manifest::name).collect();
    let mut breaches = Vec::new();
    for manifest in manifests {
        let may_know: &[&str] = match manifest.folder.as_str() {
            "shared" | "local/drawing" => &[],
            "local" => &["shared", "drawing"],
            "tests" => &["shared", "local"],
            // A function. `local` starts functions as processes and never links them.
            _ => &["shared"],
        };
        for name in manifest.dependencies() {
            if members.contains(name) && !may_know.contains(&name) {
                breaches.push(format!("{} depends on {name}", manifest.folder));
            }
        }
    }
    breaches
}

/// The folders that a template deploys; each holds one binary, under the name of its package.
fn deployed(template: &str) -> BTreeSet<String> {
    let template: Yaml =
        serde_yaml_ng::from_str(template).unwrap_or_else(|error| panic!("template.yaml: {error}"));
    let resources = template.get("Resources").and_then(Yaml::as_mapping);
    let text = |value: Option<&Yaml>| value.and_then(Yaml::as_str).unwrap_or_default().to_owned();
    resources
        .into_iter()
        .flat_map(|resources| resources.values())
        .filter(|resource| text(resource.get("Type")) == "AWS::Serverless::Function")
        .map(|resource| text(resource.get("Properties").and_then(|p| p.get("CodeUri"))))
        .collect()
}

/// The names of the functions.
pub(crate) fn functions() -> Vec<String> {
    let manifests = manifests();
    let functions = manifests.iter().filter(|manifest| manifest.is_function());
    functions
        .map(|function| function.name().to_owned())
        .collect()
}

/// Method and path of every route of a template, in its order.
pub(crate) fn routes(template: &str) -> Vec<(String, String)> {
    let template: Yaml =
        serde_yaml_ng::from_str(template).unwrap_or_else(|error| panic!("template.yaml: {error}"));
    let resources = template.get("Resources").and_then(Yaml::as_mapping);
    let events = resources
        .into_iter()
        .flat_map(|resources| resources.values())
        .filter_map(|resource| resource.get("Properties")?.get("Events")?.as_mapping())
        .flat_map(|events| events.values());
    events
        .filter_map(|event| {
            let event = event.get("Properties")?;
            let text = |name| event.get(name).and_then(Yaml::as_str).map(str::to_owned);
            Some((text("Method")?, text("Path")?))
        })
        .collect()
}

/// Functions that the template does not know, or knows by another name.
fn not_deployed(manifests: &[Manifest], template: &str) -> Vec<String> {
    let mut deployed = deployed(template);
    let mut breaches = Vec::new();
    for manifest in manifests.iter().filter(|manifest| manifest.is_function()) {
        let name = manifest.name();
        if manifest.folder != format!("functions/{name}") {
            breaches.push(format!("{} is the package {name}", manifest.folder));
        }
        if !deployed.remove(&format!("target/lambda/{name}")) {
            breaches.push(format!("{} is not in the template", manifest.folder));
        }
    }
    breaches.extend(
        deployed
            .into_iter()
            .map(|folder| format!("{folder} is not a function's")),
    );
    breaches
}

#[test]
fn packages_know_only_what_is_theirs() {
    let manifests = manifests();
    assert!(
        manifests
            .iter()
            .filter(|manifest| manifest.is_function())
            .count()
            > 5
    );
    assert_kept(
        "Functions depend on `shared` and never on each other; only `tests` depends on `local`:",
        &wrong_dependencies(&manifests),
    );
    let workspace = |folder: &str, dependency: &str| {
        let name = folder.rsplit('/').next().unwrap_or(folder);
        let members = [
            "shared",
            "local",
            "tests",
            "functions/list",
            "functions/get",
        ]
        .iter()
        .filter(|member| **member != folder)
        .map(|member| {
            let name = member.rsplit('/').next().unwrap_or(member);
            Manifest::of(member, &format!("[package]\nname = \"{name}\""))
        });
        let text = format!(
            "[package]\nname = \"{name}\"\n[dev-dependencies]\n{dependency}.workspace = true"
        );
        let all: Vec<Manifest> = members.chain([Manifest::of(folder, &text)]).collect();
        wrong_dependencies(&all).len()
    };
    assert_eq!(workspace("functions/list", "get"), 1);
    assert_eq!(workspace("functions/list", "local"), 1);
    assert_eq!(workspace("shared", "local"), 1);
    assert_eq!(workspace("shared", "list"), 1);
    assert_eq!(workspace("local", "list"), 1);
    assert_eq!(workspace("local/drawing", "shared"), 1);
    assert_eq!(workspace("functions/list", "shared"), 0);
    assert_eq!(workspace("tests", "local"), 0);
}

#[test]
fn every_package_obeys_the_lints() {
    let lawless: Vec<String> = manifests()
        .iter()
        .filter(|manifest| !manifest.obeys_the_lints())
        .map(|manifest| manifest.folder.clone())
        .collect();
    assert_kept("Without `[lints] workspace = true`:", &lawless);
    assert!(!Manifest::of("a", "[package]\nname = \"a\"").obeys_the_lints());
}

#[test]
fn every_function_is_deployed_under_its_own_name() {
    assert_kept(
        "functions/ and template.yaml differ:",
        &not_deployed(&manifests(), &read("template.yaml")),
    );
    let template = |name: &str| {
        format!(
            "Resources:\n  A:\n    Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: target/lambda/{name}\n"
        )
    };
    let list = || [Manifest::of("functions/list", "[package]\nname = \"list\"")];
    assert_eq!(not_deployed(&list(), &template("list")).len(), 0);
    assert_eq!(not_deployed(&list(), &template("get")).len(), 2);
    assert_eq!(not_deployed(&list(), "Resources: {}").len(), 1);
    assert_eq!(not_deployed(&[], &template("list")).len(), 1);
    let misnamed = [Manifest::of(
        "functions/other",
        "[package]\nname = \"list\"",
    )];
    assert_eq!(not_deployed(&misnamed, &template("list")).len(), 1);
}

#[test]
fn a_panic_is_reported_and_not_fatal_to_the_report() {
    let workspace: Table = read("Cargo.toml")
        .parse()
        .unwrap_or_else(|error| panic!("Cargo.toml: {error}"));
    let panic = workspace
        .get("profile")
        .and_then(|p| p.get("release")?.get("panic"));
    assert_ne!(
        panic.and_then(Value::as_str),
        Some("abort"),
        "Lambda's runtime catches panics and reports them; abort would throw that away"
    );
}
