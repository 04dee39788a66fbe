use super::*;

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
    device.answer(&Request::FactoryReset);
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
fn unknown_names_and_calls_are_refused() {
    let mut device = device();
    let body = device.answer(&Request::GetParameterValues { names: vec!["Nothing.".into()] });
    assert_eq!(fault_of(body).code, 9005);
    let object = Request::AddObject { object: "A.".into(), parameter_key: Box::default() };
    assert_eq!(fault_of(device.answer(&object)).code, 9000);
}
