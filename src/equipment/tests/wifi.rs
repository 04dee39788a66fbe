//! What a customer changes of his radio networks, beside a hub that has a word of its own.

use super::*;

#[tokio::test]
async fn a_change_of_wifi_lasts_until_the_hub_changes_its_own_word() {
    let scene = Scene::new().await;
    let device = scene.meet("1C61B4", "2227A1", &[]).await;
    scene.script([document(wifi("One"), "1"), Ok(Got::NotModified)]);
    let (_, before, _) = known(scene.values(&device).await);
    let change = |ssid: &str| {
        let text = json!({ "wifi": [{ "band": "5GHz", "ssid": ssid }] }).to_string();
        parse_wifi(text.as_bytes()).unwrap().value.wifi
    };
    let tenant = Tenant::default();
    let facts = scene.registry.facts(&tenant, &device).unwrap();
    let target = WifiTarget::Device { id: &device, facts: &facts };
    for ssid in ["Mine", "Mine 2"] {
        let operation = scene.equipments.wifi_change(&tenant, target, &change(ssid)).await.unwrap();
        scene.writer.transact(vec![operation.clone()]).await.unwrap();
        scene.equipments.committed(&operation);
        assert_eq!(scene.fresh(&device, scene.clock.now()), None);
    }
    let (equipment, after, _) = known(scene.values(&device).await);
    assert_eq!(ssid(&equipment), "Mine 2");
    assert!(equipment.wifi[0].passphrase.is_some(), "the rest is the hub's");
    assert_ne!(before, after);
    // The hub changes something else: the customer's change stays, over a restart too.
    let scene = scene.again().await;
    let mut other = wifi("One");
    other["upnp"] = json!(true);
    scene.script([
        document(other, "2"),
        document(wifi("Support"), "3"),
        document(wifi("One"), "4"),
    ]);
    let (equipment, ..) = known(scene.values(&device).await);
    assert_eq!((ssid(&equipment), equipment.upnp), ("Mine 2", Some(true)));
    // The hub changes its word on WiFi: that goes, and the change is over for good.
    assert_eq!(ssid(&known(scene.values(&device).await).0), "Support");
    assert_eq!(ssid(&known(scene.values(&device).await).0), "One");
}

fn change(ssid: &str) -> Vec<equipment::Wifi> {
    let text = json!({ "wifi": [{ "band": "5GHz", "ssid": ssid }] }).to_string();
    parse_wifi(text.as_bytes()).unwrap().value.wifi
}

impl Scene {
    /// A customer's change as it would be committed now.
    async fn portal(&self, device: &DeviceId, wifi: &[equipment::Wifi]) -> Operation {
        let tenant = Tenant::default();
        let facts = self.registry.facts(&tenant, device).unwrap();
        let target = WifiTarget::Device { id: device, facts: &facts };
        self.equipments.wifi_change(&tenant, target, wifi).await.unwrap()
    }

    async fn commit(&self, operation: &Operation) -> Result<(), WriteError> {
        self.writer.transact(vec![operation.clone()]).await?;
        self.equipments.committed(operation);
        Ok(())
    }
}

#[tokio::test]
async fn what_is_changed_while_the_hub_is_asked_is_not_passed_over() {
    // Whatever the hub says about WiFi by then; the last answer is another word of its own.
    for (before, answer) in [
        (None, wifi("One")),
        (None, wifi("Support")),
        (Some("Mine"), wifi("One")),
        (Some("Mine"), wifi("Support")),
    ] {
        let scene = Scene::new().await;
        let device = scene.meet("1C61B4", "2227A1", &[]).await;
        scene.script([document(wifi("One"), "1")]);
        known(scene.values(&device).await);
        if let Some(ssid) = before {
            scene.commit(&scene.portal(&device, &change(ssid)).await).await.unwrap();
        }
        scene.script([document(answer.clone(), "2")]);
        scene.answer(Some(0));
        let first = async {
            let values = scene.values(&device).await;
            scene.answer(None);
            values
        };
        let portal = async {
            scene.is_asked(1).await;
            scene.commit(&scene.portal(&device, &change("Portal")).await).await.unwrap();
            // Who asks from here on is not answered by what was asked before.
            let answer = async {
                scene.is_asked(2).await;
                scene.answer(Some(1));
            };
            let (values, ()) = tokio::join!(scene.values(&device), answer);
            assert_eq!(ssid(&known(values).0), "Portal");
        };
        let (values, ()) = tokio::join!(first, portal);
        known(values);
        let fresh = scene.fresh(&device, scene.clock.now());
        let (equipment, version, _) = known(scene.values(&device).await);
        assert_eq!(ssid(&equipment), "Portal", "{before:?} {answer}");
        assert!(fresh.is_none_or(|it| it == version), "the old values are not what it has");
    }
}

#[tokio::test]
async fn of_two_changes_at_once_none_is_lost() {
    let scene = Scene::new().await;
    let device = scene.meet("1C61B4", "2227A1", &[]).await;
    let (first, second) = (change("First"), change("Second"));
    // Before the hub was heard, over nothing, and over a change.
    for _ in 0..3 {
        let (one, other) =
            tokio::join!(scene.portal(&device, &first), scene.portal(&device, &second));
        scene.commit(&one).await.unwrap();
        let refused = scene.commit(&other).await;
        let conflict =
            matches!(refused, Err(WriteError::Refused(crate::store::OperationError::Conflict(_))));
        assert!(conflict, "{refused:?}");
        // The hub is heard between what is read and what is written.
        let late = scene.portal(&device, &second).await;
        scene.script([document(wifi("One"), "1")]);
        known(scene.values(&device).await);
        let is_heard = scene.store.hub_memory(&Tenant::default(), &device).await.unwrap().seen();
        let made = scene.commit(&late).await;
        let Operation::Equipment(EquipmentChange::PutOverlay { expect, .. }) = late else {
            panic!()
        };
        assert_eq!(made.is_ok(), expect == is_heard);
    }
}
