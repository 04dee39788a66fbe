//! What a menu whose names all resolve can still get wrong: where it leads and how long it becomes.

use super::read::Faults;
use super::{Localized, Menu, State, StateId, Step};
use std::collections::BTreeSet;

/// Most questions one after the other without a screen: each may wait, and the caller waits for all.
pub(crate) const ASKS_IN_A_ROW_MAX: usize = 4;

/// Adds a fault for everything found.
pub(super) fn check(menu: &Menu, faults: &mut Faults) {
    for (_, state) in menu.states() {
        check_keys(state, faults);
        check_fit(menu, state, faults);
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
    let texts: [(&str, Option<&Localized>); 2] = match &state.step {
        Step::Screen(screen) => {
            [("screen", Some(&screen.shown)), ("screen below its error", Some(&screen.shown_again))]
        }
        Step::End(text) => [("end", Some(text)), ("", None)],
        Step::Ask(ask) => [("late", ask.late.as_ref()), ("", None)],
    };
    for (what, text) in texts {
        let Some(text) = text else { continue };
        check_length(menu, text, (state.line, &place(state), what), faults);
    }
}

fn check_common_texts(menu: &Menu, faults: &mut Faults) {
    let texts = menu.texts();
    let ends = [
        ("wrong_input", &texts.wrong_input),
        ("attempts", &texts.attempts),
        ("retry", &texts.retry),
        ("late", &texts.late),
        ("hops", &texts.hops),
    ];
    for (name, text) in ends {
        check_length(menu, text, (1, &format!("texts.{name}"), "text"), faults);
    }
}

fn check_length(
    menu: &Menu,
    text: &Localized,
    (line, place, what): (usize, &str, &str),
    faults: &mut Faults,
) {
    for (language, template) in menu.languages().zip(text.0.iter()) {
        let excess = template.excess(menu.limits(), |value| menu.declared_max(value));
        if excess > 0 {
            let text = format!("is too long by {excess} in `{language}` ({what})");
            faults.add(line, place, text);
        }
    }
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
        if let Step::Ask(_) = state.step {
            for next in targets(&state.step).filter(|next| is_effect(*next)) {
                let next = menu.state(next);
                faults.add(next.line, &place(next), text);
            }
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
    let (screen, ask) = match step {
        Step::Screen(screen) => (Some(screen), None),
        Step::Ask(ask) => (None, Some(ask)),
        Step::End(_) => (None, None),
    };
    let typed = screen.into_iter().flat_map(|it| {
        it.options.iter().map(|choice| choice.goto).chain(it.input.iter().map(|input| input.goto))
    });
    let answered = ask
        .into_iter()
        .flat_map(|it| it.results.iter().map(|(_, state)| *state).chain(it.otherwise));
    typed.chain(answered)
}

fn place(state: &State) -> String {
    format!("state.{}", state.name)
}
