//! Every call, and the document that describes them.

use super::access::{Authorised, need};
use super::problem::ProblemBody;
use super::{
    ApiState, approvals, audit, boards, checks, commands, credentials, customers, dead_letters,
    devices, equipment, events, groups, health, holds, images, metrics, naming, opt_outs,
    parameters, payments, plans, profiles, provision, rollouts, sinks, tasks, tokens, trace,
    uploads, wake, water, wifi,
};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa::OpenApi as _;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The frame of the document; the calls are added by [`routes`].
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "lastmile",
        description = "The operator side of lastmile. Every error is a problem document (RFC 9457). \
            The words beside the security scheme are the permissions that a token's role must have.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ProblemBody))
)]
struct Frame;

/// Every call with its handler. A call that is not here does not exist, and what is here is in the
/// document.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(Frame::openapi())
        .routes(routes!(devices::list))
        .routes(routes!(devices::show))
        .routes(routes!(devices::claim))
        .merge(of_boards())
        .merge(of_payments())
        .merge(of_water())
        .routes(routes!(checks::show))
        .routes(routes!(parameters::list))
        .routes(routes!(wake::wake))
        .routes(routes!(provision::provision))
        .routes(routes!(commands::submit, commands::of_device))
        .routes(routes!(commands::show, commands::cancel))
        .routes(routes!(naming::put_alias, naming::delete_alias))
        .routes(routes!(naming::put_tag, naming::delete_tag))
        .routes(routes!(credentials::put, credentials::show, credentials::delete))
        .routes(routes!(credentials::allow_enrolment))
        .routes(routes!(equipment::list))
        .routes(routes!(equipment::put, equipment::show, equipment::delete))
        .routes(routes!(equipment::put_status))
        .routes(routes!(equipment::schema))
        .routes(routes!(equipment::activated_schema))
        .routes(routes!(wifi::of_device))
        .routes(routes!(wifi::of_customer))
        .routes(routes!(tasks::list))
        .routes(routes!(tasks::delete))
        .routes(routes!(tasks::retry))
        .routes(routes!(trace::begin, trace::show, trace::end))
        .routes(routes!(customers::put, customers::show))
        .routes(routes!(customers::devices_of))
        .routes(routes!(customers::give, customers::take))
        .routes(routes!(images::list))
        .routes(routes!(images::put, images::show, images::delete))
        .routes(routes!(images::fetch))
        .merge(of_rollouts())
        .routes(routes!(uploads::of_device))
        .routes(routes!(uploads::show, uploads::delete))
        .routes(routes!(uploads::fetch))
        .routes(routes!(profiles::list))
        .routes(routes!(profiles::show))
        .routes(routes!(profiles::reload))
        .routes(routes!(profiles::promote))
        .routes(routes!(profiles::rollback))
        .routes(routes!(plans::make))
        .routes(routes!(holds::list, holds::make))
        .routes(routes!(holds::lift))
        .routes(routes!(approvals::list))
        .routes(routes!(approvals::agree))
        .routes(routes!(tokens::create, tokens::list))
        .routes(routes!(tokens::revoke))
        .routes(routes!(audit::list))
        .routes(routes!(events::stream))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::replay))
        .routes(routes!(sinks::list))
        .routes(routes!(sinks::drop_cursor))
        .routes(routes!(show))
        .routes(routes!(metrics::metrics))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::startupz))
}

/// The calls of rollouts, and of the groups that have images of their own.
fn of_rollouts() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(rollouts::create, rollouts::list))
        .routes(routes!(rollouts::show))
        .routes(routes!(rollouts::devices))
        .routes(routes!(rollouts::pause))
        .routes(routes!(rollouts::resume))
        .routes(routes!(rollouts::next))
        .routes(routes!(rollouts::abort))
        .routes(routes!(rollouts::of_device))
        .routes(routes!(groups::put_device, groups::delete_device))
        .routes(routes!(groups::put, groups::show, groups::delete))
}

/// The calls of the life of boards.
fn of_boards() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(boards::set_status))
        .routes(routes!(boards::put))
        .routes(routes!(boards::history))
}

/// The calls of payments.
fn of_payments() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(payments::list))
        .routes(routes!(payments::strays))
        .routes(routes!(payments::show))
        .routes(routes!(payments::settle))
}

/// The calls of the water service.
fn of_water() -> OpenApiRouter<ApiState> {
    use water::{broadcasts, customers, jobs, managers, phrases, sites, transactions};
    OpenApiRouter::new()
        .routes(routes!(sites::list, sites::create))
        .routes(routes!(sites::show, sites::change, sites::delete))
        .routes(routes!(managers::list, managers::create))
        .routes(routes!(managers::show, managers::change, managers::delete))
        .routes(routes!(customers::list, customers::create))
        .routes(routes!(customers::show, customers::change, customers::delete))
        .routes(routes!(transactions::list))
        .routes(routes!(broadcasts::create, broadcasts::list))
        .routes(routes!(broadcasts::show, broadcasts::cancel))
        .routes(routes!(broadcasts::texts))
        .routes(routes!(opt_outs::list))
        .routes(routes!(opt_outs::show, opt_outs::put, opt_outs::delete))
        .routes(routes!(jobs::run_daily))
        .routes(routes!(phrases::languages))
        .routes(routes!(phrases::reset))
        .routes(routes!(phrases::show, phrases::put, phrases::delete))
        .routes(routes!(phrases::put_one, phrases::delete_one))
}

/// The document, as it is served and as `openapi.json` beside this file holds it.
pub fn document() -> OpenApi {
    let (_, mut document) = routes().split_for_parts();
    let mut scheme = Http::new(HttpAuthScheme::Bearer);
    scheme.description = Some("A token of 256 bits, made by `POST /api/v1/tokens`".to_owned());
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(scheme));
    for item in document.paths.paths.values_mut() {
        let calls =
            [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        calls.into_iter().flatten().for_each(add_problem);
    }
    document
}

/// What a call answers when it refuses.
fn add_problem(call: &mut Operation) {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    let problem = ResponseBuilder::new()
        .description("What is wrong")
        .content("application/problem+json", content)
        .build();
    call.responses.responses.insert("default".to_owned(), problem.into());
}

/// Describes every call.
#[utoipa::path(get, path = "/api/openapi.json", tag = "description",
    operation_id = "show_openapi",
    security(("token" = [])),
    responses((status = 200, description = "The OpenAPI document", body = Object)))]
pub(super) async fn show(_caller: Authorised<need::AnyToken>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], include_str!("openapi.json"))
}
