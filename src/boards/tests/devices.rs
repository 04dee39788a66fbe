//! Devices that programs speak for.

use super::*;

#[tokio::test]
async fn a_program_makes_no_more_devices_than_may_be() {
    let scene = Scene::with("\n[store]\ndevices_max = 2").await;
    scene.send().await;
    let of = |number: u64| json!({"imei": format!("35693803564380{number}"), "STATUS": 0});
    // Two in one transaction: there is room for one.
    let facts = [9, 8].map(|number| Fact::Event(brought(&of(number))));
    scene.pipeline.record(facts.into()).await;
    scene.record(brought(&of(7))).await;
    assert_eq!(scene.registry.len(), 2);
    let told = scene.events("lastmile.telemetry.received").await;
    assert_eq!(told.len(), 2, "the board's own, and of the one that was made");
    assert_eq!(scene.events("lastmile.message.published").await.len(), 3, "what it said is kept");
    scene.say(json!({"imei": IMEI, "STATUS": 0})).await;
    scene.record(brought(&json!({"imei": IMEI, "sketch_ver": "2"}))).await;
    assert_eq!(scene.events("lastmile.telemetry.received").await.len(), 4, "known ones as ever");
}
