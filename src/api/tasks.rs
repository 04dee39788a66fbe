//! What is to be done later: seen, tried again, forgotten.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{Items, Params, Segments, cursor, limit};
use super::problem::{Code, Problem};
use crate::store::{Operation, TaskChange, TaskRow, TaskState, TaskStep, Tasks};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

/// A task, and how far it has come.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Task)]
pub(super) struct TaskView {
    /// Its name; names sort by creation.
    id: Box<str>,
    /// What sort of task: `activated` tells the business's hub of a device.
    kind: Box<str>,
    /// What makes asking twice the same as asking once: the hub gets it as `Idempotency-Key`.
    key: Box<str>,
    /// The device that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// What is to be done.
    #[schema(value_type = Object)]
    body: model::Json,
    /// `waiting`, `done` or `parked`.
    state: &'static str,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
    /// When it is tried next, while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    due_at: Option<Timestamp>,
    /// How often it was tried.
    attempts: u32,
    /// What came of the last try.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Box<str>>,
}

impl From<TaskRow> for TaskView {
    fn from(row: TaskRow) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            key: row.key,
            device: row.device.map(|device| device.as_str().to_owned()),
            body: row.body,
            state: row.state.as_str(),
            created_at: row.created_at,
            changed_at: row.changed_at,
            due_at: (row.state == TaskState::Waiting).then_some(row.due_at),
            attempts: row.attempts,
            cause: row.cause,
        }
    }
}

/// Which tasks.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TaskQuery {
    /// `waiting`, `done` (for 30 days), or `parked`, which is the default.
    state: Option<String>,
    /// How many at most: 1 to 1000, 100 by default.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Lists what is to be done later, oldest first; by default what was given up.
#[utoipa::path(get, path = "/api/v1/tasks", tag = "delivery",
    operation_id = "list_tasks",
    security(("token" = ["dead_letters.replay"])), params(TaskQuery),
    responses((status = 200, description = "A page of them", body = Items<TaskView>)))]
pub(super) async fn list(
    caller: Authorised<need::DeadLettersReplay>,
    State(state): State<ApiState>,
    Params(query): Params<TaskQuery>,
) -> Result<Json<Items<TaskView>>, Problem> {
    let limit = limit(query.limit)?;
    let word = query.state.as_deref().unwrap_or(TaskState::Parked.as_str());
    let in_state = TaskState::parse(word).ok_or_else(|| {
        let words = TaskState::ALL.map(TaskState::as_str).join("`, `");
        Problem::new(Code::InvalidQuery, format!("`state` is one of `{words}`"))
    })?;
    let after = cursor(query.cursor.as_deref(), |text| Some(Box::from(text)))?;
    let which = Tasks::Of { tenant: caller.tenant().clone(), state: in_state, after };
    let rows = state.store.tasks(&which, limit + 1).await?;
    let views = rows.into_iter().map(TaskView::from).collect();
    Ok(Json(Items::page(views, limit, |task: &TaskView| task.id.to_string())))
}

/// Has a task tried again at once, as if it were new.
#[utoipa::path(post, path = "/api/v1/tasks/{id}/retry", tag = "delivery",
    operation_id = "retry_task",
    security(("token" = ["dead_letters.replay"])),
    params(("id" = String, Path, description = "Its name")),
    responses((status = 202, description = "It is tried next")))]
pub(super) async fn retry(
    caller: Authorised<need::DeadLettersReplay>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    step(&state, &caller, &id, "task.retry", TaskStep::Release).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Forgets a task. One that is under way may still be carried out.
#[utoipa::path(delete, path = "/api/v1/tasks/{id}", tag = "delivery",
    operation_id = "delete_task",
    security(("token" = ["dead_letters.replay"])),
    params(("id" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is forgotten")))]
pub(super) async fn delete(
    caller: Authorised<need::DeadLettersReplay>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    step(&state, &caller, &id, "task.delete", TaskStep::Remove).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn step(
    state: &ApiState,
    caller: &Authorised<need::DeadLettersReplay>,
    id: &str,
    action: &'static str,
    step: TaskStep,
) -> Result<(), Problem> {
    let (tenant, at) = (caller.tenant().clone(), state.clock.now().wall);
    let change = Operation::ChangeTask(TaskChange { tenant, id: id.into(), at, step });
    state.change(caller, action, id, &json!({}), vec![change]).await
}
