//! What a menu whose names all resolve can still get wrong: where it leads and how long it becomes.

use super::read::Faults;
use super::{Frame, Language, Localized, Menu, ScreenStep, State, StateId, Step, Values};
use std::collections::BTreeSet;

/// Most questions one after the other without a screen: each may wait, and the caller waits for all.
pub(crate) const ASKS_IN_A_ROW_MAX: usize = 4;

/// Adds a fault for everything found.
pub(super) fn check(menu: &Menu, faults: &mut Faults) {
    for (_, state) in menu.states() {
        check_keys(state, faults);
        check_fit(menu, state, faults);
        check_pages(menu, state, faults);
    }
    check_common_texts(menu, faults);
    check_reach(menu, faults);
    check_effects(menu, faults);
    check_asks(menu, faults);
}

fn check_keys(state: &State, faults: &mut Faults) {
    match &state.step {
        Step::Screen(screen) => {
            let mut seen = BTreeSet::new();
            for choice in &screen.options {
                if !seen.insert(&choice.key) {
                    let text = format!("has two options for `{}`", choice.key);
                    faults.add(state.line, &place(state), text);
                }
            }
            if screen.options.is_empty() && screen.input.is_none() {
                let text = "awaits keys but has neither `options` nor `input`: a dead end";
                faults.add(state.line, &place(state), text);
            }
        }
        Step::Ask(ask) if ask.results.is_empty() => {
            faults.add(state.line, &place(state), "has no `results`: a dead end");
        }
        Step::Ask(_) | Step::End(_) => {}
    }
}

fn check_fit(menu: &Menu, state: &State, faults: &mut Faults) {
    let mut check = |what: &str, text: &Localized| {
        check_length(menu, text, (state.line, &place(state), what), faults);
    };
    match &state.step {
        Step::Screen(screen) if screen.is_paged => {}
        Step::Screen(screen) => {
            check("screen", &screen.shown);
            check("screen below its error", &screen.shown_again);
            let checked = screen.input.as_ref().and_then(|input| input.check.as_ref());
            for (word, text) in checked.iter().flat_map(|check| &check.again) {
                check(&format!("screen below its error for `{word}`"), text);
            }
            if let Some(text) = checked.and_then(|check| check.ask.late.as_ref()) {
                check("late", text);
            }
        }
        Step::End(text) => check("end", text),
        Step::Ask(ask) => {
            if let Some(text) = &ask.late {
                check("late", text);
            }
        }
    }
}

fn check_common_texts(menu: &Menu, faults: &mut Faults) {
    let texts = menu.texts();
    let ends = [
        ("wrong_input", Some(&texts.wrong_input)),
        ("attempts", Some(&texts.attempts)),
        ("retry", Some(&texts.retry)),
        ("late", Some(&texts.late)),
        ("hops", Some(&texts.hops)),
        ("resume", texts.resume.as_ref().map(|(_, again)| again)),
    ];
    for (name, text) in ends {
        if let Some(text) = text {
            check_length(menu, text, (1, &format!("texts.{name}"), "text"), faults);
        }
    }
}

fn check_length(
    menu: &Menu,
    text: &Localized,
    (line, place, what): (usize, &str, &str),
    faults: &mut Faults,
) {
    for (language, template) in menu.languages().zip(text.0.iter()) {
        for (network, limits) in menu.networks().bounds() {
            let excess = template.excess(limits, |value| menu.declared_max(value));
            if excess > 0 {
                let on = network.map_or_else(String::new, |name| format!(" on `{name}`"));
                let text = format!("is too long by {excess} in `{language}`{on} ({what})");
                faults.add(line, place, text);
            }
        }
    }
}

/// A screen in pages has what its hints need, and each page room beside them.
fn check_pages(menu: &Menu, state: &State, faults: &mut Faults) {
    let Step::Screen(screen) = &state.step else { return };
    if !screen.is_paged {
        return;
    }
    let (keys, texts) = (menu.keys(), menu.texts());
    let (Some(key), Some(_)) = (&keys.more, &texts.more) else {
        let text = "is `paged`, which needs `keys.more` and `texts.more`";
        return faults.add(state.line, &place(state), text);
    };
    if screen.options.iter().any(|choice| choice.key == *key) {
        let text = format!("has an option for `{key}`, which shows its next page");
        faults.add(state.line, &place(state), text);
    }
    for (at, language) in menu.languages().enumerate() {
        let at = Language(u8::try_from(at).unwrap_or(0));
        if menu.networks().bounds().any(|(_, limits)| !has_room(menu, screen, at, limits)) {
            let text = format!("leaves no room on a page in `{language}` beside error and hints");
            faults.add(state.line, &place(state), text);
        }
    }
}

fn has_room(menu: &Menu, screen: &ScreenStep, at: Language, limits: crate::text::Limits) -> bool {
    // Values as long as they may become.
    let mut values = Values::default();
    for value in screen.error.in_language(at).values() {
        values.set(value, &"m".repeat(menu.declared_max(value)), usize::MAX);
    }
    let hint = |key: &Option<Box<str>>, text: &Option<Localized>| {
        let text = text.as_ref()?.in_language(at).fill_in(&values);
        key.as_ref().map(|key| format!("{key}. {text}"))
    };
    let more = hint(&menu.keys().more, &menu.texts().more).unwrap_or_default();
    let back = hint(&menu.keys().back, &menu.texts().back);
    let error = screen.error.in_language(at).fill_in(&values);
    Frame { limits, error: &error, more: &more, back: back.as_deref() }.has_room()
}

/// Every state can be reached, and from every state an end.
fn check_reach(menu: &Menu, faults: &mut Faults) {
    let mut reached = BTreeSet::from([menu.start()]);
    let mut waiting = vec![menu.start()];
    while let Some(id) = waiting.pop() {
        waiting.extend(targets(&menu.state(id).step).filter(|next| reached.insert(*next)));
    }
    let mut ending = BTreeSet::new();
    loop {
        let before = ending.len();
        for (id, state) in menu.states() {
            let ends = matches!(state.step, Step::End(_))
                || targets(&state.step).any(|next| ending.contains(&next));
            if ends {
                ending.insert(id);
            }
        }
        if ending.len() == before {
            break;
        }
    }
    for (id, state) in menu.states() {
        if !reached.contains(&id) {
            faults.add(state.line, &place(state), "cannot be reached");
        }
        if !ending.contains(&id) {
            faults.add(state.line, &place(state), "leads to no end");
        }
    }
}

/// Only a key typed on a screen may lead to an effect: a walk stops at that screen.
fn check_effects(menu: &Menu, faults: &mut Faults) {
    let is_effect = |id| matches!(&menu.state(id).step, Step::Ask(ask) if ask.effect);
    let text = "has an effect: only a key typed on a screen may lead there";
    if is_effect(menu.start()) {
        let start = menu.state(menu.start());
        faults.add(start.line, &place(start), text);
    }
    for (_, state) in menu.states() {
        for next in answered(&state.step).filter(|next| is_effect(*next)) {
            let next = menu.state(next);
            faults.add(next.line, &place(next), text);
        }
    }
}

/// No more than [`ASKS_IN_A_ROW_MAX`] questions follow each other, so none goes in a circle either.
fn check_asks(menu: &Menu, faults: &mut Faults) {
    for (id, state) in menu.states() {
        let mut row = BTreeSet::from([id]);
        for _ in 0..ASKS_IN_A_ROW_MAX {
            let asks = row.iter().filter(|id| matches!(menu.state(**id).step, Step::Ask(_)));
            row = asks.flat_map(|id| targets(&menu.state(*id).step)).collect();
        }
        if row.iter().any(|id| matches!(menu.state(*id).step, Step::Ask(_))) {
            let text = format!("begins more than {ASKS_IN_A_ROW_MAX} questions in a row");
            faults.add(state.line, &place(state), text);
        }
    }
}

fn targets(step: &Step) -> impl Iterator<Item = StateId> {
    let screen = match step {
        Step::Screen(screen) => Some(screen),
        Step::Ask(_) | Step::End(_) => None,
    };
    let typed = screen.into_iter().flat_map(|it| {
        it.options.iter().map(|choice| choice.goto).chain(it.input.iter().map(|input| input.goto))
    });
    typed.chain(answered(step))
}

/// Where the answer of a backend leads by itself, that which lets a checked input count left out.
fn answered(step: &Step) -> impl Iterator<Item = StateId> {
    let ask = match step {
        Step::Ask(ask) => Some(ask),
        Step::Screen(screen) => {
            let check = screen.input.as_ref().and_then(|input| input.check.as_ref());
            check.map(|check| &check.ask)
        }
        Step::End(_) => None,
    };
    ask.into_iter().flat_map(|it| it.results.iter().map(|(_, state)| *state).chain(it.otherwise))
}

fn place(state: &State) -> String {
    format!("state.{}", state.name)
}
