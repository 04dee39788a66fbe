use super::*;
use cwmp::XsdType;

const XX230V: &str = "tplink-xx230v";

fn tree(model: &str) -> Tree {
    let names = Names {
        serial: "S1".to_owned(),
        mac: "02:00:00:00:00:07".to_owned(),
        wake_url: String::new(),
    };
    Tree::new(Arc::new(Model::named(model).unwrap()), names)
}

fn set(tree: &mut Tree, values: &[(&str, &str)]) -> Result<Response, Fault> {
    let parameters =
        values.iter().map(|(path, value)| Parameter::new(path, value, XsdType::String)).collect();
    let set = Request::SetParameterValues { parameters, parameter_key: "k".into() };
    tree.answer(&set).unwrap()
}

fn names(tree: &mut Tree, path: &str) -> Vec<String> {
    let list = Request::GetParameterNames { path: path.into(), next_level: true };
    match tree.answer(&list).unwrap() {
        Ok(Response::GetParameterNames { parameters }) => {
            parameters.iter().map(|it| it.name.to_string()).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_secret_is_held_and_reads_as_nothing() {
    const KEY: &str = "Device.WiFi.AccessPoint.3.Security.KeyPassphrase";
    let mut tree = tree(XX230V);
    set(&mut tree, &[(KEY, "a passphrase")]).unwrap();
    assert_eq!(tree.value(KEY).as_deref(), Some("a passphrase"));
    let read = tree.answer(&Request::GetParameterValues { names: vec![KEY.into()] });
    let Some(Ok(Response::GetParameterValues { parameters })) = read else { panic!("{read:?}") };
    assert_eq!(&**parameters[0].value.expose(), "");
    let too_long = "p".repeat(64);
    assert_eq!(set(&mut tree, &[(KEY, &too_long)]).unwrap_err().parameters[0].code, 9007);
}

#[test]
fn what_it_refuses_leaves_all_as_it_was() {
    const SIP_ALG: &str = "Device.X_TP_AlgCfg.SipAlg";
    const UPNP: &str = "Device.NAT.X_TP_UPnPCfg.Enable";
    let mut tree = tree(XX230V);
    tree.refuse(SIP_ALG, Some(9001));
    let fault = set(&mut tree, &[(UPNP, "0"), (SIP_ALG, "0")]).unwrap_err();
    assert_eq!((fault.code, fault.parameters.len(), fault.parameters[0].code), (9003, 1, 9001));
    assert_eq!(tree.value(UPNP).as_deref(), Some("true"));
    tree.refuse(SIP_ALG, None);
    set(&mut tree, &[(UPNP, "0"), (SIP_ALG, "0")]).unwrap();
    assert_eq!(tree.value(UPNP).as_deref(), Some("0"));
}

#[test]
fn objects_have_the_values_of_their_kind() {
    const TABLE: &str = "Device.NAT.PortMapping.";
    let mut tree = tree(XX230V);
    assert_eq!(names(&mut tree, TABLE), Vec::<String>::new(), "there, and empty");
    assert!(names(&mut tree, "Device.NAT.").contains(&TABLE.to_owned()));
    let add = Request::AddObject { object: TABLE.into(), parameter_key: "k".into() };
    assert_eq!(tree.answer(&add), Some(Ok(Response::AddObject { instance: 1, status: 0 })));
    assert_eq!(tree.value("Device.NAT.PortMapping.1.Protocol").as_deref(), Some("TCP"));
    assert_eq!(tree.value("Device.NAT.PortMapping.0.Protocol"), None, "nobody made it");
    assert_eq!(names(&mut tree, TABLE), [format!("{TABLE}1.")]);
    tree.forget();
    assert_eq!(tree.value("Device.NAT.PortMapping.1.Protocol"), None);
}

#[test]
fn who_asked_is_told_of_a_change() {
    const SSID: &str = "Device.WiFi.SSID.1.SSID";
    let mut tree = tree("tplink-deco");
    tree.change(SSID, "mine");
    assert!(!tree.has_news(), "nobody asked");
    let one = SetAttributes { name: SSID.into(), notification: Some(2), access_list: None };
    tree.answer(&Request::SetParameterAttributes { attributes: vec![one] }).unwrap().unwrap();
    tree.change(SSID, "ours");
    assert!(tree.has_news());
    assert!(tree.inform_parameters().iter().any(|it| *it.name == *SSID));
    tree.told();
    assert!(!tree.has_news() && tree.value(SSID).as_deref() == Some("ours"));
}

#[test]
fn one_product_class_is_two_products() {
    let (router, mesh) = (tree(XX230V), tree("tplink-deco"));
    assert_eq!(router.identity().product_class, mesh.identity().product_class);
    assert_eq!(&*router.identity().oui, "1C61B4");
    let model = |tree: &Tree| tree.value_below_root("DeviceInfo.ModelName");
    assert_ne!(model(&router), model(&mesh));
    for tree in [&router, &mesh] {
        let below = tree.value("Device.WiFi.SSID.3.LowerLayers");
        assert_eq!(below.as_deref(), Some("Device.WiFi.Radio.2."), "5 GHz is instance 3");
    }
}
