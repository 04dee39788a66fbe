//! What menus and their phrases are made of: texts inside the binary, and those in two folders.

use super::MenusError;
use crate::files;
use std::collections::BTreeMap;
use std::path::Path;
use ussd::{Menu, MenuError, Networks, Phrases};

/// Menus that are inside the binary.
pub(super) const MENUS: [(&str, &str); 2] = [
    ("home", include_str!("../../config/menus/home.toml")),
    ("water", include_str!("../../config/menus/water.toml")),
];
/// Phrases that are: menu, language, text.
const PHRASES: [(&str, &str, &str); 2] = [
    ("water", "en", include_str!("../../config/menus/phrases/water.en.toml")),
    ("water", "sw", include_str!("../../config/menus/phrases/water.sw.toml")),
];
/// Most files in a folder of menus or phrases.
pub(super) const FILES_MAX: usize = 1_000;

/// Every menu, and the phrases of each, as the files have them.
#[derive(Debug, Default)]
pub(super) struct Sources {
    menus: BTreeMap<String, Source>,
    phrases: BTreeMap<String, Phrases>,
}

/// The text of one menu.
#[derive(Debug)]
struct Source {
    /// Its file, or its name where it is shipped.
    origin: String,
    text: String,
}

impl Sources {
    /// Reads what is inside the binary and what the folders hold, which goes before it.
    pub(super) fn read(ussd: &config::Ussd) -> Result<Self, MenusError> {
        let mut sources = Self::default();
        for (name, text) in MENUS {
            sources.menu(name.to_owned(), text.to_owned());
        }
        for (menu, language, text) in PHRASES {
            sources.phrases(format!("{menu}.{language}"), (menu, language), text)?;
        }
        if let Some(folder) = &ussd.menus {
            for (origin, _, text) in toml_files(folder)? {
                sources.menu(origin, text);
            }
        }
        let beside = ussd.menus.as_ref().map(|menus| menus.join("phrases"));
        let folder = ussd.phrases.clone().or_else(|| beside.filter(|folder| folder.is_dir()));
        if let Some(folder) = folder {
            for (origin, stem, text) in toml_files(&folder)? {
                let Some((menu, language)) = stem.split_once('.') else {
                    return Err(MenusError::PhrasesName { file: origin });
                };
                sources.phrases(origin, (menu, language), &text)?;
            }
        }
        Ok(sources)
    }

    fn menu(&mut self, origin: String, text: String) {
        // What cannot be read that far is faulty all the same, under the name of its file.
        let name = Menu::name_in(&text).unwrap_or_else(|| origin.clone());
        self.menus.insert(name, Source { origin, text });
    }

    fn phrases(
        &mut self,
        origin: String,
        (menu, language): (&str, &str),
        text: &str,
    ) -> Result<(), MenusError> {
        let read = Phrases::parse(language, text)
            .map_err(|faults| MenusError::Phrases { origin, faults })?;
        self.phrases.entry(menu.to_owned()).or_default().merge(&read);
        Ok(())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.menus.keys().map(String::as_str)
    }

    /// The phrases of a menu with `kept` over them; its first language stands in for others.
    pub(super) fn phrases_of(&self, menu: &str, kept: Option<&Phrases>) -> Phrases {
        let mut phrases = self.phrases.get(menu).cloned().unwrap_or_default();
        if let Some(kept) = kept {
            phrases.merge(kept);
        }
        let source = self.menus.get(menu);
        let first = source.and_then(|it| Menu::languages_in(&it.text).into_iter().next());
        match first {
            Some(first) => phrases.falling_back_to(&first),
            None => phrases,
        }
    }

    /// The menu of that name with these phrases, where there is one.
    pub(super) fn parse(
        &self,
        menu: &str,
        phrases: &Phrases,
        networks: &Networks,
    ) -> Option<Result<Menu, MenusError>> {
        let source = self.menus.get(menu)?;
        let faulty =
            |faults: MenuError| MenusError::Faulty { origin: source.origin.clone(), faults };
        Some(Menu::parse(&source.text, phrases, networks).map_err(faulty))
    }
}

/// The `.toml` files of a folder: path, name without ending, text.
fn toml_files(folder: &Path) -> Result<Vec<(String, String, String)>, MenusError> {
    let files = files::list(folder)?;
    if files.len() > FILES_MAX {
        return Err(MenusError::TooMany { folder: folder.to_owned() });
    }
    let mut read = Vec::new();
    for file in files {
        if file.extension().is_some_and(|extension| extension == "toml") {
            let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let text = files::read_text(&file)?;
            read.push((file.display().to_string(), stem.unwrap_or_default(), text));
        }
    }
    Ok(read)
}
