//! What is done to the stack of the long run while it works.

use std::{sync::Mutex, time::Duration};

use local::postgres::Postgres;
use nix::sys::signal::Signal;
use rand::{Rng, rngs::StdRng};
use reqwest::Method;
use serde_json::json;

use crate::{faults::signal, harness::World, ledger, long_run::Told};

/// What was done to the stack.
#[derive(Debug, Default)]
pub(crate) struct Disturbances {
    kills: usize,
    cut_connections: usize,
    database_restarts: usize,
    ably_outages: usize,
    queue_outages: usize,
    doubled_messages: usize,
    strange_messages: usize,
    cancels: usize,
}

/// Does harm until the runs are over.
pub(crate) async fn disturb(
    world: &World,
    postgres: &mut Postgres,
    random: &mut StdRng,
    told: &Mutex<Told>,
    done: &mut Disturbances,
) {
    loop {
        tokio::time::sleep(Duration::from_millis(random.random_range(50..300))).await;
        let some_run = {
            let told = told.lock().unwrap();
            let index = random.random_range(0..told.runs.len().max(1));
            told.runs.get(index).cloned()
        };
        match (random.random_range(0..100), some_run) {
            (0..15, _) => {
                done.kills += usize::from(kill_a_worker(world).await);
            }
            (15..25, _) => {
                let function = ["worker", "generate"][random.random_range(0..2)];
                if world.try_end_sessions(function).await.is_ok() {
                    done.cut_connections += 1;
                }
            }
            (25..29, _) => {
                postgres.crash().await.unwrap();
                tokio::time::sleep(Duration::from_millis(random.random_range(100..1500))).await;
                postgres.resume().await.unwrap();
                done.database_restarts += 1;
            }
            (29..37, _) => {
                world.ably(json!({"down": true})).await;
                tokio::time::sleep(Duration::from_millis(random.random_range(100..2000))).await;
                world.ably(json!({"down": false})).await;
                done.ably_outages += 1;
            }
            (37..47, _) => {
                let fault = json!({"match": {"path": "/SendMessage"}, "status": 500});
                let script = vec![fault; random.random_range(2..6)];
                world.sqs(json!({"script": script})).await;
                done.queue_outages += 1;
            }
            (47..72, Some(run)) => {
                for _ in 0..random.random_range(1..=5) {
                    world.deliver(&run);
                    done.doubled_messages += 1;
                }
            }
            (72..80, _) => {
                let nonsense = ["{}", "no JSON", "{\"v\": 7}"][random.random_range(0..3)];
                let sqs = world.stack.sqs();
                sqs.send(&world.queue(), nonsense, Default::default())
                    .unwrap();
                world.deliver(&uuid::Uuid::from_u128(random.random()).to_string());
                done.strange_messages += 2;
            }
            (80..100, Some(run)) => {
                let path = format!("/ai/runs/{run}/cancel");
                // Others' runs answer 404, and a database that is down 503.
                let _ = world.user(Method::POST, &path).send().await;
                done.cancels += 1;
            }
            _ => {}
        }
    }
}

/// Kills a worker that has runs in hand, but not in the moment between writing an attempt down and sending it: what the books say then
/// is tested by itself, and here they are to agree with the vendor's to the last call.
async fn kill_a_worker(world: &World) -> bool {
    let instances = world.stack.lambda().instances();
    let mut busy = instances
        .iter()
        .filter(|one| one.function == "worker" && one.busy);
    let Some(worker) = busy.next() else {
        return false;
    };
    if !signal(worker.pid, Signal::SIGSTOP) {
        return false;
    }
    // What it has asked of the database a moment ago is carried out.
    tokio::time::sleep(Duration::from_millis(30)).await;
    for _ in 0..20 {
        if ledger::all_is_sent(world).await {
            world.kill_process(worker.pid).await;
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    signal(worker.pid, Signal::SIGCONT);
    false
}
