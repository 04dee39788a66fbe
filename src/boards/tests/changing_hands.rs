//! Boards and SIMs that change hands: what they leave behind, and what shows that a board is back.

use super::*;

/// Another board's number.
const THEIRS: &str = "356938035643809";
/// A SIM that nobody knows.
const STRANGE: &str = "440100000000007";

impl Scene {
    /// Whose a message is that names nothing but this SIM.
    fn by_sim(&self, imsi: &str) -> Option<DeviceId> {
        self.boards.device_of(&tenant(), &Net { imei: None, imsi: Some(imsi.into()) })
    }

    async fn row_of(&self, device: &DeviceId) -> BoardRow {
        self.boards.get(&tenant(), device).await.unwrap().unwrap()
    }

    /// The other board is contracted, and this SIM ordered for it.
    async fn order_for_other(&self, imsi: &str) {
        self.record(telemetry(&other(), "customer_mngt", &json!({"STATUS": 0}))).await;
        self.set_of(&other(), 1).await.unwrap();
        let expected_imsi = Some(Some(Redacted(imsi.into())));
        let settings = BoardSettings { expected_imsi, ..BoardSettings::default() };
        self.boards.put((&tenant(), &other()), &settings, &audit()).await.unwrap();
    }

    async fn apply(&self, operations: Vec<Operation>) {
        self.boards.parts.writer.append(Vec::new(), operations.clone()).await.unwrap();
        operations.iter().for_each(|it| self.registry.apply_operation(it));
    }
}

#[tokio::test]
async fn a_sim_put_into_another_board_is_that_one_s_alone() {
    let scene = Scene::new().await;
    scene.make_ready(IMSI).await;
    scene.order_for_other(IMSI).await;
    // The board's own word takes it from nobody.
    scene.record(telemetry(&other(), "customer_mngt", &json!({"imsi": IMSI}))).await;
    assert_eq!((scene.row_of(&other()).await.imsi, scene.by_sim(IMSI)), (None, Some(board())));
    // What a program brings together is kept together.
    let twice =
        [brought(&envelope(json!({}), THEIRS, IMSI)), brought(&envelope(json!({}), THEIRS, IMSI))];
    let recorded = scene.pipeline.record(twice.into_iter().map(Fact::Event).collect()).await;
    assert_eq!(recorded, Recorded::Alike(Settlement::Committed));

    let scene = scene.again().await;
    assert_eq!(scene.by_sim(IMSI), Some(other()));
    assert_eq!(scene.row_of(&other()).await.imsi.unwrap().expose().as_ref(), IMSI);
    assert_eq!((scene.imsi().await, scene.row().await.imsi_trusted), (None, false));
    let moved = scene.events("lastmile.board.sim_moved").await;
    assert_eq!(moved.len(), 1);
    assert_eq!(moved[0].0.device, board(), "the board that lost it is told of");
    assert_eq!((&moved[0].1["imsi"], &moved[0].1["to"]), (&json!(IMSI), &json!(other().as_str())));

    // That it is inspected again takes nothing from the one that has the SIM now.
    scene.set(4).await.unwrap();
    scene.bring(json!({"imei": IMEI, "STATUS": 0}), IMEI, BENCH).await;
    assert_eq!(scene.status().await, Some(0));
    assert_eq!(scene.by_sim(IMSI), Some(other()));
}

/// What an earlier version left: the row of the one board and the name of the other.
#[tokio::test]
async fn a_sim_whose_name_stayed_behind_is_made_whole() {
    let scene = Scene::new().await;
    scene.make_ready(IMSI).await;
    scene.order_for_other(STRANGE).await;
    scene.bring(json!({}), THEIRS, STRANGE).await;
    let alias = Alias::new(AliasKind::Imsi, STRANGE).unwrap();
    let (from, to) = (other(), board());
    scene
        .apply(vec![
            Operation::RemoveAlias { tenant: tenant(), device: from, alias: alias.clone() },
            Operation::PutAlias { tenant: tenant(), device: to, alias },
        ])
        .await;
    assert_eq!(scene.by_sim(STRANGE), Some(board()));
    scene.bring(json!({}), THEIRS, STRANGE).await;
    assert_eq!(scene.by_sim(STRANGE), Some(other()));
    assert_eq!(scene.imsi().await.as_deref(), Some(IMSI), "its own stays");
}

#[tokio::test]
async fn only_the_bench_shows_that_a_board_is_back() {
    let scene = Scene::new().await;
    scene.make_ready(IMSI).await;
    scene.set(4).await.unwrap();
    scene.say(json!({"imei": IMEI, "STATUS": 0})).await;
    scene.bring(json!({"STATUS": 0}), IMEI, IMSI).await;
    scene.bring(json!({"STATUS": 0, "imsi": BENCH}), IMEI, STRANGE).await;
    assert_eq!((scene.status().await, scene.imsi().await.as_deref()), (Some(4), Some(IMSI)));
    assert_eq!(scene.refusals().await, ["4 0 not_returned board"], "told of once");
    scene.say(json!({"imei": IMEI, "imsi": BENCH, "STATUS": 0})).await;
    assert_eq!((scene.status().await, scene.imsi().await), (Some(0), None));

    // Where no bench has a SIM of its own, any but the board's is the bench's.
    let scene = Scene::with("inspection_imsi = []").await;
    scene.make_ready(IMSI).await;
    scene.set(4).await.unwrap();
    scene.bring(json!({"STATUS": 0}), IMEI, IMSI).await;
    assert_eq!(scene.status().await, Some(4));
    scene.bring(json!({"STATUS": 0}), IMEI, STRANGE).await;
    assert_eq!(scene.status().await, Some(0));
}

#[tokio::test]
async fn a_refusal_is_told_of_until_it_is_another() {
    let scene = Scene::new().await;
    for status in [1, 1, 1, 4, 1, 7, 7] {
        scene.say(json!({"STATUS": status})).await;
        // What says no status changes nothing in that.
        scene.say(json!({"imei": IMEI})).await;
    }
    let expected = ["1 only_the_console", "4 only_the_console", "1 only_the_console"];
    let mut expected: Vec<_> = expected.iter().map(|it| format!("null {it} board")).collect();
    expected.push("null null unknown_status board".to_owned());
    assert_eq!(scene.refusals().await, expected);
    let scene = scene.again().await;
    scene.say(json!({"STATUS": 7})).await;
    assert_eq!(scene.refusals().await.len(), 4, "a restart forgets nothing");
    scene.say(json!({"STATUS": 0})).await;
    scene.say(json!({"STATUS": 7})).await;
    assert_eq!(scene.refusals().await.len(), 5, "what was accepted lies between");
}

#[tokio::test]
async fn a_board_that_is_back_is_nobody_s() {
    let scene = Scene::new().await;
    scene.make_ready(IMSI).await;
    let customer = crate::store::CustomerRow {
        tenant: tenant(),
        id: "mine".into(),
        name: None,
        created_at: Timestamp::UNIX_EPOCH,
    };
    let (group, owner) = (Some("OP0081185049".into()), Some("mine".into()));
    let (tenant, device, at) = (tenant(), board(), Timestamp::UNIX_EPOCH);
    scene
        .apply(vec![
            Operation::PutCustomer(customer),
            Operation::SetGroup { tenant: tenant.clone(), device: device.clone(), group },
            Operation::SetOwner {
                tenant: tenant.clone(),
                device: device.clone(),
                customer: owner,
                at,
            },
        ])
        .await;
    scene.set(4).await.unwrap();
    let known = scene.registry.get(&tenant, &device).unwrap();
    assert!(known.group.is_some() && known.customer.is_some(), "until it is back");
    scene.bring(json!({"STATUS": 0}), IMEI, BENCH).await;
    let scene = scene.again().await;
    let known = scene.registry.get(&tenant, &device).unwrap();
    assert_eq!((known.group, known.customer), (None, None));
}

#[tokio::test]
async fn an_order_that_the_observed_sim_contradicts_is_told_of_at_once() {
    let scene = Scene::new().await;
    scene.make_ready(IMSI).await;
    scene.expect(IMSI).await;
    assert_eq!(scene.mismatches().await, [""; 0]);
    scene.expect(STRANGE).await;
    scene.expect(STRANGE).await;
    let told = format!("imsi network {IMSI} order {STRANGE}");
    assert_eq!(scene.mismatches().await, std::slice::from_ref(&told));
    scene.bring(json!({}), IMEI, IMSI).await;
    assert_eq!(scene.mismatches().await, [told], "its next message is no news");
}

#[tokio::test]
async fn a_board_heard_through_others_is_heard() {
    let scene = Scene::new().await;
    let heard = |device: &DeviceId| scene.registry.get(&tenant(), device).unwrap().last_seen_at;
    scene.bring(json!({"STATUS": 0}), IMEI, IMSI).await;
    assert!(heard(&board()).is_some());
    let net = Net { imei: Some(THEIRS.into()), imsi: None };
    let received = Received {
        tenant: tenant(),
        device: other(),
        topic: "beam".into(),
        payload: b"21.5".to_vec(),
        sender: Sender { net, device_ms: None },
    };
    assert_eq!(scene.pipeline.board_message(&received).await, Settlement::Committed);
    assert!(heard(&other()).is_some());
}

#[tokio::test]
async fn who_asks_for_another_does_not_say_what_it_runs() {
    let scene = Scene::new().await;
    let topic = format!("boards/{IMEI}/up/firmware");
    scene.say(json!({"STATUS": 0})).await;
    let asks = async |imei: &str, version: &str| {
        let payload = json!({"imei": imei, "version": version});
        let text = format!(r#"{{"topic":"{topic}","qos":1,"payload":{payload}}}"#);
        let event = telemetry(&board(), &topic, &payload);
        scene.record(Event { data: Json::from_stored(text), ..event }).await;
    };
    asks(THEIRS, "9.9.9").await;
    assert_eq!(scene.row().await.sketch_ver, None);
    asks(IMEI, "0.0.1").await;
    assert_eq!(scene.row().await.sketch_ver.as_deref(), Some("0.0.1"));
}

#[tokio::test]
async fn what_a_program_brings_is_whole_in_the_board_s_event() {
    let scene = Scene::new().await;
    let payloads = json!({"topic": "mine", "qos": 7, "client_id": "x", "timestamp": 5, "t": 1});
    scene.bring(payloads.clone(), IMEI, IMSI).await;
    scene.bring(json!("aGVsbG8="), IMEI, IMSI).await;
    let told = scene.events("lastmile.telemetry.received").await;
    assert_eq!(told[0].1["payload"]["payloads"], payloads);
    assert_eq!((&told[0].1["t"], &told[0].1["topic"]), (&json!(1), &json!("customer_mngt")));
    assert_eq!(told[1].1["payload"]["payloads"], "aGVsbG8=");
}
