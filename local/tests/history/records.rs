//! A database with many records, always the same ones.

use std::path::Path;

use local::{
    migrate,
    postgres::{
        self,
        for_tests::{MIGRATIONS, TestDatabase},
    },
};
use tokio_postgres::Client;
use uuid::Uuid;

const RECORDS: &str = include_str!("many_records.sql");
/// Enough for plans to differ from those of a small table, and made within seconds.
const DEFAULT_ROWS: u32 = 20_000;

/// The owner of half of all records.
pub(super) const BIG: Uuid = owner(1);
/// The owner of a hundredth, who marks nearly everything as a favourite.
pub(super) const SECOND: Uuid = owner(2);
/// One of a thousand who share two fifths.
pub(super) const SMALL: Uuid = owner(100);
/// The big owner's new dataset, with very few records.
pub(super) const RARE_DATASET: Uuid = Uuid::from_u128(0x00000000_0000_4000_9000_000000000001);

const fn owner(number: u128) -> Uuid {
    Uuid::from_u128(0x00000000_0000_4000_8000_000000000000 | hexadecimal(number))
}

/// The number that has the digits of this one in hexadecimal: ids are numbered in decimal.
const fn hexadecimal(number: u128) -> u128 {
    if number < 10 {
        number
    } else {
        (hexadecimal(number / 10) << 4) | (number % 10)
    }
}

/// How many records are asked for.
pub(super) fn rows() -> u32 {
    let asked = std::env::var("DARKROOM_PLAN_ROWS").ok();
    asked.map_or(DEFAULT_ROWS, |text| text.parse().unwrap())
}

/// A migrated database with the records. The indexes are made after them, which is faster by far.
pub(super) async fn filled() -> (TestDatabase, Client) {
    let database = TestDatabase::migrated().await.unwrap();
    let client = postgres::connect(database.url()).await.unwrap();
    client
        .batch_execute(
            "do $$
            declare
                index_name text;
            begin
                for index_name in
                    select indexname from pg_indexes where tablename = 'generated_images' and indexname like 'idx\\_%'
                loop
                    execute format('drop index %I', index_name);
                end loop;
            end
            $$",
        )
        .await
        .unwrap();
    let fill = RECORDS.replace("{rows}", &rows().to_string());
    client.batch_execute(&fill).await.unwrap();
    for file in migrate::file::read_directory(Path::new(MIGRATIONS)).unwrap() {
        client.batch_execute(&file.sql).await.unwrap();
    }
    // As a history is that grew: visible to index-only scans, and known to the planner.
    client
        .batch_execute("vacuum analyze generated_images")
        .await
        .unwrap();
    (database, client)
}
