//! No page of the history costs more than ten times what it holds, whatever it is narrowed to.

use serde_json::Value;
use shared::{
    domain::{
        caller::Scope,
        history::{HistoryFilter, Listing, MOST_COMPARED, MOST_RANKED, Order},
        id::{DatasetId, UserId},
        page::{Cursor, Ranked},
        run::Mode,
        search::SearchText,
    },
    postgres::history::{Found, Statement},
};
use tokio_postgres::Client;
use uuid::Uuid;

use super::records::{self, BIG, RARE_DATASET, SECOND, SMALL};

/// Records of a page, and the one more that tells whether there is another page.
const LIMIT: i64 = 51;
/// What a page may cost that holds next to nothing.
const FEW: u64 = 100;

/// What a page cost.
#[derive(Debug)]
struct Cost {
    /// Records that the page holds.
    returned: u64,
    /// Records that were ranked, where any were.
    ranked: Option<u64>,
    /// Records that were read from the table, those that were then left out too.
    scanned: u64,
    /// Milliseconds for planning and execution.
    milliseconds: f64,
}

/// Asks the database what a page costs.
async fn cost(client: &Client, listing: &Listing, found: Found) -> (Cost, Value) {
    let statement = Statement::of(listing, found);
    let sql = format!("explain (analyze, format json) {}", statement.sql);
    let rows = client.query_typed(&sql, &statement.params()).await.unwrap();
    let plan: Value = rows[0].get(0);
    let plan = plan[0].clone();
    let top = &plan["Plan"];
    let mut cost = Cost {
        returned: number(top, "Actual Rows"),
        ranked: None,
        scanned: 0,
        milliseconds: plan["Planning Time"].as_f64().unwrap()
            + plan["Execution Time"].as_f64().unwrap(),
    };
    add(top, &mut cost);
    (cost, plan)
}

fn number(node: &Value, name: &str) -> u64 {
    node[name].as_u64().unwrap_or(0)
}

/// Adds what the nodes of a plan read. Figures are a loop's.
fn add(node: &Value, cost: &mut Cost) {
    let loops = number(node, "Actual Loops");
    if node["Relation Name"] == "generated_images" {
        let left_out =
            number(node, "Rows Removed by Filter") + number(node, "Rows Removed by Index Recheck");
        cost.scanned += loops * (number(node, "Actual Rows") + left_out);
    }
    if node["Subplan Name"] == "CTE candidates" {
        cost.ranked = Some(number(node, "Actual Rows"));
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        add(child, cost);
    }
}

fn scopes() -> Vec<(&'static str, Scope)> {
    let owner = |id: Uuid| Scope::Owner(UserId(id));
    vec![
        ("the big owner", owner(BIG)),
        ("the second owner", owner(SECOND)),
        ("a small owner", owner(SMALL)),
        ("a stranger", owner(Uuid::from_u128(7))),
        ("nobody's", Scope::Ownerless),
        ("everybody's", Scope::Everything),
    ]
}

/// Each filter by itself, with words that are common, that are not, that are rare, and that no record has.
fn filters() -> Vec<HistoryFilter> {
    let mut filters = vec![HistoryFilter::default()];
    let mut add = |change: &dyn Fn(&mut HistoryFilter)| {
        let mut filter = HistoryFilter::default();
        change(&mut filter);
        filters.push(filter);
    };
    for id in [BIG, SECOND, SMALL, RARE_DATASET, Uuid::from_u128(7)] {
        add(&|filter| filter.dataset_id = Some(DatasetId(id)));
    }
    for style in ["photorealistic", "pixel-art", "linocut", "cubism"] {
        add(&|filter| filter.style = Some(style.to_owned()));
    }
    for model in [
        "gpt-image-2",
        "gpt-image-2.6-flare",
        "gpt-image-1-mini",
        "dall-e-3",
    ] {
        add(&|filter| filter.model = model.parse().ok());
    }
    for format in ["png", "jpg", "webp"] {
        add(&|filter| filter.format = format.parse().ok());
    }
    for ratio in ["1:1", "4:5", "21:9", "2:3"] {
        add(&|filter| filter.aspect_ratio = ratio.parse().ok());
    }
    for resolution in ["2K", "1K", "4K"] {
        add(&|filter| filter.resolution = resolution.parse().ok());
    }
    for kind in ["generic", "avatar-7", "poster", "banner"] {
        add(&|filter| filter.asset_kind = Some(kind.to_owned()));
    }
    for mode in [Mode::Generate, Mode::Edit] {
        add(&|filter| filter.mode = Some(mode));
    }
    for favorite in [true, false] {
        add(&|filter| filter.favorite = Some(favorite));
    }
    let days = [
        ("2024-01-05", "2024-01-06"),
        ("2025-01-01", "2025-03-01"),
        ("2019-01-01", "2020-01-01"),
    ];
    for (from, to) in days {
        let time = |day: &str| format!("{day}T00:00:00Z").parse().ok();
        add(&|filter| (filter.from, filter.to) = (time(from), time(to)));
        add(&|filter| filter.from = time(from));
        add(&|filter| filter.to = time(to));
        add(&|filter| {
            (filter.from, filter.to) = (time(from), time(to));
            filter.style = Some("pixel-art".to_owned());
        });
    }
    // Several at once.
    add(&|filter| {
        filter.style = Some("linocut".to_owned());
        filter.format = "png".parse().ok();
        filter.mode = Some(Mode::Generate);
    });
    add(&|filter| {
        filter.style = Some("photorealistic".to_owned());
        filter.model = "gpt-image-2".parse().ok();
        filter.resolution = "2K".parse().ok();
    });
    filters
}

/// Something to look for, and whether by likeness.
fn searches() -> Vec<(&'static str, Found)> {
    vec![
        ("zeppelin", Found::ByWords),
        ("lighthouse", Found::ByWords),
        ("sunset", Found::ByWords),
        ("coffee", Found::ByWords),
        ("karas lighthouse", Found::ByWords),
        (
            "\"under a zeppelin\" or \"with a lighthouse\"",
            Found::ByWords,
        ),
        ("sunset -lighthouse", Found::ByWords),
        ("zepp", Found::ByWords),
        ("nothinglikethis", Found::ByWords),
        ("the", Found::ByWords),
        ("...", Found::ByWords),
        ("zepelin", Found::ByLikeness),
        ("lihgthouse", Found::ByLikeness),
        ("...", Found::ByLikeness),
    ]
}

/// The index of words knows no order. So the records that have them are all read and put in order, or all records in order until enough
/// have them. The first costs least for rare words, the second for common ones; where they cost the same, either is the square root of
/// all records times those that are wanted. The planner has to guess which is better.
fn most_read_for_words() -> u64 {
    4 * (MOST_RANKED.unsigned_abs() * u64::from(records::rows())).isqrt()
}

/// Nowhere, and a place in the middle of the list.
fn places(listing: &Listing) -> [Option<Cursor>; 2] {
    let created_at = "2025-01-01T00:00:00Z".parse().unwrap();
    let ranked = listing.filter.search.is_some().then_some(Ranked {
        resembling: false,
        rank: 0.6,
        newest: created_at,
    });
    let middle = Cursor {
        created_at,
        id: Uuid::from_u128(u128::MAX / 2),
        ranked,
    };
    [None, Some(middle)]
}

#[tokio::test]
async fn no_page_reads_ten_times_what_it_holds() {
    let (_database, client) = records::filled().await;
    let mut costs = Vec::new();
    let mut dear = Vec::new();
    for (whose, scope) in scopes() {
        let plain = filters().into_iter().map(|filter| (filter, Found::ByWords));
        let searched = searches().into_iter().flat_map(|(text, found)| {
            let search = Some(SearchText::new(text.to_owned()));
            let styled = HistoryFilter {
                search: search.clone(),
                style: Some("pixel-art".to_owned()),
                ..HistoryFilter::default()
            };
            let alone = HistoryFilter {
                search,
                ..HistoryFilter::default()
            };
            [(alone, found), (styled, found)]
        });
        for (filter, found) in plain.chain(searched) {
            let searched = filter.search.is_some();
            for order in [Order::Newest, Order::Oldest, Order::Relevance] {
                if order == Order::Relevance && !searched {
                    continue;
                }
                let mut listing = Listing {
                    scope,
                    filter: filter.clone(),
                    order,
                    after: None,
                    limit: LIMIT,
                    offset: 0,
                };
                for place in places(&listing) {
                    listing.after = place;
                    let (cost, plan) = cost(&client, &listing, found).await;
                    let what = format!(
                        "{whose} {:?} {} {}",
                        filter.parameters(),
                        order.as_str(),
                        if place.is_some() {
                            "from the middle"
                        } else {
                            "from the beginning"
                        }
                    );
                    let most = match found {
                        _ if !searched => 10 * cost.returned + FEW,
                        Found::ByWords => most_read_for_words(),
                        // A small table may be read whole for them.
                        Found::ByLikeness => 4 * MOST_COMPARED.unsigned_abs() + FEW,
                    };
                    if cost.scanned > most {
                        dear.push(format!("{what}: {cost:?}\n{}", outline(&plan["Plan"], 0)));
                    }
                    costs.push((what, cost));
                }
            }
        }
    }
    report(costs);
    assert!(
        dear.is_empty(),
        "{} pages:\n{}",
        dear.len(),
        dear.join("\n")
    );
}

/// A plan in a few lines.
fn outline(node: &Value, depth: usize) -> String {
    let mut text = format!(
        "{:depth$}{} {} rows {} of {} expected\n",
        "",
        node["Node Type"].as_str().unwrap_or_default(),
        node["Index Name"].as_str().unwrap_or_default(),
        node["Actual Rows"],
        node["Plan Rows"]
    );
    for child in node["Plans"].as_array().into_iter().flatten() {
        text.push_str(&outline(child, depth + 2));
    }
    text
}

fn report(mut costs: Vec<(String, Cost)>) {
    costs.sort_by(|one, other| other.1.milliseconds.total_cmp(&one.1.milliseconds));
    let mut times: Vec<f64> = costs.iter().map(|(_, cost)| cost.milliseconds).collect();
    times.reverse();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!(
        "{} pages of {} records: p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, most {:.1} ms",
        costs.len(),
        records::rows(),
        at(50),
        at(95),
        at(99),
        at(100)
    );
    for (what, cost) in costs
        .iter()
        .take(if records::rows() > 100_000 { 60 } else { 5 })
    {
        println!(
            "{:8.1} ms, {} returned, {:?} ranked, {} read: {what}",
            cost.milliseconds, cost.returned, cost.ranked, cost.scanned
        );
    }
}
