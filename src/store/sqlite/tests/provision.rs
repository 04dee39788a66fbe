//! How devices stand to what they should be.

use super::*;
use crate::store::{ProvisionMark, ProvisionRow};
use provisioning::Standing;

fn row(device: &DeviceId, standing: Standing, body: &str) -> ProvisionRow {
    let mark = ProvisionMark { standing, quirks: 5 };
    ProvisionRow { tenant: Tenant::default(), device: device.clone(), mark, body: body.into() }
}

#[tokio::test]
async fn what_is_remembered_is_replaced_and_read_by_itself_and_in_order() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    // Forty first contacts in one group, each with its facts.
    let group: Vec<Write> = (0..40)
        .map(|n| {
            let device = cpe(&format!("{n:02}"));
            let mut event = event(&device, n);
            event.facts = Some(Box::new(facts("X", &[])));
            let put = Operation::PutProvision(row(&device, Standing::New, "first"));
            Write::Append { events: vec![event], operations: vec![put] }
        })
        .collect();
    assert!(store.commit(&group).await.unwrap().iter().all(Result::is_ok));
    let (tenant, device) = (Tenant::default(), cpe("07"));
    let twice = ["second", "third"].map(|body| {
        Write::Transact(vec![Operation::PutProvision(row(&device, Standing::Stuck, body))])
    });
    store.commit(&twice).await.unwrap();
    let body = |device| {
        let (store, tenant) = (&store, &tenant);
        async move { store.provision(tenant, &device).await.unwrap() }
    };
    assert_eq!(body(device.clone()).await.as_deref(), Some("third"), "the later goes");
    assert_eq!(body(cpe("08")).await.as_deref(), Some("first"));
    let nobody = Operation::PutProvision(row(&cpe("99"), Standing::New, "x"));
    transact(&store, nobody).await.unwrap();
    assert_eq!(body(cpe("99")).await, None, "nothing is kept of a device that is not there");

    let page = store.provision_marks(None, 8).await.unwrap();
    assert_eq!(page.len(), 8);
    let (_, last, mark) = &page[7];
    assert_eq!((last, mark.standing, mark.quirks), (&device, Standing::Stuck, 5));
    let after = Some((tenant.clone(), last.clone()));
    assert_eq!(store.provision_marks(after, 100).await.unwrap().len(), 32);
}
