//! Publishes, as many as fit, against our daemon or any other server.

use super::build::{self, Roll};
use super::conduct::Conductor;
use super::mqtt_idle::known_once;
use super::{Error, Verdict};
use crate::args::MqttQos1;
use crate::board;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a session lasts without its board, where it does, in seconds.
const SESSION_S: u32 = 3600;

/// Runs it.
pub(super) async fn run(args: MqttQos1) -> Result<Verdict, Error> {
    let common = &args.common;
    let end = CancellationToken::new();
    let mut roll = Roll::default();
    let boards: Vec<_> = (0..args.boards).map(|it| roll.add_board(&common.fleet, it)).collect();
    let world = roll.world(common)?;
    build::backend(common, &world, &end).await?;
    let way = Arc::new(build::way(&world, &args.way)?);
    if args.registered > 0 {
        let fleet = format!("{}X", common.fleet);
        known_once(&world, &fleet, args.registered, 1, &way).await;
    }

    let mut conductor = Conductor::new("mqtt-qos1", &world, end, common);
    for (stream, client_id) in boards {
        let spec = board::Spec {
            stream,
            client_id,
            way: Arc::clone(&way),
            qos: args.qos,
            expiry_s: if args.persistent { SESSION_S } else { 0 },
            window: args.window,
            payload: args.payload,
            interval: None,
            offset: Duration::ZERO,
        };
        conductor.add(board::run(Arc::clone(&world), spec, !args.rumqttc));
    }
    conductor.run(common).await
}
