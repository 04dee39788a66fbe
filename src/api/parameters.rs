//! `GET /api/v1/devices/{id}/parameters`: what is known of a device's data model.

use super::ApiState;
use super::access::{Authorised, need};
use super::input::{DeviceName, Items, Params, cursor, limit};
use super::problem::Problem;
use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use model::{DataModelEntry, is_secret};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A parameter or an object, as the device told of it last.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Parameter)]
pub(super) struct ParameterView {
    /// The whole path; an object's ends in a dot.
    path: String,
    /// The value as text; null of an object, of a parameter that was never read, and of a secret.
    value: Option<String>,
    /// Whether the value is a password, a key or the like by its name, and therefore not shown: a
    /// `get_parameters` command has the device tell it, and leaves a line in the audit trail.
    secret: bool,
    /// The XML Schema type: `string`, `unsignedInt`, …
    #[serde(rename = "type")]
    xsd_type: Option<String>,
    /// Whether it may be written, or objects be added or deleted; null when the device was not
    /// asked for its names.
    writable: Option<bool>,
    /// 0 off, 1 passive, 2 active, 3 to 6 lightweight; null when the device was not asked.
    notification: Option<u8>,
    /// Who may write it beside us; null when the device was not asked.
    access_list: Option<Vec<String>>,
    /// When the value was read; in whole seconds.
    #[schema(value_type = Option<String>, format = DateTime)]
    read_at: Option<Timestamp>,
    /// Whether the device gave no value any more when it was last asked for it.
    stale: bool,
}

impl From<DataModelEntry<'_>> for ParameterView {
    fn from(entry: DataModelEntry<'_>) -> Self {
        let secret = is_secret(entry.path);
        let value = entry.value.filter(|_| !secret).map(|value| (*value.expose()).to_owned());
        let list = |list: &[Box<str>]| list.iter().map(|who| who.to_string()).collect();
        Self {
            path: entry.path.to_owned(),
            value,
            secret,
            xsd_type: entry.xsd_type.map(str::to_owned),
            writable: entry.writable,
            notification: entry.notification,
            access_list: entry.access_list.map(list),
            read_at: entry.read_at,
            stale: entry.stale,
        }
    }
}

/// Which parameters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ParameterQuery {
    /// One parameter, or, ending in a dot, an object and all below it; everything by default.
    #[serde(default)]
    path: String,
    /// How many at most: 1 to 1000, 100 by default.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Lists what is known of a device's data model, in the order of paths.
///
/// From what the device told before; it is not asked. A `refresh` command has it asked for
/// everything, and a device that was never asked has no entries. Secrets are not shown to anybody:
/// their `value` is null.
#[utoipa::path(get, path = "/api/v1/devices/{id}/parameters", tag = "devices",
    operation_id = "list_parameters",
    security(("token" = ["devices.read"])),
    params(("id" = String, Path, description = "Its identity or an alias"), ParameterQuery),
    responses((status = 200, description = "A page of parameters and objects",
        body = Items<ParameterView>)))]
pub(super) async fn list(
    caller: Authorised<need::DevicesRead>,
    State(state): State<ApiState>,
    name: DeviceName,
    Params(query): Params<ParameterQuery>,
) -> Result<Json<Items<ParameterView>>, Problem> {
    let limit = limit(query.limit)?;
    let after = cursor(query.cursor.as_deref(), |text| Some(text.to_owned()))?.unwrap_or_default();
    let device = state.device(caller.tenant(), &name)?;
    let Some(model) = state.data_models.load(caller.tenant(), &device.id).await? else {
        return Ok(Json(Items::whole(Vec::new())));
    };
    let path = &*query.path;
    let is_subtree = path.is_empty() || path.ends_with('.');
    let entries: Vec<_> = match is_subtree {
        // One more than the page: then it is known whether there is another.
        true => model.below_after(path, &after).take(limit + 1).map(Into::into).collect(),
        false => model.get(path).map(Into::into).into_iter().collect(),
    };
    Ok(Json(Items::page(entries, limit, |entry: &ParameterView| entry.path.clone())))
}
