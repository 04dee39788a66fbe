//! Whatever can be said is read as it was written, and nothing that arrives can make us panic.

use crate::cwmp::{
    Body, DeviceIdStruct, EventStruct, Fault, Inform, Message, Namespace, Options, Parameter,
    ParameterFault, ParameterInfo, Request, Response, TransferComplete, XsdType, decode,
};
use proptest::prelude::*;

/// Text that survives: no white space around it, no character that XML forbids.
fn word() -> impl Strategy<Value = Box<str>> {
    "[!-~äß€🦀]{0,8}( [<&>\"'\\]a-z]{1,4})?".prop_map(|text| text.trim().into())
}

fn name() -> impl Strategy<Value = Box<str>> {
    "[A-Za-z_][A-Za-z0-9_-]{0,8}(\\.[A-Za-z0-9_]{1,6}){0,4}\\.?".prop_map(String::into_boxed_str)
}

fn xsd_type() -> impl Strategy<Value = XsdType> {
    prop::sample::select(vec![
        "string",
        "int",
        "unsignedInt",
        "long",
        "unsignedLong",
        "boolean",
        "dateTime",
        "base64Binary",
        "hexBinary",
        "decimal",
    ])
    .prop_map(XsdType::new)
}

fn parameter() -> impl Strategy<Value = Parameter> {
    // A string keeps every white space, line ends included.
    let text = (name(), "[ \\t\\r\\n -~äß€🦀]{0,12}")
        .prop_map(|(name, value)| Parameter::new(&name, &value, XsdType::String));
    let other = (name(), word(), xsd_type())
        .prop_map(|(name, value, xsd_type)| Parameter::new(&name, &value, xsd_type));
    prop_oneof![text, other]
}

fn parameters() -> impl Strategy<Value = Vec<Parameter>> {
    prop::collection::vec(parameter(), 0..4)
}

fn inform() -> impl Strategy<Value = Body> {
    let device =
        (word(), word(), word(), word()).prop_map(|(manufacturer, oui, product_class, serial)| {
            DeviceIdStruct { manufacturer, oui, product_class, serial }
        });
    let event = (word(), word())
        .prop_filter("an event has a code", |(code, _)| !code.is_empty())
        .prop_map(|(code, command_key)| EventStruct { code, command_key });
    let events = prop::collection::vec(event, 0..4);
    (device, events, any::<u32>(), word(), any::<u32>(), parameters()).prop_map(
        |(device, events, max_envelopes, current_time, retry_count, parameters)| {
            Body::Inform(Box::new(Inform {
                device,
                events,
                max_envelopes,
                current_time,
                retry_count,
                parameters,
            }))
        },
    )
}

fn fault() -> impl Strategy<Value = Fault> {
    let part = (name(), any::<u16>(), word()).prop_map(|(name, code, text)| ParameterFault {
        name,
        code,
        text,
    });
    // SOAP's own text stands in for an empty one.
    let text = word().prop_filter("not empty", |text| !text.is_empty());
    (1..u16::MAX, text, prop::collection::vec(part, 0..3))
        .prop_map(|(code, text, parameters)| Fault { code, text, parameters })
}

fn transfer() -> impl Strategy<Value = Box<TransferComplete>> {
    let fault = prop::option::of(
        fault().prop_map(|fault| Box::new(Fault { parameters: Vec::new(), ..fault })),
    );
    (word(), fault, word(), word(), word(), word()).prop_map(
        |(command_key, fault, start_time, complete_time, transfer_url, file_type)| {
            Box::new(TransferComplete {
                command_key,
                fault,
                start_time,
                complete_time,
                transfer_url,
                file_type,
            })
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        prop::collection::vec(name(), 0..4).prop_map(|names| Request::GetParameterValues { names }),
        (parameters(), word()).prop_map(|(parameters, parameter_key)| {
            Request::SetParameterValues { parameters, parameter_key }
        }),
        (name(), any::<bool>())
            .prop_map(|(path, next_level)| Request::GetParameterNames { path, next_level }),
        (name(), word())
            .prop_map(|(object, parameter_key)| Request::AddObject { object, parameter_key }),
        (name(), word())
            .prop_map(|(object, parameter_key)| Request::DeleteObject { object, parameter_key }),
        word().prop_map(|command_key| Request::Reboot { command_key }),
        Just(Request::FactoryReset),
    ]
}

fn response() -> impl Strategy<Value = Response> {
    let info =
        (name(), any::<bool>()).prop_map(|(name, writable)| ParameterInfo { name, writable });
    prop_oneof![
        prop::collection::vec(name(), 0..4).prop_map(|methods| Response::GetRpcMethods { methods }),
        parameters().prop_map(|parameters| Response::GetParameterValues { parameters }),
        any::<u32>().prop_map(|status| Response::SetParameterValues { status }),
        prop::collection::vec(info, 0..4)
            .prop_map(|parameters| Response::GetParameterNames { parameters }),
        any::<(u32, u32)>().prop_map(|(instance, status)| Response::AddObject { instance, status }),
        any::<u32>().prop_map(|status| Response::DeleteObject { status }),
        prop::sample::select(vec![
            Response::Reboot,
            Response::FactoryReset,
            Response::Inform,
            Response::TransferComplete,
            Response::AutonomousTransferComplete,
            Response::RequestDownload,
            Response::Other,
        ]),
    ]
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        inform(),
        transfer().prop_map(Body::TransferComplete),
        transfer().prop_map(Body::AutonomousTransferComplete),
        word().prop_map(|file_type| Body::RequestDownload { file_type }),
        Just(Body::GetRpcMethods),
        request().prop_map(|it| Body::Request(Box::new(it))),
        response().prop_map(|it| Body::Response(Box::new(it))),
        fault().prop_map(|it| Body::Fault(Box::new(it))),
        Just(Body::Unknown { name: "Vendor".into() }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(id in prop::option::of(word()), minor in 0..10_u32, body in body()) {
        let namespace = Namespace::new(&format!("urn:dslforum-org:cwmp-1-{minor}")).unwrap();
        let message = Message::new(id, namespace, body);
        let written = message.encode();
        let read = decode(None, written.as_bytes(), &Options::default());
        prop_assert_eq!(read.as_ref(), Ok(&message), "{}", written);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = decode(None, &bytes, &Options::default());
    }

    /// Closer to the mark: a real envelope with a few bytes changed. What is still read is written
    /// so that it can be read again.
    #[test]
    fn no_change_makes_it_panic(
        body in body(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = Message::new(Some("1".into()), Namespace::default(), body).encode().into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(read) = decode(None, &bytes, &Options::default()) {
            let written = read.encode();
            let again = decode(None, written.as_bytes(), &Options::default());
            prop_assert!(again.is_ok(), "{written}");
        }
    }
}
