//! What providers tell.

use super::scene::{Does, Scene, account, africas_talking, answer, twilio};
use super::*;
use crate::store::SmsStore as _;
use crate::tasks::Handler as _;
use ::sms::{Form, Notified, Twilio};

const ONE: &str = "+254700000001";

async fn sent() -> Scene {
    let scene = Scene::new(africas_talking()).await;
    scene.provider_does(&[answer(&[(ONE, 101)])]);
    scene.ask(vec![draft(1, None)]).await;
    scene.carry_out("k1").await;
    scene
}

#[tokio::test]
async fn a_report_says_what_became_of_what_was_sent() {
    let scene = sent().await;
    let report = |status: &str| format!("id=ATXid_00000001&status={status}&phoneNumber={ONE}");
    assert_eq!(scene.hear(&report("Submitted")).await.unwrap(), Heard::Passed);
    assert_eq!(scene.hear(&report("Success")).await.unwrap(), Heard::Kept);
    // It comes twice, and late ones come behind it.
    assert_eq!(scene.hear(&report("Success")).await.unwrap(), Heard::Passed);
    assert_eq!(scene.hear(&report("Failed")).await.unwrap(), Heard::Passed);
    assert_eq!(scene.state("k1").await, (SmsState::Delivered, None));
    assert_eq!(scene.told().await, ["sent", "delivered"]);
    assert_eq!(*scene.records.0.lock(), [("k1".into(), true)], "it was sent before");
    assert_eq!(scene.counted("lastmile_sms_notices_total", "report"), 1.0);
    assert_eq!(scene.counted("lastmile_sms_notices_total", "known"), 3.0);
}

#[tokio::test]
async fn a_phone_that_was_away_may_be_reached_after_all() {
    let scene = sent().await;
    scene.hear("id=ATXid_00000001&status=AbsentSubscriber").await.unwrap();
    assert_eq!(scene.state("k1").await, (SmsState::Failed, Some("absent".into())));
    scene.hear("id=ATXid_00000001&status=Success").await.unwrap();
    assert_eq!(scene.state("k1").await, (SmsState::Delivered, None));
    let records: Vec<bool> = scene.records.0.lock().iter().map(|(_, sent)| *sent).collect();
    assert_eq!(records, [true, false, true]);
}

#[tokio::test]
async fn a_report_settles_a_text_whose_answer_was_lost() {
    let scene = Scene::new(africas_talking()).await;
    scene.provider_does(&[Does::Cuts]);
    scene.ask(vec![draft(1, None)]).await;
    scene.carry_out("k1").await;
    assert_eq!(scene.state("k1").await, (SmsState::Unknown, None));
    // Of another text to another number.
    let other = scene.hear("id=ATXid_8&status=Success&phoneNumber=%2B254700000008").await;
    assert_eq!(other.unwrap(), Heard::Passed);
    assert_eq!(scene.hear("id=ATXid_9&status=Success").await.unwrap(), Heard::Passed);
    let report = format!("id=ATXid_9&status=Sent&phoneNumber={ONE}");
    assert_eq!(scene.hear(&report).await.unwrap(), Heard::Kept);
    assert_eq!(scene.state("k1").await, (SmsState::Sent, None));
    scene.hear("id=ATXid_9&status=Success").await.unwrap();
    assert_eq!(scene.state("k1").await, (SmsState::Delivered, None));
    assert_eq!(*scene.records.0.lock(), [("k1".into(), true)]);
}

#[tokio::test]
async fn of_two_whose_answers_were_lost_none_is_guessed_nor_one_that_is_old() {
    let scene = Scene::new(africas_talking()).await;
    scene.provider_does(&[Does::Cuts]);
    let second = Draft { key: "second".into(), ..draft(1, None) };
    scene.ask(vec![draft(1, None), second]).await;
    scene.carry_out("k1").await;
    scene.carry_out("second").await;
    let report = format!("id=ATXid_9&status=Success&phoneNumber={ONE}");
    assert_eq!(scene.hear(&report).await.unwrap(), Heard::Passed);
    assert_eq!(scene.counted("lastmile_sms_notices_total", "ambiguous"), 1.0);

    let scene = Scene::new(africas_talking()).await;
    scene.provider_does(&[Does::Cuts]);
    scene.ask(vec![draft(1, None)]).await;
    scene.carry_out("k1").await;
    scene.time.jump_wall(jiff::SignedDuration::from_hours(73));
    assert_eq!(scene.hear(&report).await.unwrap(), Heard::Passed);
    assert_eq!(scene.state("k1").await, (SmsState::Unknown, None));
}

#[tokio::test]
async fn a_report_may_come_before_the_answer() {
    let scene = Scene::new(africas_talking()).await;
    scene.provider_does(&[Does::Stalls]);
    scene.ask(vec![draft(1, None)]).await;
    let task = scene.task("k1").await;
    let trying = scene.sender.carry_out(&task);
    let reporting = async {
        while scene.state("k1").await.0 != SmsState::Sending {
            tokio::task::yield_now().await;
        }
        let report = format!("id=ATXid_00000001&status=Success&phoneNumber={ONE}");
        assert_eq!(scene.hear(&report).await.unwrap(), Heard::Kept);
    };
    tokio::join!(trying, reporting);
    // No answer came, but it is known what became of it.
    assert_eq!(scene.state("k1").await, (SmsState::Delivered, None));
    assert_eq!(*scene.records.0.lock(), [("k1".into(), true)]);
}

#[tokio::test]
async fn whoever_writes_stop_is_left_alone_until_he_writes_start() {
    let scene = sent().await;
    let tenant = Tenant::default();
    let numbers = [draft(1, None).to];
    let is_out = async || !scene.engine.opted_out(&tenant, &numbers).await.unwrap().is_empty();
    let wrote = |text: &str| format!("from=%2B254700000001&to=22384&text={text}&id=1&date=x");
    assert_eq!(scene.hear(&wrote("asante")).await.unwrap(), Heard::Passed);
    assert!(!is_out().await);
    assert_eq!(scene.hear(&wrote("Stop")).await.unwrap(), Heard::Kept);
    assert!(is_out().await);
    assert_eq!(scene.hear(&wrote("START")).await.unwrap(), Heard::Kept);
    assert!(!is_out().await);
    // One who never had a text of ours, and opts out by the provider's own way.
    let out = scene.hear("senderId=TapGives&phoneNumber=%2B254700000009").await;
    assert_eq!(out.unwrap(), Heard::Kept);
    let other = [draft(9, None).to];
    assert_eq!(scene.engine.opted_out(&tenant, &other).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_not_signed_is_not_heard() {
    let scene = Scene::new(twilio()).await;
    scene.provider_does(&[Does::Cuts]);
    scene.ask(vec![draft(1, None)]).await;
    scene.carry_out("k1").await;
    let id = scene.batch("k1").await.remove(0).id;
    let url = format!("https://gw.example/sms/twilio/secret/default/{id}");
    let body = "MessageSid=SM1&MessageStatus=delivered&To=%2B254700000001";
    let signature = Twilio::new(account()).signature(&url, &Form::parse(body.as_bytes()).unwrap());
    let tenant = Tenant::default();
    let hear = async |signature: Option<&str>, id: &str| {
        let notified = Notified { url: &url, signature, body: body.as_bytes() };
        scene.notices.hear(&notified, Some((&tenant, id))).await
    };
    assert!(matches!(hear(None, &id).await, Err(NotHeard::Notice(_))));
    assert!(matches!(hear(Some("bm8="), &id).await, Err(NotHeard::Notice(_))));
    assert_eq!(scene.state("k1").await, (SmsState::Unknown, None));
    // Its address names the text, so that the lost answer is no matter.
    assert_eq!(hear(Some(&signature), "01J").await.unwrap(), Heard::Passed);
    assert_eq!(hear(Some(&signature), &id).await.unwrap(), Heard::Kept);
    assert_eq!(scene.state("k1").await, (SmsState::Delivered, None));
    assert_eq!(scene.counted("lastmile_sms_notices_total", "unsigned"), 2.0);
}
