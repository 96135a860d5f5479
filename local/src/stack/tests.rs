use std::{collections::BTreeMap, path::Path, time::Duration};

use super::{
    DatabaseChoice, Ready, ReadyUser, Stack, StackOptions, Vendor, ports, ports::Ports, settings,
    vendors,
};
use crate::template::Template;

const TEMPLATE: &str = r#"
Resources:
  Work:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/work
      Environment:
        Variables:
          DATABASE_URL: "{{resolve:ssm:/darkroom/database-url}}"
          OPENAI_API_KEY: "{{resolve:ssm:/darkroom/openai}}"
          GENERATION_QUEUE_URL: !Ref Jobs
          DEAD_LETTERS: !GetAtt Dead.QueueUrl
          LOG_PROMPTS: "off"
          EMPTY: ""
      Events:
        Jobs: {Type: SQS, Properties: {Queue: !GetAtt Jobs.Arn}}
  Open:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: functions/open}
  Jobs:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 5400
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 5}
  Dead: {Type: AWS::SQS::Queue}
"#;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn a_function_gets_what_the_template_lists_and_where_to_find_it() {
    let template = Template::parse(TEMPLATE).unwrap();
    let all = map(&[
        ("DATABASE_URL", "postgres://here"),
        ("OPENAI_API_KEY", "sk"),
        ("OPENAI_BASE_URL", "http://openai/v1"),
        ("ABLY_API_KEY", "not for this one"),
        ("AWS_ENDPOINT_URL_SQS", "http://sqs"),
        ("PUBLIC_URL", "http://api"),
        ("LOG_PROMPTS", "on"),
    ]);
    let settings = settings::of_functions(&template, &all, "http://sqs");
    let expected = map(&[
        ("AWS_ENDPOINT_URL_SQS", "http://sqs"),
        ("DATABASE_URL", "postgres://here"),
        ("DEAD_LETTERS", "http://sqs/000000000000/Dead"),
        ("GENERATION_QUEUE_URL", "http://sqs/000000000000/Jobs"),
        ("LOG_PROMPTS", "on"),
        ("OPENAI_API_KEY", "sk"),
        ("OPENAI_BASE_URL", "http://openai/v1"),
        ("PUBLIC_URL", "http://api"),
    ]);
    assert_eq!(settings["work"], expected);
    assert_eq!(settings["open"], all, "nothing listed is everything");
}

#[test]
fn a_message_is_hidden_shorter_where_leases_are_short() {
    let template = Template::parse(TEMPLATE).unwrap();
    for (given, seconds) in [
        (&[][..], 5400.0),
        (&[("LEASE_S", "360")], 1080.0),
        (&[("LEASE_S", "100000")], 5400.0),
        (&[("LEASE_S", "0.1")], 2.0),
        (&[("LEASE_S", "360"), ("VISIBILITY_TIMEOUT_S", "7")], 7.0),
        (&[("LEASE_S", "soon")], 5400.0),
    ] {
        let queues = settings::queues(&template, &map(given));
        let names: Vec<_> = queues.iter().map(|queue| queue.name.as_str()).collect();
        assert_eq!(names, ["Dead", "Jobs"], "what is referred to comes first");
        let visibility = queues[1].visibility_timeout;
        assert_eq!(visibility, Duration::from_secs_f64(seconds), "{given:?}");
    }
}

#[test]
fn keys_of_vendors_are_not_passed_on_unasked() {
    let template = Template::parse(TEMPLATE).unwrap();
    let names = settings::passed_on(&template);
    for wanted in [
        "LEASE_S",
        "LOG_PROMPTS",
        "DEAD_LETTERS",
        "ANONYMOUS_HISTORY",
    ] {
        assert!(names.contains(&wanted.to_owned()), "{wanted}");
    }
    for unwanted in ["OPENAI_API_KEY", "DATABASE_URL", "GENERATION_QUEUE_URL"] {
        assert!(!names.contains(&unwanted.to_owned()), "{unwanted}");
    }
}

#[test]
fn a_live_vendor_says_which_settings_it_lacks() {
    let mut options = StackOptions::new("unused");
    options.openai = Vendor::Live;
    let message = vendors::check(&options).unwrap_err().to_string();
    assert_eq!(
        message,
        "--openai live needs OPENAI_API_KEY in the environment"
    );
    options.settings = map(&[("OPENAI_API_KEY", "sk"), ("SUPABASE_URL", "https://x")]);
    assert!(vendors::check(&options).is_ok());

    options.supabase = Vendor::Live;
    let message = vendors::check(&options).unwrap_err().to_string();
    let expected = "--supabase live needs SUPABASE_SECRET_KEY and DATABASE_URL in the environment";
    assert_eq!(message, expected);
    options.database = DatabaseChoice::Url("postgres://there".to_owned());
    let message = vendors::check(&options).unwrap_err().to_string();
    assert!(
        message.contains("needs SUPABASE_SECRET_KEY in"),
        "{message}"
    );
}

#[tokio::test]
async fn ports_are_the_same_at_each_start_where_they_are_free() {
    let directory = tempfile::tempdir().unwrap();
    let first = Ports::open(directory.path());
    let listener = first.bind("openai").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    first.save().unwrap();

    let taken = Ports::open(directory.path()).bind("openai").await.unwrap();
    assert_ne!(taken.local_addr().unwrap().port(), port);
    drop(listener);
    let again = Ports::open(directory.path()).bind("openai").await.unwrap();
    assert_eq!(again.local_addr().unwrap().port(), port);

    let refused = ports::bind(port).await.unwrap_err().to_string();
    assert!(
        refused.starts_with(&format!("port {port} is taken")),
        "{refused}"
    );
}

#[tokio::test]
async fn two_stacks_do_not_share_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let _held = super::lock(directory.path()).unwrap();
    let refused = Stack::start(StackOptions::new(directory.path())).await;
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("is in use by another stack"), "{message}");
}

#[test]
fn the_ready_file_has_exactly_these_fields() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ready.json");
    let user = ReadyUser::default();
    let ready = Ready {
        api_url: "http://127.0.0.1:9000".to_owned(),
        lambda_url: String::new(),
        database_url: String::new(),
        supabase_url: String::new(),
        storage_url: String::new(),
        openai_url: String::new(),
        ably_url: String::new(),
        queue_url: String::new(),
        user: user.clone(),
        other_user: user,
    };
    ready.write(&file).unwrap();
    let written: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let fields: Vec<_> = written.as_object().unwrap().keys().cloned().collect();
    let expected = [
        "ably_url",
        "api_url",
        "database_url",
        "lambda_url",
        "openai_url",
        "other_user",
        "queue_url",
        "storage_url",
        "supabase_url",
        "user",
    ];
    assert_eq!(fields, expected);
    assert_eq!(written["user"], serde_json::json!({"id": "", "token": ""}));
}

#[test]
fn the_env_file_suits_cargo_lambda() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("env");
    let settings = map(&[("PUBLIC_URL", "http://api"), ("LEASE_S", "5")]);
    settings::write_env(&settings, Path::new(&file)).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("LEASE_S=5\n") && text.contains("RESPONSE_MODE=buffered\n"));
    assert!(!text.contains("PUBLIC_URL"), "{text}");
}
