//! Money that is claimed for more than one payment.

use super::till::CREDIT;
use super::world::World;
use crate::payments::{Heard, NewPayment};
use crate::store::{Operation, PaymentRow, PaymentStore as _};
use backend::payment::{Claim, Input, Pushed, Queried, State};
use jiff::SignedDuration;
use lastmile_daraja::Behaviour;
use model::{DeviceId, Json, Tenant};

fn phone() -> DeviceId {
    DeviceId::msisdn("+254712300001").unwrap()
}

fn claim() -> Claim {
    Claim {
        checkout: "ws_CO_first".into(),
        code: Some(0),
        amount_cents: Some(10_000),
        number: Some(phone()),
        receipt: Some("RECEIPT001".into()),
    }
}

impl World {
    async fn given(&self, row: &PaymentRow, inputs: &[Input]) -> PaymentRow {
        for input in inputs {
            let taken = self.daemon().payments.take(&row.tenant, &row.id, input, None);
            self.through(taken).await.unwrap();
        }
        self.engine.payment(&row.tenant, &row.id).await.unwrap().unwrap()
    }

    /// One of the same phone and amount, whose push's answer is lost.
    async fn lost(&self, customer: &str) -> PaymentRow {
        let wish = NewPayment {
            tenant: Tenant::default(),
            customer: customer.into(),
            number: phone(),
            amount: 100,
            reference: "LOD1".into(),
            language: "en".into(),
            key: customer.into(),
        };
        let row = self.request(&wish).await.unwrap();
        let lost = [Input::PushDue { attempt: 1 }, Input::Pushed(Pushed::Unknown)];
        self.given(&row, &lost).await
    }

    async fn settled(&self, row: &PaymentRow) {
        let (tenant, now) = (&row.tenant, self.sky.now());
        let detail = Json::empty_object();
        let line = Operation::audit(tenant, now, "operator", "payment.settle", &row.id, detail);
        let settled = self.daemon().payments.settle(tenant, &row.id, Some("RECEIPT001"), &line);
        self.through(settled).await.unwrap();
    }

    async fn hears(&self) -> Heard {
        self.through(self.daemon().payments.called_back(&claim())).await.unwrap()
    }
}

#[tokio::test]
async fn what_an_operator_settled_is_not_credited_to_the_one_who_is_left() {
    let world = World::quiet(1, Behaviour::kind()).await;
    let (one, other) = (world.lost("customer1").await, world.lost("customer2").await);
    assert_eq!(world.hears().await, Heard::Stray, "either may be meant");
    world.settled(&one).await;
    assert_eq!(world.hears().await, Heard::Stray, "said again: that money is credited");
    let other = world.given(&other, &[]).await;
    assert_eq!((other.payment.checkout, other.payment.claim), (None, None));
}

#[tokio::test]
async fn a_prompt_taken_for_ours_is_given_back_when_its_receipt_is_another_s() {
    let world = World::quiet(1, Behaviour::kind()).await;
    let one = world.lost("customer1").await;
    assert_eq!(world.hears().await, Heard::Claimed, "he is the only one");
    let other = world.lost("customer2").await;
    world.settled(&other).await;
    let checkout = claim().checkout;
    let paid = Input::Queried { number: 2, checkout, answer: Queried::Paid };
    let one = world.given(&one, &[paid]).await;
    assert_eq!((one.payment.state, &one.payment.checkout), (State::Requesting, &None));
    assert!(one.payment.check.is_some(), "it goes on without");
    assert_eq!(world.marks(CREDIT).await.len(), 1, "one shilling, one credit");
}

#[tokio::test]
async fn who_repeats_a_callback_neither_fills_the_store_nor_has_the_provider_asked() {
    let world = World::quiet(1, Behaviour::kind()).await;
    let row = world.lost("customer1").await;
    assert_eq!(world.hears().await, Heard::Claimed);
    let kept = async || {
        let steps = world.engine.payment_steps(&row.tenant, &row.id, 1_000).await.unwrap();
        (steps.len(), world.waiting().await.len())
    };
    let before = kept().await;
    for _ in 0..20 {
        assert_eq!(world.hears().await, Heard::Known);
    }
    let payments = &world.daemon().payments;
    for code in 0..200 {
        let forged = Claim { code: Some(1_000 + code % 3), receipt: None, ..claim() };
        world.through(payments.called_back(&forged)).await.unwrap();
    }
    let after = kept().await;
    assert!(after.0 <= before.0 + 3 && after.1 <= before.1 + 3, "{before:?} {after:?}");
    assert_eq!(world.sky.daraja.lock().seen().tokens, 0, "and nobody was called");
}

#[tokio::test]
async fn a_calendar_that_was_set_back_keeps_nobody_waiting() {
    let world = World::quiet(1, Behaviour::kind()).await;
    let row = world.lost("customer1").await;
    let row = world.given(&row, &[Input::CheckDue { number: 1 }]).await;
    assert_eq!(row.payment.state, State::Unresolved);
    let payments = &world.daemon().payments;
    let is_open = async |seconds: i64| {
        let at = world.sky.now() + SignedDuration::from_secs(seconds);
        payments.open_of(&row.tenant, "customer1", at).await.unwrap()
    };
    assert!(is_open(0).await && is_open(200).await);
    assert!(!is_open(400).await, "its time has passed");
    assert!(!is_open(-86_400).await, "and is not counted anew for a day");
}
