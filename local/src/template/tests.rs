use std::path::Path;
use std::time::Duration;

use super::Template;

const FULL: &str = r#"
Parameters:
  Concurrency: {Type: Number, Default: 7}
  Stage: {Type: String, Default: dev}
  Secret: {Type: String, NoEcho: true}
Conditions:
  IsProduction: !Equals [!Ref Stage, production]
  IsDevelopment: !Not [!Condition IsProduction]
Globals:
  Api: {Cors: {AllowOrigin: "'*'", AllowHeaders: "'Authorization,Prefer'", MaxAge: "'600'"}}
  Function:
    Timeout: 29
    MemorySize: 256
    Environment: {Variables: {LOG_PROMPTS: "off", STAGE: !Ref Stage}}
Resources:
  Alarm: {Type: AWS::CloudWatch::Alarm, Condition: IsProduction, Properties: {AlarmActions: !If [IsProduction, [a], !Ref AWS::NoValue]}}
  SkippedFunction:
    Type: AWS::Serverless::Function
    Condition: IsProduction
    Properties: {CodeUri: functions/skipped}
  WorkFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/work/
      Timeout: !If [IsDevelopment, 60, 900]
      Environment:
        Variables:
          QUEUE_URL: !Ref Jobs
          TABLE: !Sub "${Stage}-${Jobs.QueueName}-${!literal}"
          SECRET: !Sub ["{{resolve:ssm:${Name}}}", {Name: !Ref Secret}]
      Events:
        Jobs:
          Type: SQS
          Properties:
            Queue: {"Fn::GetAtt": [Jobs, Arn]}
            BatchSize: 20
            MaximumBatchingWindowInSeconds: 1
            FunctionResponseTypes: [ReportBatchItemFailures]
            ScalingConfig: {MaximumConcurrency: !Ref Concurrency}
        Any: {Type: Api, Properties: {Path: "/x/{proxy+}", Method: any}}
        Tick: {Type: Schedule, Properties: {Schedule: rate(1 minute), Input: '{"a":1}'}}
        Off: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 hour), State: DISABLED}}
  Jobs:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: !Join ["-", [jobs, !Ref Stage]]
      VisibilityTimeout: 5400
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 5}
  Dead: {Type: AWS::SQS::Queue}
Outputs:
  Url: {Value: !ImportValue other}
"#;

#[test]
fn reads_what_runs_and_tolerates_the_rest() {
    let template = Template::parse(FULL).unwrap();

    assert_eq!(template.functions.len(), 1, "a false condition leaves out");
    let function = &template.functions[0];
    assert_eq!(function.binary, "work");
    assert_eq!(function.timeout, Duration::from_secs(60));
    assert_eq!(function.memory_mb, 256);
    let environment: Vec<_> = function
        .environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        environment,
        [
            ("LOG_PROMPTS", "off"),
            ("QUEUE_URL", "Jobs"),
            ("SECRET", "{{resolve:ssm:}}"),
            ("STAGE", "dev"),
            ("TABLE", "dev-Jobs.QueueName-${literal}"),
        ]
    );

    let trigger = &template.queue_triggers[0];
    assert_eq!((trigger.queue.as_str(), trigger.batch_size), ("Jobs", 20));
    assert_eq!(trigger.maximum_concurrency, Some(7));
    assert_eq!(trigger.batching_window, Duration::from_secs(1));
    assert!(trigger.reports_failures);

    assert_eq!(template.routes[0].method, "ANY");
    assert_eq!(template.schedules.len(), 1, "a disabled one is left out");
    assert_eq!(template.schedules[0].expression, "rate(1 minute)");

    let jobs = template.queue("Jobs").unwrap();
    assert_eq!(jobs.name, "jobs-dev");
    assert_eq!(jobs.redrive, Some(("Dead".to_owned(), 5)));
    assert_eq!(jobs.visibility_timeout, Duration::from_secs(5400));
    assert_eq!(template.cors.allow_origin.as_deref(), Some("*"));
    assert_eq!(template.cors.max_age.as_deref(), Some("600"));
}

#[test]
fn reads_the_template_of_this_project() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml"));
    let template = Template::read(path).unwrap();

    let generate = template
        .routes
        .iter()
        .find(|route| route.path == "/ai/generate")
        .unwrap();
    assert!(generate.streaming);
    let function = template.function(&generate.function).unwrap();
    assert_eq!(function.binary, "generate");
    let trigger = &template.queue_triggers[0];
    assert!(template.queue(&trigger.queue).is_some());
    assert!(template.queue(&trigger.queue).unwrap().redrive.is_some());
}

#[test]
fn says_what_is_wrong() {
    let text = "Resources: {A: {Type: 'AWS::Serverless::Function', Properties: {Timeout: 3}}}";
    let error = Template::parse(text).unwrap_err();
    assert_eq!(error.to_string(), "the function A");
}
