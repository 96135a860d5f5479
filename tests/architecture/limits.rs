//! What CloudFormation takes at most, which neither the linter nor an emulator knows.

use crate::sources::read;

/// References to secrets in one template: <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references.html>.
const REFERENCES: usize = 60;

/// How many there are once each function has what all have.
fn references(template: &str) -> usize {
    let (before, resources) = template.split_once("\nResources:").unwrap_or_default();
    let count = |text: &str| text.matches("{{resolve:").count();
    let functions = resources.matches("Type: AWS::Serverless::Function").count();
    count(before) * functions + count(resources)
}

#[test]
fn secrets_are_referred_to_no_more_often_than_cloudformation_takes() {
    let found = references(&read("template.yaml"));
    assert!(
        (10..=REFERENCES).contains(&found),
        "{found} of {REFERENCES}"
    );
    let sample = "Globals: {{resolve:a}}\nResources:\n Type: AWS::Serverless::Function {{resolve:b}}\n Type: AWS::Serverless::Function\n";
    assert_eq!(references(sample), 3);
}
