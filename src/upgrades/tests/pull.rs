//! Boards that ask.
#![expect(clippy::disallowed_methods, reason = "a test puts an image's bytes where they belong")]

use super::*;
use crate::boards::Question;
use firmware::Ticket;
use model::{Payload, QoS};

const GROUP: &str = "OP0081185049";

fn board(number: usize) -> DeviceId {
    DeviceId::mqtt(&format!("board{number}")).unwrap()
}

impl Scene {
    /// With boards of the group that run 0.0.9, and an image for the group that brings 0.0.10.
    async fn of_boards(count: usize, options: UpgradeOptions) -> Self {
        let scene = Self::on(tempfile::tempdir().unwrap(), options).await;
        for number in 0..count {
            scene.runs(number, "0.0.9").await;
            scene.put_into(number, GROUP).await;
        }
        scene.put_sketch("sketch", "0.0.10").await;
        scene
    }

    async fn put_sketch(&self, name: &str, version: &str) {
        self.put_sketch_of(GROUP, name, version).await;
    }

    async fn put_sketch_of(&self, group: &str, name: &str, version: &str) {
        let folder = self.folder.path().join("images/default");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), b"x").unwrap();
        let image = Image {
            tenant: tenant(),
            name: ImageName::new(name).unwrap(),
            model: None,
            group: Some(Label::new(group).unwrap()),
            version: Some(Label::new(version).unwrap()),
            file_type: FileType::default(),
            bytes: 1,
            sha256: Sha256([u8::try_from(version.len()).unwrap(); 32]),
            signature: None,
            created_at: self.upgrades.now(),
        };
        let row = ImageRow { image, file: name.into() };
        let put = Operation::PutImage { row, may_replace: true };
        self.upgrades.parts.writer.transact(vec![put.clone()]).await.unwrap();
        self.upgrades.parts.transfers.committed(&put);
    }

    async fn put_into(&self, number: usize, group: &str) {
        let (device, group) = (board(number), Some(group.into()));
        let join = Operation::SetGroup { tenant: tenant(), device, group };
        self.upgrades.parts.writer.transact(vec![join.clone()]).await.unwrap();
        self.upgrades.parts.registry.apply_operation(&join);
    }

    async fn want(&self, group: &str, version: &str) {
        let row = GroupFirmwareRow {
            tenant: tenant(),
            group: group.into(),
            image: None,
            version: Some(version.into()),
            window: None,
            actor: "op".into(),
            since: self.upgrades.now(),
        };
        self.upgrades.set_group(row).await.unwrap();
    }

    async fn target(&self, number: usize) -> Option<Box<str>> {
        let device = self.upgrades.parts.registry.get(&tenant(), &board(number)).unwrap();
        self.upgrades.versions(&device).await.unwrap().target
    }

    async fn runs(&self, number: usize, version: &str) {
        let facts =
            DeviceFacts { software_version: Some(version.into()), ..DeviceFacts::default() };
        self.says(&board(number), facts).await;
    }

    async fn order_sketch(&self, window: Option<Json>) -> Made {
        let target = Target { group: Some(GROUP.into()), ..Target::default() };
        let image = ImageName::new("sketch").unwrap();
        let new = NewRollout {
            tenant: tenant(),
            name: None,
            actor: "op".into(),
            key: None,
            order: Order { target: Some(target), image, brake: Brake::Wave(100), ..order(&[100]) },
            window,
        };
        self.upgrades.order(new).await.unwrap()
    }

    async fn asks(&self, number: usize) -> Answer {
        self.upgrades.asked(&tenant(), &board(number), None).await
    }

    /// The ticket in the address that a board was told.
    fn ticket(&self, answer: &Answer) -> Ticket {
        let Answer::Update { url, .. } = answer else { panic!("{answer:?}") };
        let token = url.split('/').nth(2).unwrap();
        self.upgrades.parts.transfers.open_image(token, "sketch").unwrap().0
    }
}

fn reason(answer: &Answer) -> (&str, Option<u64>) {
    let Answer::None { reason, retry_after_s, .. } = answer else { panic!("{answer:?}") };
    (reason.as_deref().unwrap_or_default(), *retry_after_s)
}

fn stage(made: &Made, number: usize) -> (Stage, u16) {
    made.entry.with(|it| it.attempt(&board(number)).map(|(_, it)| (it.stage, it.tries))).unwrap()
}

#[tokio::test]
async fn who_asks_again_hears_the_same_until_the_try_is_over() {
    let scene = Scene::of_boards(1, options()).await;
    let made = scene.order_sketch(None).await;
    let first = scene.asks(0).await;
    let Answer::Update { group, version, url, size, .. } = &first else { panic!("{first:?}") };
    assert_eq!((group.as_deref(), &**version, *size), (Some(GROUP), "0.0.10", 1));
    assert!(url.starts_with("/firmware/"), "nobody says how boards reach us: {url}");
    let ticket = scene.ticket(&first);
    assert_eq!(scene.ticket(&scene.asks(0).await).command, ticket.command);
    assert_eq!(stage(&made, 0), (Stage::Offered, 1));
    assert!(scene.upgrades.fetching(&ticket).await);
    assert_eq!(stage(&made, 0), (Stage::Downloading, 1));
    assert_eq!(scene.ticket(&scene.asks(0).await).command, ticket.command);
    scene.upgrades.fetched(&ticket).await;
    assert_eq!(stage(&made, 0), (Stage::Applied, 1));
    scene.runs(0, "0.0.10").await;
    scene.upgrades.heard(&tenant(), &board(0)).await;
    assert_eq!(stage(&made, 0), (Stage::Confirmed, 1));
    assert_eq!(reason(&scene.asks(0).await), ("", None));
    assert!(!scene.upgrades.fetching(&ticket).await, "the try is over");
}

#[tokio::test]
async fn a_board_that_comes_back_with_what_it_had_has_failed() {
    let scene = Scene::of_boards(2, options()).await;
    let made = scene.order_sketch(None).await;
    let ticket = scene.ticket(&scene.asks(0).await);
    scene.upgrades.fetching(&ticket).await;
    scene.upgrades.fetched(&ticket).await;
    let answer = scene.asks(0).await;
    let (why, again) = reason(&answer);
    assert_eq!(why, "it restarted with the version that it had");
    assert!((400..=800).contains(&again.unwrap()), "{answer:?}");
    assert_eq!(stage(&made, 0), (Stage::Failed, 1));
    assert!(!scene.upgrades.fetching(&ticket).await);
}

#[tokio::test]
async fn holds_windows_pauses_and_places_are_seen_at_the_question() {
    let scene = Scene::of_boards(3, UpgradeOptions { parallel_max: 1, ..options() }).await;
    let made = scene.order_sketch(None).await;
    assert!(matches!(scene.asks(0).await, Answer::Update { .. }));
    let answer = scene.asks(1).await;
    let (why, again) = reason(&answer);
    assert_eq!(why, "as many devices fetch an image as may");
    assert!((50..=60).contains(&again.unwrap()), "{answer:?}");
    scene.upgrades.pause(&tenant(), &made.entry.id, "op").await.unwrap();
    assert_eq!(stage(&made, 0), (Stage::Waiting, 1), "what was not begun is taken back");
    let answer = scene.asks(0).await;
    assert!(reason(&answer).0.starts_with("the rollout is paused"), "{answer:?}");
    scene.upgrades.resume(&tenant(), &made.entry.id, "op").await.unwrap();
    let hold = |is_held| {
        let id = || "h".into();
        let row = HoldRow {
            id: id(),
            owner: tenant(),
            tenant: Some(tenant()),
            model: None,
            reason: "".into(),
            actor: "op".into(),
            created_at: scene.upgrades.now(),
        };
        let steer =
            if is_held { Steering::PutHold(row) } else { Steering::RemoveHold { id: id() } };
        scene.upgrades.parts.holds.committed(&Operation::Steer(steer));
    };
    hold(true);
    assert_eq!(reason(&scene.asks(0).await).0, "writing to devices is on hold");
    hold(false);
    assert!(matches!(scene.asks(0).await, Answer::Update { .. }));
    hold(true);
    assert_eq!(reason(&scene.asks(0).await).0, "writing to devices is on hold");
}

#[tokio::test]
async fn a_closed_window_says_when_it_opens() {
    let scene = Scene::of_boards(1, options()).await;
    // A minute of the night half a day from now.
    let hour = (scene.upgrades.now().as_second() / 3_600 + 12) % 24;
    let window = format!(r#"{{"from":"{hour:02}:00","to":"{hour:02}:01","zone":"UTC"}}"#);
    scene.order_sketch(Some(Json::from_stored(window))).await;
    let answer = scene.asks(0).await;
    let (why, again) = reason(&answer);
    assert_eq!(why, "its window is closed");
    assert!((10 * 3_600..14 * 3_600).contains(&again.unwrap()), "{answer:?}");
}

#[tokio::test]
async fn an_offer_outlives_a_kill() {
    let scene = Scene::of_boards(1, options()).await;
    let made = scene.order_sketch(None).await;
    let ticket = scene.ticket(&scene.asks(0).await);
    let id = made.entry.id.clone();
    let scene = scene.killed(options()).await;
    assert!(scene.upgrades.fetching(&ticket).await);
    assert_eq!(scene.ticket(&scene.asks(0).await).command, ticket.command);
    let entry = scene.upgrades.rollout(&tenant(), &id).unwrap();
    let tries = entry.with(|it| it.attempt(&board(0)).map(|(_, it)| (it.stage, it.tries)));
    assert_eq!(tries, Some((Stage::Downloading, 1)));
}

#[tokio::test]
async fn a_question_by_mqtt_is_answered_by_a_message_that_is_kept() {
    let scene = Scene::of_boards(2, options()).await;
    scene.order_sketch(None).await;
    let question = |names_other, response_topic: Option<&str>| Question {
        tenant: tenant(),
        device: board(0),
        topic: "boards/board0/down/firmware".into(),
        response_topic: response_topic.map(str::to_owned),
        correlation_data_base64: response_topic.map(|_| "MzM0".to_owned()),
        qos: QoS::AtMostOnce,
        names_other,
    };
    let said = |scene: &Scene| {
        let last = scene.pipeline.decide(&tenant(), &board(0)).pop().unwrap();
        let CommandKind::Publish { topic, payload, qos, answer, correlation_data_base64 } =
            last.kind
        else {
            panic!("{:?}", last.kind)
        };
        let Payload::Json(payload) = payload else { panic!("{payload:?}") };
        assert_eq!((qos, answer, &*last.actor), (QoS::AtMostOnce, false, "firmware"));
        let answer = payload.expose()["answer"].as_str().unwrap().to_owned();
        (answer, topic, correlation_data_base64)
    };
    let usual = "boards/board0/down/firmware";
    scene.upgrades.reply(question(true, None)).await.unwrap();
    assert_eq!(said(&scene), ("unknown_board".into(), usual.into(), None));
    scene.upgrades.reply(question(false, None)).await.unwrap();
    assert_eq!(said(&scene), ("update".into(), usual.into(), None));
    let own = "boards/board0/down/answers/7";
    for (asked, told) in [(own, own), ("boards/board1/down/x", usual), ("#", usual)] {
        scene.upgrades.reply(question(false, Some(asked))).await.unwrap();
        assert_eq!(said(&scene), ("update".into(), told.into(), Some("MzM0".into())), "{asked}");
    }
}

#[tokio::test]
async fn boards_have_a_day_and_more() {
    let scene = Scene::of_boards(1, options()).await;
    let made = scene.order_sketch(None).await;
    let policy =
        |device: &DeviceId| made.entry.with(|it| book::policy(it, device, &scene.upgrades.options));
    let day = Duration::from_secs(24 * 3_600);
    assert!(policy(&board(0)).download_time > day && policy(&board(0)).apply_grace > day);
    assert!(policy(&device(0)).apply_grace < day);
}

#[tokio::test]
async fn who_changes_the_group_is_held_back_by_nothing_of_the_old_one() {
    for began in [false, true] {
        let scene = Scene::of_boards(2, options()).await;
        scene.want(GROUP, "0.0.10").await;
        scene.order_sketch(None).await;
        let ticket = scene.ticket(&scene.asks(0).await);
        if began {
            assert!(scene.upgrades.fetching(&ticket).await);
        }
        scene.put_into(0, "other").await;
        assert_eq!(scene.target(0).await, None, "what the old group should run is not for it");
        assert!(!scene.upgrades.fetching(&ticket).await, "nor the address that it was told");
        scene.put_sketch_of("other", "theirs", "0.1.0").await;
        scene.want("other", "0.1.0").await;
        let answer = scene.asks(0).await;
        let Answer::Update { group, version, .. } = &answer else { panic!("{answer:?}") };
        assert_eq!((group.as_deref(), &**version), (Some("other"), "0.1.0"));
        assert_eq!(scene.target(0).await.as_deref(), Some("0.1.0"));
        assert!(!scene.upgrades.fetching(&ticket).await);
        // Back again it has its turn there again.
        scene.put_into(0, GROUP).await;
        let answer = scene.asks(0).await;
        assert!(matches!(&answer, Answer::Update { version, .. } if &**version == "0.0.10"));
        assert!(matches!(scene.asks(1).await, Answer::Update { .. }), "others are as they were");
    }
}

/// Nobody has asked: what it was to run is over once it is known to be elsewhere.
#[tokio::test]
async fn who_leaves_its_group_leaves_its_rollouts() {
    let scene = Scene::of_boards(1, options()).await;
    let made = scene.order_sketch(None).await;
    scene.asks(0).await;
    assert_eq!(stage(&made, 0).0, Stage::Offered);
    scene.put_into(0, "other").await;
    scene.upgrades.regrouped(&tenant(), &board(0));
    for _ in 0..500 {
        if stage(&made, 0).0 == Stage::Refused {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", stage(&made, 0));
}

#[tokio::test]
async fn who_has_nothing_to_fetch_hears_what_it_should_run() {
    let scene = Scene::of_boards(1, options()).await;
    let said = |answer: Answer| match answer {
        Answer::None { version, .. } => ("none", version.unwrap_or_default()),
        Answer::MissingFile { version, .. } => ("missing_file", version.unwrap_or_default()),
        other => panic!("{other:?}"),
    };
    assert_eq!(said(scene.asks(0).await), ("none", "".into()), "nobody wants anything");
    scene.want(GROUP, "0.0.11").await;
    assert_eq!(said(scene.asks(0).await), ("missing_file", "0.0.11".into()));
    scene.want(GROUP, "0.0.10").await;
    scene.runs(0, "0.0.10").await;
    assert_eq!(said(scene.asks(0).await), ("none", "0.0.10".into()));
    scene.runs(0, "0.0.12").await;
    assert_eq!(said(scene.asks(0).await), ("none", "0.0.10".into()), "it runs a newer one");
}
