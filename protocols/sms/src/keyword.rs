//! Words by which receivers say that they want no more texts, or want them again.
//!
//! Spec: the words that Twilio knows by default, which Africa's Talking's receivers use as well.

/// What a receiver wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wish {
    Stop,
    Start,
}

const STOP: [&str; 8] =
    ["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"];
const START: [&str; 3] = ["START", "UNSTOP", "YES"];

/// What a text says, where it is one such word and nothing else.
pub(crate) fn wish(text: &str) -> Option<Wish> {
    let text = text.trim();
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is(&STOP) {
        Some(Wish::Stop)
    } else if is(&START) {
        Some(Wish::Start)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_alone_is_a_wish() {
        for text in ["STOP", " stop\n", "StopAll", "unsubscribe", "END"] {
            assert_eq!(wish(text), Some(Wish::Stop), "{text}");
        }
        for text in ["START", "unstop "] {
            assert_eq!(wish(text), Some(Wish::Start), "{text}");
        }
        for text in ["", "please stop", "STOP it", "STOPP", "no"] {
            assert_eq!(wish(text), None, "{text}");
        }
    }
}
