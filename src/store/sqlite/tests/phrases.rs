//! Phrases that operators changed.

use super::*;
use crate::store::{PhraseOperation, PhraseRow, PhraseStore as _};

async fn change(store: &SqliteStore, operation: PhraseOperation) {
    let write = Write::Transact(vec![Operation::Phrase(operation)]);
    assert_eq!(store.commit(&[write]).await.unwrap(), [Ok(())]);
}

#[tokio::test]
async fn phrases_are_changed_and_forgotten() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder).await;
    let put = |menu: &str, language: &str, text: &str| {
        let (tenant, key) = (Tenant::default(), "bye".into());
        let (menu, language) = (menu.into(), language.into());
        PhraseOperation::Put(PhraseRow { tenant, menu, language, key, text: text.into() })
    };
    for (menu, language, text) in [
        ("water", "en", "Bye"),
        ("water", "sw", "Kwaheri"),
        ("water", "en", "Good bye"),
        ("home", "en", "So long"),
    ] {
        change(&store, put(menu, language, text)).await;
    }
    let texts = async || {
        let kept = store.phrases().await.unwrap();
        kept.iter().map(|it| it.text.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(texts().await, ["So long", "Good bye", "Kwaheri"]);
    let remove = |language: Option<&str>| PhraseOperation::Remove {
        tenant: Tenant::default(),
        menu: "water".into(),
        language: language.map(Into::into),
        key: None,
    };
    change(&store, remove(Some("sw"))).await;
    assert_eq!(texts().await, ["So long", "Good bye"]);
    change(&store, remove(None)).await;
    assert_eq!(texts().await, ["So long"], "another menu's");
    store.close().await;
}
