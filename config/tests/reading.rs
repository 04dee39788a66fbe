//! What is read, and what is refused with which line.

use lastmile_config::Config;

#[test]
fn an_absent_file_works() {
    let config = Config::parse("").expect("defaults");
    assert_eq!(config, Config::default());
    assert_eq!(config.ussd.service[0].name.as_str(), "home");
}
