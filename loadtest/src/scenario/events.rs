//! Durable facts at a fixed rate, each by the clock: a slow answer does not slow the next question,
//! and counts from when it was due.

use super::build::{self, Roll};
use super::conduct::Conductor;
use super::mixed::PAYLOAD_BYTES;
use super::{Error, Verdict};
use crate::args::Events;
use crate::caller::Pace;
use crate::{board, caller, cpe};
use cpe::Cpe;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Messages of one board that may wait: more than any delay worth measuring piles up.
const WINDOW: u16 = 500;

/// Runs it.
pub(super) async fn run(args: Events) -> Result<Verdict, Error> {
    let common = &args.common;
    let shares = Shares::of(&args)?;
    let end = CancellationToken::new();
    let mut roll = Roll::default();
    let names = [String::from("router"), String::from("ont")];
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let routers = build::routers(&names, shares.cpes(), &common.fleet, Some(any), &end).await?;
    let routers: Vec<_> = routers
        .into_iter()
        .map(|(device, door)| (roll.add_device(&device), device, door))
        .collect();
    let boards: Vec<_> = (0..shares.boards()).map(|it| roll.add_board(&common.fleet, it)).collect();
    let phones: Vec<_> = (0..shares.callers()).map(|it| roll.add_phone(it)).collect();
    let world = roll.world(common)?;
    build::backend(common, &world, &end).await?;

    let mut conductor = Conductor::new("events", &world, end, common);
    let enrolment = build::enrolment(&world);
    for ((stream, device, door), at) in routers.into_iter().zip(0..) {
        let interval = shares.cpe_interval;
        let spec = cpe::Spec {
            stream,
            credentials: enrolment.clone(),
            tls: None,
            interval,
            change_every: 1,
            from_due: true,
            offset: interval * at / shares.cpes().max(1),
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
            window: WINDOW,
            payload: PAYLOAD_BYTES,
            interval: Some(shares.board_interval),
            offset: shares.board_interval * at / shares.boards().max(1),
        };
        conductor.add(board::run(Arc::clone(&world), spec, true));
    }
    for ((stream, number), at) in phones.into_iter().zip(0..) {
        let spec = caller::Spec {
            stream,
            numbers: vec![number],
            scripts: vec![vec!["0"]],
            pace: Pace::Every(shares.hop_interval),
            offset: shares.hop_interval * at / shares.callers().max(1),
            service: common.service.clone(),
            bare: false,
        };
        conductor.add(caller::run(Arc::clone(&world), spec));
    }
    conductor.run(common).await
}

/// How the rate is divided: how many clients of each kind, and how long each pauses.
#[derive(Debug)]
struct Shares {
    clients: [u32; 3],
    cpe_interval: Duration,
    board_interval: Duration,
    hop_interval: Duration,
}

impl Shares {
    fn of(args: &Events) -> Result<Self, Error> {
        let by_cwmp = args.rate * args.cwmp_percent.min(100) / 100;
        let by_ussd = args.rate * args.ussd_percent.min(100) / 100;
        let by_mqtt = args.rate.saturating_sub(by_cwmp + by_ussd);
        let part = |clients: u32, rate: u32, what| match (clients, rate) {
            (_, 0) => Ok((0, Duration::ZERO)),
            (0, _) => Err(Error::Zero(what)),
            // Each of `clients` sends `rate / clients` a second.
            (clients, rate) => Ok((clients, Duration::from_secs(1) * clients / rate)),
        };
        let (cpes, cpe_interval) = part(args.cpes, by_cwmp, "--cpes")?;
        let (boards, board_interval) = part(args.boards, by_mqtt, "--boards")?;
        // The dial and the end are a fact each: a hop is a fact.
        let (callers, hop_interval) = part(args.callers, by_ussd, "--callers")?;
        Ok(Self { clients: [cpes, boards, callers], cpe_interval, board_interval, hop_interval })
    }

    fn cpes(&self) -> u32 {
        self.clients[0]
    }

    fn boards(&self) -> u32 {
        self.clients[1]
    }

    fn callers(&self) -> u32 {
        self.clients[2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Scenario};
    use clap::Parser as _;

    fn shares(line: &str) -> Result<Shares, Error> {
        match Args::try_parse_from(line.split(' ')).unwrap().scenario {
            Scenario::Events(events) => Shares::of(&events),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_rate_is_divided() {
        let shares = shares("loadtest events --rate 20000").unwrap();
        assert_eq!(shares.clients, [500, 1000, 100]);
        assert_eq!(shares.cpe_interval, Duration::from_millis(500), "1,000 a second by 500");
        assert_eq!(shares.hop_interval, Duration::from_millis(100), "1,000 a second by 100");
        assert_eq!(shares.board_interval, Duration::from_secs(1) * 1000 / 18_000);
    }

    #[test]
    fn no_clients_are_needed_where_there_is_no_share() {
        let alone = "loadtest events --cwmp-percent 0 --ussd-percent 0 --cpes 0";
        assert_eq!(shares(alone).unwrap().clients, [0, 1000, 0]);
        assert!(matches!(shares("loadtest events --boards 0"), Err(Error::Zero("--boards"))));
    }
}
