//! The life of a board: what the console says of it, and what became of it.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{DeviceName, Items, JsonBody, PageQuery, Params, cursor, given, limit};
use super::problem::{Code, Problem};
use crate::boards::BoardSettings;
use crate::registry::Device;
use crate::store::{BoardRow, BoardStep};
use crate::upgrades::Versions;
use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use model::{Alias, AliasKind, Protocol, Redacted};
use serde::{Deserialize, Serialize};
use serde_json::json;
use soracom::{Refusal, SimStatus, Status};
use utoipa::ToSchema;

/// What is kept of a board.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Board)]
pub(super) struct BoardView {
    /// 0 in stock, 1 contracted, 2 ready to ship, 3 in use, 4 cancelled; absent before its inspection.
    #[serde(skip_serializing_if = "Option::is_none")]
    board_status: Option<u8>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    board_status_since: Option<Timestamp>,
    /// The SIM that it is bound to: the network's word, else its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    imsi: Option<String>,
    /// The SIM that was ordered for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_imsi: Option<String>,
    /// Whether the two are the same; absent where one is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    imsi_as_expected: Option<bool>,
    /// The version of its sketch, as it says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    sketch_ver: Option<Box<str>>,
    /// The version that it should come to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    target_ver: Option<Box<str>>,
    /// The version that it was offered last.
    #[serde(skip_serializing_if = "Option::is_none")]
    offered_ver: Option<Box<str>>,
    /// The version that it was offered and has reported since.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed_ver: Option<Box<str>>,
    /// Whether it ever had trouble.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<bool>,
    /// How its SIM stands at SORACOM: `ready`, `active`, `inactive`, `standby`, `suspended` or
    /// `terminated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    sim_status: Option<&'static str>,
}

impl From<BoardRow> for BoardView {
    fn from(row: BoardRow) -> Self {
        let agree = row.imsi.as_ref().zip(row.expected_imsi.as_ref());
        let shown = |it: Option<Redacted<Box<str>>>| it.map(|it| it.0.into_string());
        Self {
            board_status: row.status.map(Status::number),
            board_status_since: row.since,
            imsi_as_expected: agree.map(|(one, other)| one == other),
            imsi: shown(row.imsi),
            expected_imsi: shown(row.expected_imsi),
            sketch_ver: row.sketch_ver,
            target_ver: None,
            offered_ver: None,
            confirmed_ver: None,
            trouble: Some(row.trouble),
            sim_status: row.sim_status.map(SimStatus::as_str),
        }
    }
}

impl BoardView {
    /// With the versions that must not be taken for one another.
    pub(super) fn with(self, versions: Versions) -> Self {
        let Versions { target, offered, confirmed } = versions;
        Self { target_ver: target, offered_ver: offered, confirmed_ver: confirmed, ..self }
    }
}

/// A status to be set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusRequest {
    /// 1 when a contract begins, 4 when it ends. The others follow from what boards send.
    board_status: u8,
}

/// What the console knows of a board. What is left out stays as it is.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BoardRequest {
    /// The SIM that was ordered for it, 14 or 15 digits; `null` takes it back.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    expected_imsi: Option<Option<String>>,
    /// How its SIM stands at SORACOM, in its words; `null` takes it back.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    sim_status: Option<Option<String>>,
    /// Whether it ever had trouble.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<bool>,
}

/// One move of a board.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BoardStep)]
pub(super) struct StepView {
    /// Its number; a later move has a greater one.
    id: u64,
    /// Where it stood; `null` before its first inspection.
    old: Option<u8>,
    /// Where it stands from then on.
    new: u8,
    /// `board`, `console` or `gateway`.
    actor: &'static str,
    /// The name of the token, where the console moved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<Box<str>>,
    /// What it was moved on: `report`, `message` or `data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Box<str>>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
}

impl From<BoardStep> for StepView {
    fn from(step: BoardStep) -> Self {
        Self {
            id: step.id,
            old: step.old.map(Status::number),
            new: step.new.number(),
            actor: step.actor.as_str(),
            by: step.by,
            evidence: step.evidence,
            time: step.at,
        }
    }
}

/// Says that a board's contract begins (1) or ends (4).
///
/// What is so already is no change. What may not become so is refused with 409 and told of as
/// `lastmile.board.status_refused`.
#[utoipa::path(put, path = "/api/v1/devices/{id}/board-status", tag = "boards",
    operation_id = "set_board_status",
    security(("token" = ["boards.write"])),
    params(("id" = String, Path, description = "The board's identity or an alias")),
    request_body = StatusRequest,
    responses((status = 200, description = "The board as it stands", body = BoardView)))]
pub(super) async fn set_status(
    caller: Authorised<need::BoardsWrite>,
    State(state): State<ApiState>,
    name: DeviceName,
    JsonBody(body): JsonBody<StatusRequest>,
) -> Result<Json<BoardView>, Problem> {
    let device = board(&state, &caller, &name)?;
    let wanted = Status::of(body.board_status.into());
    let wanted = wanted
        .ok_or_else(|| Problem::new(Code::InvalidBody, "`board_status` is a number from 0 to 4"))?;
    let detail = json!({ "board_status": wanted.number() });
    let audit = state.audit(&caller, "board.status", device.id.as_str(), &detail);
    let (boards, by) = (state.boards.clone(), caller.grant.name.clone());
    let row = super::change::to_its_end(async move {
        boards.set_status((&device.tenant, &device.id), wanted, &by, &audit).await
    });
    Ok(Json(row.await??.into()))
}

/// Keeps what the console knows of a board: the SIM that was ordered for it, how that stands at SORACOM,
/// whether it ever had trouble.
#[utoipa::path(put, path = "/api/v1/devices/{id}/board", tag = "boards",
    operation_id = "put_board",
    security(("token" = ["boards.write"])),
    params(("id" = String, Path, description = "The board's identity or an alias")),
    request_body = BoardRequest,
    responses((status = 200, description = "The board as it stands", body = BoardView)))]
pub(super) async fn put(
    caller: Authorised<need::BoardsWrite>,
    State(state): State<ApiState>,
    name: DeviceName,
    JsonBody(body): JsonBody<BoardRequest>,
) -> Result<Json<BoardView>, Problem> {
    let device = board(&state, &caller, &name)?;
    let detail = json!(body);
    let settings = settings(body)?;
    let audit = state.audit(&caller, "board.put", device.id.as_str(), &detail);
    let boards = state.boards.clone();
    let row = super::change::to_its_end(async move {
        boards.put((&device.tenant, &device.id), &settings, &audit).await
    });
    Ok(Json(row.await??.into()))
}

fn settings(body: BoardRequest) -> Result<BoardSettings, Problem> {
    let wrong = |detail: String| Problem::new(Code::InvalidBody, detail);
    let imsi = |text: String| match Alias::new(AliasKind::Imsi, &text) {
        Ok(alias) => Ok(Redacted(Box::from(alias.value()))),
        Err(_) => Err(wrong("`expected_imsi` has 14 or 15 digits".to_owned())),
    };
    let status = |word: String| {
        let words = SimStatus::ALL.map(SimStatus::as_str).join(", ");
        SimStatus::parse(&word).ok_or_else(|| wrong(format!("`sim_status` is one of {words}")))
    };
    Ok(BoardSettings {
        expected_imsi: body.expected_imsi.map(|it| it.map(imsi).transpose()).transpose()?,
        sim_status: body.sim_status.map(|it| it.map(status).transpose()).transpose()?,
        trouble: body.trouble,
    })
}

/// Lists a board's moves, newest first.
#[utoipa::path(get, path = "/api/v1/devices/{id}/board/history", tag = "boards",
    operation_id = "list_board_history",
    security(("token" = ["devices.read"])),
    params(("id" = String, Path, description = "The board's identity or an alias"), PageQuery),
    responses((status = 200, description = "A page of moves", body = Items<StepView>)))]
pub(super) async fn history(
    caller: Authorised<need::DevicesRead>,
    State(state): State<ApiState>,
    name: DeviceName,
    Params(query): Params<PageQuery>,
) -> Result<Json<Items<StepView>>, Problem> {
    let device = board(&state, &caller, &name)?;
    let limit = limit(query.limit)?;
    let before = cursor(query.cursor.as_deref(), |text| text.parse().ok())?;
    let steps = state.store.board_steps(caller.tenant(), &device.id, before, limit + 1).await?;
    let views = steps.into_iter().map(StepView::from).collect();
    Ok(Json(Items::page(views, limit, |view: &StepView| view.id.to_string())))
}

/// The board that a path names.
fn board<N>(
    state: &ApiState,
    caller: &Authorised<N>,
    name: &DeviceName,
) -> Result<Device, Problem> {
    let device = state.device(caller.tenant(), name)?;
    match device.id.protocol() {
        Protocol::Mqtt => Ok(device),
        Protocol::Cwmp | Protocol::Ussd => {
            Err(Problem::new(Code::WrongProtocol, "only boards have a life of this kind"))
        }
    }
}

/// Why a status is refused, in plain words.
pub(super) fn why(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NotInspected => "the board was never inspected (not_inspected)",
        Refusal::NotContracted => "the board is in stock: no contract ends (not_contracted)",
        Refusal::NotReturned => "the board is not back from its customer (not_returned)",
        Refusal::AlreadyContracted => "the board has a contract already (already_contracted)",
        Refusal::Cancelled => "the contract ended: the board is inspected again first (cancelled)",
        Refusal::OnlyTheConsole => "only the console says this (only_the_console)",
        Refusal::NotTheConsole => "0, 2 and 3 follow from what the board sends (not_the_console)",
    }
}
