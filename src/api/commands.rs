//! Commands: asked for, waited for, shown, withdrawn.

mod kind;

pub(super) use kind::KindDescription;

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{
    DeviceName, Items, JsonBody, PageQuery, Params, Segments, WaitQuery, cursor, duration, is_name,
    limit, refuse, wait,
};
use super::problem::{Code, Problem};
use crate::commands::{NewCommand, SubmitError};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use config::Permission;
use jiff::Timestamp;
use model::{
    Command, CommandId, CommandKind, Json as KeptJson, ParameterValue, Redacted, is_secret,
};
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Duration;
use utoipa::ToSchema;

/// Longest `expires`: a year, as the desk holds it.
const EXPIRES_MAX: Duration = Duration::from_secs(365 * 86_400);
/// Longest `retry`: a day, as the desk holds it.
const RETRY_MAX: Duration = Duration::from_secs(86_400);
/// Longest `Idempotency-Key`, in bytes.
const KEY_LEN_MAX: usize = 128;
/// In how many seconds a device with too many commands may have room for another.
const TOO_MANY_RETRY_AFTER_S: u32 = 30;

/// A command and how far it has come.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Command)]
pub(super) struct CommandView {
    /// Its name; names sort by creation.
    id: String,
    /// For which device.
    device: String,
    #[serde(flatten)]
    #[schema(value_type = KindDescription)]
    kind: CommandKind,
    /// `queued`, `sent`, `delivered`, `done`, `failed`, `expired`, `cancelled` or `unknown`.
    state: &'static str,
    /// Why it is there, in plain words.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Box<str>>,
    /// What the device answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    result: Option<model::Json>,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last changed state.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// When it is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// Who asked.
    actor: Box<str>,
    /// The first pause before another try, where a failure that may pass, or a message without an
    /// answer, is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<String>,
    /// How often it was sent.
    attempts: u32,
    /// When it is tried again, of one that failed and is queued for that, or that a board has and has
    /// not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    retry_at: Option<Timestamp>,
    /// Whether it is queued because a hold keeps everything from its device that writes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    held: bool,
}

impl From<Command> for CommandView {
    fn from(command: Command) -> Self {
        Self {
            id: command.id.as_str().to_owned(),
            device: command.device.as_str().to_owned(),
            kind: command.kind,
            state: command.state.as_str(),
            cause: command.cause,
            result: command.result,
            created_at: command.created_at,
            updated_at: command.updated_at,
            expires_at: command.expires_at,
            actor: command.actor,
            retry: command.retry.map(|pause| format!("{}s", pause.as_secs())),
            attempts: command.attempts,
            retry_at: command.retry_at,
            held: false,
        }
    }
}

impl CommandView {
    /// What a caller may see of a command: who may send none could not have a device told its
    /// secrets, nor may he read those that others wrote or asked for.
    fn seen_by<N>(mut command: Command, caller: &Authorised<N>, state: &ApiState) -> Self {
        if !caller.grant.permits(Permission::CommandsSend) {
            hide_secrets(&mut command);
        }
        let held = state.desk.holds_back(&command);
        Self { held, ..command.into() }
    }
}

fn hide_secrets(command: &mut Command) {
    if let CommandKind::SetParameters { values } | CommandKind::AddObject { values, .. } =
        &mut command.kind
    {
        for (_, value) in values.iter_mut().filter(|(path, _)| is_secret(path)) {
            let (ParameterValue::Typed { value, .. } | ParameterValue::Bare(value)) = value;
            *value = Redacted(Value::Null);
        }
    }
    let Some(result) = &mut command.result else { return };
    let Ok(mut told) = serde_json::from_str::<Value>(result.as_str()) else { return };
    let Some(Value::Object(parameters)) = told.get_mut("parameters") else { return };
    for (_, told) in parameters.iter_mut().filter(|(path, _)| is_secret(path)) {
        *told = Value::Null;
    }
    *result = KeptJson::of(&told);
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::NoSuchDevice => Code::NoSuchDevice.into(),
            SubmitError::NoSuchCommand => Code::NoSuchCommand.into(),
            SubmitError::WrongProtocol => Self::new(Code::WrongProtocol, error.to_string()),
            SubmitError::AtItsEnd => Self::new(Code::CommandUnderWay, error.to_string()),
            SubmitError::TooMany => Self::new(Code::TooManyCommands, error.to_string())
                .retry_after(TOO_MANY_RETRY_AFTER_S),
            SubmitError::Invalid(why) => Self::new(Code::InvalidBody, why),
            SubmitError::Store(error) => error.into(),
            SubmitError::Unreadable => Self::new(Code::Internal, "the store cannot be read"),
        }
    }
}

/// A command to be made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CommandRequest {
    #[serde(flatten)]
    kind: KindDescription,
    /// How long it may wait for its device: a duration such as `1h`; a week by default, a year at
    /// most.
    expires: Option<String>,
    /// The first pause before another try, where a failure may pass (the CPE has no resources, is
    /// silent, cannot fetch a file …), or a board took a message and did not answer it: a duration of
    /// `1s` to `1d`. It doubles with each try, up to a day; there are `commands.attempts_max` tries at
    /// most, ten by default, none after `expires`. Without it such a failure is the end, and a message
    /// goes once.
    retry: Option<String>,
}

/// Has a device do something: 202 at once, or 200 when it ended within `wait`.
#[utoipa::path(post, path = "/api/v1/devices/{id}/commands", tag = "commands",
    operation_id = "send_command",
    security(("token" = ["commands.send"])),
    params(
        ("id" = String, Path, description = "The device's identity or an alias"),
        WaitQuery,
        ("Idempotency-Key" = Option<String>, Header,
            description = "Asking twice with one key is the same as asking once"),
    ),
    request_body = CommandRequest,
    responses(
        (status = 200, description = "The command, at its end", body = CommandView),
        (status = 202, description = "The command, on its way", body = CommandView),
    ))]
pub(super) async fn submit(
    caller: Authorised<need::CommandsSend>,
    State(state): State<ApiState>,
    name: DeviceName,
    Params(query): Params<WaitQuery>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> Result<(StatusCode, Json<CommandView>), Problem> {
    let device = state.device(caller.tenant(), &name)?;
    let wait = wait(&state, query.wait.as_deref())?;
    let (kind, Terms { expires, retry }) = read(body)?;
    let request = NewCommand {
        tenant: caller.tenant().clone(),
        device: device.id,
        kind,
        expires,
        retry,
        actor: caller.grant.name.clone(),
        key: idempotency_key(&caller, &headers)?,
    };
    let mut command = state.desk.submit(request).await?;
    if let Some(wait) = wait {
        tokio::select! {
            waited = state.desk.wait(&command, wait) => command = waited,
            () = state.stop.cancelled() => {}
        }
    }
    let ended = command.state.is_final(&command.kind);
    let status = if ended { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(CommandView::seen_by(command, &caller, &state))))
}

/// What a body holds beside the kind.
#[derive(Debug, Default)]
struct Terms {
    expires: Option<Duration>,
    retry: Option<Duration>,
}

/// Takes the body apart, so that a misspelt field is refused and not passed over.
fn read(mut body: Map<String, Value>) -> Result<(CommandKind, Terms), Problem> {
    let invalid = |why: String| Problem::new(Code::InvalidBody, why);
    let mut term = |name: &str, max: Duration| match body.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => duration(name, &text, max).map(Some).map_err(invalid),
        Some(_) => Err(invalid(format!("`{name}` is a duration such as \"1h\""))),
    };
    let terms = Terms { expires: term("expires", EXPIRES_MAX)?, retry: term("retry", RETRY_MAX)? };
    let given: Vec<String> = body.keys().cloned().collect();
    let kind: CommandKind =
        serde_json::from_value(Value::Object(body)).map_err(|error| refuse(&error))?;
    let known = kind::fields(&kind);
    let stray = given.iter().find(|key| *key != "kind" && !known.contains(&key.as_str()));
    match stray {
        Some(key) => Err(invalid(format!("`{}` takes no field `{key}`", kind.as_str()))),
        None => Ok((kind, terms)),
    }
}

/// The caller's key, made his own: two programs may count from 1.
pub(super) fn idempotency_key<N>(
    caller: &Authorised<N>,
    headers: &HeaderMap,
) -> Result<Option<Box<str>>, Problem> {
    let Some(given) = headers.get("idempotency-key") else { return Ok(None) };
    let given = given.to_str().ok().filter(|key| is_name(key, KEY_LEN_MAX));
    let key = given.ok_or_else(|| {
        let detail = format!("`Idempotency-Key` is 1 to {KEY_LEN_MAX} visible ASCII characters");
        Problem::new(Code::InvalidQuery, detail)
    })?;
    let grant = &caller.grant;
    Ok(Some(format!("api/{}/{}/{key}", grant.tenant, grant.name).into()))
}

/// Shows a command. The secrets that it sets or has read are null to a caller who may send none.
#[utoipa::path(get, path = "/api/v1/commands/{id}", tag = "commands",
    operation_id = "show_command",
    security(("token" = ["devices.read"])),
    params(("id" = String, Path, description = "The command's name")),
    responses((status = 200, description = "The command", body = CommandView)))]
pub(super) async fn show(
    caller: Authorised<need::DevicesRead>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<CommandView>, Problem> {
    let id = CommandId::new(&id).ok_or(Code::NoSuchCommand)?;
    let command = state.desk.command(caller.tenant(), &id).await?;
    Ok(Json(CommandView::seen_by(command, &caller, &state)))
}

/// Withdraws a command that has not left yet, or of which nobody knows whether it did. A transfer that
/// the CPE was told of is withdrawn by `cancel_transfer`.
#[utoipa::path(delete, path = "/api/v1/commands/{id}", tag = "commands",
    operation_id = "cancel_command",
    security(("token" = ["commands.send"])),
    params(("id" = String, Path, description = "The command's name")),
    responses((status = 200, description = "The command, cancelled", body = CommandView)))]
pub(super) async fn cancel(
    caller: Authorised<need::CommandsSend>,
    State(state): State<ApiState>,
    Segments(id): Segments<String>,
) -> Result<Json<CommandView>, Problem> {
    let id = CommandId::new(&id).ok_or(Code::NoSuchCommand)?;
    let cancelled = state.desk.cancel(caller.tenant(), &id, &caller.grant.name).await?;
    Ok(Json(cancelled.into()))
}

/// Lists a device's commands, newest first. The secrets that they set or have read are null to a
/// caller who may send none.
#[utoipa::path(get, path = "/api/v1/devices/{id}/commands", tag = "commands",
    operation_id = "list_commands",
    security(("token" = ["devices.read"])),
    params(("id" = String, Path, description = "The device's identity or an alias"), PageQuery),
    responses((status = 200, description = "A page of commands", body = Items<CommandView>)))]
pub(super) async fn of_device(
    caller: Authorised<need::DevicesRead>,
    State(state): State<ApiState>,
    name: DeviceName,
    Params(query): Params<PageQuery>,
) -> Result<Json<Items<CommandView>>, Problem> {
    let device = state.device(caller.tenant(), &name)?;
    let limit = limit(query.limit)?;
    let before = cursor(query.cursor.as_deref(), CommandId::new)?;
    let commands = state.store.commands_of(caller.tenant(), &device.id, before, limit + 1).await?;
    let commands =
        commands.into_iter().map(|it| CommandView::seen_by(it, &caller, &state)).collect();
    Ok(Json(Items::page(commands, limit, |command: &CommandView| command.id.clone())))
}
