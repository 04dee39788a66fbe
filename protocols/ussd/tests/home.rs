//! The shipped menu `home`: it is read without a fault, and every screen of it fits.

use lastmile_ussd::{Limits, Menu};

const HOME: &str = include_str!("../../../config/menus/home.toml");

#[test]
fn the_shipped_menu_has_no_fault() {
    let menu = Menu::parse(HOME, Limits::GSM).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(menu.name(), "home");
    assert_eq!(menu.languages().collect::<Vec<_>>(), ["en", "sw"]);
    let operations: Vec<_> = menu.operations().collect();
    assert!(operations.contains(&("router_status", false)), "{operations:?}");
    assert!(operations.contains(&("router_restart", true)), "{operations:?}");
}
