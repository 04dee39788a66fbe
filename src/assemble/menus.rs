//! Menus, joined with the phrases that operators changed.

use super::StartError;
use crate::menus::Book;
use crate::metrics::Metrics;
use crate::store::{PhraseRow, PhraseStore as _, SqliteStore};
use config::{BackendKind, Config};
use model::Tenant;
use std::collections::BTreeMap;
use std::sync::Arc;
use ussd::Phrases;

/// Menus with the phrases that operators changed.
pub(super) async fn book(
    config: &Config,
    engine: &SqliteStore,
    metrics: &Metrics,
) -> Result<Arc<Book>, StartError> {
    let kept = kept(engine.phrases().await?);
    let has_backend = config.backend.kind == BackendKind::Http;
    let secrets = config.data_dir.join("public");
    let book = Book::open(&config.ussd, has_backend, Some(&secrets), &kept)?;
    for _ in 0..book.left_out() {
        metrics.fault(model::Protocol::Ussd, "kept_phrases");
    }
    Ok(book)
}

fn kept(rows: Vec<PhraseRow>) -> Vec<(Tenant, Box<str>, Phrases)> {
    let mut kept = BTreeMap::<(Tenant, Box<str>), Phrases>::new();
    for row in rows {
        let phrases = kept.entry((row.tenant, row.menu)).or_default();
        phrases.set(&row.language, &row.key, &row.text);
    }
    kept.into_iter().map(|((tenant, menu), phrases)| (tenant, menu, phrases)).collect()
}
