use super::*;
use cwmp::SetAttributes;

const WAKE: &str = "http://127.0.0.1:1/wake/7";

fn device() -> Device {
    Device::new(Arc::new(Model::named("router").unwrap()), "LT", 7, WAKE.to_owned())
}

fn set(path: &str, value: &str) -> Request {
    let parameters = vec![Parameter::new(path, value, XsdType::String)];
    Request::SetParameterValues { parameters, parameter_key: "k1".into() }
}

fn read(device: &mut Device, name: &str) -> Vec<Parameter> {
    let body = device.answer(&Request::GetParameterValues { names: vec![name.into()] });
    match body {
        Body::Response(response) => match *response {
            Response::GetParameterValues { parameters } => parameters,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn fault_of(body: Body) -> Fault {
    let Body::Fault(fault) = body else { panic!("{body:?}") };
    *fault
}

#[test]
fn what_is_set_is_kept() {
    const INTERVAL: &str = "InternetGatewayDevice.ManagementServer.PeriodicInformInterval";
    let mut device = device();
    assert!(matches!(device.answer(&set(INTERVAL, "77")), Body::Response(_)));
    assert_eq!(&**read(&mut device, INTERVAL)[0].value.expose(), "77");
    let key = read(&mut device, "InternetGatewayDevice.ManagementServer.ParameterKey");
    assert_eq!(&**key[0].value.expose(), "k1");
    let below = read(&mut device, "InternetGatewayDevice.ManagementServer.");
    assert!(below.iter().any(|it| &*it.name == INTERVAL && &**it.value.expose() == "77"));
}

#[test]
fn a_set_is_all_or_nothing_with_a_cause_for_each() {
    const SERIAL: &str = "InternetGatewayDevice.DeviceInfo.SerialNumber";
    const CODE: &str = "InternetGatewayDevice.DeviceInfo.ProvisioningCode";
    const ON: &str = "InternetGatewayDevice.ManagementServer.PeriodicInformEnable";
    let mut device = device();
    let wanted = [(CODE, "x"), (SERIAL, "y"), ("InternetGatewayDevice.Nothing", ""), (ON, "yes")];
    let parameters =
        wanted.map(|(path, value)| Parameter::new(path, value, XsdType::String)).to_vec();
    let body =
        device.answer(&Request::SetParameterValues { parameters, parameter_key: "k".into() });
    let fault = fault_of(body);
    let codes: Vec<_> = fault.parameters.iter().map(|it| it.code).collect();
    assert_eq!((fault.code, codes), (9003, vec![9008, 9005, 9007]));
    assert_ne!(&**read(&mut device, CODE)[0].value.expose(), "x");
}

#[test]
fn credentials_come_from_what_was_set_and_read_as_nothing() {
    let mut device = device();
    assert_eq!(device.wake_credentials(), None);
    let base = "InternetGatewayDevice.ManagementServer.ConnectionRequest";
    device.answer(&set(&format!("{base}Username"), "u"));
    device.answer(&set(&format!("{base}Password"), "p"));
    assert_eq!(device.wake_credentials(), Some(("u".to_owned(), "p".to_owned())));
    let password = read(&mut device, &format!("{base}Password"));
    assert_eq!(&**password[0].value.expose(), "");
    device.forget();
    assert_eq!(device.wake_credentials(), None);
}

#[test]
fn an_inform_says_who_where_and_what() {
    let device = device();
    let tag = Tag { run: 1, stream: 2, number: 3 };
    let told = device.inform_parameters(Some(tag));
    let value = |path: &str| {
        let path = format!("InternetGatewayDevice.{path}");
        told.iter().find(|it| *it.name == *path).map(|it| it.value.expose().to_string())
    };
    assert_eq!(value("ManagementServer.ConnectionRequestURL").as_deref(), Some(WAKE));
    assert_eq!(value(TAG), Some(tag.to_string()));
    assert!(value("DeviceInfo.SoftwareVersion").is_some());
    assert_eq!(device.inform_parameters(None).len(), told.len() - 1);
    assert_eq!(&*device.identity().serial, "LTR0000007");
    assert_eq!(device.identity().oui.len(), 6);
}

#[test]
fn unknown_names_are_refused() {
    let mut device = device();
    let body = device.answer(&Request::GetParameterValues { names: vec!["Nothing.".into()] });
    assert_eq!(fault_of(body).code, 9005);
    let key = Box::<str>::default;
    for request in [
        Request::AddObject { object: "A.".into(), parameter_key: key() },
        Request::DeleteObject { object: "A.1.".into(), parameter_key: key() },
        Request::GetParameterAttributes { names: vec!["A.B".into()] },
        Request::GetParameterNames { path: "A.".into(), next_level: true },
    ] {
        assert_eq!(fault_of(device.answer(&request)).code, 9005, "{}", request.name());
    }
}

fn answer(device: &mut Device, request: &Request) -> Response {
    match device.answer(request) {
        Body::Response(response) => *response,
        other => panic!("{}: {other:?}", request.name()),
    }
}

/// Each call of TR-069 has an answer of its own name.
#[test]
fn every_call_is_answered() {
    let path = || Box::<str>::from("InternetGatewayDevice.DeviceInfo.UpTime");
    let table = || {
        Box::<str>::from(
            "InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.PortMapping.",
        )
    };
    let requests = [
        Request::GetRpcMethods,
        Request::GetParameterValues { names: vec![path()] },
        set("InternetGatewayDevice.DeviceInfo.ProvisioningCode", "x"),
        Request::GetParameterNames { path: Box::default(), next_level: true },
        Request::GetParameterAttributes { names: vec![path()] },
        Request::SetParameterAttributes { attributes: Vec::new() },
        Request::AddObject { object: table(), parameter_key: "k".into() },
        Request::DeleteObject {
            object: format!("{}2.", table()).into(),
            parameter_key: "k".into(),
        },
        Request::Reboot { command_key: "r".into() },
        Request::FactoryReset,
        Request::Download(Box::default()),
        Request::ScheduleDownload(Box::default()),
        Request::Upload(Box::default()),
        Request::CancelTransfer { command_key: "none".into() },
        Request::GetQueuedTransfers,
        Request::GetAllQueuedTransfers,
        Request::ScheduleInform { delay_s: 1, command_key: "s".into() },
        Request::ChangeDuState { operations: Vec::new(), command_key: "d".into() },
        Request::GetOptions { option: Box::default() },
        Request::SetVouchers { vouchers: Vec::new() },
    ];
    let mut device = device();
    for request in &requests {
        let response = answer(&mut device, request);
        assert_eq!(response.name(), format!("{}Response", request.name()));
        assert!(METHODS.contains(&request.name()), "{}", request.name());
    }
    assert_eq!(METHODS.len(), requests.len());
    assert_eq!(device.take_calls(), requests.len() as u64);
}

#[test]
fn objects_are_made_and_removed() {
    const TABLE: &str =
        "InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.PortMapping.";
    let mut device = device();
    let add = Request::AddObject { object: TABLE.into(), parameter_key: "key-1".into() };
    let Response::AddObject { instance, status: 0 } = answer(&mut device, &add) else { panic!() };
    let made = format!("{TABLE}{instance}.");
    let key = read(&mut device, "InternetGatewayDevice.ManagementServer.ParameterKey");
    assert_eq!(&**key[0].value.expose(), "key-1");
    assert_eq!(&**read(&mut device, &format!("{made}PortMappingEnabled"))[0].value.expose(), "0");
    answer(&mut device, &set(&format!("{made}PortMappingEnabled"), "1"));
    assert_eq!(&**read(&mut device, &format!("{made}PortMappingEnabled"))[0].value.expose(), "1");
    let names = Request::GetParameterNames { path: TABLE.into(), next_level: true };
    let Response::GetParameterNames { parameters } = answer(&mut device, &names) else { panic!() };
    let names: Vec<_> = parameters.iter().map(|it| (&*it.name, it.writable)).collect();
    assert!(names.contains(&(made.as_str(), true)), "{names:?}");
    let delete =
        Request::DeleteObject { object: made.as_str().into(), parameter_key: Box::default() };
    answer(&mut device, &delete);
    assert_eq!(fault_of(device.answer(&delete)).code, 9005, "once");
    let gone = Request::GetParameterValues { names: vec![made.into()] };
    assert_eq!(fault_of(device.answer(&gone)).code, 9005);
}

#[test]
fn attributes_are_kept() {
    const PATH: &str = "InternetGatewayDevice.DeviceInfo.UpTime";
    let mut device = device();
    let one = SetAttributes {
        name: "InternetGatewayDevice.DeviceInfo.".into(),
        notification: Some(2),
        access_list: Some(vec!["Subscriber".into()]),
    };
    answer(&mut device, &Request::SetParameterAttributes { attributes: vec![one] });
    let one = SetAttributes { name: PATH.into(), notification: Some(1), access_list: None };
    answer(&mut device, &Request::SetParameterAttributes { attributes: vec![one] });
    let asked = Request::GetParameterAttributes { names: vec![PATH.into()] };
    let Response::GetParameterAttributes { attributes } = answer(&mut device, &asked) else {
        panic!()
    };
    assert_eq!((attributes[0].notification, attributes[0].access_list.len()), (1, 1));
}

#[test]
fn what_takes_longer_is_done_after_the_session() {
    let mut device = device();
    let later = cwmp::Download { command_key: "d".into(), delay_s: 60, ..Default::default() };
    let upload = cwmp::Upload { command_key: "u".into(), delay_s: 3600, ..Default::default() };
    answer(&mut device, &Request::Download(Box::new(later)));
    answer(&mut device, &Request::Upload(Box::new(upload)));
    let Response::GetAllQueuedTransfers { transfers } =
        answer(&mut device, &Request::GetAllQueuedTransfers)
    else {
        panic!()
    };
    let queued: Vec<_> = transfers.iter().map(|it| (&*it.command_key, it.is_download)).collect();
    assert_eq!(queued, [("d", Some(true)), ("u", Some(false))]);
    answer(&mut device, &Request::CancelTransfer { command_key: "u".into() });
    answer(&mut device, &Request::Reboot { command_key: "r".into() });
    let now = Instant::now();
    assert!(matches!(device.take_errand(now), Some(Errand::Restart { .. })), "at once");
    assert!(device.take_errand(now).is_none(), "the download comes later");
    let due = device.next_errand().unwrap();
    assert!((59..=60).contains(&due.duration_since(now).as_secs()));
    assert!(matches!(device.take_errand(due), Some(Errand::Transfer(it)) if it.is_download()));
    assert_eq!(device.next_errand(), None, "what was withdrawn is not done");
    assert!(matches!(device.answer(&Request::FactoryReset), Body::Response(_)));
    assert!(matches!(device.take_errand(Instant::now()), Some(Errand::Forget)));
}
