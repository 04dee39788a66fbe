//! Whatever can be said is read as it was written, and nothing that arrives can make us panic.

mod says;

use crate::cwmp::{Message, Namespace, Options, decode};
use proptest::prelude::*;
use says::{body, word};

proptest! {
    #[test]
    fn what_is_written_is_read(id in prop::option::of(word()), minor in 0..10_u32, body in body()) {
        let namespace = Namespace::new(&format!("urn:dslforum-org:cwmp-1-{minor}")).unwrap();
        let message = Message::new(id, namespace, body);
        let written = message.encode();
        let read = decode(None, written.as_bytes(), &Options::default());
        prop_assert_eq!(read.as_ref(), Ok(&message), "{}", written);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = decode(None, &bytes, &Options::default());
    }

    /// Closer to the mark: a real envelope with a few bytes changed. What is still read is written
    /// so that it can be read again.
    #[test]
    fn no_change_makes_it_panic(
        body in body(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = Message::new(Some("1".into()), Namespace::default(), body).encode().into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(read) = decode(None, &bytes, &Options::default()) {
            let written = read.encode();
            let again = decode(None, written.as_bytes(), &Options::default());
            prop_assert!(again.is_ok(), "{written}");
        }
    }
}
