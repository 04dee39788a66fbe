//! Profiles on trial, holds, agreements and plans, as an operator meets them.

use super::scene::{Answer, BOARD, ROUTER, Scene, id, other};
use crate::files;
use crate::profiles::{Keeper, KeeperParts, Metrics, Outcome, Profiles, TakenAs, Texts};
use crate::store::{Operation, Page};
use axum::http::StatusCode;
use config::Config;
use model::{DeviceFacts, NameEntry, Observation, Reading, Redacted, Tenant};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Devices of the model that the profiles are for.
const DEVICES: usize = 200;

/// A profile for them that says this.
fn profile(rules: &str) -> String {
    format!(
        "name = \"house\"\ndescription = \"a house\"\nmatch.model = [\"X1\"]\n{rules}\n\
         [[parameter]]\npath = \"Device.Time.NTPServer1\"\ntemplate = \"{{{{ tenant.ntp }}}}\"\n"
    )
}

/// A scene whose gateway reads profiles from a folder.
struct House {
    scene: Scene,
    folder: TempDir,
}

fn device(n: usize) -> String {
    format!("cwmp:00259E-X1-{n:04}")
}

impl House {
    /// With devices that the shipped profiles are not for, and one profile that holds for them.
    async fn new() -> Self {
        let (scene, folder) = (Scene::new().await, tempfile::tempdir().unwrap());
        for n in 0..DEVICES {
            let facts = DeviceFacts {
                oui: Some("00259E".into()),
                product_class: Some("X1".into()),
                model: Some("X1".into()),
                ..DeviceFacts::default()
            };
            scene.meet(&Tenant::default(), &device(n), facts).await;
            let now = scene.state.clock.now().wall;
            scene.state.registry.seen(&Tenant::default(), &id(&device(n)), now, None);
        }
        let house = Self { scene, folder };
        house.write("house.toml", &profile(""));
        house.write("values", "[default]\nntp = \"a.example\"\n");
        house.configure(0, "0s");
        assert_eq!(house.reload().await.json["outcome"], "settled");
        house.configure(10, "0s");
        house
    }

    fn configure(&self, share: u32, wait: &str) {
        self.scene.state.keeper.set_options(self.options(share, wait));
    }

    fn options(&self, share: u32, wait: &str) -> config::Provisioning {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let file = format!(
            "[provisioning]\nprofiles = {:?}\nvalues_file = {:?}\ncanary_share = {share}\n\
             canary_wait = \"{wait}\"\nchanges_per_hour_max = 3\n",
            self.folder.path().display().to_string(),
            path("values"),
        );
        Config::parse(&file).unwrap().provisioning
    }

    fn write(&self, name: &str, text: &str) {
        files::write_new_secret(&self.folder.path().join(name), Redacted(text.to_owned())).unwrap();
    }

    async fn reload(&self) -> Answer {
        self.scene.call("POST /api/v1/profiles/reload", Some(json!({}))).await
    }

    async fn trial(&self) -> Value {
        self.scene.call("GET /api/v1/profiles", None).await.json["trial"].clone()
    }

    fn profiles(&self) -> &Arc<Profiles> {
        self.scene.state.keeper.profiles()
    }

    /// The devices for which the candidate holds.
    fn canaries(&self) -> Vec<String> {
        let state = self.profiles().state();
        let Some(on_trial) = &state.trial else { return Vec::new() };
        let has_it = |name: &String| {
            Arc::ptr_eq(
                &self.profiles().set_for(&Tenant::default(), &id(name)),
                &on_trial.candidate.set,
            )
        };
        (0..DEVICES).map(device).filter(has_it).collect()
    }

    /// These devices say that they fared so with what they were given.
    async fn note(&self, devices: &[String], outcome: Outcome) {
        for name in devices {
            let (tenant, id) = (Tenant::default(), id(name));
            let device = self.scene.state.registry.get(&tenant, &id).unwrap();
            let loaded = self.profiles().loaded_for(&tenant, &id);
            let revision = loaded.layers(&device).revision;
            self.profiles().note(&tenant, &id, revision, outcome);
        }
        self.scene.state.keeper.look().await;
    }
}

#[tokio::test]
async fn a_change_goes_to_a_share_and_then_to_all() {
    let house = House::new().await;
    let before = house.profiles().generation();
    house.write("house.toml", &profile("layer = 7"));
    let taken = house.reload().await.json;
    assert_eq!((&taken["outcome"], &taken["touched"]), (&json!("trial"), &json!(DEVICES)));
    assert!(house.profiles().generation() > before, "devices are decided anew");
    let canaries = house.canaries();
    assert_eq!(taken["canaries"], canaries.len());
    assert!((5..=40).contains(&canaries.len()), "about 10 in a hundred: {}", canaries.len());

    house.scene.state.keeper.look().await;
    assert_eq!(house.trial().await["converged"], 0, "nobody has answered");
    let others: Vec<_> = (0..DEVICES).map(device).filter(|it| !canaries.contains(it)).collect();
    house.note(&others[..3], Outcome::Failed).await;
    assert_eq!(house.trial().await["failed"], 0, "those are not of the trial");
    house.note(&canaries[..1], Outcome::Converged).await;
    let trial = house.trial().await;
    assert_eq!(
        (&trial["converged"], &trial["heard"]),
        (&json!(1), &json!(canaries.len())),
        "one answer of so many says little: {trial:#}"
    );
    house.note(&canaries[1..canaries.len().div_ceil(2)], Outcome::Converged).await;
    assert_eq!(house.trial().await, Value::Null, "it is promoted");
    let shown = house.scene.call("GET /api/v1/profiles/house", None).await.json;
    assert_eq!((&shown["layer"], &shown["state"]), (&json!(7), &json!("settled")));
    assert_eq!(shown["devices"], DEVICES);
    assert_eq!(shown["match"], json!({ "model": ["X1"] }));
    assert!(shown["text"].as_str().unwrap().contains("layer = 7"));
    // What the change would set is counted meanwhile, and may be told of after it.
    let page = Page { after: None, rows_max: 9 };
    let lines = house.scene.state.store.audit(&Tenant::default(), page).await.unwrap();
    let promoted = lines.iter().find(|line| *line.action == *"profiles.promote");
    assert_eq!(promoted.map(|line| &*line.actor), Some("daemon"));
}

#[tokio::test]
async fn too_many_failures_halt_a_trial_until_someone_says_which_way() {
    let house = House::new().await;
    house.write("house.toml", &profile("layer = 7"));
    house.reload().await;
    let canaries = house.canaries();
    let (failed, rest) = canaries.split_at(canaries.len() / 5 + 1);
    house.note(failed, Outcome::Failed).await;
    let trial = house.trial().await;
    assert_eq!((&trial["state"], &trial["failed"]), (&json!("halted"), &json!(failed.len())));
    assert!(trial["cause"].as_str().unwrap().contains("failed"));
    assert_eq!(house.canaries(), failed, "it reaches nobody else");
    house.note(rest, Outcome::Converged).await;
    assert_eq!(house.trial().await["state"], "halted");

    let end = house.scene.call("POST /api/v1/profiles/rollback", None).await.json;
    assert_eq!(end["outcome"], "rejected");
    assert!(house.canaries().is_empty());
    assert_eq!(
        house.reload().await.json["outcome"],
        "rejected",
        "the same files are not tried again"
    );
    let again = json!({ "again": true });
    let again = house.scene.call("POST /api/v1/profiles/reload", Some(again)).await.json;
    assert_eq!(again["outcome"], "trial");
    let end = house.scene.call("POST /api/v1/profiles/promote", None).await.json;
    assert_eq!(end["outcome"], "promoted");
    let none = house.scene.call("POST /api/v1/profiles/promote", None).await;
    assert_eq!(none.code(), "no_trial");
}

#[tokio::test]
async fn a_newer_candidate_replaces_an_older_and_the_settled_one_ends_it() {
    let house = House::new().await;
    for (text, outcome) in [
        (profile("layer = 7"), "trial"),
        (profile("layer = 7"), "unchanged"),
        (profile("layer = 8"), "trial"),
        (profile(""), "withdrawn"),
        (profile(""), "unchanged"),
    ] {
        house.write("house.toml", &text);
        assert_eq!(house.reload().await.json["outcome"], outcome, "{text}");
    }
    // A change that touches nobody need not be tried.
    house.write("other.toml", "name = \"other\"\ndescription = \"d\"\nmatch.model = [\"Y\"]\n");
    let taken = house.reload().await.json;
    assert_eq!((&taken["outcome"], &taken["touched"]), (&json!("settled"), &json!(0)));
}

#[tokio::test]
async fn values_are_on_trial_together_with_profiles() {
    let house = House::new().await;
    house.write("values", "[default]\nntp = \"b.example\"\n");
    let taken = house.reload().await.json;
    assert_eq!((&taken["outcome"], &taken["touched"]), (&json!("trial"), &json!(DEVICES)));
    let canaries = house.canaries();
    let ntp = |name: &str| {
        let loaded = house.profiles().loaded_for(&Tenant::default(), &id(name));
        loaded.values(&Tenant::default())["ntp"].as_str().map(str::to_owned)
    };
    let other = (0..DEVICES).map(device).find(|it| !canaries.contains(it)).unwrap();
    assert_eq!(ntp(&canaries[0]).as_deref(), Some("b.example"));
    assert_eq!(ntp(&other).as_deref(), Some("a.example"));
}

#[tokio::test]
async fn faulty_files_change_nothing_and_every_fault_is_told() {
    let house = House::new().await;
    let before = house.profiles().generation();
    house.write("house.toml", &profile("layer = \"high\"\nweight = 3"));
    house.write("values", "[default]\nntp = \n");
    let answer = house.reload().await;
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::UNPROCESSABLE_ENTITY, "faulty_profiles")
    );
    let faults = answer.json["faults"].as_array().unwrap();
    let lines: Vec<_> = faults.iter().map(|fault| &fault["line"]).collect();
    assert_eq!(lines, [&json!(4), &json!(5), &json!(2)], "{answer:?}");
    assert!(faults[0]["file"].as_str().unwrap().ends_with("/house.toml"), "{answer:?}");
    assert_eq!(house.profiles().generation(), before);
    assert_eq!(house.trial().await, Value::Null);
}

#[tokio::test]
async fn a_trial_goes_on_after_a_restart() {
    let house = House::new().await;
    house.configure(10, "1h");
    house.write("house.toml", &profile("layer = 7"));
    house.reload().await;
    let canaries = house.canaries();
    let answered = canaries.len().div_ceil(2);
    house.note(&canaries[..answered], Outcome::Converged).await;
    let state = &house.scene.state;
    let rows = state.store.steering().await.unwrap();
    let reopen = |texts: Texts| async {
        let parts = KeeperParts {
            profiles: Arc::default(),
            registry: Arc::clone(&state.registry),
            plans: Arc::clone(&state.plans),
            holds: Arc::clone(&state.holds),
            writer: state.writer.clone(),
            vault: state.vault.clone(),
            clock: state.clock,
            metrics: Metrics::new(&prometheus::Registry::new()).unwrap(),
        };
        let loaded = texts.load().unwrap();
        let opened = Keeper::open(parts, house.options(10, "0s"), loaded, &rows).await.unwrap();
        let (keeper, at_start) = opened;
        (keeper.take(at_start.unwrap(), None, false).await.unwrap().outcome, keeper)
    };
    let read = || Texts::read(&house.options(10, "0s")).unwrap();
    let (outcome, keeper) = reopen(read()).await;
    assert_eq!(outcome, TakenAs::Unchanged);
    let (before, after) = (house.profiles().state(), keeper.profiles().state());
    assert_eq!(before.trial.as_ref().unwrap().trial, after.trial.as_ref().unwrap().trial);
    assert_eq!(keeper.profiles().fared().converged, answered, "what devices said is kept");
    keeper.look().await;
    assert!(keeper.profiles().state().trial.is_none(), "and so it can be promoted");

    // The files were put back while the daemon was away.
    house.write("house.toml", &profile(""));
    let (outcome, keeper) = reopen(read()).await;
    assert_eq!(outcome, TakenAs::Withdrawn);
    assert!(keeper.profiles().state().trial.is_none());
}

#[tokio::test]
async fn a_hold_keeps_writes_back_and_nothing_else() {
    let scene = Scene::furnished().await;
    let send = |kind: Value| {
        let scene = &scene;
        async move {
            let url = format!("POST /api/v1/devices/{}/commands", ROUTER.replace('%', "%25"));
            scene.call(&url, Some(kind)).await.json["id"].as_str().unwrap().to_owned()
        }
    };
    let hold = json!({ "model": "HG8245", "reason": "they lose their line" });
    let made = scene.call("POST /api/v1/hold", Some(hold)).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let write = send(json!({ "kind": "set_parameters", "values": { "Device.A": "1" } })).await;
    let read = send(json!({ "kind": "get_parameters", "names": ["Device.A"] })).await;
    let queued = || {
        let commands = scene.state.desk.queued(&Tenant::default(), &id(ROUTER));
        commands.iter().map(|it| it.id.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(queued(), std::slice::from_ref(&read));
    let shown = scene.call(&format!("GET /api/v1/commands/{write}"), None).await.json;
    assert_eq!((&shown["state"], &shown["held"]), (&json!("queued"), &json!(true)));
    let shown = scene.call(&format!("GET /api/v1/commands/{read}"), None).await.json;
    assert_eq!(shown["held"], Value::Null);

    let id = made.json["id"].as_str().unwrap();
    let list = scene.call("GET /api/v1/hold", None).await.json;
    assert_eq!(list["items"][0]["reason"], "they lose their line");
    let lifted = scene.call(&format!("DELETE /api/v1/hold/{id}"), None).await;
    assert_eq!(lifted.status, StatusCode::NO_CONTENT);
    assert_eq!(queued(), [write, read]);
    let gone = scene.call(&format!("DELETE /api/v1/hold/{id}"), None).await;
    assert_eq!(gone.code(), "no_such_hold");
    assert_eq!(scene.last_audit().await.1, "hold.lift");
}

#[tokio::test]
async fn a_tenant_holds_its_own_devices_alone() {
    let scene = Scene::furnished().await;
    let stranger = scene.make_token(&other(), "admin").await;
    let call = |call: &'static str, body: Option<Value>| {
        let (scene, stranger) = (&scene, stranger.clone());
        async move { scene.call_as(Some(&stranger), call, body).await }
    };
    let hold = json!({ "tenant": "default", "reason": "mine" });
    assert_eq!(call("POST /api/v1/hold", Some(hold)).await.code(), "forbidden");
    let own = call("POST /api/v1/hold", Some(json!({ "reason": "ours" }))).await.json;
    assert_eq!(own["tenant"], "other");
    assert!(!scene.state.holds.is_held(&Tenant::default(), None));
    assert!(scene.state.holds.is_held(&other(), None));
    let all = scene.call("POST /api/v1/hold", Some(json!({ "reason": "fire" }))).await.json;
    let lift = format!("DELETE /api/v1/hold/{}", all["id"].as_str().unwrap());
    assert_eq!(scene.call_as(Some(&stranger), &lift, None).await.code(), "forbidden");
    let listed = call("GET /api/v1/hold", None).await.json;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2, "what holds its devices is shown");
    for body in [json!({}), json!({ "reason": "" }), json!({ "reason": "x", "model": "" })] {
        assert_eq!(call("POST /api/v1/hold", Some(body)).await.code(), "invalid_body");
    }
}

#[tokio::test]
async fn more_changes_than_an_hour_allows_need_a_second_person() {
    let house = House::new().await;
    let scene = &house.scene;
    house.configure(100, "0s");
    house.write("house.toml", &profile("layer = 7"));
    assert_eq!(house.reload().await.json["outcome"], "settled");
    let may = |n: usize| {
        let now = scene.state.clock.now();
        scene.state.holds.may_change(&Tenant::default(), &id(&device(n)), now)
    };
    assert_eq!((0..10).filter(|n| may(*n)).count(), 3);
    let waiting = scene.call("GET /api/v1/approvals", None).await.json["items"][0].clone();
    assert_eq!((&waiting["state"], &waiting["devices"]), (&json!("pending"), &json!(7)));
    assert_eq!(waiting["changed_by"], "admin");
    let agree = format!("POST /api/v1/approvals/{}", waiting["id"].as_str().unwrap());
    assert_eq!(scene.call(&agree, None).await.code(), "same_person");
    let another = json!({ "name": "another", "role": "admin" });
    let another = scene.call("POST /api/v1/tokens", Some(another)).await.json["token"].clone();
    let agreed = scene.call_as(another.as_str(), &agree, None).await;
    assert_eq!(agreed.code(), "same_person", "by another name");
    let bob = scene.make_token(&Tenant::default(), "operator").await;
    let agreed = scene.call_as(Some(&bob), &agree, None).await;
    assert_eq!((agreed.status, &agreed.json["agreed_by"]), (StatusCode::OK, &json!("operator")));
    assert_eq!((0..10).filter(|n| may(*n)).count(), 10);
    assert_eq!(scene.call_as(Some(&bob), &agree, None).await.code(), "conflict");
    let rows = scene.state.store.steering().await.unwrap().hours;
    assert!(rows[0].approval.is_some(), "it outlasts the process");
}

/// Teaches that a device has these parameters.
async fn teach(scene: &Scene, device: &str, values: &[(&str, &str)]) {
    let entry = |path: &str| NameEntry { path: path.into(), writable: true };
    let entries = values.iter().map(|(path, _)| entry(path)).collect();
    let names = Observation::Names { path: "Device.".into(), next_level: false, entries };
    let reading = |(path, value): &(&str, &str)| Reading {
        path: (*path).into(),
        value: Redacted((*value).into()),
        xsd_type: "string".into(),
    };
    let values = values.iter().map(reading).collect();
    let values = Observation::Values { asked: Vec::new(), values };
    let at = scene.state.clock.now().wall;
    let models = &scene.state.data_models;
    models.learn_whole(&Tenant::default(), &id(device), vec![names, values], at).await.unwrap();
}

#[tokio::test]
async fn a_plan_says_what_would_be_sent_and_sends_nothing() {
    let house = House::new().await;
    let scene = &house.scene;
    let known = [("Device.Time.NTPServer1", "old.example"), ("Device.A.Password", "hunter2")];
    teach(scene, &device(1), &known).await;
    teach(scene, &device(2), &[("Device.Time.NTPServer1", "a.example")]).await;
    let plan = |body: Value| async { scene.call("POST /api/v1/plans", Some(body)).await };
    let of_one = plan(json!({ "device": device(1) })).await.json;
    let change = &of_one["changes"][0];
    assert_eq!((&change["old"], &change["new"]), (&json!("old.example"), &json!("a.example")));
    assert_eq!(change["rule"], json!({ "profile": "house", "line": 5 }));
    assert_eq!(of_one["profiles"].as_array().unwrap().last().unwrap(), "house");
    assert_eq!(plan(json!({ "device": device(2) })).await.json["changes"], json!([]));

    let fleet = plan(json!({ "fleet": true, "limit": 1 })).await.json;
    assert_eq!((&fleet["devices"], &fleet["changed"]), (&json!(DEVICES), &json!(1)));
    assert_eq!(fleet["parameters"], 1);
    assert_eq!(fleet["by_model"], json!({ "X1": { "devices": 1, "parameters": 1 } }));
    assert_eq!(fleet["examples"][0]["device"], device(1));

    let secret = profile("")
        + "[[parameter]]\npath = \"Device.A.Password\"\nvalue = \"s3cret99\"\nsecret = true\n";
    scene
        .commit(vec![Operation::Claim { tenant: Tenant::default(), device: id(&device(1)) }])
        .await;
    let changed = plan(json!({ "device": device(1), "profile": secret })).await;
    assert_eq!(changed.json["changes"].as_array().unwrap().len(), 2, "{changed:?}");
    assert!(!changed.text.contains("hunter2") && !changed.text.contains("s3cret99"));
    let fleet = plan(json!({ "fleet": true, "profile": secret })).await.json;
    assert_eq!((&fleet["touched"], &fleet["parameters"]), (&json!(DEVICES), &json!(2)));
    assert_eq!(house.trial().await, Value::Null, "nothing is taken over");
}

#[tokio::test]
async fn what_cannot_be_planned_is_refused_in_words() {
    let house = House::new().await;
    house.scene.meet(&Tenant::default(), BOARD, DeviceFacts::default()).await;
    for (body, code) in [
        (json!({}), "invalid_body"),
        (json!({ "device": device(1), "fleet": true }), "invalid_body"),
        (json!({ "fleet": true, "limit": 1_001 }), "invalid_body"),
        (json!({ "device": "nobody" }), "no_such_device"),
        (json!({ "fleet": true, "profile": "nobody" }), "no_such_profile"),
        (json!({ "fleet": true, "profile": "name = " }), "faulty_profiles"),
        (json!({ "fleet": true, "profile": "layer = 3" }), "faulty_profiles"),
        (json!({ "fleet": true, "profile": profile("weight = 1") }), "faulty_profiles"),
    ] {
        let answer = house.scene.call("POST /api/v1/plans", Some(body.clone())).await;
        assert_eq!(answer.code(), code, "{body}");
    }
    // A board has no parameters; it is planned for all the same, and nothing is found.
    let board = house.scene.call("POST /api/v1/plans", Some(json!({ "device": BOARD }))).await;
    assert_eq!((board.status, &board.json["changes"]), (StatusCode::OK, &json!([])));
}

#[tokio::test]
async fn what_a_change_would_set_is_counted_and_told() {
    let house = House::new().await;
    teach(&house.scene, &device(1), &[("Device.Time.NTPServer1", "old.example")]).await;
    house.write("house.toml", &profile("layer = 7"));
    house.reload().await;
    let counted = async {
        while house.trial().await["parameters"] != 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), counted).await.expect("it is counted");
    let (_, action, _, detail) = house.scene.last_audit().await;
    assert_eq!(action, "profiles.count");
    assert_eq!(detail, json!({ "devices": DEVICES, "parameters": 1 }));
    let rows = house.scene.state.store.steering().await.unwrap();
    assert_eq!(rows.profiles.len(), 2, "settled and candidate");
    assert!(!matches!(rows.profiles[0].files.expose().as_slice(), [b'{', ..]), "sealed");
}
