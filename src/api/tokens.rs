//! Who may call: tokens made, listed, revoked.
//!
//! Nobody hands out more than he has: a token's role may permit only what its maker may. The tenant
//! `default` is the operator's own; only its tokens may name another tenant.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{Items, JsonBody, Params, Segments, is_name};
use super::problem::{Code, Problem};
use crate::secrets::new_token;
use crate::store::{Operation, TokenAcl, TokenRow};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use config::Permission;
use jiff::Timestamp;
use model::{DeviceId, Redacted, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::mem;
use utoipa::{IntoParams, ToSchema};

/// Longest name of a token, in bytes.
const NAME_LEN_MAX: usize = 64;

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRequest {
    /// What the audit trail calls its bearer.
    name: String,
    /// A role of the configuration.
    role: String,
    /// Whose data it may touch; the caller's own tenant by default.
    tenant: Option<String>,
    /// What its bearer may publish over MQTT, as topic filters in which a level may be `{client_id}`;
    /// only with a role that permits `mqtt.connect`.
    #[serde(default)]
    publish: Vec<Box<str>>,
    /// What it may subscribe to, likewise; a wider subscription is cut to it.
    #[serde(default)]
    subscribe: Vec<Box<str>>,
    /// What it may neither publish to nor be sent, whatever the others say.
    #[serde(default)]
    deny: Vec<Box<str>>,
}

/// A token, without the token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub(super) struct TokenView {
    /// What the audit trail calls its bearer.
    name: Box<str>,
    /// What it may.
    role: Box<str>,
    /// Whose data it may touch.
    tenant: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Which token made it; absent of that of the first start.
    #[serde(skip_serializing_if = "Option::is_none")]
    made_by: Option<Box<str>>,
    /// What its bearer may publish and read over MQTT.
    #[serde(flatten)]
    topics: Option<TopicsView>,
}

/// The topics of a program's token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TokenTopics)]
pub(super) struct TopicsView {
    /// What it may publish.
    publish: Vec<Box<str>>,
    /// What it may read.
    subscribe: Vec<Box<str>>,
    /// What it may neither publish nor read.
    deny: Vec<Box<str>>,
}

/// A new token. Shown this once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewToken)]
pub(super) struct NewTokenView {
    #[serde(flatten)]
    view: TokenView,
    /// What its bearer presents: `Authorization: Bearer <token>`.
    #[schema(value_type = String)]
    token: Redacted<String>,
}

impl From<TokenRow> for TokenView {
    fn from(row: TokenRow) -> Self {
        let tenant = row.tenant.as_str().to_owned();
        let topics = row.acl.map(|TokenAcl { publish, subscribe, deny }| TopicsView {
            publish,
            subscribe,
            deny,
        });
        let TokenRow { name, role, created_at, .. } = row;
        let made_by = row.made_by.map(|(_, name)| name);
        Self { name, role, tenant, created_at, made_by, topics }
    }
}

/// Of which tenant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TenantQuery {
    /// The caller's own by default; another only for tokens of the tenant `default`.
    tenant: Option<String>,
}

/// Makes a token.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens",
    operation_id = "create_token",
    security(("token" = ["tokens.write"])),
    request_body = TokenRequest,
    responses((status = 201, description = "The token, this once", body = NewTokenView)))]
pub(super) async fn create(
    caller: Authorised<need::TokensWrite>,
    State(state): State<ApiState>,
    JsonBody(mut body): JsonBody<TokenRequest>,
) -> Result<(StatusCode, Json<NewTokenView>), Problem> {
    if !is_name(&body.name, NAME_LEN_MAX) {
        let detail = format!("`name` has 1 to {NAME_LEN_MAX} bytes");
        return Err(Problem::new(Code::InvalidBody, detail));
    }
    let tenant = tenant_of(&caller, body.tenant.as_deref(), Code::InvalidBody)?;
    let permissions = state.access.permissions_of(&body.role);
    let permissions = permissions
        .ok_or_else(|| Problem::new(Code::InvalidBody, "`role` is not in the configuration"))?;
    if let Some(more) = permissions.iter().find(|it| !caller.grant.permits(**it)) {
        let detail = format!("the role permits `{}`, which your token does not", more.as_str());
        return Err(Problem::new(Code::Forbidden, detail));
    }
    let acl = topics(&mut body, permissions)?;
    let token = new_token();
    let row = TokenRow {
        tenant,
        name: body.name.into(),
        hash: state.vault.hmac(token.expose().as_bytes()),
        role: body.role.into(),
        created_at: state.clock.now().wall,
        made_by: Some(caller.grant.token_name()),
        is_revoked: false,
        acl,
    };
    let detail = json!({ "role": row.role, "tenant": row.tenant.as_str() });
    let operations = vec![Operation::PutToken(row.clone())];
    state.change(&caller, "token.create", &row.name, &detail, operations).await?;
    Ok((StatusCode::CREATED, Json(NewTokenView { view: row.into(), token })))
}

/// Lists tokens.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens",
    operation_id = "list_tokens",
    security(("token" = ["tokens.write"])), params(TenantQuery),
    responses((status = 200, description = "Every token of the tenant", body = Items<TokenView>)))]
pub(super) async fn list(
    caller: Authorised<need::TokensWrite>,
    State(state): State<ApiState>,
    Params(query): Params<TenantQuery>,
) -> Result<Json<Items<TokenView>>, Problem> {
    let tenant = tenant_of(&caller, query.tenant.as_deref(), Code::InvalidQuery)?;
    let mut rows = state.store.tokens().await?;
    rows.retain(|row| row.tenant == tenant && !row.is_revoked);
    rows.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(Json(Items::whole(rows.into_iter().map(TokenView::from).collect())))
}

/// Revokes a token. Its streams end.
#[utoipa::path(delete, path = "/api/v1/tokens/{name}", tag = "tokens",
    operation_id = "revoke_token",
    security(("token" = ["tokens.write"])),
    params(("name" = String, Path, description = "The token's name"), TenantQuery),
    responses((status = 204, description = "It is no longer valid")))]
pub(super) async fn revoke(
    caller: Authorised<need::TokensWrite>,
    State(state): State<ApiState>,
    Segments(name): Segments<String>,
    Params(query): Params<TenantQuery>,
) -> Result<StatusCode, Problem> {
    let tenant = tenant_of(&caller, query.tenant.as_deref(), Code::InvalidQuery)?;
    let rows = state.store.tokens().await?;
    let is_it = |row: &TokenRow| row.tenant == tenant && *row.name == *name && !row.is_revoked;
    if !rows.iter().any(is_it) {
        return Err(Code::NoSuchToken.into());
    }
    let detail = json!({ "tenant": tenant.as_str() });
    let operations = vec![Operation::RevokeToken { tenant, name: name.as_str().into() }];
    state.change(&caller, "token.revoke", &name, &detail, operations).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a token may publish and read over MQTT, where it names topics.
fn topics(
    body: &mut TokenRequest,
    permissions: &[Permission],
) -> Result<Option<TokenAcl>, Problem> {
    let acl = TokenAcl {
        publish: mem::take(&mut body.publish),
        subscribe: mem::take(&mut body.subscribe),
        deny: mem::take(&mut body.deny),
    };
    if acl == TokenAcl::default() {
        return Ok(None);
    }
    let invalid = |detail: String| Problem::new(Code::InvalidBody, detail);
    if !permissions.contains(&Permission::MqttConnect) {
        let needed = Permission::MqttConnect.as_str();
        return Err(invalid(format!("topics are for a role that permits `{needed}`")));
    }
    if DeviceId::program(&body.name).is_err() {
        let detail = "the `name` of a program is of letters, digits, `.`, `_`, `-` and `%`: events \
                      of what it publishes are about `program:<name>`";
        return Err(invalid(detail.to_owned()));
    }
    acl.parse().map_err(|error| invalid(format!("`publish`, `subscribe`, `deny`: {error}")))?;
    Ok(Some(acl))
}

fn tenant_of(
    caller: &Authorised<need::TokensWrite>,
    named: Option<&str>,
    code: Code,
) -> Result<Tenant, Problem> {
    let Some(named) = named else { return Ok(caller.tenant().clone()) };
    let named = Tenant::new(named).map_err(|error| Problem::new(code, error.to_string()))?;
    if named != *caller.tenant() && *caller.tenant() != Tenant::default() {
        return Err(Problem::new(Code::Forbidden, "your token belongs to another tenant"));
    }
    Ok(named)
}
