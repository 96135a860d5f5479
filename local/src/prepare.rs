//! What comes before `sam deploy`: the secret that the template refers to, put into Secrets Manager by the AWS CLI.

use std::{collections::BTreeMap, process::Stdio};

use anyhow::{Context, bail};
use serde_json::{Map, Value};
use tokio::{io::AsyncWriteExt, process::Command};

/// What the functions cannot do without.
const REQUIRED: [&str; 3] = ["DATABASE_URL", "SUPABASE_SECRET_KEY", "OPENAI_API_KEY"];

/// A path or a text. It is no secret, and CloudFormation takes sixty references to secrets at most: so it is a parameter.
const CA: &str = "DATABASE_CA_CERT";

/// The secret and what the deployment has to be told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    values: Map<String, Value>,
    /// What stands between the lines of the CA's PEM.
    ca: Option<String>,
}

impl Secret {
    /// Takes the secret ones of the settings.
    ///
    /// # Errors
    /// Those that are missing, all at once, or a CA that cannot be read.
    pub fn of(settings: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let get = |name: &str| {
            let value = settings.get(name)?.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        let realtime = get("REALTIME").is_none_or(|value| value != "off");
        let required = REQUIRED
            .into_iter()
            .chain(realtime.then_some("ABLY_API_KEY"));
        let missing: Vec<&str> = required
            .clone()
            .filter(|name| get(name).is_none())
            .collect();
        if !missing.is_empty() {
            bail!("missing in the settings: {}", missing.join(", "));
        }
        let mut values = Map::new();
        for name in required.chain(["SUPABASE_JWT_SECRET"]) {
            if let Some(value) = get(name) {
                values.insert(name.to_owned(), value.into());
            }
        }
        let ca = get(CA).map(|given| on_one_line(&given)).transpose()?;
        Ok(Self { values, ca })
    }

    /// The template's parameters that follow from what is there, where they differ from their defaults.
    #[must_use]
    pub fn parameters(&self) -> Vec<String> {
        let has = |name| self.values.contains_key(name);
        [
            self.ca.as_ref().map(|ca| format!("DatabaseCaCert={ca}")),
            has("SUPABASE_JWT_SECRET").then(|| "HasSupabaseJwtSecret=true".to_owned()),
            (!has("ABLY_API_KEY")).then(|| "Realtime=off".to_owned()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Stores it under a name, as a new version where there is one already. The version gets `label` beside AWS's own.
    ///
    /// # Errors
    /// What the AWS CLI says, or that it is missing.
    pub async fn store(&self, name: &str, label: Option<&str>) -> anyhow::Result<()> {
        let mut put = vec!["put-secret-value", "--secret-id", name];
        if let Some(label) = label {
            put.extend(["--version-stages", "AWSCURRENT", label]);
        }
        match self.send(&put).await? {
            Ok(()) => return Ok(()),
            Err(said) if said.contains("ResourceNotFoundException") => {}
            Err(said) => bail!("the secret {name} cannot be stored: {said}"),
        }
        // A first version cannot be given a label of its own at once.
        let created = self.send(&["create-secret", "--name", name]).await?;
        if let Err(said) = created {
            bail!("the secret {name} cannot be made: {said}");
        }
        let Some(_) = label else { return Ok(()) };
        match self.send(&put).await? {
            Ok(()) => Ok(()),
            Err(said) => bail!("the secret {name} cannot be labelled: {said}"),
        }
    }

    /// Runs the AWS CLI, which reads the secret from its standard input: other users of this machine see its arguments.
    async fn send(&self, arguments: &[&str]) -> anyhow::Result<Result<(), String>> {
        let mut child = Command::new("aws")
            .arg("secretsmanager")
            .args(arguments)
            .args(["--secret-string", "file:///dev/stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the AWS CLI (aws) cannot be run")?;
        if let Some(mut stdin) = child.stdin.take() {
            let text = Value::Object(self.values.clone()).to_string();
            // One that has ended already says why itself.
            let _ = stdin.write_all(text.as_bytes()).await;
        }
        let output = child.wait_with_output().await?;
        Ok(match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        })
    }
}

/// What stands between the lines of each certificate, with commas between them: no white space, which parameters would need quotes for.
fn on_one_line(given: &str) -> anyhow::Result<String> {
    let pem = match given.contains("-----BEGIN") {
        true => given.replace("\\n", "\n"),
        false => std::fs::read_to_string(given)
            .with_context(|| format!("{CA}: {given} cannot be read"))?,
    };
    let begin = "-----BEGIN CERTIFICATE-----";
    let bodies = pem.split(begin).skip(1).map(|rest| {
        let body = rest.split("-----END").next().unwrap_or_default();
        body.split_whitespace().collect::<String>()
    });
    let bodies: Vec<String> = bodies.collect();
    if bodies.is_empty() {
        bail!("{CA} holds no certificate");
    }
    Ok(bodies.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(lines: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = lines.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    const USUAL: [(&str, &str); 5] = [
        ("DATABASE_URL", "postgres://x"),
        ("SUPABASE_SECRET_KEY", "sb_secret_x"),
        ("OPENAI_API_KEY", "sk-x"),
        ("ABLY_API_KEY", "a.b:c"),
        (
            "DATABASE_CA_CERT",
            "-----BEGIN CERTIFICATE-----\\nMIIB\\nAAAA\\n-----END CERTIFICATE-----\\n-----BEGIN CERTIFICATE-----\\nMIIC\\n-----END CERTIFICATE-----",
        ),
    ];

    #[test]
    fn what_is_secret_is_taken_and_the_deployment_told_what_is_unusual() {
        let mut all = settings(&USUAL);
        all.insert("SUPABASE_URL".to_owned(), "https://x".to_owned());
        let secret = Secret::of(&all).unwrap();
        assert_eq!(secret.values.len(), 4);
        assert_eq!(secret.parameters(), ["DatabaseCaCert=MIIBAAAA,MIIC"]);

        let mut other = settings(&USUAL[..3]);
        other.insert("REALTIME".to_owned(), "off".to_owned());
        other.insert("SUPABASE_JWT_SECRET".to_owned(), "s".to_owned());
        let expected = ["HasSupabaseJwtSecret=true", "Realtime=off"];
        assert_eq!(Secret::of(&other).unwrap().parameters(), expected);
    }

    #[test]
    fn everything_that_is_missing_is_said_at_once() {
        let error = Secret::of(&settings(&[("OPENAI_API_KEY", " ")])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "missing in the settings: DATABASE_URL, SUPABASE_SECRET_KEY, OPENAI_API_KEY, ABLY_API_KEY"
        );
        let mut wrong = settings(&USUAL);
        wrong.insert(CA.to_owned(), "/no/such.crt".to_owned());
        let error = Secret::of(&wrong).unwrap_err();
        assert!(error.to_string().contains("/no/such.crt"), "{error}");
    }
}
