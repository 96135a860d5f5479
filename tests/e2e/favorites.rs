//! Favourites: a mark that the owner puts on a record.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{World, send};

fn path_of(image: &Value) -> String {
    format!("/ai/generated-images/{}", image["id"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_marked_and_the_mark_taken_away_as_often_as_one_likes() {
    let world = World::start(&[]).await;
    let image = world.picture("1:1").await;
    let other = world.picture("1:1").await;
    let path = path_of(&image);
    assert_eq!(world.get(&path).await.body["favorite"], false);
    let favorite = format!("{path}/favorite");
    for (method, marked) in [
        (Method::PUT, true),
        (Method::PUT, true),
        (Method::DELETE, false),
        (Method::DELETE, false),
        (Method::PUT, true),
    ] {
        let answer = send(world.user(method.clone(), &favorite)).await;
        assert_eq!(answer.status, 200, "{method} {answer:#?}");
        assert_eq!(answer.body["favorite"], marked, "{method}");
        // The answer is the record as it is shown.
        assert_eq!(answer.body, world.get(&path).await.body, "{method}");
    }
    let list = world.get("/ai/generated-images?favorite=true").await.body;
    assert_eq!(list["count"], 1, "{list:#}");
    assert_eq!(list["images"][0]["id"], image["id"]);
    assert_eq!(world.get(&path_of(&other)).await.body["favorite"], false);

    let many = (0..10).map(|_| send(world.user(Method::PUT, &favorite)));
    for answer in join_all(many).await {
        assert_eq!(
            (answer.status.as_u16(), &answer.body["favorite"]),
            (200, &json!(true))
        );
    }
    // A mark is no part of how an image is made.
    let again = send(world.user(Method::POST, &format!("{path}/regenerate"))).await;
    let again = world.get(&path_of(&again.body)).await;
    assert_eq!(again.body["favorite"], false, "{again:#?}");
    assert_eq!(send(world.user(Method::DELETE, &path)).await.status, 204);
    let answer = send(world.user(Method::PUT, &favorite)).await;
    assert_eq!(answer.problem_fields(404), ["image_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_owner_marks_a_record_and_nobody_one_without_an_owner() {
    let world = World::start(&[]).await;
    let image = world.picture("1:1").await;
    let ownerless = world.ownerless_picture().await;
    for method in [Method::PUT, Method::DELETE] {
        let own = format!("{}/favorite", path_of(&image));
        let nobodys = format!("{}/favorite", path_of(&ownerless));
        let run = image["run_id"].as_str().unwrap();
        let other = format!("/ai/generated-images/{run}/favorite");
        for (request, status, fields) in [
            (
                world.other_user(method.clone(), &own),
                404,
                vec!["image_id"],
            ),
            (world.anonymous(method.clone(), &own), 401, vec![]),
            (world.user(method.clone(), &nobodys), 403, vec!["image_id"]),
            (world.anonymous(method.clone(), &nobodys), 401, vec![]),
            (world.user(method.clone(), &other), 404, vec!["image_id"]),
            (
                world.user(method.clone(), "/ai/generated-images/1/favorite"),
                400,
                vec!["image_id"],
            ),
            (
                world.user(method.clone(), &format!("{own}?on=true")),
                400,
                vec!["on"],
            ),
        ] {
            let answer = send(request).await;
            assert_eq!(answer.problem_fields(status), fields, "{method}");
            assert!(!answer.body.to_string().contains("street"));
        }
    }
    let marked = "select count(*) from generated_images where favorite";
    assert_eq!(world.value(marked).await.as_deref(), Some("0"));
    let path = format!("{}/favorite", path_of(&image));
    let get = send(world.user(Method::GET, &path)).await;
    assert_eq!(get.status, 404, "{get:#?}");
}
