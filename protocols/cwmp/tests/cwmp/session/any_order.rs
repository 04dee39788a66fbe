//! Whatever comes in whatever order: no panic, one answer to each message, one end to each command.

use super::harness::{command, known};
use crate::cwmp::{
    Body, CloseReason, DuStateChange, Fault, Known, Message, Options, Output, Parameter,
    ParameterFault, ParameterInfo, Quirks, Response, Session, SupportedFile, TransferComplete,
    Work, XsdType,
};
use crate::{inform, informing, message, now, outstanding};
use model::{CommandState, Fact, Settlement};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::HashMap;
use std::sync::Arc;

const KINDS: [&str; 22] = [
    r#"{"kind":"get_parameters","names":["Device.A.B","Device.C."]}"#,
    r#"{"kind":"get_parameters","names":["Device.A.C"]}"#,
    r#"{"kind":"set_parameters","values":{"Device.A.B":1,"Device.A.C":"x"}}"#,
    r#"{"kind":"set_parameters","values":{"Device.A.D":{"value":true,"type":"xsd:boolean"}}}"#,
    r#"{"kind":"get_parameter_names","path":"","next_level":true}"#,
    r#"{"kind":"get_parameter_attributes","names":["Device.A."]}"#,
    r#"{"kind":"set_parameter_attributes","attributes":[{"path":"Device.A.B","notification":2}]}"#,
    r#"{"kind":"add_object","path":"Device.A.","values":{"B":1}}"#,
    r#"{"kind":"add_object","path":"Device.A."}"#,
    r#"{"kind":"delete_object","path":"Device.A.1."}"#,
    r#"{"kind":"refresh"}"#,
    r#"{"kind":"refresh","path":"Device.A.","depth":3}"#,
    r#"{"kind":"reboot"}"#,
    r#"{"kind":"factory_reset"}"#,
    r#"{"kind":"download","image":"i"}"#,
    r#"{"kind":"schedule_download","image":"i","windows":[]}"#,
    r#"{"kind":"upload"}"#,
    r#"{"kind":"cancel_transfer","command":"C0"}"#,
    r#"{"kind":"get_transfers","all":true}"#,
    r#"{"kind":"schedule_inform","delay_s":1}"#,
    r#"{"kind":"change_du_state","operations":[{"operation":"uninstall","uuid":"u"}]}"#,
    r#"{"kind":"get_rpc_methods"}"#,
];

fn path() -> impl Strategy<Value = &'static str> {
    select(vec![
        "",
        "Device.",
        "Device.A.",
        "Device.A.B",
        "Device.A.C",
        "Device.A.1.B",
        "Device.C.1.",
        "Other.X",
        "..",
        "Device.ManagementServer.ParameterKey",
        "InternetGatewayDevice.ManagementServer.ParameterKey",
    ])
}

fn response() -> impl Strategy<Value = Response> {
    let values = vec(path(), 0..4).prop_map(|paths| Response::GetParameterValues {
        parameters: paths.iter().map(|it| Parameter::new(it, "C1", XsdType::Int)).collect(),
    });
    let names = vec(path(), 0..6).prop_map(|paths| Response::GetParameterNames {
        parameters: paths
            .iter()
            .map(|it| ParameterInfo { name: (*it).into(), writable: true })
            .collect(),
    });
    let one = select(vec![
        Response::SetParameterValues { status: 0 },
        Response::AddObject { instance: 3, status: 1 },
        Response::DeleteObject { status: 0 },
        Response::GetParameterAttributes { attributes: Vec::new() },
        Response::SetParameterAttributes,
        Response::Reboot,
        Response::FactoryReset,
        Response::Download { status: 1 },
        Response::Upload { status: 1 },
        Response::ScheduleDownload,
        Response::CancelTransfer,
        Response::GetAllQueuedTransfers { transfers: Vec::new() },
        Response::ScheduleInform,
        Response::ChangeDuState,
        Response::GetRpcMethods { methods: Vec::new() },
        Response::Other,
    ]);
    prop_oneof![3 => values, 3 => names, 4 => one]
}

fn body() -> impl Strategy<Value = Body> {
    let fault = (select(vec![0, 9000, 9002, 9003, 9004, 9005]), vec(path(), 0..3)).prop_map(
        |(code, paths)| {
            let culprit =
                |it: &&str| ParameterFault { name: (*it).into(), code: 9005, text: "".into() };
            let parameters = paths.iter().map(culprit).collect();
            Body::Fault(Box::new(Fault { code, text: "".into(), parameters }))
        },
    );
    let key = || select(vec!["", "C0", "C1", "C2"]);
    let transfer = (key(), any::<bool>()).prop_map(|(key, fails)| {
        let fault = fails.then(|| Box::new(Fault { code: 9010, ..Fault::default() }));
        let command_key = key.into();
        let transfer = TransferComplete { command_key, fault, ..TransferComplete::default() };
        Body::TransferComplete(Box::new(transfer))
    });
    let change = key().prop_map(|key| {
        let change = DuStateChange { command_key: key.into(), results: vec![Default::default()] };
        Body::DuStateChangeComplete(Box::new(change))
    });
    let codes = select(vec!["1 BOOT", "0 BOOTSTRAP", "2 PERIODIC", "M Reboot"]);
    let informs = codes.prop_map(|code| {
        let told = [("Device.A.B", "1"), ("Device.ManagementServer.ParameterKey", "C0")];
        Body::Inform(Box::new(inform(&[code], &told)))
    });
    prop_oneof![
        6 => response().prop_map(|it| Body::Response(Box::new(it))),
        3 => fault,
        2 => Just(Body::Empty),
        1 => transfer,
        1 => change,
        1 => informs,
        1 => select(vec![
            Body::GetRpcMethods,
            Body::Kicked(Box::default()),
            Body::RequestDownload(Box::default()),
            Body::AutonomousTransferComplete(Box::default()),
            Body::AutonomousDuStateChangeComplete(Box::default()),
            Body::Unknown { name: "X".into() },
        ]),
    ]
}

fn settlement() -> impl Strategy<Value = Settlement> {
    prop_oneof![
        12 => Just(Settlement::Committed),
        2 => Just(Settlement::Overtaken),
        1 => Just(Settlement::Refused),
    ]
}

fn quirks() -> impl Strategy<Value = Quirks> {
    any::<[bool; 5]>().prop_map(|[a, b, c, d, e]| Quirks {
        skip_root_names: a,
        boolean_literal: b,
        date_time_milliseconds: c,
        download_success_on_timeout: d,
        write_readonly: e,
        ..Quirks::default()
    })
}

/// A driver that keeps count.
struct Driver {
    session: Session,
    work: Vec<Work>,
    settlements: std::iter::Cycle<std::vec::IntoIter<Settlement>>,
    /// Messages of the device without an answer: at most one.
    owed: u32,
    /// Where each command is.
    states: HashMap<String, CommandState>,
    closed: u32,
}

impl Driver {
    fn receive(&mut self, body: Body) {
        self.owed += 1;
        self.session.receive(message(body), now());
        self.drain();
        assert_eq!(self.owed, 0, "each message has its answer");
    }

    fn drain(&mut self) {
        loop {
            let mut tickets = Vec::new();
            let mut is_quiet = true;
            while let Some(output) = self.session.poll() {
                is_quiet = false;
                match output {
                    Output::Emit { fact, ticket } => tickets.push((ticket, self.keep(&fact))),
                    Output::Decide => self.session.assign(self.work.drain(..), now()),
                    Output::Send(_) | Output::Refuse => {
                        self.owed = self.owed.checked_sub(1).expect("one answer to a message");
                    }
                    Output::Close(_) => self.closed += 1,
                    Output::SetupDone { .. } | Output::Learned(_) | Output::Answered { .. } => {}
                }
            }
            for (ticket, is_command) in tickets {
                let settlement = self.settlements.next().unwrap();
                let is_no_event = is_command || settlement != Settlement::Overtaken;
                let settlement = if is_no_event { settlement } else { Settlement::Committed };
                self.session.settle(ticket, settlement, now());
            }
            if is_quiet {
                return;
            }
        }
    }

    /// Whether it is a step of a command.
    fn keep(&mut self, fact: &Fact) -> bool {
        let Fact::Command(change) = fact else { return false };
        let before = self.states.insert(change.id.as_str().to_owned(), change.state);
        let is_end = |it: &CommandState| {
            !matches!(it, CommandState::Sent | CommandState::Delivered | CommandState::Unknown)
        };
        assert!(!before.as_ref().is_some_and(is_end), "{} ended twice", change.id);
        assert!(change.state != CommandState::Sent || before.is_none(), "sent once");
        assert!(
            !matches!(change.state, CommandState::Failed | CommandState::Unknown)
                || change.cause.is_some(),
            "a failure has a cause"
        );
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_order_of_messages_is_answered(
        kinds in vec(select(KINDS.to_vec()), 0..6),
        waiting in vec((select(KINDS.to_vec()), any::<bool>()), 0..3),
        quirks in quirks(),
        batch_names_max in select(vec![1_usize, 2, 256]),
        requests_max in select(vec![3_u32, 12, 1024]),
        settlements in vec(settlement(), 1..24),
        bodies in vec(body(), 0..40),
    ) {
        let outstanding = waiting.iter().enumerate().map(|(n, (kind, is_known))| {
            let state = if *is_known { CommandState::Delivered } else { CommandState::Unknown };
            model::Command { state, ..outstanding(&format!("W{n}"), kind) }
        });
        let known = Known { outstanding: outstanding.collect(), quirks, ..known(&[]) };
        let options = Options { batch_names_max, requests_max, ..Options::default() };
        let work = kinds.iter().enumerate().map(|(n, kind)| {
            let mut work = command(&format!("C{n}"), kind);
            if let Work::Command { support, .. } = &mut work {
                support.files = vec![SupportedFile::default()];
                support.read_only = vec!["Device.A.C".into()];
            }
            work
        });
        let mut driver = Driver {
            session: Session::new(known, Arc::new(options), now()),
            work: work.collect(),
            settlements: settlements.into_iter().cycle(),
            owed: 0,
            states: HashMap::new(),
            closed: 0,
        };
        let told = [("Device.A.B", "1"), ("Device.ManagementServer.ParameterKey", "W0")];
        let Message { body: first, .. } = informing(inform(&["2 PERIODIC"], &told));
        driver.receive(first);
        for body in bodies {
            driver.receive(body);
        }
        driver.session.abandon(CloseReason::Stopping);
        driver.drain();
        prop_assert!(driver.session.is_closed());
        prop_assert_eq!(driver.closed, 1);
        let is_lost = |it: &&CommandState| **it == CommandState::Sent;
        if !driver.settlements.clone().take(24).any(|it| it != Settlement::Committed) {
            prop_assert_eq!(driver.states.values().filter(is_lost).count(), 0, "said how it ended");
        }
    }
}
