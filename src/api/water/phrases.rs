//! What the water service says: `…/water/phrases/{language}/{key}`.
//!
//! The files' phrases stand under what is changed here; to forget a change is to hear the files again.
//! The menu is checked with a change before anything is kept: a screen that would be too long on some
//! network, or shows a value that it does not have, is refused with its fault. A dialogue that runs
//! keeps the words it began with.

use crate::api::ApiState;
use crate::api::access::{Authorised, need};
use crate::api::change::to_its_end;
use crate::api::input::{JsonBody, Segments};
use crate::api::problem::{Code, Problem};
use crate::menus::MenusError;
use crate::store::{Operation, PhraseOperation, PhraseRow};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::Tenant;
use provisioning::ProfileFault;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use ussd::{MenuError, Phrases};
use utoipa::ToSchema;

/// Longest text of one phrase, in bytes: several screens.
const TEXT_LEN_MAX: usize = 2_000;
/// Most languages that are kept beside the files'.
const LANGUAGES_MAX: usize = 16;
/// What nobody can take away: it stands in where another language lacks a phrase.
const FIRST: &str = "en";

/// The languages of the service.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WaterLanguages)]
pub(in crate::api) struct LanguagesView {
    /// The menu whose phrases these are.
    menu: Box<str>,
    /// Their codes.
    languages: BTreeSet<String>,
}

/// What is said in one language.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WaterPhrases)]
pub(in crate::api) struct PhrasesView {
    /// Its code.
    language: String,
    /// Texts by key, as callers hear them.
    phrases: BTreeMap<String, String>,
    /// The keys that are not as the files have them.
    changed: BTreeSet<String>,
}

/// Phrases of a language, in place of what was changed of it before.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = WaterPhrasesRequest)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct PhrasesRequest {
    /// Texts by key; what is left out is as the files have it, or as English has it.
    phrases: BTreeMap<String, String>,
}

/// A phrase.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = WaterPhraseRequest)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct PhraseRequest {
    /// What it says; `{word}` shows a value.
    text: String,
}

/// Faults of a menu with changed phrases, or why there is none to change.
impl From<MenusError> for Problem {
    fn from(error: MenusError) -> Self {
        match error {
            MenusError::Faulty { origin, faults } | MenusError::Phrases { origin, faults } => {
                faulty(&origin, faults)
            }
            other => Self::new(Code::Conflict, other.to_string()),
        }
    }
}

fn faulty(origin: &str, error: MenuError) -> Problem {
    let faults = error.faults.into_iter().map(|it| ProfileFault {
        file: origin.into(),
        line: u32::try_from(it.line).ok(),
        message: if it.place.is_empty() { it.text } else { format!("`{}` {}", it.place, it.text) },
    });
    let faults: Vec<_> = faults.collect();
    let detail = format!("the menu has {} faults with it; nothing is changed", faults.len());
    Problem { faults, ..Problem::new(Code::FaultyPhrases, detail) }
}

/// A change of phrases.
enum Edit {
    /// All changes of a language.
    Language { language: String, phrases: BTreeMap<String, String> },
    /// One phrase.
    Phrase { language: String, key: String, text: String },
    /// A language is as the files have it.
    ForgetLanguage { language: String },
    /// A phrase is as the files have it.
    ForgetPhrase { language: String, key: String },
    /// Everything is as the files have it.
    Reset,
}

impl Edit {
    /// The word of the audit trail, with what it was about.
    fn audit_line(&self) -> (&'static str, String, Value) {
        match self {
            Self::Language { language, phrases } => {
                ("water.phrases.put", language.clone(), json!({ "phrases": phrases }))
            }
            Self::Phrase { language, key, text } => {
                ("water.phrases.put", format!("{language}/{key}"), json!({ "text": text }))
            }
            Self::ForgetLanguage { language } => {
                ("water.phrases.delete", language.clone(), json!({}))
            }
            Self::ForgetPhrase { language, key } => {
                ("water.phrases.delete", format!("{language}/{key}"), json!({}))
            }
            Self::Reset => ("water.phrases.reset", "all".to_owned(), json!({})),
        }
    }

    /// What is kept after it; refused where there is nothing to forget.
    fn apply(&self, kept: &mut Phrases) -> Result<(), Problem> {
        let was_there = match self {
            Self::Language { language, phrases } => {
                kept.remove_language(language);
                for (key, text) in phrases {
                    kept.set(language, key, text);
                }
                true
            }
            Self::Phrase { language, key, text } => {
                kept.set(language, key, text);
                true
            }
            Self::ForgetLanguage { language } => kept.remove_language(language),
            Self::ForgetPhrase { language, key } => kept.remove(language, key),
            Self::Reset => {
                *kept = Phrases::default();
                true
            }
        };
        if was_there { Ok(()) } else { Err(Code::NoSuchPhrase.into()) }
    }

    fn operations(&self, tenant: &Tenant, menu: &str) -> Vec<Operation> {
        let remove = |language: Option<&String>, key: Option<&String>| {
            let language = language.map(|it| it.as_str().into());
            let (tenant, key) = (tenant.clone(), key.map(|it| it.as_str().into()));
            let menu = menu.into();
            Operation::Phrase(PhraseOperation::Remove { tenant, menu, language, key })
        };
        let put = |language: &str, key: &str, text: &str| {
            let (tenant, menu) = (tenant.clone(), menu.into());
            let (language, key, text) = (language.into(), key.into(), text.into());
            let row = PhraseRow { tenant, menu, language, key, text };
            Operation::Phrase(PhraseOperation::Put(row))
        };
        match self {
            Self::Language { language, phrases } => {
                let puts = phrases.iter().map(|(key, text)| put(language, key, text));
                std::iter::once(remove(Some(language), None)).chain(puts).collect()
            }
            Self::Phrase { language, key, text } => vec![put(language, key, text)],
            Self::ForgetLanguage { language } => vec![remove(Some(language), None)],
            Self::ForgetPhrase { language, key } => vec![remove(Some(language), Some(key))],
            Self::Reset => vec![remove(None, None)],
        }
    }
}

/// Checks the menu with the change, keeps it, and lets callers hear it.
async fn edit(
    state: ApiState,
    caller: Authorised<need::WaterWrite>,
    edit: Edit,
) -> Result<(), Problem> {
    let work = async move {
        // Each change is made from what the one before it left.
        let _turn = state.phrases_turn.lock().await;
        let (tenant, menu) = (caller.tenant(), &*state.water_menu);
        let mut kept = state.book.kept(tenant, menu);
        edit.apply(&mut kept)?;
        if kept.languages().count() > LANGUAGES_MAX {
            let detail = format!("at most {LANGUAGES_MAX} languages are kept");
            return Err(Problem::new(Code::InvalidBody, detail));
        }
        let prepared = state.book.prepare(tenant, menu, kept)?;
        let (action, subject, detail) = edit.audit_line();
        let operations = edit.operations(tenant, menu);
        state.change(&caller, action, &subject, &detail, operations).await?;
        state.book.take(prepared);
        Ok(())
    };
    to_its_end(work).await?
}

/// Lists the languages.
#[utoipa::path(get, path = "/api/v1/water/phrases", tag = "water",
    operation_id = "list_water_languages",
    security(("token" = ["water.read"])),
    responses((status = 200, description = "The languages", body = LanguagesView)))]
pub(in crate::api) async fn languages(
    caller: Authorised<need::WaterRead>,
    State(state): State<ApiState>,
) -> Json<LanguagesView> {
    let menu = state.water_menu.clone();
    let phrases = state.book.phrases(caller.tenant(), &menu);
    let languages = phrases.languages().map(str::to_owned).collect();
    Json(LanguagesView { menu, languages })
}

/// Shows what is said in a language.
#[utoipa::path(get, path = "/api/v1/water/phrases/{language}", tag = "water",
    operation_id = "show_water_phrases",
    security(("token" = ["water.read"])),
    params(("language" = String, Path, description = "The language's code")),
    responses((status = 200, description = "Its phrases", body = PhrasesView)))]
pub(in crate::api) async fn show(
    caller: Authorised<need::WaterRead>,
    State(state): State<ApiState>,
    Segments(language): Segments<String>,
) -> Result<Json<PhrasesView>, Problem> {
    Ok(Json(view(&state, caller.tenant(), language)?))
}

/// Changes what is said in a language, or adds one: the menu offers it from then on.
#[utoipa::path(put, path = "/api/v1/water/phrases/{language}", tag = "water",
    operation_id = "put_water_phrases",
    security(("token" = ["water.write"])),
    params(("language" = String, Path, description = "The language's code, such as `fr`")),
    request_body = PhrasesRequest,
    responses((status = 200, description = "Its phrases, changed", body = PhrasesView)))]
pub(in crate::api) async fn put(
    caller: Authorised<need::WaterWrite>,
    State(state): State<ApiState>,
    Segments(language): Segments<String>,
    JsonBody(body): JsonBody<PhrasesRequest>,
) -> Result<Json<PhrasesView>, Problem> {
    demand_language(&language)?;
    if body.phrases.is_empty() {
        return Err(Problem::new(Code::InvalidBody, "`phrases` has none"));
    }
    for (key, text) in &body.phrases {
        demand_phrase(&state, key, text)?;
    }
    let (phrases, tenant) = (body.phrases, caller.tenant().clone());
    edit(state.clone(), caller, Edit::Language { language: language.clone(), phrases }).await?;
    Ok(Json(view(&state, &tenant, language)?))
}

/// Forgets all changes of a language; one that no file has is gone. English stays.
#[utoipa::path(delete, path = "/api/v1/water/phrases/{language}", tag = "water",
    operation_id = "delete_water_phrases",
    security(("token" = ["water.write"])),
    params(("language" = String, Path, description = "The language's code")),
    responses((status = 204, description = "It is as the files have it")))]
pub(in crate::api) async fn delete(
    caller: Authorised<need::WaterWrite>,
    State(state): State<ApiState>,
    Segments(language): Segments<String>,
) -> Result<StatusCode, Problem> {
    if language == FIRST {
        let detail = "English stands in for what other languages lack: change it, or reset";
        return Err(Problem::new(Code::Conflict, detail));
    }
    edit(state, caller, Edit::ForgetLanguage { language }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes one phrase.
#[utoipa::path(put, path = "/api/v1/water/phrases/{language}/{key}", tag = "water",
    operation_id = "put_water_phrase",
    security(("token" = ["water.write"])),
    params(
        ("language" = String, Path, description = "The language's code"),
        ("key" = String, Path, description = "The phrase's key"),
    ),
    request_body = PhraseRequest,
    responses((status = 204, description = "Callers hear it from now on")))]
pub(in crate::api) async fn put_one(
    caller: Authorised<need::WaterWrite>,
    State(state): State<ApiState>,
    Segments((language, key)): Segments<(String, String)>,
    JsonBody(body): JsonBody<PhraseRequest>,
) -> Result<StatusCode, Problem> {
    demand_language(&language)?;
    demand_phrase(&state, &key, &body.text)?;
    edit(state, caller, Edit::Phrase { language, key, text: body.text }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forgets the change of one phrase.
#[utoipa::path(delete, path = "/api/v1/water/phrases/{language}/{key}", tag = "water",
    operation_id = "delete_water_phrase",
    security(("token" = ["water.write"])),
    params(
        ("language" = String, Path, description = "The language's code"),
        ("key" = String, Path, description = "The phrase's key"),
    ),
    responses((status = 204, description = "It is as the files have it")))]
pub(in crate::api) async fn delete_one(
    caller: Authorised<need::WaterWrite>,
    State(state): State<ApiState>,
    Segments((language, key)): Segments<(String, String)>,
) -> Result<StatusCode, Problem> {
    edit(state, caller, Edit::ForgetPhrase { language, key }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forgets every change: all is said as the files have it.
#[utoipa::path(post, path = "/api/v1/water/phrases/reset", tag = "water",
    operation_id = "reset_water_phrases",
    security(("token" = ["water.write"])),
    responses((status = 204, description = "All is as the files have it")))]
pub(in crate::api) async fn reset(
    caller: Authorised<need::WaterWrite>,
    State(state): State<ApiState>,
) -> Result<StatusCode, Problem> {
    edit(state, caller, Edit::Reset).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn view(state: &ApiState, tenant: &Tenant, language: String) -> Result<PhrasesView, Problem> {
    let menu = &*state.water_menu;
    let (heard, files) = (state.book.phrases(tenant, menu), state.book.phrases_of_files(menu));
    let of = |(it, _, _): &(&str, &str, &str)| *it == language;
    let phrases: BTreeMap<_, _> =
        heard.iter().filter(of).map(|(_, key, text)| (key.to_owned(), text.to_owned())).collect();
    if phrases.is_empty() {
        return Err(Code::NoSuchPhrase.into());
    }
    let is_changed = |(key, text): &(&String, &String)| {
        files.exact(&language, key).is_none_or(|it| it != text.as_str())
    };
    let changed = phrases.iter().filter(is_changed).map(|(key, _)| key.clone()).collect();
    Ok(PhrasesView { language, phrases, changed })
}

fn demand_language(text: &str) -> Result<(), Problem> {
    if ussd::is_language(text) {
        return Ok(());
    }
    let detail = "a language is 2 to 32 small letters, digits and `_`, such as `fr`";
    Err(Problem::new(Code::InvalidPath, detail))
}

/// Refuses what no menu could show. Only what is said already can be said otherwise.
fn demand_phrase(state: &ApiState, key: &str, text: &str) -> Result<(), Problem> {
    let files = state.book.phrases_of_files(&state.water_menu);
    if !files.iter().any(|(_, known, _)| known == key) {
        return Err(Problem::new(Code::NoSuchPhrase, "no language has a phrase of that key"));
    }
    if text.len() > TEXT_LEN_MAX {
        let detail = format!("a phrase has at most {TEXT_LEN_MAX} bytes");
        return Err(Problem::new(Code::InvalidBody, detail));
    }
    let wrong = |why: String| Problem::new(Code::InvalidBody, format!("`{key}` {why}"));
    Phrases::check(text).map_err(wrong)
}
