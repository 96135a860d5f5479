//! `cargo prepare` as it is typed, with an AWS CLI and a cargo that only note what they are asked.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use local::{
    bundle::Machine,
    postgres::{connect, for_tests::TestDatabase},
};
use serde_json::Value;
use tempfile::TempDir;

/// Knows a secret once it was created.
const AWS: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >> asked
cat > secret
case "$2" in
  create-secret) touch created ;;
  put-secret-value) [ -e created ] || { echo "(ResourceNotFoundException) there is none" >&2; exit 254; } ;;
esac
"#;

/// Builds nothing: what a build does is shown elsewhere, and takes minutes.
const CARGO: &str = "#!/bin/sh\necho \"$*\" >> \"$(dirname \"$0\")/built\"\nexit 1\n";

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for (name, script) in [("aws", AWS), ("cargo", CARGO)] {
            let path = place.path(name);
            std::fs::write(&path, script).unwrap();
            let executable = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(path, executable).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn prepare(&self, settings: &str, more: &[&str]) -> Output {
        std::fs::write(self.path("env"), settings).unwrap();
        let path = std::env::var("PATH").unwrap();
        Command::new(env!("CARGO_BIN_EXE_prepare"))
            .env("CARGO", self.path("cargo"))
            .env("PATH", format!("{}:{path}", self.0.path().display()))
            .args(["--env-file".as_ref(), self.path("env").as_os_str()])
            .args(["--secret", "darkroom/test", "--compiler", "cargo"])
            .args(["--arch", &Machine::here().to_string()])
            .args(more)
            .output()
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_migrated_then_the_secret_stored_then_the_functions_built() {
    let database = TestDatabase::unmigrated().await.unwrap();
    let place = Place::new();
    let settings = format!(
        "DATABASE_URL={}\nSUPABASE_URL=https://x.supabase.co\nSUPABASE_SECRET_KEY=sb_secret_x\nOPENAI_API_KEY=sk-secret\nABLY_API_KEY=a.b:c\n",
        database.url()
    );
    let output = place.prepare(&settings, &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.starts_with("migrations: "),
        "{said} {:?}",
        output.stderr
    );
    assert!(said.contains("secret: darkroom/test is stored"), "{said}");
    assert!(place.read("built").contains("--release"), "it builds last");
    assert_eq!(output.status.code(), Some(1), "nothing could be built");

    let client = connect(database.url()).await.unwrap();
    let row = client
        .query_one(
            "select count(*) from supabase_migrations.schema_migrations",
            &[],
        )
        .await
        .unwrap();
    assert!(row.get::<_, i64>(0) > 5);
    let secret: Value = serde_json::from_str(&place.read("secret")).unwrap();
    assert_eq!(secret["OPENAI_API_KEY"], "sk-secret");
    assert_eq!(secret["DATABASE_URL"], database.url());
    assert_eq!(secret.get("SUPABASE_URL"), None, "that is a parameter");
    assert!(!place.read("asked").contains("sk-secret"), "others see it");
    assert_eq!(actions(&place), ["put-secret-value", "create-secret"]);

    // The same again, with a label: a new version of what is there.
    place.prepare(&settings, &["--label", "r2"]);
    assert_eq!(actions(&place)[2..], ["put-secret-value"]);
    assert!(
        place
            .read("asked")
            .contains("--version-stages AWSCURRENT r2 ")
    );
}

fn actions(place: &Place) -> Vec<String> {
    let asked = place.read("asked");
    let second = |line: &str| line.split(' ').nth(1).map(str::to_owned);
    asked.lines().filter_map(second).collect()
}

#[test]
fn nothing_is_touched_where_a_setting_is_missing() {
    let place = Place::new();
    let output = place.prepare("DATABASE_URL=postgres://127.0.0.1:1/x\n", &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("missing in the settings: SUPABASE_SECRET_KEY"),
        "{said}"
    );
    assert!(!Path::exists(&place.path("asked")) && !Path::exists(&place.path("built")));
}
