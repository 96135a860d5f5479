//! What a search finds, in which order, and what it survives.

use std::path::Path;

use local::{
    migrate,
    postgres::{
        self,
        for_tests::{MIGRATIONS, TestDatabase},
    },
};
use secrecy::SecretString;
use shared::{
    domain::{
        caller::Scope,
        history::{HistoryFilter, Listing, Order},
        id::UserId,
        page::Cursor,
        search::SearchText,
    },
    postgres::{Database, DatabaseOptions, history::list_history},
};
use tokio_postgres::Client;
use uuid::Uuid;

use super::records;

const ALICE: Uuid = Uuid::from_u128(0xa11ce);
const BOB: Uuid = Uuid::from_u128(0xb0b);

fn database(url: &str) -> Database {
    let options = DatabaseOptions::new(SecretString::from(url), "history-test");
    Database::new(&options).unwrap()
}

/// A database with two users, and what makes it possible to ask it.
async fn users() -> (TestDatabase, Client, Database) {
    let test_database = TestDatabase::migrated().await.unwrap();
    let client = postgres::connect(test_database.url()).await.unwrap();
    let sql = format!(
        "insert into auth.users (id, email) values ('{ALICE}', 'alice@example.com'), ('{BOB}', 'bob@example.com')"
    );
    client.batch_execute(&sql).await.unwrap();
    let database = database(test_database.url());
    (test_database, client, database)
}

async fn add(client: &Client, owner: Option<Uuid>, prompt: &str, full_prompt: &str) {
    let sql = "insert into generated_images (user_id, prompt, full_prompt, image_url) values ($1, $2, $3, '')";
    let values = [&owner as _, &prompt as _, &full_prompt as _];
    client.execute(sql, &values).await.unwrap();
}

fn search(scope: Scope, text: &str, order: Order) -> Listing {
    Listing {
        scope,
        filter: HistoryFilter {
            search: Some(SearchText::new(text.to_owned())),
            ..HistoryFilter::default()
        },
        order,
        after: None,
        limit: 200,
        offset: 0,
    }
}

async fn prompts(database: &Database, scope: Scope, text: &str) -> Vec<String> {
    let listing = search(scope, text, Order::Relevance);
    let listed = list_history(database, &listing).await.unwrap();
    listed.into_iter().map(|one| one.record.prompt).collect()
}

#[tokio::test]
async fn words_phrases_beginnings_and_typing_errors_are_found() {
    let (_test_database, client, database) = users().await;
    for (owner, prompt, full_prompt) in [
        (
            Some(ALICE),
            "a lighthouse at dusk",
            "SCENE: a lighthouse at dusk",
        ),
        (
            Some(ALICE),
            "a red bicycle",
            "Brand: Lighthouse Coffee. SCENE: a red bicycle",
        ),
        (Some(ALICE), "a bicycle in a red room", ""),
        (Some(ALICE), "ships", "SCENE: ships"),
        (Some(ALICE), "Ein Leuchtturm, маяк", ""),
        (Some(BOB), "bob's lighthouse", ""),
        (None, "nobody's lighthouse", ""),
    ] {
        add(&client, owner, prompt, full_prompt).await;
    }
    let alice = Scope::Owner(UserId(ALICE));
    let cases: [(&str, &[&str]); 21] = [
        // What the user typed weighs more than what was sent.
        ("lighthouse", &["a lighthouse at dusk", "a red bicycle"]),
        ("LIGHTHOUSES", &["a lighthouse at dusk", "a red bicycle"]),
        ("lightho", &["a lighthouse at dusk", "a red bicycle"]),
        ("dusk lightho", &["a lighthouse at dusk"]),
        // Only the last word may go on; but this resembles one.
        ("lightho dusk", &["a lighthouse at dusk"]),
        ("ship", &["ships"]),
        ("\"red bicycle\"", &["a red bicycle"]),
        ("\"red bicycle", &["a red bicycle"]),
        ("bicycle -room", &["a red bicycle"]),
        ("ships or dusk", &["a lighthouse at dusk", "ships"]),
        ("lihgthouse", &["a lighthouse at dusk"]),
        ("red biccyle", &["a red bicycle"]),
        ("маяк", &["Ein Leuchtturm, маяк"]),
        ("мая", &["Ein Leuchtturm, маяк"]),
        // Who writes a phrase means it.
        ("\"lihgthouse\"", &[]),
        ("zeppelin", &[]),
        ("the", &[]),
        ("...", &[]),
        ("' & | ! :* ( ) <-> \\", &[]),
        (&format!("owner:{BOB}"), &[]),
        ("owner", &[]),
    ];
    for (text, expected) in cases {
        let mut found = prompts(&database, alice, text).await;
        if text.contains(" or ") {
            found.sort();
        }
        assert_eq!(found, expected, "{text}");
    }
    for (scope, expected) in [
        (Scope::Owner(UserId(BOB)), "bob's lighthouse"),
        (Scope::Ownerless, "nobody's lighthouse"),
    ] {
        for text in ["lighthouse", "lihgthouse"] {
            assert_eq!(prompts(&database, scope, text).await, [expected], "{text}");
        }
    }
    assert_eq!(
        prompts(&database, Scope::Everything, "lighthouse")
            .await
            .len(),
        4
    );
}

#[tokio::test]
async fn pages_of_a_search_are_exact_in_every_order() {
    let (test_database, client) = records::filled().await;
    let database = database(test_database.url());
    let owner = Scope::Owner(UserId(records::BIG));
    for text in ["sunset lo", "lihgthouse"] {
        for order in [Order::Relevance, Order::Newest, Order::Oldest] {
            let mut listing = search(owner, text, order);
            listing.limit = 50_000;
            let all = list_history(&database, &listing).await.unwrap();
            assert!(all.len() > 20, "{text} {} of {order:?}", all.len());
            let ids = |page: &[shared::postgres::history::Listed]| {
                page.iter().map(|one| one.record.id).collect::<Vec<_>>()
            };
            listing.limit = 1 + i64::try_from(all.len() / 4).unwrap();
            let mut seen = Vec::new();
            loop {
                let page = list_history(&database, &listing).await.unwrap();
                let Some(last) = page.last() else { break };
                // Through its text, as a caller hands it back.
                let key = Listing::key(owner, &listing.filter, order);
                listing.after = Some(Cursor::from_text(&last.place.to_text(key), key).unwrap());
                seen.extend(ids(&page));
                // What is made meanwhile comes on no page of a search that began before, unless the oldest come first.
                if order != Order::Oldest {
                    let prompt = "a lighthouse at sunset, loras";
                    add(&client, Some(records::BIG), prompt, prompt).await;
                }
            }
            assert!(
                seen == ids(&all),
                "{text} {order:?}: {} and {}",
                seen.len(),
                all.len()
            );
            // An offset leads to the same places.
            listing.after = None;
            listing.limit = 3;
            listing.offset = 10;
            let sql = "delete from generated_images where prompt = 'a lighthouse at sunset, loras'";
            client.batch_execute(sql).await.unwrap();
            let page = list_history(&database, &listing).await.unwrap();
            assert_eq!(ids(&page), ids(&all)[10..13], "{text} {order:?}");
            listing.offset = 100_000;
            assert_eq!(list_history(&database, &listing).await.unwrap(), []);
        }
    }
}

#[tokio::test]
async fn no_text_is_too_odd_to_be_stored_or_looked_for() {
    let (_test_database, client, database) = users().await;
    let alice = Scope::Owner(UserId(ALICE));
    let odd = [
        "🚲".repeat(32_000),
        "a-b-".repeat(8_000),
        (0..6_000).map(|n| format!("{n:x}/")).collect(),
        "https://example.com/".repeat(1_600),
        "x".repeat(32_000),
        // No request is that long, but other writers may be.
        (0..400_000).map(|n| format!("word{n} ")).collect(),
        "'\\&|!:*()<->\"".repeat(2_000),
    ];
    for prompt in &odd {
        add(&client, Some(ALICE), prompt, prompt).await;
        for start in [0, 1, 7] {
            let text: String = prompt.chars().skip(start).take(500).collect();
            for order in [Order::Relevance, Order::Newest] {
                let listing = search(alice, &text, order);
                list_history(&database, &listing).await.unwrap();
            }
        }
    }
    let style = format!(
        "update generated_images set style = (select string_agg(md5(n::text), '') from generate_series(1, 500) n) where user_id = '{ALICE}'"
    );
    client.batch_execute(&style).await.unwrap();
}

#[tokio::test]
async fn a_postgres_without_likeness_finds_by_words_alone() {
    let test_database = TestDatabase::unmigrated().await.unwrap();
    let client = postgres::connect(test_database.url()).await.unwrap();
    for file in migrate::file::read_directory(Path::new(MIGRATIONS)).unwrap() {
        let lacking = file.sql.replace("'pg_trgm'", "'no_such_extension'");
        client.batch_execute(&lacking).await.unwrap();
    }
    add(&client, None, "a lighthouse at dusk", "").await;
    let database = database(test_database.url());
    let found = prompts(&database, Scope::Ownerless, "lightho").await;
    assert_eq!(found, ["a lighthouse at dusk"]);
    for order in [Order::Relevance, Order::Newest, Order::Oldest] {
        let listing = search(Scope::Ownerless, "lihgthouse", order);
        assert_eq!(list_history(&database, &listing).await.unwrap(), []);
    }
    // Where the extension comes later, the migration can be run again.
    for file in migrate::file::read_directory(Path::new(MIGRATIONS)).unwrap() {
        client.batch_execute(&file.sql).await.unwrap();
    }
    let found = prompts(&database, Scope::Ownerless, "lihgthouse").await;
    assert_eq!(found, ["a lighthouse at dusk"]);
}
