use super::sources::MENUS;
use super::*;
use crate::files;
use arc_swap::Guard;
use model::{Redacted, Tenant};
use std::path::Path;
use ussd::Phrases;

fn opened(ussd: &config::Ussd) -> Result<Arc<Services>, MenusError> {
    Book::open(ussd, false, None, &[]).map(|book| Guard::into_inner(book.services()))
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

/// What `lastmile check` refuses is what a dialogue would not wait for anyway: the aggregator's patience
/// but for the disk and half a second of network.
#[test]
fn the_configuration_knows_how_long_an_aggregator_waits() {
    let fields = "fields = { session = 's', number = 'n', code = 'c', text = 't' }";
    for aggregator in config::Aggregator::ALL {
        let word = aggregator.as_str();
        let fields = if word == "con_end" { fields } else { "" };
        let text =
            format!("[[ussd.service]]\nname = 'x'\nmenu = 'home'\naggregator = '{word}'\n{fields}");
        let ussd = config::Config::parse(&text).unwrap().ussd;
        let patience = speaker(&ussd.service[0]).capabilities().reply_deadline;
        let spare = ussd::Options::default().settle_within + Duration::from_millis(500);
        assert_eq!(aggregator.ask_deadline_max(), patience - spare, "{word}");
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

/// A service with the water menu, whose questions somebody else answers.
fn water(folder: Option<&Path>) -> config::Ussd {
    let text = "[[ussd.service]]\nname = 'w'\nmenu = 'water'\naggregator = 'africas_talking'";
    let mut ussd = config::Config::parse(text).unwrap().ussd;
    ussd.phrases = folder.map(Path::to_owned);
    ussd
}

fn write(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    if file.exists() {
        files::remove(&file).unwrap();
    }
    files::write_new_secret(&file, Redacted(text.to_owned())).unwrap();
}

fn phrase(language: &str, key: &str, text: &str) -> Phrases {
    let mut phrases = Phrases::default();
    phrases.set(language, key, text);
    phrases
}

fn languages(book: &Book) -> Vec<String> {
    let services = book.services();
    services["w"].service.menu.languages().map(str::to_owned).collect()
}

#[test]
fn a_folder_s_phrases_go_before_the_shipped_ones() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "water.en.toml", "menu = 'Maji Safi'\n");
    write(dir.path(), "water.kam.toml", "language_name = 'Kikamba'\n");
    let book = Book::open(&water(Some(dir.path())), true, None, &[]).unwrap();
    let phrases = book.phrases(&Tenant::default(), "water");
    assert_eq!(phrases.text("en", "menu"), Some("Maji Safi"));
    assert_eq!(phrases.text("sw", "menu"), Some("Huduma ya maji"));
    assert_eq!(phrases.text("kam", "menu"), Some("Maji Safi"), "the first language stands in");
    assert_eq!(languages(&book), ["en", "sw", "kam"]);

    write(dir.path(), "water.en.toml", "menu = 'Maji {x}'\n");
    let error = Book::open(&water(Some(dir.path())), true, None, &[]).unwrap_err().to_string();
    assert!(error.contains("menu `water` is faulty"), "{error}");
    assert!(error.contains("`@menu` in `en` shows `{x}`"), "{error}");
    write(dir.path(), "water.en.toml", "\nmenu = 3\n");
    let error = Book::open(&water(Some(dir.path())), true, None, &[]).unwrap_err().to_string();
    assert!(error.contains("water.en.toml` are faulty") && error.contains("line 2"), "{error}");
    write(dir.path(), "water.en.toml", "");
    write(dir.path(), "water.toml", "menu = 'x'");
    let error = Book::open(&water(Some(dir.path())), true, None, &[]).unwrap_err().to_string();
    assert!(error.contains("<menu>.<language>.toml"), "{error}");
}

#[test]
fn phrases_change_while_the_service_runs() {
    let book = Book::open(&water(None), true, None, &[]).unwrap();
    let before = book.services();
    let tenant = Tenant::default();
    let first = before["w"].service.menu.revision().to_owned();
    let prepared = book.prepare(&tenant, "water", phrase("en", "menu", "Clean water")).unwrap();
    assert_eq!(book.services()["w"].service.menu.revision(), first, "nothing changes before");
    book.take(prepared);
    assert_eq!(book.phrases(&tenant, "water").text("en", "menu"), Some("Clean water"));
    assert_eq!(book.kept(&tenant, "water"), phrase("en", "menu", "Clean water"));
    assert_ne!(book.services()["w"].service.menu.revision(), first);
    assert_eq!(before["w"].service.menu.revision(), first, "who began keeps it");
    // Another tenant's are his own.
    let other = Tenant::new("other").unwrap();
    assert_eq!(book.phrases(&other, "water").text("en", "menu"), Some("Water service"));
    let theirs = book.prepare(&other, "water", phrase("en", "menu", "Theirs")).unwrap();
    let now = book.services()["w"].service.menu.revision().to_owned();
    book.take(theirs);
    assert_eq!(book.services()["w"].service.menu.revision(), now);
    // What does not fit is refused with its place, and changes nothing.
    let long = phrase("sw", "goodbye", &"a".repeat(161));
    let error = book.prepare(&tenant, "water", long).unwrap_err().to_string();
    assert!(error.contains("`state.goodbye` is too long by 1 in `sw` on `safaricom`"), "{error}");
    assert!(matches!(
        book.prepare(&tenant, "wine", Phrases::default()),
        Err(MenusError::Unknown { .. })
    ));
    // Back to what the files say.
    let prepared = book.prepare(&tenant, "water", Phrases::default()).unwrap();
    book.take(prepared);
    assert_eq!(book.services()["w"].service.menu.revision(), first);
}

#[test]
fn changes_that_cross_are_all_taken() {
    let dir = tempfile::tempdir().unwrap();
    let book = Book::open(&water(Some(dir.path())), true, None, &[]).unwrap();
    let tenant = Tenant::default();
    let shown = |key: &str| book.phrases(&tenant, "water").text("en", key).map(str::to_owned);
    // The files are read again between an operator's check and his commit.
    let prepared = book.prepare(&tenant, "water", phrase("en", "menu", "Clean water")).unwrap();
    write(dir.path(), "water.en.toml", "goodbye = 'Bye.'");
    let reread = book.reread(&water(Some(dir.path()))).unwrap();
    book.turn_to(reread);
    book.take(prepared);
    assert_eq!(
        (shown("menu"), shown("goodbye")),
        (Some("Clean water".into()), Some("Bye.".into()))
    );
    // And the other way round.
    write(dir.path(), "water.en.toml", "goodbye = 'Bye bye.'");
    let reread = book.reread(&water(Some(dir.path()))).unwrap();
    let prepared = book.prepare(&tenant, "water", phrase("en", "menu", "Water")).unwrap();
    book.take(prepared);
    let revision = book.services()["w"].service.menu.revision().to_owned();
    book.turn_to(reread);
    assert_eq!((shown("menu"), shown("goodbye")), (Some("Water".into()), Some("Bye bye.".into())));
    assert_ne!(book.services()["w"].service.menu.revision(), revision);
    // Faulty files change nothing, nor do files that what is kept does not fit.
    write(dir.path(), "water.en.toml", "goodbye = ");
    assert!(book.reread(&water(Some(dir.path()))).is_err());
    assert_eq!(shown("goodbye"), Some("Bye bye.".into()));
}

#[test]
fn what_was_kept_and_no_longer_fits_is_left_out_at_the_start() {
    let mut kept = phrase("en", "menu", "Clean water");
    kept.set("en", "goodbye", "Bye, {nobody}.");
    kept.set("sw", "goodbye", "Tutaonana.");
    let tenant = Tenant::default();
    let kept = [(tenant.clone(), "water".into(), kept)];
    let book = Book::open(&water(None), true, None, &kept).unwrap();
    assert_eq!(book.left_out(), 1);
    let phrases = book.phrases(&tenant, "water");
    assert_eq!(phrases.text("en", "menu"), Some("Water service"), "its language goes as a whole");
    assert_eq!(phrases.text("sw", "goodbye"), Some("Tutaonana."));
    assert_eq!(book.phrases_of_files("water").text("sw", "goodbye"), Some("Asante. Kwaheri."));
}
