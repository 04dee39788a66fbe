//! The catalogue of images that devices fetch.

use super::access::{Authorised, need};
use super::change::to_its_end;
use super::input::{Items, PageQuery, Params, Segments, cursor, limit};
use super::problem::{Code, Problem};
use super::{ApiState, content};
use crate::settings::chain;
use crate::store::{ImageRow, Operation, WriteError};
use crate::transfers::{Limits, ReceiveError, Received, receive};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use firmware::{FileType, Image, ImageName, ImageSignature, Label, Sha256, is_signed};
use http_body_util::BodyDataStream;
use hyper::body::Body as _;
use jiff::Timestamp;
use model::{CommandKind, DeploymentOperation};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use tracing::error;
use utoipa::{IntoParams, ToSchema};

/// An image of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Image)]
pub(super) struct ImageView {
    /// What it is called.
    #[schema(value_type = String)]
    name: ImageName,
    /// The model that it is for.
    #[schema(value_type = Option<String>)]
    model: Option<Label>,
    /// The group that it is for.
    #[schema(value_type = Option<String>)]
    group: Option<Label>,
    /// The version that a device reports once it runs.
    #[schema(value_type = Option<String>)]
    version: Option<Label>,
    /// What a CPE is told it is.
    #[schema(value_type = String)]
    file_type: FileType,
    /// Its length.
    bytes: u64,
    /// Its SHA-256, in hexadecimal.
    #[schema(value_type = String)]
    sha256: Sha256,
    /// The Ed25519 signature of its content, in base64, where one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    /// When these bytes came under this name.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Image> for ImageView {
    fn from(image: Image) -> Self {
        let Image { tenant: _, name, model, group, version, file_type, bytes, sha256, .. } = image;
        let (created_at, signature) = (image.created_at, image.signature.map(|it| it.to_string()));
        Self { name, model, group, version, file_type, bytes, sha256, signature, created_at }
    }
}

/// What an image is.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PutQuery {
    /// The model that it is for; any when absent.
    model: Option<String>,
    /// The group that it is for: boards say no model. They fetch it under
    /// `/firmware/ota/<group>/fw_<version>.bin`, too.
    group: Option<String>,
    /// The version that a device reports once it runs.
    version: Option<String>,
    /// TR-069's FileType: `1 Firmware Upgrade Image` by default.
    file_type: Option<String>,
    /// What its content must hash to, in hexadecimal: an image that was damaged on its way is
    /// refused.
    sha256: Option<String>,
    /// An Ed25519 signature in base64 of the line `lastmile image sha256:<hexadecimal digits>`; or as
    /// the header `X-Signature`. Demanded where `firmware.keys` lists any key.
    signature: Option<String>,
    /// Whether an image of this name with other content may go. Addresses of the old one that
    /// devices were given end.
    #[serde(default)]
    replace: bool,
}

/// What is said of an image, checked.
struct Said {
    model: Option<Label>,
    group: Option<Label>,
    version: Option<Label>,
    file_type: FileType,
    sha256: Option<Sha256>,
    signature: Option<ImageSignature>,
    replace: bool,
}

impl TryFrom<PutQuery> for Said {
    type Error = Problem;

    fn try_from(query: PutQuery) -> Result<Self, Problem> {
        fn refuse(error: impl ToString) -> Problem {
            Problem::new(Code::InvalidQuery, error.to_string())
        }
        let label = |text: Option<String>| text.as_deref().map(Label::new).transpose();
        let file_type = query.file_type.as_deref().map(FileType::new).transpose();
        let sha256 = query.sha256.as_deref().map(Sha256::parse).transpose();
        let signature = query.signature.as_deref().map(ImageSignature::parse).transpose();
        Ok(Self {
            model: label(query.model).map_err(refuse)?,
            group: query.group.map(|it| group(&it)).transpose()?,
            version: label(query.version).map_err(refuse)?,
            file_type: file_type.map_err(refuse)?.unwrap_or_default(),
            sha256: sha256.map_err(refuse)?,
            signature: signature.map_err(refuse)?,
            replace: query.replace,
        })
    }
}

/// A group that stands in a URL as it is.
fn group(text: &str) -> Result<Label, Problem> {
    let refuse = |why: String| Problem::new(Code::InvalidQuery, why);
    if text.contains(['/', '?', '#', '%']) || text == "." || text == ".." {
        return Err(refuse("a group with images has no `/`, `?`, `#` or `%` in its name".into()));
    }
    Label::new(text)
        .map_err(|_| refuse("a group is 1 to 64 bytes without control characters".into()))
}

fn image_name(text: &str) -> Result<ImageName, Problem> {
    ImageName::new(text).map_err(|error| Problem::new(Code::InvalidPath, error.to_string()))
}

/// Why a body was not taken in.
impl From<ReceiveError> for Problem {
    fn from(error: ReceiveError) -> Self {
        match &error {
            ReceiveError::TooLong => Code::BodyTooLarge.into(),
            ReceiveError::Slow => Self::new(Code::TimedOut, "the body did not arrive in time"),
            ReceiveError::Broken => Self::new(Code::InvalidBody, "the body broke off"),
            ReceiveError::Full => Code::NoSpace.into(),
            ReceiveError::Disk(source) => {
                error!(error = chain(source), "a file could not be written");
                Self::new(Code::Internal, "the file could not be written")
            }
        }
    }
}

/// Puts an image into the catalogue (201), or says more of one with the same content (200).
///
/// An image does not change: the same name with other content is refused unless `replace` is set.
/// The body is the image, of at most `firmware.image_max` bytes.
#[utoipa::path(put, path = "/api/v1/images/{name}", tag = "images",
    operation_id = "put_image",
    security(("token" = ["images.write"])),
    params(
        ("name" = String, Path,
            description = "1 to 64 letters, digits, `.`, `-` and `_`, first a letter or digit"),
        PutQuery,
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "The image, as it is now", body = ImageView),
        (status = 201, description = "The image, made", body = ImageView),
    ))]
pub(super) async fn put(
    caller: Authorised<need::ImagesWrite>,
    State(state): State<ApiState>,
    Segments(name): Segments<String>,
    Params(query): Params<PutQuery>,
    request: Request,
) -> Result<(StatusCode, Json<ImageView>), Problem> {
    let (name, mut said) = (image_name(&name)?, Said::try_from(query)?);
    said.signature = said.signature.or(signature_of(&request)?);
    // Before the body is read: it may have half a GiB.
    if said.signature.is_none() && !state.upgrades.keys().is_empty() {
        return Err(Problem::new(Code::NotSigned, UNSIGNED));
    }
    let received = take(&state, &caller, request).await?;
    if said.sha256.is_some_and(|sha256| sha256 != received.sha256) {
        let detail = "the content does not hash to `sha256`";
        return Err(Problem::new(Code::InvalidBody, detail));
    }
    if !is_signed(state.upgrades.keys(), received.sha256, said.signature.as_ref()) {
        return Err(Code::NotSigned.into());
    }
    let image = Image {
        tenant: caller.tenant().clone(),
        name,
        model: said.model,
        group: said.group,
        version: said.version,
        file_type: said.file_type,
        bytes: received.bytes,
        sha256: received.sha256,
        signature: said.signature,
        created_at: state.clock.now().wall,
    };
    // To its end: a file that the store knows of must stay.
    to_its_end(keep(state, caller, image, said.replace, received)).await?
}

const UNSIGNED: &str =
    "`firmware.keys` demands a signature: give it as `signature` or `X-Signature`";

/// The signature in the request's header.
fn signature_of(request: &Request) -> Result<Option<ImageSignature>, Problem> {
    let Some(given) = request.headers().get("x-signature") else { return Ok(None) };
    let signature = given.to_str().ok().and_then(|text| ImageSignature::parse(text).ok());
    let refuse = || Problem::new(Code::InvalidQuery, firmware::SignatureError.to_string());
    signature.map(Some).ok_or_else(refuse)
}

async fn take(
    state: &ApiState,
    caller: &Authorised<need::ImagesWrite>,
    request: Request,
) -> Result<Received, Problem> {
    let options = state.transfers.options;
    let body = request.into_body();
    let declared = body.size_hint().exact();
    if declared.is_some_and(|declared| declared > options.image_max) {
        return Err(ReceiveError::TooLong.into());
    }
    let reserved = declared.unwrap_or(options.image_max);
    let mut incoming = state.transfers.begin_image(caller.tenant(), reserved).await?;
    let limits = Limits { bytes_max: options.image_max, idle_timeout: options.idle_timeout };
    receive(&mut BodyDataStream::new(body), &mut incoming, limits).await?;
    if incoming.bytes() == 0 {
        return Err(Problem::new(Code::InvalidBody, "an image has at least one byte"));
    }
    Ok(incoming.finish().await.map_err(ReceiveError::from)?)
}

async fn keep(
    state: ApiState,
    caller: Authorised<need::ImagesWrite>,
    image: Image,
    may_replace: bool,
    received: Received,
) -> Result<(StatusCode, Json<ImageView>), Problem> {
    let known = state.transfers.image(caller.tenant(), &image.name);
    let status = if known.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let detail = json!({
        "model": image.model, "group": image.group, "version": image.version, "file_type": image.file_type,
        "bytes": image.bytes, "sha256": image.sha256, "replace": may_replace,
        "signed": image.signature.is_some(),
    });
    let name = image.name.clone();
    let row = ImageRow { image, file: received.id.clone() };
    let mut operations = vec![Operation::PutImage { row, may_replace }];
    operations.push(state.audit(&caller, "image.put", name.as_str(), &detail));
    let kept = state.changes.make(&lane(&name), operations).await;
    // Where the daemon stops in between it may be kept: the next start knows.
    if matches!(kept, Ok(()) | Err(WriteError::Closed)) {
        received.keep();
    }
    kept?;
    let image = state.transfers.image(caller.tenant(), &name).ok_or(Code::NoSuchImage)?;
    Ok((status, Json(image.image.clone().into())))
}

/// Changes of one image are made in order.
fn lane(name: &ImageName) -> String {
    format!("image {name}")
}

/// Lists images by name.
#[utoipa::path(get, path = "/api/v1/images", tag = "images",
    operation_id = "list_images",
    security(("token" = ["images.read"])), params(PageQuery),
    responses((status = 200, description = "A page of images", body = Items<ImageView>)))]
pub(super) async fn list(
    caller: Authorised<need::ImagesRead>,
    State(state): State<ApiState>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Items<ImageView>>, Problem> {
    let limit = limit(query.limit)?;
    let after = cursor(query.cursor.as_deref(), |text| Some(text.to_owned()))?;
    let images = state.transfers.images(caller.tenant(), after.as_deref(), limit + 1);
    let views = images.into_iter().map(ImageView::from).collect();
    Ok(Json(Items::page(views, limit, |view: &ImageView| view.name.as_str().to_owned())))
}

fn find(
    state: &ApiState,
    caller: &Authorised<need::ImagesRead>,
    name: &str,
) -> Result<Arc<ImageRow>, Problem> {
    let row = ImageName::new(name).ok().and_then(|it| state.transfers.image(caller.tenant(), &it));
    row.ok_or_else(|| Code::NoSuchImage.into())
}

/// Shows what is known of an image.
#[utoipa::path(get, path = "/api/v1/images/{name}", tag = "images",
    operation_id = "show_image",
    security(("token" = ["images.read"])),
    params(("name" = String, Path, description = "The image's name")),
    responses((status = 200, description = "The image", body = ImageView)))]
pub(super) async fn show(
    caller: Authorised<need::ImagesRead>,
    State(state): State<ApiState>,
    Segments(name): Segments<String>,
) -> Result<Json<ImageView>, Problem> {
    Ok(Json(find(&state, &caller, &name)?.image.clone().into()))
}

/// Fetches an image's bytes.
#[utoipa::path(get, path = "/api/v1/images/{name}/content", tag = "images",
    operation_id = "fetch_image",
    security(("token" = ["images.read"])),
    params(("name" = String, Path, description = "The image's name")),
    responses((status = 200, description = "The bytes", body = Vec<u8>,
        content_type = "application/octet-stream")))]
pub(super) async fn fetch(
    caller: Authorised<need::ImagesRead>,
    State(state): State<ApiState>,
    Segments(name): Segments<String>,
) -> Result<Response, Problem> {
    let row = find(&state, &caller, &name)?;
    let body = state.transfers.image_body(&row).await;
    content(body, row.image.bytes)
}

/// Takes an image out of the catalogue. Refused while a command or a rollout that has not ended names
/// it.
#[utoipa::path(delete, path = "/api/v1/images/{name}", tag = "images",
    operation_id = "delete_image",
    security(("token" = ["images.write"])),
    params(("name" = String, Path, description = "The image's name")),
    responses((status = 204, description = "It is gone")))]
pub(super) async fn delete(
    caller: Authorised<need::ImagesWrite>,
    State(state): State<ApiState>,
    Segments(name): Segments<String>,
) -> Result<StatusCode, Problem> {
    let name = ImageName::new(&name).map_err(|_| Code::NoSuchImage)?;
    let tenant = caller.tenant().clone();
    let row = state.transfers.image(&tenant, &name).ok_or(Code::NoSuchImage)?;
    let open = state.store.open_commands().await?;
    let is_used = open.iter().any(|it| it.tenant == tenant && uses(&it.kind, name.as_str()));
    if is_used || state.upgrades.uses(&tenant, name.as_str()) {
        return Err(Code::ImageInUse.into());
    }
    let detail = json!({ "sha256": row.image.sha256 });
    let mut operations = vec![Operation::RemoveImage { tenant, name: name.clone() }];
    operations.push(state.audit(&caller, "image.delete", name.as_str(), &detail));
    state.changes.make(&lane(&name), operations).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a command needs an image.
fn uses(kind: &CommandKind, name: &str) -> bool {
    match kind {
        CommandKind::Download { image, .. } | CommandKind::ScheduleDownload { image, .. } => {
            image == name
        }
        CommandKind::ChangeDuState { operations } => operations.iter().any(|it| match it {
            DeploymentOperation::Install { image, .. }
            | DeploymentOperation::Update { image, .. } => image == name,
            DeploymentOperation::Uninstall { .. } => false,
        }),
        _ => false,
    }
}
