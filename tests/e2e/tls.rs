//! TLS to Postgres: a private authority, and everything that is not what it certified refused.

use std::{collections::BTreeMap, os::unix::fs::MetadataExt, path::Path};

use local::{
    doctor,
    postgres::{
        Postgres, connect,
        for_tests::{MIGRATIONS, prepare_database, start_own_server},
    },
    stack::{DatabaseChoice, StackOptions},
};
use serde_json::json;
use shared::{
    postgres::{Database, DatabaseOptions},
    telemetry::chain,
};

use crate::{certificates::Authority, harness::World};

/// Has the server take TLS with a certificate for `localhost`; without one, take none any more.
async fn switch_tls(server: &Postgres, authority: Option<&Authority>) {
    let client = connect(&server.url("postgres")).await.unwrap();
    let row = client.query_one("show data_directory", &[]).await.unwrap();
    let folder: String = row.get(0);
    let folder = Path::new(&folder);
    if let Some(authority) = authority {
        let metadata = std::fs::metadata(folder).unwrap();
        authority.certify(folder, Some((metadata.uid(), metadata.gid())));
    }
    let on = if authority.is_some() { "on" } else { "off" };
    let set = format!("alter system set ssl = {on}");
    client.execute(&set, &[]).await.unwrap();
    client
        .execute("select pg_reload_conf()", &[])
        .await
        .unwrap();
    // The server reads its settings a moment later; sessions that begin then see them.
    for _ in 0..200 {
        let client = connect(&server.url("postgres")).await.unwrap();
        let row = client.query_one("show ssl", &[]).await.unwrap();
        if row.get::<_, String>(0) == on {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the server does not switch TLS {on}");
}

/// Whether the connection was encrypted, or why there was none.
async fn encrypted(url: &str, ca: Option<&str>) -> Result<bool, String> {
    let options = DatabaseOptions {
        ca_cert: ca.map(str::to_owned),
        ..DatabaseOptions::new(url.into(), "tls-test")
    };
    let database = Database::new(&options).unwrap();
    let statement = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    let rows = database.read(statement, &[]).await;
    rows.map(|rows| rows[0].get("ssl"))
        .map_err(|error| chain(&error))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_and_the_host_are_checked() {
    let (Some(authority), Some(stranger)) =
        (Authority::new("darkroom"), Authority::new("stranger"))
    else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let server = start_own_server(directory.path()).await.unwrap();
    switch_tls(&server, Some(&authority)).await;
    let by_number = server.url("postgres");
    let by_name = by_number.replace("127.0.0.1", "localhost");
    let path = authority.certificate().display().to_string();
    let pem = std::fs::read_to_string(&path).unwrap();
    // As the parameter of a deployment has it.
    let mut between: Vec<&str> = pem.lines().collect();
    between.retain(|line| !line.starts_with("-----"));
    let between = between.concat();
    let right = [&path, &pem, &authority.on_one_line(), &between];
    for ca in right {
        for mode in ["require", "verify-ca", "verify-full"] {
            let url = format!("{by_name}?sslmode={mode}");
            assert_eq!(encrypted(&url, Some(ca)).await, Ok(true), "{mode} {ca}");
        }
    }
    let url = format!("{by_name}?sslmode=verify-full&sslrootcert={path}");
    assert_eq!(encrypted(&url, None).await, Ok(true));
    // On the loopback interface, and only there, TLS has to be asked for.
    assert_eq!(encrypted(&by_name, Some(&path)).await, Ok(false));

    let wrong = stranger.certificate().display().to_string();
    for (host, ca, expected) in [
        (&by_name, None, "UnknownIssuer"),
        (&by_name, Some(&wrong), "UnknownIssuer"),
        (&by_number, Some(&path), "not valid for name"),
    ] {
        for mode in ["require", "verify-ca", "verify-full"] {
            let url = format!("{host}?sslmode={mode}");
            let error = encrypted(&url, ca.map(String::as_str)).await.unwrap_err();
            assert!(error.contains(expected), "{url}: {error}");
        }
        // The deploy check says the same, in one line.
        let settings = BTreeMap::from([
            ("DATABASE_URL".to_owned(), format!("{host}?sslmode=require")),
            (
                "DATABASE_CA_CERT".to_owned(),
                ca.cloned().unwrap_or_default(),
            ),
        ]);
        let findings = doctor::examine(&settings, MIGRATIONS.as_ref())
            .await
            .unwrap();
        let database = findings
            .iter()
            .find(|finding| finding.subject == "database");
        let said = database.unwrap().outcome.clone().unwrap_err();
        assert!(said.contains(expected) && !said.contains('\n'), "{said}");
    }

    switch_tls(&server, None).await;
    let url = format!("{by_name}?sslmode=require");
    let error = encrypted(&url, Some(&path)).await.unwrap_err();
    assert!(error.contains("does not support TLS"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_runs_over_it() {
    let Some(authority) = Authority::new("darkroom") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let server = start_own_server(directory.path()).await.unwrap();
    let plain = prepare_database(&server, "darkroom").await.unwrap();
    switch_tls(&server, Some(&authority)).await;
    let encrypted = plain.replace("127.0.0.1", "localhost") + "?sslmode=verify-full";
    let ca = authority.certificate().display().to_string();
    let settings = [
        ("DATABASE_URL", encrypted.as_str()),
        ("DATABASE_CA_CERT", ca.as_str()),
    ];
    let world = World::start_with(&settings, None, |options: &mut StackOptions| {
        options.database = DatabaseChoice::Migrated(plain);
    })
    .await;
    let answer = world
        .generate(json!({"prompt": "a dam", "resolution": "1K"}))
        .await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    assert_eq!(world.get("/ai/generated-images").await.body["count"], 1);
    let functions = "from pg_stat_ssl join pg_stat_activity using (pid) where application_name like 'darkroom-%'";
    let sessions = world.rows(&format!("select distinct application_name, ssl {functions} and application_name <> 'darkroom-local' order by 1")).await;
    assert!(sessions.len() >= 3, "{sessions:?}");
    for session in sessions {
        assert_eq!(session[1].as_deref(), Some("t"), "{session:?}");
    }
}
