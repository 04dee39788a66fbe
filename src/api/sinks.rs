//! How far each sink has come, and the end of one that was removed.
//!
//! A sink of the configuration belongs to a tenant; a cursor whose sink was removed belongs to the
//! operator's own tenant, `default`, for nothing else is known of it.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{Items, Segments};
use super::problem::{Code, Problem};
use crate::store::{Cursor, Operation, Position};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::Tenant;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A sink of the configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfiguredSink {
    /// Its name, without the `sink:` of its cursor.
    pub name: Box<str>,
    /// Whose events it gets.
    pub tenant: Tenant,
}

/// What the names of sinks' cursors begin with.
const PREFIX: &str = "sink:";

/// How far a sink has come.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Sink)]
pub(super) struct SinkView {
    name: Box<str>,
    /// Whether it is in the configuration. Where it is not, its cursor holds events for nobody.
    configured: bool,
    /// Whether events wait for it. One that they do not wait for skips what it cannot keep up with.
    required: bool,
    /// Everything up to here it has, shard by shard.
    done: Vec<String>,
    /// How many events it is behind the newest; events of other tenants or types count.
    lag_events: u64,
    /// How many events it has skipped since it was made.
    skipped_events: u64,
}

/// Shows every sink that the caller's tenant has.
#[utoipa::path(get, path = "/api/v1/sinks", tag = "delivery",
    operation_id = "list_sinks",
    security(("token" = ["dead_letters.replay"])),
    responses((status = 200, description = "Every sink", body = Items<SinkView>)))]
pub(super) async fn list(
    caller: Authorised<need::DeadLettersReplay>,
    State(state): State<ApiState>,
) -> Result<Json<Items<SinkView>>, Problem> {
    let (cursors, head) = (state.store.cursors().await?, state.store.head().await?);
    let mut sinks: BTreeMap<Box<str>, SinkView> = BTreeMap::new();
    for cursor in &cursors {
        let Some(name) = cursor.name.strip_prefix(PREFIX) else { continue };
        let configured = state.sinks.iter().find(|sink| *sink.name == *name);
        let owner = configured.map_or_else(Tenant::default, |sink| sink.tenant.clone());
        if owner != *caller.tenant() {
            continue;
        }
        let sink = sinks.entry(name.into()).or_insert_with(|| SinkView {
            name: name.into(),
            configured: configured.is_some(),
            required: cursor.required,
            done: Vec::new(),
            lag_events: 0,
            skipped_events: 0,
        });
        sink.done.push(cursor.done.to_string());
        sink.lag_events += lag(cursor, &head);
        sink.skipped_events += cursor.skipped;
    }
    Ok(Json(Items::whole(sinks.into_values().collect())))
}

fn lag(cursor: &Cursor, head: &[Position]) -> u64 {
    let newest = head.iter().find(|position| position.shard == cursor.done.shard);
    newest.map_or(0, |newest| newest.sequence.saturating_sub(cursor.done.sequence))
}

/// Forgets a sink that was removed from the configuration, so that events no longer wait for it.
///
/// What it has not got yet, it will never get.
#[utoipa::path(delete, path = "/api/v1/sinks/{name}", tag = "delivery",
    operation_id = "drop_sink",
    security(("token" = ["tokens.write"])),
    params(("name" = String, Path, description = "The sink's name")),
    responses((status = 204, description = "It is forgotten")))]
pub(super) async fn drop_cursor(
    caller: Authorised<need::TokensWrite>,
    State(state): State<ApiState>,
    Segments(name): Segments<String>,
) -> Result<StatusCode, Problem> {
    let configured = state.sinks.iter().find(|sink| *sink.name == *name);
    let owner = configured.map_or_else(Tenant::default, |sink| sink.tenant.clone());
    let reader = format!("{PREFIX}{name}");
    let cursors = state.store.cursors().await?;
    let known = configured.is_some() || cursors.iter().any(|cursor| *cursor.name == *reader);
    if owner != *caller.tenant() || !known {
        return Err(Code::NoSuchSink.into());
    }
    if configured.is_some() {
        let detail = "remove it from the configuration first, and restart";
        return Err(Problem::new(Code::SinkConfigured, detail));
    }
    let operations = vec![Operation::DropCursor { name: reader.into() }];
    state.change(&caller, "sink.drop", &name, &json!({}), operations).await?;
    Ok(StatusCode::NO_CONTENT)
}
