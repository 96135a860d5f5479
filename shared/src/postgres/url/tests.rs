use tokio_postgres::config::Host;

use super::*;

fn host(parsed: &DatabaseUrl) -> String {
    match &parsed.config.get_hosts()[0] {
        Host::Tcp(host) => host.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    }
}

struct Case {
    url: &'static str,
    user: &'static str,
    password: Option<&'static str>,
    host: &'static str,
    port: u16,
    database: Option<&'static str>,
    encrypted: bool,
}

#[test]
fn urls_as_people_paste_them() {
    let table = [
        Case {
            url: "postgresql://postgres.abcd:pw@aws-0-eu-central-1.pooler.supabase.com:6543/postgres?pgbouncer=true&connection_limit=1",
            user: "postgres.abcd",
            password: Some("pw"),
            host: "aws-0-eu-central-1.pooler.supabase.com",
            port: 6543,
            database: Some("postgres"),
            encrypted: true,
        },
        Case {
            url: " postgres://postgres:p%40ss%2Fw%3Ard@db.abcd.supabase.co/postgres?sslmode=verify-full\n",
            user: "postgres",
            password: Some("p@ss/w:rd"),
            host: "db.abcd.supabase.co",
            port: 5432,
            database: Some("postgres"),
            encrypted: true,
        },
        Case {
            url: "postgres://postgres:p@s:s@127.0.0.1:5433/darkroom",
            user: "postgres",
            password: Some("p@s:s"),
            host: "127.0.0.1",
            port: 5433,
            database: Some("darkroom"),
            encrypted: false,
        },
        Case {
            url: "postgres://postgres:a/b?c#d@db.example.com:5432/postgres?sslmode=disable",
            user: "postgres",
            password: Some("a/b?c#d"),
            host: "db.example.com",
            port: 5432,
            database: Some("postgres"),
            encrypted: false,
        },
        Case {
            url: "postgres://postgres:100%@localhost/postgres?sslmode=prefer",
            user: "postgres",
            password: Some("100%"),
            host: "localhost",
            port: 5432,
            database: Some("postgres"),
            encrypted: false,
        },
        Case {
            url: "postgres://postgres@[::1]:6000/x?sslmode=require",
            user: "postgres",
            password: None,
            host: "::1",
            port: 6000,
            database: Some("x"),
            encrypted: true,
        },
        Case {
            url: "postgres://me@/x?host=/var/run/postgresql",
            user: "me",
            password: None,
            host: "/var/run/postgresql",
            port: 5432,
            database: Some("x"),
            encrypted: false,
        },
        Case {
            url: "postgres://me@db.example.com?sslmode=prefer",
            user: "me",
            password: None,
            host: "db.example.com",
            port: 5432,
            database: None,
            encrypted: true,
        },
    ];
    for case in table {
        let parsed = parse(case.url).unwrap_or_else(|error| panic!("{}: {error}", case.url));
        assert_eq!(parsed.config.get_user(), Some(case.user), "{}", case.url);
        assert_eq!(
            parsed.config.get_password(),
            case.password.map(str::as_bytes),
            "{}",
            case.url
        );
        assert_eq!(host(&parsed), case.host, "{}", case.url);
        assert_eq!(parsed.config.get_ports(), [case.port], "{}", case.url);
        assert_eq!(parsed.config.get_dbname(), case.database, "{}", case.url);
        assert_eq!(parsed.encrypted, case.encrypted, "{}", case.url);
    }
}

#[test]
fn parameters_are_taken_or_named_as_ignored() {
    let parsed = parse(
        "postgres://u:p@h/d?connection_limit=3&pool_timeout=7&connect_timeout=4&schema=public&sslrootcert=/a/ca.crt&application_name=x",
    )
    .unwrap();
    assert_eq!(parsed.connection_limit, Some(3));
    assert_eq!(parsed.pool_timeout, Some(Duration::from_secs(7)));
    assert_eq!(
        parsed.config.get_connect_timeout(),
        Some(&Duration::from_secs(4))
    );
    assert_eq!(parsed.ca_file.as_deref(), Some("/a/ca.crt"));
    assert_eq!(parsed.config.get_application_name(), Some("x"));
    assert_eq!(parsed.ignored, ["schema"]);
}

#[test]
fn what_cannot_be_used_is_said_without_the_password() {
    let table = [
        ("mysql://u:sesame@h/d", DatabaseUrlError::Scheme),
        ("host=h user=u password=sesame", DatabaseUrlError::Scheme),
        (
            "postgres://u:[YOUR-PASSWORD]@h/d",
            DatabaseUrlError::Placeholder,
        ),
        ("postgres://u:sesame@/d", DatabaseUrlError::Host),
        ("postgres://u:sesame@h:port/d", DatabaseUrlError::Port),
        ("postgres://u:sesame@h:0/d", DatabaseUrlError::Port),
    ];
    for (url, expected) in table {
        let error = parse(url).unwrap_err();
        assert_eq!(error, expected, "{url}");
        assert!(!error.to_string().contains("sesame"));
    }
    for query in [
        "sslmode=maybe",
        "connection_limit=0",
        "pool_timeout=soon",
        "connect_timeout=-1",
    ] {
        assert!(
            matches!(
                parse(&format!("postgres://u:sesame@h/d?{query}")),
                Err(DatabaseUrlError::Parameter { .. })
            ),
            "{query}"
        );
    }
}
