//! `GET /api/v1/devices`, one device, its claim.

use super::ApiState;
use super::access::{Authorised, need};
use super::boards::BoardView;
use super::input::{DeviceName, Items, Params, cursor, limit};
use super::problem::{Code, Problem};
use super::provision::ProvisioningView;
use super::push;
use super::wake::WakeView;
use crate::registry::{Device, Filter};
use crate::store::Operation;
use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use model::{DeviceId, Protocol};
use provisioning::Standing;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use utoipa::{IntoParams, ToSchema};

/// Most devices looked at for one page, some 10 ms: a page that a filter leaves short has a `next`.
const LOOKS_MAX: usize = 20_000;
/// Longest filter, in bytes.
const FILTER_LEN_MAX: usize = 256;

/// How a device talks to us.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Protocol)]
pub(super) enum ProtocolWord {
    /// Routers and ONTs (TR-069).
    Cwmp,
    /// Boards.
    Mqtt,
    /// Phones.
    Ussd,
}

impl From<Protocol> for ProtocolWord {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Cwmp => Self::Cwmp,
            Protocol::Mqtt => Self::Mqtt,
            Protocol::Ussd => Self::Ussd,
        }
    }
}

impl From<ProtocolWord> for Protocol {
    fn from(word: ProtocolWord) -> Self {
        match word {
            ProtocolWord::Cwmp => Self::Cwmp,
            ProtocolWord::Mqtt => Self::Mqtt,
            ProtocolWord::Ussd => Self::Ussd,
        }
    }
}

/// How a device stands to what it should be.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Standing)]
#[expect(dead_code, reason = "describes `provisioning::Standing` to the OpenAPI document")]
pub(super) enum StandingWord {
    /// Nothing was decided yet.
    New,
    /// No profile is for it.
    Unmatched,
    /// The business does not know it.
    Unknown,
    /// Its values are not to be had yet.
    AwaitingValues,
    /// Something is still to be done.
    Pending,
    /// It is as wanted.
    Converged,
    /// It is as wanted but for what it refused or does not have; that is tried again.
    Partial,
    /// It did not become as wanted in the rounds it was given; left alone until something changes.
    Stuck,
    /// Something is to be done, and writing is on hold.
    Held,
    /// Something is to be done, and a second person must agree.
    AwaitingApproval,
}

/// A device as the registry knows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Device)]
pub(super) struct DeviceView {
    /// `cwmp:OUI-ProductClass-Serial`, `imei:…`, `mqtt:…` or `msisdn:+…`. In a URL its percent
    /// signs are spelled `%25`.
    id: String,
    protocol: ProtocolWord,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    manufacturer: Option<Box<str>>,
    /// The maker's identifier, 6 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    oui: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_class: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<Box<str>>,
    /// ModelName, else the product class.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hardware_version: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    software_version: Option<Box<str>>,
    /// Where it says it may be woken.
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_request_url: Option<Box<str>>,
    /// Where it says it may be woken by UDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    udp_connection_request_address: Option<Box<str>>,
    /// What became of the last try to wake it since the daemon started; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_request: Option<WakeView>,
    /// How it stands to what it should be; of CPEs, and not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    provisioning: Option<ProvisioningView>,
    /// What is kept of it; of boards, and not in lists.
    #[serde(flatten)]
    board: BoardView,
    /// How often it says it will inform, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    periodic_interval_s: Option<u32>,
    /// Its other names.
    aliases: Vec<AliasView>,
    /// Who owns it.
    customer: Option<Box<str>>,
    /// Labels given by operators.
    tags: Vec<Box<str>>,
    /// The one group that it is in.
    group: Option<Box<str>>,
    /// Whether it can be reached, as far as we know.
    online: bool,
    /// Whether secret values may be sent to it.
    claimed: bool,
    /// When it was last heard.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_seen_at: Option<Timestamp>,
    /// The address it was last heard from.
    #[schema(value_type = Option<String>)]
    address: Option<IpAddr>,
    /// When it was met first.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// Another name of a device.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alias)]
pub(super) struct AliasView {
    /// `serial`, `gpon_serial`, `mac`, `imsi`, `iccid`, `msisdn` or `imei`.
    kind: &'static str,
    /// In the kind's one spelling.
    value: String,
}

impl From<Device> for DeviceView {
    fn from(device: Device) -> Self {
        let facts = device.facts;
        let alias = |alias: &model::Alias| AliasView {
            kind: alias.kind().as_str(),
            value: alias.value().to_owned(),
        };
        Self {
            id: device.id.as_str().to_owned(),
            protocol: device.id.protocol().into(),
            manufacturer: facts.manufacturer,
            oui: facts.oui,
            product_class: facts.product_class,
            serial: facts.serial,
            model: facts.model,
            hardware_version: facts.hardware_version,
            software_version: facts.software_version,
            connection_request_url: facts.connection_request_url,
            udp_connection_request_address: facts.udp_connection_request_address,
            connection_request: None,
            provisioning: None,
            board: BoardView::default(),
            periodic_interval_s: facts.periodic_interval_s,
            aliases: facts.aliases.iter().map(alias).collect(),
            customer: device.customer,
            tags: device.tags,
            group: device.group,
            online: device.online,
            claimed: device.claimed,
            last_seen_at: device.last_seen_at,
            address: device.address,
            created_at: device.created_at,
        }
    }
}

/// Which devices.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeviceQuery {
    /// Of this protocol.
    protocol: Option<ProtocolWord>,
    /// With this tag.
    tag: Option<Box<str>>,
    /// Of this model.
    model: Option<Box<str>>,
    /// Of this group.
    group: Option<Box<str>>,
    /// With this text in their identity or names.
    q: Option<Box<str>>,
    /// That stand so to what they should be.
    #[param(value_type = Option<StandingWord>)]
    provisioning: Option<Standing>,
    /// How many at most: 1 to 1000, 100 by default.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Lists devices, in the order of their identities.
#[utoipa::path(get, path = "/api/v1/devices", tag = "devices",
    operation_id = "list_devices",
    security(("token" = ["devices.read"])), params(DeviceQuery),
    responses((status = 200, description = "A page of devices", body = Items<DeviceView>)))]
pub(super) async fn list(
    caller: Authorised<need::DevicesRead>,
    State(state): State<ApiState>,
    Params(query): Params<DeviceQuery>,
) -> Result<Json<Items<DeviceView>>, Problem> {
    let filters = [&query.tag, &query.model, &query.group, &query.q];
    if filters.into_iter().flatten().any(|text| text.len() > FILTER_LEN_MAX) {
        let detail = format!("a filter has at most {FILTER_LEN_MAX} bytes");
        return Err(Problem::new(Code::InvalidQuery, detail));
    }
    let filter = Filter {
        protocol: query.protocol.map(Protocol::from),
        tag: query.tag,
        model: query.model,
        group: query.group,
        q: query.q,
        standing: query.provisioning,
        ..Filter::default()
    };
    page(&state, &caller, &filter, query.limit, query.cursor.as_deref())
}

/// One page of the devices that pass `filter`.
pub(super) fn page<N>(
    state: &ApiState,
    caller: &Authorised<N>,
    filter: &Filter,
    limit_asked: Option<usize>,
    cursor_given: Option<&str>,
) -> Result<Json<Items<DeviceView>>, Problem> {
    let limit = limit(limit_asked)?;
    let after = cursor(cursor_given, |text| DeviceId::parse(text).ok())?;
    let part = state.registry.part(caller.tenant(), filter, after.as_ref(), limit, LOOKS_MAX);
    let devices = part.devices.into_iter().map(DeviceView::from).collect();
    Ok(Json(Items::part(devices, part.next.as_ref().map(DeviceId::as_str))))
}

/// Shows one device.
#[utoipa::path(get, path = "/api/v1/devices/{id}", tag = "devices",
    operation_id = "show_device",
    security(("token" = ["devices.read"])),
    params(("id" = String, Path, description = "Its identity, or an alias such as `mac:001a2b3c4d5e`")),
    responses((status = 200, description = "The device", body = DeviceView)))]
pub(super) async fn show(
    caller: Authorised<need::DevicesRead>,
    State(state): State<ApiState>,
    name: DeviceName,
) -> Result<Json<DeviceView>, Problem> {
    let device = state.device(caller.tenant(), &name)?;
    let last = state.wakes.last(caller.tenant(), &device.id).map(WakeView::from);
    let provisioning = match device.id.protocol() {
        Protocol::Cwmp => Some(state.provisioner.kept(caller.tenant(), &device.id).await?.into()),
        Protocol::Mqtt | Protocol::Ussd => None,
    };
    let board = match device.id.protocol() {
        Protocol::Mqtt => {
            let row = state.boards.get(caller.tenant(), &device.id).await?;
            let versions = state.upgrades.versions(&device).await?;
            row.map(BoardView::from).unwrap_or_default().with(versions)
        }
        Protocol::Cwmp | Protocol::Ussd => BoardView::default(),
    };
    Ok(Json(DeviceView { connection_request: last, provisioning, board, ..device.into() }))
}

/// Claims a device's equipment, so that secret values may be sent to it.
///
/// Claiming it again changes nothing.
///
/// It is given the secrets of its serials from then on, whoever held them: two boxes that say the same
/// serial are a copy and its original, and an operator says which is which.
#[utoipa::path(post, path = "/api/v1/devices/{id}/claim", tag = "devices",
    operation_id = "claim_device",
    security(("token" = ["devices.write"])),
    params(("id" = String, Path, description = "Its identity or an alias")),
    responses((status = 200, description = "The device, claimed", body = DeviceView)))]
pub(super) async fn claim(
    caller: Authorised<need::DevicesWrite>,
    State(state): State<ApiState>,
    name: DeviceName,
) -> Result<Json<DeviceView>, Problem> {
    let device = state.device(caller.tenant(), &name)?;
    let (tenant, id) = (caller.tenant(), &device.id);
    let mut operations = state.equipments.take_over(&device).await?;
    if !device.claimed {
        operations.push(Operation::Claim { tenant: tenant.clone(), device: id.clone() });
    }
    if !operations.is_empty() {
        let nothing = serde_json::json!({});
        state.change(&caller, "device.claim", id.as_str(), &nothing, operations).await?;
        push::one(&state, tenant, id);
    }
    Ok(Json(DeviceView { claimed: true, ..device.into() }))
}
