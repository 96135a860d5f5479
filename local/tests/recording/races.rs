//! Many at once: claims, requests that share a quota or a key, a cancel that meets a claim.

use std::{collections::BTreeSet, future::Future, time::Duration};

use shared::{
    domain::{
        attempt::AttemptStatus,
        caller::{Caller, Scope},
        id::RunId,
        run::RunStatus,
    },
    postgres::Database,
    recording::{
        accept::{Accepted, Idempotency, NewRun, accept},
        attempts::{begin_attempt, end_attempt},
        cancel::{Canceled, cancel},
        ending,
        lease::{self, Claim},
    },
};
use tokio::task::JoinSet;
use tokio_postgres::types::Type;

use super::setup;

/// Starts them all before any can be over, and gives what they came to.
async fn at_once<T: Send + 'static>(
    futures: impl Iterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let mut tasks = JoinSet::new();
    for future in futures {
        tasks.spawn(future);
    }
    tasks.join_all().await
}

async fn status(database: &Database, id: RunId) -> String {
    let sql = "select status from ai_image_runs where id = $1";
    let rows = database.read(sql, &[(&id.0, Type::UUID)]).await.unwrap();
    rows[0].get(0)
}

async fn used(database: &Database, caller: &Caller) -> i32 {
    let sql = "select used from image_quotas where caller_key = $1";
    let rows = database
        .read(sql, &[(&caller.key(), Type::TEXT)])
        .await
        .unwrap();
    rows[0].get(0)
}

async fn accept_all(database: &Database, new: impl Iterator<Item = NewRun>) -> Vec<Accepted> {
    let accepting = new.map(|new| {
        let database = database.clone();
        async move { accept(&database, &new).await.unwrap() }
    });
    at_once(accepting).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_claims_one_takes_the_run() {
    let (_test_database, database) = setup::database(16).await;
    for _ in 0..10 {
        let new = setup::new_run(&setup::somebody(), None, None);
        let id = setup::accepted(&database, &new).await;
        for first in [true, false] {
            let claims = (0..16).map(|_| {
                let database = database.clone();
                async move { setup::claim(&database, id).await }
            });
            let claims = at_once(claims).await;
            let taken: Vec<_> = claims
                .iter()
                .filter_map(|claim| match claim {
                    Claim::Taken { started, run, .. } => Some((started.is_some(), run.sequence)),
                    Claim::Held => None,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(taken, [(first, 1)]);
            setup::let_pass(&database, id, 61.0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_requests_do_not_overshoot_the_quota() {
    let (_test_database, database) = setup::database(16).await;
    let caller = setup::somebody();
    let new = (0..50).map(|_| setup::new_run(&caller, Some(10), None));
    let outcomes = accept_all(&database, new).await;

    let places: Vec<u32> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Accepted::New { quota } => Some(quota.unwrap().used),
            _ => None,
        })
        .collect();
    assert_eq!(places.len(), 10);
    assert_eq!(BTreeSet::from_iter(places), (1..=10).collect());
    for outcome in &outcomes {
        if let Accepted::QuotaExceeded(quota) = outcome {
            assert_eq!((quota.limit, quota.used), (10, 10));
            assert!((1..=86_400).contains(&quota.resets_in));
        }
    }
    assert_eq!(used(&database, &caller).await, 10);
    let rows = database
        .read("select count(*) from ai_image_runs", &[])
        .await
        .unwrap();
    assert_eq!(rows[0].get::<_, i64>(0), 10);

    let other = setup::new_run(&setup::somebody(), Some(10), None);
    setup::accepted(&database, &other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_requests_with_one_key_are_one_run() {
    let (_test_database, database) = setup::database(16).await;
    let caller = setup::somebody();
    let new = (0..20).map(|_| setup::new_run(&caller, Some(10), Some("key")));
    let outcomes = accept_all(&database, new).await;

    let made = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Accepted::New { .. }));
    assert_eq!(made.count(), 1, "{outcomes:?}");
    let again: BTreeSet<RunId> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Accepted::Again(id) => Some(*id),
            Accepted::New { .. } => None,
            other => panic!("{other:?}"),
        })
        .collect();
    let rows = database
        .read("select id from ai_image_runs", &[])
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(again, BTreeSet::from([RunId(rows[0].get(0))]));
    assert_eq!(used(&database, &caller).await, 1);
}

#[tokio::test]
async fn a_key_is_for_one_request_of_one_caller() {
    let (_test_database, database) = setup::database(1).await;
    let caller = setup::somebody();
    let new = setup::new_run(&caller, None, Some("key"));
    let id = setup::accepted(&database, &new).await;

    let other = NewRun {
        idempotency: Some(Idempotency {
            key: "key".to_owned(),
            request_hash: "another".to_owned(),
        }),
        ..setup::new_run(&caller, None, None)
    };
    assert_eq!(
        accept(&database, &other).await.unwrap(),
        Accepted::KeyReused(id)
    );
    let somebody_else = setup::new_run(&setup::somebody(), None, Some("key"));
    setup::accepted(&database, &somebody_else).await;
    let without_key = setup::new_run(&caller, None, None);
    setup::accepted(&database, &without_key).await;
}

#[tokio::test]
async fn what_was_not_paid_for_gives_key_and_quota_back() {
    let (_test_database, database) = setup::database(1).await;
    let outcomes = [
        (None, true),
        (Some(AttemptStatus::Failed), true),
        // Its answer never came: perhaps paid for.
        (Some(AttemptStatus::Started), false),
        // Made, and not stored.
        (Some(AttemptStatus::Succeeded), false),
    ];
    for (outcome, free) in outcomes {
        let caller = setup::somebody();
        let new = setup::new_run(&caller, Some(1), Some("key"));
        let id = setup::accepted(&database, &new).await;
        let (mut run, mut lease) = setup::claimed(&database, id).await;
        if let Some(outcome) = outcome {
            let attempt = setup::next_attempt(&run, &lease);
            begin_attempt(&database, &mut lease, &mut run, attempt.clone())
                .await
                .unwrap();
            if outcome != AttemptStatus::Started {
                let ended = setup::ended(attempt, outcome, &lease);
                end_attempt(&database, &mut lease, &mut run, ended)
                    .await
                    .unwrap();
            }
        }
        assert_eq!(used(&database, &caller).await, 1);
        ending::fail(&database, &mut lease, &run, &setup::ending(false))
            .await
            .unwrap();

        assert_eq!(used(&database, &caller).await, i32::from(!free));
        let again = setup::new_run(&caller, Some(1), Some("key"));
        let accepted = accept(&database, &again).await.unwrap();
        let without_key = setup::new_run(&caller, Some(1), None);
        let next = accept(&database, &without_key).await.unwrap();
        if free {
            assert!(matches!(accepted, Accepted::New { .. }), "{accepted:?}");
        } else {
            assert_eq!(accepted, Accepted::Again(id));
        }
        assert!(matches!(next, Accepted::QuotaExceeded(_)), "{next:?}");
    }
}

/// Whichever comes first, a request to cancel is never lost: the run is over, or its worker is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_that_meets_a_claim_is_heard() {
    let (_test_database, database) = setup::database(2).await;
    for _ in 0..50 {
        let new = setup::new_run(&setup::somebody(), Some(1), None);
        let id = setup::accepted(&database, &new).await;
        let (claimed, canceled) = tokio::join!(
            tokio::spawn({
                let database = database.clone();
                async move { setup::claim(&database, id).await }
            }),
            tokio::spawn({
                let database = database.clone();
                async move { cancel(&database, Scope::Ownerless, id).await.unwrap() }
            }),
        );
        match (claimed.unwrap(), canceled.unwrap()) {
            (Claim::Taken { lease, .. }, Canceled::Asked) => {
                assert_eq!(status(&database, id).await, "running");
                let asked = lease::cancel_requested(&database, &lease).await.unwrap();
                assert!(asked.is_some());
            }
            (Claim::Held | Claim::Over(RunStatus::Canceled), Canceled::AtOnce(event)) => {
                assert_eq!(event.sequence, 1);
                assert_eq!(status(&database, id).await, "canceled");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The same, with the claim just not committed when the cancel comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_waits_for_a_claim_under_way() {
    let (test_database, database) = setup::database(2).await;
    let new = setup::new_run(&setup::somebody(), Some(1), None);
    let id = setup::accepted(&database, &new).await;

    let claimer = local::migrate::open(test_database.url(), None)
        .await
        .unwrap();
    claimer
        .batch_execute(&format!(
            "begin; update ai_image_runs
             set status = 'running', started_at = now(), sequence = 1, lease_token = id, lease_expires_at = now() + interval '1 minute'
             where id = '{id}'"
        ))
        .await
        .unwrap();
    let canceling = tokio::spawn({
        let database = database.clone();
        async move { cancel(&database, Scope::Ownerless, id).await.unwrap() }
    });
    let is_waiting = "select from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like '-- cancel:%'";
    let waiting = async {
        while database.read(is_waiting, &[]).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(8), waiting)
        .await
        .expect("the cancel waits");
    claimer.batch_execute("commit").await.unwrap();

    assert_eq!(canceling.await.unwrap(), Canceled::Asked);
    assert_eq!(status(&database, id).await, "running");
}
