//! Every status against every claim, and walks of any length.

use super::*;
use proptest::prelude::*;

const START: [Option<Status>; 6] = [
    None,
    Some(Status::InStock),
    Some(Status::Contracted),
    Some(Status::ReadyToShip),
    Some(Status::InUse),
    Some(Status::Cancelled),
];

/// What each claim does to a board without a record and at 0, 1, 2, 3, 4: the statuses it takes on,
/// `.` where it holds, else the refusal.
const TABLE: &[(Claim, [&str; 6])] = &[
    (
        Claim::Reported(Status::InStock),
        ["0", ".", "not_returned", "not_returned", "not_returned", "not_returned"],
    ),
    (Claim::Inspected, ["0", ".", "not_returned", "not_returned", "not_returned", "0"]),
    (
        Claim::Reported(Status::Contracted),
        [
            "only_the_console",
            "only_the_console",
            ".",
            "only_the_console",
            "only_the_console",
            "only_the_console",
        ],
    ),
    (Claim::Reported(Status::ReadyToShip), [".", ".", "2", ".", ".", "."]),
    (Claim::Reported(Status::InUse), [".", ".", "23", "3", ".", "."]),
    (
        Claim::Reported(Status::Cancelled),
        [
            "only_the_console",
            "only_the_console",
            "only_the_console",
            "only_the_console",
            "only_the_console",
            ".",
        ],
    ),
    (
        Claim::Set(Status::InStock),
        [
            "not_the_console",
            ".",
            "not_the_console",
            "not_the_console",
            "not_the_console",
            "not_the_console",
        ],
    ),
    (
        Claim::Set(Status::Contracted),
        ["not_inspected", "1", ".", "already_contracted", "already_contracted", "cancelled"],
    ),
    (
        Claim::Set(Status::ReadyToShip),
        [
            "not_the_console",
            "not_the_console",
            "not_the_console",
            ".",
            "not_the_console",
            "not_the_console",
        ],
    ),
    (
        Claim::Set(Status::InUse),
        [
            "not_the_console",
            "not_the_console",
            "not_the_console",
            "not_the_console",
            ".",
            "not_the_console",
        ],
    ),
    (Claim::Set(Status::Cancelled), ["not_inspected", "not_contracted", "4", "4", "4", "."]),
    (Claim::Message, [".", ".", "2", ".", ".", "."]),
    (Claim::Data, [".", ".", ".", "3", ".", "."]),
];

fn outcome(current: Option<Status>, claim: Claim, options: &Options) -> String {
    match decide(current, claim, options) {
        Verdict::Moves(path, _) => path.iter().map(|it| it.number().to_string()).collect(),
        Verdict::Holds => ".".to_owned(),
        Verdict::Refused(refusal) => refusal.code().to_owned(),
    }
}

#[test]
fn every_claim_at_every_status() {
    let options = Options::default();
    for (claim, expected) in TABLE {
        for (current, expected) in START.into_iter().zip(expected) {
            assert_eq!(outcome(current, *claim, &options), *expected, "{claim:?} at {current:?}");
        }
    }
}

#[test]
fn triggers_are_settings() {
    let contracted = Some(Status::Contracted);
    let ready = Some(Status::ReadyToShip);
    let options = Options { ready_on: ReadyOn::Traffic, ..Options::default() };
    assert_eq!(outcome(contracted, Claim::Data, &options), "2", "and not on to 3 at once");
    assert_eq!(outcome(contracted, Claim::Message, &options), "2");
    let options =
        Options { ready_on: ReadyOn::Report, in_use_on: InUseOn::Report, ..Options::default() };
    assert_eq!(outcome(contracted, Claim::Message, &options), ".");
    assert_eq!(outcome(contracted, Claim::Reported(Status::ReadyToShip), &options), "2");
    assert_eq!(outcome(ready, Claim::Data, &options), ".");
    assert_eq!(outcome(ready, Claim::Reported(Status::InUse), &options), "3");
}

#[test]
fn each_move_names_its_actor() {
    let options = Options::default();
    let actor = |current, claim| match decide(current, claim, &options) {
        Verdict::Moves(_, actor) => actor.as_str(),
        Verdict::Holds | Verdict::Refused(_) => "nobody",
    };
    assert_eq!(actor(None, Claim::Reported(Status::InStock)), "board");
    assert_eq!(actor(Some(Status::InStock), Claim::Set(Status::Contracted)), "console");
    assert_eq!(actor(Some(Status::Contracted), Claim::Message), "gateway");
    assert_eq!(actor(Some(Status::Contracted), Claim::Reported(Status::InUse)), "gateway");
    assert_eq!(actor(Some(Status::InStock), Claim::Data), "nobody");
    for actor in [Actor::Board, Actor::Console, Actor::Gateway] {
        assert_eq!(Actor::parse(actor.as_str()), Some(actor));
    }
    assert_eq!(Actor::parse("somebody"), None);
}

#[test]
fn words_and_numbers_are_read_back() {
    for status in Status::ALL {
        assert_eq!(Status::of(status.number().into()), Some(status));
    }
    assert_eq!((Status::of(5), Status::of(u64::MAX)), (None, None));
    for status in SimStatus::ALL {
        assert_eq!(SimStatus::parse(status.as_str()), Some(status));
    }
    assert_eq!((SimStatus::parse("Active"), SimStatus::parse("")), (None, None));
}

fn claims() -> impl Strategy<Value = Claim> {
    let status = (0_u64..5).prop_map(|it| Status::of(it).unwrap());
    prop_oneof![
        status.clone().prop_map(Claim::Reported),
        status.prop_map(Claim::Set),
        Just(Claim::Inspected),
        Just(Claim::Message),
        Just(Claim::Data),
    ]
}

fn options() -> impl Strategy<Value = Options> {
    let ready = prop::sample::select(&ReadyOn::WORDS[..]);
    let in_use = prop::sample::select(&InUseOn::WORDS[..]);
    (ready, in_use).prop_map(|(ready, in_use)| Options {
        ready_on: ReadyOn::parse(ready).unwrap(),
        in_use_on: InUseOn::parse(in_use).unwrap(),
        ..Options::default()
    })
}

proptest! {
    /// Any walk stays on the edges that there are, begins at 0, and whoever moved was allowed to.
    #[test]
    fn no_walk_leaves_the_path(
        claims in prop::collection::vec(claims(), 0..60),
        options in options(),
    ) {
        let mut current: Option<Status> = None;
        for claim in claims {
            let Verdict::Moves(path, actor) = decide(current, claim, &options) else { continue };
            prop_assert!(!path.is_empty());
            for &next in path {
                let is_edge = match (current.map(Status::number), next.number()) {
                    (None | Some(4), 0) => actor == Actor::Board,
                    (Some(0), 1) | (Some(1..=3), 4) => actor == Actor::Console,
                    (Some(1), 2) | (Some(2), 3) => actor == Actor::Gateway,
                    _ => false,
                };
                prop_assert!(is_edge, "{current:?} to {next:?} by {actor:?}");
                current = Some(next);
            }
            // Whatever was reported or set holds now, so saying it again changes nothing.
            if let Claim::Reported(_) | Claim::Set(_) = claim {
                prop_assert_eq!(decide(current, claim, &options), Verdict::Holds);
            }
        }
    }
}
