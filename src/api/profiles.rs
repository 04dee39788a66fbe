//! Profiles: shown, loaded, and their trial ended. They belong to the operator's own tenant, `default`,
//! whoever's devices they are for.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{JsonBody, Segments};
use super::problem::{Code, Problem};
use crate::profiles::{EndError, LoadError, OnTrial, Source, State as Sets, Taken, TrialState};
use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use model::Tenant;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Every profile, and how they stand.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Profiles)]
pub(super) struct ProfilesView {
    /// Those that hold for all, and those of a candidate that are not among them.
    items: Vec<ProfileView>,
    /// Names the settled files together.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    /// Since when they hold.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    /// Who loaded them; absent where the files changed by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Box<str>>,
    /// What is on trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    trial: Option<TrialView>,
    /// The revision that was taken back last, and is not tried again by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<String>,
}

/// A profile.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Profile)]
pub(super) struct ProfileView {
    /// Its name.
    name: Box<str>,
    /// As it stands.
    revision: String,
    /// What it is for.
    description: Box<str>,
    /// Where it lies: higher goes before lower.
    layer: i32,
    /// `shipped` or `folder`.
    source: &'static str,
    /// `settled`; `candidate` where it is new or changed and on trial; `removed` where the candidate
    /// does not have it.
    state: &'static str,
    /// Which devices it is for, as its file says; absent where only equipment names it.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    matching: Option<Value>,
    /// Whether it says of itself that its paths are not verified.
    guess: bool,
    /// How many of its rules name paths that are not verified.
    guesses: usize,
    /// How many rules it has.
    rules: usize,
    /// For how many devices it was, by what they say of themselves, when that was counted last.
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<usize>,
}

/// A trial of changed profiles.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProfileTrial)]
pub(super) struct TrialView {
    /// Names the candidate's files together.
    revision: String,
    /// `running`, or `halted` until it is promoted or taken back.
    state: &'static str,
    /// Why it is halted.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Box<str>>,
    /// Who loaded it; absent where the files changed by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Box<str>>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    began_at: Timestamp,
    /// To how many in a hundred of the devices that it touches it goes first.
    share: u32,
    /// How many devices it touches.
    devices: usize,
    /// How many of them are on trial.
    canaries: usize,
    /// How many of the canaries were heard of in the day before it began: theirs are the answers that
    /// are waited for.
    heard: usize,
    /// How many parameters it would set on all that it touches; absent until that is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<u64>,
    /// How many of the canaries are as it wants.
    converged: usize,
    /// How many of them failed.
    failed: usize,
}

/// A profile as it is written.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProfileText)]
pub(super) struct TextView {
    #[serde(flatten)]
    profile: ProfileView,
    /// Its file: of the candidate where that has another than what is settled.
    text: String,
}

/// What became of files that were read.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProfilesTaken)]
pub(super) struct TakenView {
    /// `unchanged`, `settled`, `trial`, `withdrawn` or `rejected`.
    outcome: &'static str,
    /// Names the files together.
    revision: String,
    /// Devices that were looked at.
    devices: usize,
    /// Devices for which other profiles or values hold than before.
    touched: usize,
    /// How many of them try them first.
    canaries: usize,
}

impl From<Taken> for TakenView {
    fn from(taken: Taken) -> Self {
        let Taken { outcome, revision, devices, touched, canaries } = taken;
        Self {
            outcome: outcome.as_str(),
            revision: revision.to_string(),
            devices,
            touched,
            canaries,
        }
    }
}

/// How a trial ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProfileTrialEnd)]
pub(super) struct EndView {
    /// The revision that was on trial.
    revision: String,
    /// `promoted` or `rejected`.
    outcome: &'static str,
}

/// How to load.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReloadRequest {
    /// Whether files that were taken back before are tried again.
    again: bool,
}

/// Only the operator's own tenant keeps profiles.
fn own<N>(caller: &Authorised<N>) -> Result<(), Problem> {
    if *caller.tenant() == Tenant::default() {
        return Ok(());
    }
    Err(Problem::new(Code::Forbidden, "profiles belong to the tenant `default`"))
}

fn views(sets: &Sets) -> Vec<ProfileView> {
    let candidate = sets.trial.as_ref().map(|it| &it.candidate);
    let mut views: Vec<ProfileView> = Vec::new();
    for profile in candidate.unwrap_or(&sets.settled).set.profiles() {
        let loaded = candidate.unwrap_or(&sets.settled);
        let settled = sets.settled.set.profiles().iter().find(|it| it.name == profile.name);
        let is_settled = settled.is_some_and(|it| it.revision == profile.revision);
        let state = if is_settled { "settled" } else { "candidate" };
        views.push(view(sets, profile, loaded.texts.profile(&profile.name), state));
    }
    if let Some(candidate) = candidate {
        let names: Vec<_> = candidate.set.profiles().iter().map(|it| it.name.clone()).collect();
        for profile in sets.settled.set.profiles().iter().filter(|it| !names.contains(&it.name)) {
            let written = sets.settled.texts.profile(&profile.name);
            views.push(view(sets, profile, written, "removed"));
        }
        views.sort_by(|one, other| one.name.cmp(&other.name));
    }
    views
}

fn view(
    sets: &Sets,
    profile: &provisioning::Profile,
    written: Option<(&str, Source)>,
    state: &'static str,
) -> ProfileView {
    let source = written.map(|(_, source)| source);
    let counted = !sets.devices.is_empty();
    ProfileView {
        name: profile.name.clone(),
        revision: profile.revision.to_string(),
        description: profile.description.clone(),
        layer: profile.layer,
        source: match source {
            Some(Source::Shipped) => "shipped",
            Some(Source::Folder) | None => "folder",
        },
        state,
        matching: profile.match_summary().cloned(),
        guess: profile.is_guess,
        guesses: profile.guesses(),
        rules: profile.rules(),
        devices: counted.then(|| sets.devices.get(&profile.name).copied().unwrap_or(0)),
    }
}

/// Shows every profile, and how a change of them stands.
#[utoipa::path(get, path = "/api/v1/profiles", tag = "profiles",
    operation_id = "list_profiles",
    security(("token" = ["profiles.read"])),
    responses((status = 200, description = "Every profile", body = ProfilesView)))]
pub(super) async fn list(
    caller: Authorised<need::ProfilesRead>,
    State(state): State<ApiState>,
) -> Result<Json<ProfilesView>, Problem> {
    if own(&caller).is_err() {
        let nothing = (None, None, None, None, None);
        let (revision, since, actor, trial, rejected) = nothing;
        let items = Vec::new();
        return Ok(Json(ProfilesView { items, revision, since, actor, trial, rejected }));
    }
    let profiles = state.keeper.profiles();
    let sets = profiles.state();
    let fared = profiles.fared();
    let trial = |OnTrial { trial, .. }: &OnTrial| TrialView {
        revision: trial.revision.to_string(),
        state: match trial.state {
            TrialState::Running => "running",
            TrialState::Halted => "halted",
        },
        cause: trial.cause.clone(),
        actor: trial.actor.clone(),
        began_at: trial.began_at,
        share: trial.share,
        devices: trial.touched,
        canaries: trial.canaries,
        heard: trial.heard,
        parameters: trial.parameters,
        converged: fared.converged,
        failed: fared.failed,
    };
    Ok(Json(ProfilesView {
        items: views(&sets),
        revision: Some(sets.origin.revision.to_string()),
        since: Some(sets.origin.since),
        actor: sets.origin.actor.clone(),
        trial: sets.trial.as_ref().map(trial),
        rejected: sets.rejected.as_ref().map(|it| it.revision.to_string()),
    }))
}

/// Shows a profile as it is written.
#[utoipa::path(get, path = "/api/v1/profiles/{name}", tag = "profiles",
    operation_id = "show_profile",
    security(("token" = ["profiles.read"])),
    params(("name" = String, Path, description = "The profile's name")),
    responses((status = 200, description = "The profile", body = TextView)))]
pub(super) async fn show(
    caller: Authorised<need::ProfilesRead>,
    State(state): State<ApiState>,
    Segments(name): Segments<String>,
) -> Result<Json<TextView>, Problem> {
    own(&caller).map_err(|_| Code::NoSuchProfile)?;
    let sets = state.keeper.profiles().state();
    let profile = views(&sets).into_iter().find(|it| *it.name == *name);
    let profile = profile.ok_or(Code::NoSuchProfile)?;
    let candidate = sets.trial.as_ref().and_then(|it| it.candidate.texts.profile(&name));
    let text = candidate.or_else(|| sets.settled.texts.profile(&name));
    let text = text.map(|(text, _)| text.to_owned()).unwrap_or_default();
    Ok(Json(TextView { profile, text }))
}

/// Reads all profiles again. Changed ones go to a share of their devices first.
#[utoipa::path(post, path = "/api/v1/profiles/reload", tag = "profiles",
    operation_id = "reload_profiles",
    security(("token" = ["profiles.write"])),
    request_body = ReloadRequest,
    responses((status = 200, description = "What became of them", body = TakenView)))]
pub(super) async fn reload(
    caller: Authorised<need::ProfilesWrite>,
    State(state): State<ApiState>,
    JsonBody(body): JsonBody<ReloadRequest>,
) -> Result<Json<TakenView>, Problem> {
    own(&caller)?;
    let taken = state.keeper.reload(Some(caller.grant.name.clone()), body.again).await;
    match taken {
        Ok(taken) => Ok(Json(taken.into())),
        Err(LoadError::Faulty(faults)) => Err(faults.into()),
        Err(LoadError::Write(error)) => Err(error.into()),
    }
}

/// Has what is on trial hold for all devices.
#[utoipa::path(post, path = "/api/v1/profiles/promote", tag = "profiles",
    operation_id = "promote_profiles",
    security(("token" = ["profiles.write"])),
    responses((status = 200, description = "How the trial ended", body = EndView)))]
pub(super) async fn promote(
    caller: Authorised<need::ProfilesWrite>,
    State(state): State<ApiState>,
) -> Result<Json<EndView>, Problem> {
    end(&caller, &state, true).await
}

/// Takes back what is on trial: the settled profiles hold for all devices again.
#[utoipa::path(post, path = "/api/v1/profiles/rollback", tag = "profiles",
    operation_id = "roll_back_profiles",
    security(("token" = ["profiles.write"])),
    responses((status = 200, description = "How the trial ended", body = EndView)))]
pub(super) async fn rollback(
    caller: Authorised<need::ProfilesWrite>,
    State(state): State<ApiState>,
) -> Result<Json<EndView>, Problem> {
    end(&caller, &state, false).await
}

async fn end(
    caller: &Authorised<need::ProfilesWrite>,
    state: &ApiState,
    is_promoted: bool,
) -> Result<Json<EndView>, Problem> {
    own(caller)?;
    match state.keeper.end_trial(caller.grant.name.clone(), is_promoted).await {
        Ok(revision) => {
            let outcome = if is_promoted { "promoted" } else { "rejected" };
            Ok(Json(EndView { revision: revision.to_string(), outcome }))
        }
        Err(EndError::NoTrial) => Err(Code::NoTrial.into()),
        Err(EndError::Write(error)) => Err(error.into()),
    }
}
