use super::sources::MENUS;
use super::*;
use crate::files;
use model::Redacted;

fn opened(ussd: &config::Ussd) -> Result<Arc<Services>, MenusError> {
    Book::open(ussd, false, None, &[]).map(|book| book.services())
}

#[test]
fn the_shipped_services_stand_and_keep_their_secret() {
    let dir = tempfile::tempdir().unwrap();
    let ussd = config::Config::default().ussd;
    let first = Book::open(&ussd, false, Some(dir.path()), &[]).unwrap().services();
    let secret = files::read_secret(&dir.path().join("home.secret")).unwrap();
    let here = std::net::Ipv4Addr::LOCALHOST.into();
    assert!(first["home"].door.admits(secret.expose(), here));
    let again = Book::open(&ussd, false, Some(dir.path()), &[]).unwrap().services();
    assert!(again["home"].door.admits(secret.expose(), here));
}

#[test]
fn every_word_of_the_configuration_names_an_aggregator() {
    let words: Vec<&str> = config::Aggregator::ALL.iter().map(|it| it.as_str()).collect();
    assert_eq!(words, aggregator::NAMES);
    let fields = "fields = { session = 's', number = 'n', code = 'c', text = 't' }";
    for word in words {
        let fields = if word == "con_end" { fields } else { "" };
        let text =
            format!("[[ussd.service]]\nname = 'x'\nmenu = 'home'\naggregator = '{word}'\n{fields}");
        let ussd = config::Config::parse(&text).unwrap().ussd;
        assert_eq!(opened(&ussd).unwrap()["x"].service.aggregator.name(), word);
    }
}

#[test]
fn a_menu_that_nobody_answers_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let strange = MENUS[0].1.replace("\"router_status\"", "\"weather\"");
    files::write_new_secret(&dir.path().join("home.toml"), Redacted(strange)).unwrap();
    let mut ussd = config::Config::default().ussd;
    ussd.menus = Some(dir.path().to_owned());
    let refused = opened(&ussd).unwrap_err().to_string();
    assert!(refused.contains("`weather`"), "{refused}");
    assert!(Book::open(&ussd, true, None, &[]).is_ok());
}
