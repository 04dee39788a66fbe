//! Hops of dialogues as many as fit, over an aggregator's few connections.

use super::build::{self, Roll};
use super::conduct::Conductor;
use super::{Error, Verdict};
use crate::args::UssdHops;
use crate::caller::{self, Pace};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Runs it.
pub(super) async fn run(mut args: UssdHops) -> Result<Verdict, Error> {
    if args.connections == 0 || args.numbers == 0 {
        return Err(Error::Zero("--connections or --numbers"));
    }
    if args.bare {
        // A bare server has nothing to deliver.
        args.common.backend.no_backend = true;
    }
    let common = &args.common;
    let end = CancellationToken::new();
    let mut roll = Roll::default();
    let callers: Vec<Vec<_>> = (0..args.connections)
        .map(|caller| {
            let first = caller * args.numbers;
            (first..first + args.numbers).map(|index| roll.add_phone(index)).collect()
        })
        .collect();
    let world = roll.world(common)?;
    build::backend(common, &world, &end).await?;

    let pace = match args.rate {
        Some(0) => return Err(Error::Zero("--rate")),
        Some(rate) => Pace::Every(Duration::from_secs(1) * args.connections / rate),
        None => Pace::Flat,
    };
    let mut conductor = Conductor::new("ussd-hops", &world, end, common);
    for phones in callers {
        let Some((stream, _)) = phones.first() else { continue };
        let offset = match pace {
            Pace::Every(every) => every * (*stream / args.numbers) / args.connections,
            Pace::Flat | Pace::Think(_) => Duration::ZERO,
        };
        let spec = caller::Spec {
            stream: *stream,
            numbers: phones.into_iter().map(|(_, number)| number).collect(),
            scripts: vec![script(args.hops)],
            pace,
            offset,
            bare: args.bare,
        };
        conductor.add(caller::run(Arc::clone(&world), spec));
    }
    conductor.run(common).await
}

/// Keys of a dialogue of that many hops: the language to and fro, at last goodbye.
fn script(hops: u16) -> Vec<&'static str> {
    let between = usize::from(hops.saturating_sub(2));
    let mut keys = vec!["9"; between];
    keys.push("0");
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialogue_has_its_hops() {
        assert_eq!(script(2), ["0"]);
        assert_eq!(script(5), ["9", "9", "9", "0"]);
        assert_eq!(script(0), ["0"]);
    }
}
