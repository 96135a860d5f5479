//! Each deployed function has the settings that it reads, and no others.

use std::{collections::BTreeSet, path::Path, process::Command};

use local::template::Template;

use crate::harness::functions;

/// Lambda itself sets these.
const OF_LAMBDA: [&str; 5] = [
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

#[tokio::test]
async fn the_template_gives_each_function_its_own_settings_only() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    let template = Template::read(&path).unwrap();
    let binaries = functions().await.unwrap();
    assert!(template.functions.len() > 5);
    for function in &template.functions {
        let binary = &binaries.paths[&function.binary];
        let output = Command::new(binary)
            .arg(shared::config::LIST_ARGUMENT)
            .env_clear()
            .output()
            .unwrap();
        assert!(output.status.success(), "{}: {output:?}", function.binary);
        let output = String::from_utf8(output.stdout).unwrap();
        let read: BTreeSet<&str> = output
            .lines()
            .filter(|name| !OF_LAMBDA.contains(name))
            .collect();
        let given: BTreeSet<&str> = function.environment.keys().map(String::as_str).collect();
        assert_eq!(
            given, read,
            "{} has | {} reads",
            function.binary, function.binary
        );
    }
}
