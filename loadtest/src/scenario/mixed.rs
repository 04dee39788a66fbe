//! Routers, boards and callers together, and a backend that compares.

use super::build::{self, Roll};
use super::conduct::Conductor;
use super::{Error, Verdict};
use crate::args::Mixed;
use crate::caller::Pace;
use crate::{board, caller, cpe};
use cpe::Cpe;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Time over which callers begin.
const CALLERS_BEGIN: Duration = Duration::from_secs(1);

/// What callers of `home` press: goodbye; twice another language; into the confirmation and back;
/// is it online?
pub(super) fn scripts() -> Vec<Vec<&'static str>> {
    vec![vec!["0"], vec!["9", "9", "0"], vec!["2", "0", "0"], vec!["1"]]
}

/// Runs it.
pub(super) async fn run(args: Mixed) -> Result<Verdict, Error> {
    let common = &args.common;
    let end = CancellationToken::new();
    let mut roll = Roll::default();
    let routers =
        build::routers(&args.models, args.cpes, &common.fleet, Some(args.wake_listen), &end)
            .await?;
    let routers: Vec<_> = routers
        .into_iter()
        .map(|(device, door)| (roll.add_device(&device), device, door))
        .collect();
    let boards: Vec<_> = (0..args.boards).map(|it| roll.add_board(&common.fleet, it)).collect();
    let phones: Vec<_> = (0..args.callers).map(|it| roll.add_phone(it)).collect();
    let world = roll.world(common)?;
    build::backend(common, &world, &end).await?;

    let mut conductor = Conductor::new("mixed", &world, end, common);
    let enrolment = build::enrolment(&world);
    for ((stream, device, door), at) in routers.into_iter().zip(0..) {
        let spec = cpe::Spec {
            stream,
            credentials: enrolment.clone(),
            tls: None,
            interval: args.cpe_interval,
            change_every: args.change_every,
            from_due: false,
            offset: args.cpe_interval * at / args.cpes.max(1),
            door,
            from: None,
        };
        conductor.add(Cpe::new(Arc::clone(&world), spec, device).run());
    }
    let way = build::plain_way(&world);
    for ((stream, client_id), at) in boards.into_iter().zip(0..) {
        let spec = board::Spec {
            stream,
            client_id,
            way: Arc::clone(&way),
            qos: 1,
            expiry_s: 0,
            window: args.window,
            payload: PAYLOAD_BYTES,
            interval: Some(args.board_interval),
            offset: args.board_interval * at / args.boards.max(1),
        };
        conductor.add(board::run(Arc::clone(&world), spec, args.lean_boards));
    }
    for ((stream, number), at) in phones.into_iter().zip(0..) {
        let spec = caller::Spec {
            stream,
            numbers: vec![number],
            scripts: scripts(),
            pace: Pace::Think(args.think),
            offset: CALLERS_BEGIN * at / args.callers.max(1),
            service: args.common.service.clone(),
            bare: false,
        };
        conductor.add(caller::run(Arc::clone(&world), spec));
    }
    conductor.run(common).await
}

/// Bytes of a board's message: what telemetry has.
pub(super) const PAYLOAD_BYTES: usize = 200;
