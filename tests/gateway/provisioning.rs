//! Routers of real makes become what their profiles say.

use crate::daemon::Daemon;
use crate::router::Router;
use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![crate::trial("provisioning::every_make_is_met", every_make_is_met)]
}

/// The makes that profiles are shipped for.
pub(crate) const MAKES: [&str; 5] =
    ["raisecom-ht803g-w", "tplink-deco", "tplink-xx230v", "tplink-xx430v", "tplink-xx530v"];

fn every_make_is_met() {
    let daemon = Daemon::start(None, &[("cwmp", "enrol_networks = [\"127.0.0.0/8\"]")]);
    for make in MAKES {
        let router = Router::new(&daemon, make, "MET00001");
        router.live(&["0 BOOTSTRAP", "1 BOOT"]);
        let again = router.periodic();
        assert_eq!(again.posts, 2, "{make}: {:?}", again.calls());
        let shown = router.shown(&daemon);
        assert_eq!(shown["model"], router.value_below_root("DeviceInfo.ModelName"), "{shown}");
        router.factory_reset();
        assert_eq!(router.periodic().posts, 2, "{make}");
    }
}
