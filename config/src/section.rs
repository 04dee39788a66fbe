//! The declaration of a section of the file: one place for each key's type, default, reload and
//! documentation, from which reading, the defaults, the reference and the reload report are made.

use crate::read::Value;
use std::marker::PhantomData;

/// When a changed key takes effect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reload {
    /// On SIGHUP.
    Live,
    /// At the next start.
    Restart,
}

impl Reload {
    /// The word in the reference.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Restart => "restart",
        }
    }
}

/// One entry of the reference, in the order of the declarations.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Entry {
    /// A table of the file.
    Section {
        /// As it stands in the file: `[cwmp]`, `[[sink]]`; empty for the top.
        header: &'static str,
        /// Its documentation.
        doc: &'static str,
    },
    /// A key.
    Key {
        /// With the names of its tables: `cwmp.listen`.
        path: &'static str,
        /// Its type and bounds.
        kind: String,
        /// Its default as it would stand in the file, or `none`, or `required`.
        default: &'static str,
        /// When a change takes effect.
        reload: Reload,
        /// Its documentation.
        doc: &'static str,
    },
}

/// What every section can do, made by [`section!`].
pub(crate) trait Section: Value {
    /// Its own entry and those of its keys.
    fn entries(entries: &mut Vec<Entry>);
    /// The restart keys in which `new` differs.
    fn restart_keys_changed(&self, new: &Self, keys: &mut Vec<&'static str>);
    /// The live keys of `new`, everything else as it is.
    fn take_live(&mut self, new: &Self);
}

/// Declares a section. Each key is
/// `/// documentation` `live | restart | section | tables` `name: Type = default,`
/// where the default is TOML, `none` (absent unless given) or `required`.
///
/// `section` is a table within, `tables` a list of tables (which is a restart key as a whole).
macro_rules! section {
    (
        $(#[doc = $doc:literal])+
        $section:ident $header:literal $prefix:literal {
            $( $(#[doc = $key_doc:literal])+ $how:ident $name:ident: $type:ty = $default:tt, )+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $section {
            $( $(#[doc = $key_doc])+ pub $name: $type, )+
        }

        impl $crate::read::Value for $section {
            fn describe() -> String {
                "table".to_owned()
            }

            fn read(
                reader: &mut $crate::read::Reader,
                node: &$crate::read::Node<'_>,
            ) -> Option<Self> {
                let table = reader.table(node, &[$( stringify!($name) ),+])?;
                $( let $name = reader.field(&table, stringify!($name), stringify!($default)); )+
                Some(Self { $( $name: $name? ),+ })
            }
        }

        impl $crate::section::Section for $section {
            fn entries(entries: &mut Vec<$crate::section::Entry>) {
                let doc = concat!($( $doc, "\n" ),+);
                entries.push($crate::section::Entry::Section { header: $header, doc });
                $( section!(@entry $how entries, concat!($prefix, stringify!($name)), $type,
                    stringify!($default), concat!($( $key_doc, "\n" ),+)); )+
            }

            fn restart_keys_changed(&self, new: &Self, keys: &mut Vec<&'static str>) {
                $( section!(@changed $how self new keys concat!($prefix, stringify!($name)),
                    $name); )+
                let _ = (new, keys);
            }

            fn take_live(&mut self, new: &Self) {
                $( section!(@take $how self new $name); )+
                let _ = new;
            }
        }
    };

    (@entry section $entries:ident, $path:expr, $type:ty, $default:expr, $doc:expr) => {
        <$type as $crate::section::Section>::entries($entries);
    };
    (@entry tables $entries:ident, $path:expr, $type:ty, $default:expr, $doc:expr) => {
        $crate::section::table_entries(std::marker::PhantomData::<$type>, $entries);
    };
    (@entry live $entries:ident, $path:expr, $type:ty, $default:expr, $doc:expr) => {
        section!(@key Live $entries, $path, $type, $default, $doc);
    };
    (@entry restart $entries:ident, $path:expr, $type:ty, $default:expr, $doc:expr) => {
        section!(@key Restart $entries, $path, $type, $default, $doc);
    };
    (@key $reload:ident $entries:ident, $path:expr, $type:ty, $default:expr, $doc:expr) => {
        $entries.push($crate::section::Entry::Key {
            path: $path,
            kind: <$type as $crate::read::Value>::describe(),
            default: $default,
            reload: $crate::section::Reload::$reload,
            doc: $doc,
        });
    };

    (@changed section $self:ident $new:ident $keys:ident $path:expr, $name:ident) => {
        $crate::section::Section::restart_keys_changed(&$self.$name, &$new.$name, $keys);
    };
    (@changed live $self:ident $new:ident $keys:ident $path:expr, $name:ident) => {};
    (@changed $how:ident $self:ident $new:ident $keys:ident $path:expr, $name:ident) => {
        if $self.$name != $new.$name {
            $keys.push($path);
        }
    };

    (@take section $self:ident $new:ident $name:ident) => {
        $crate::section::Section::take_live(&mut $self.$name, &$new.$name);
    };
    (@take live $self:ident $new:ident $name:ident) => {
        $self.$name.clone_from(&$new.$name);
    };
    (@take $how:ident $self:ident $new:ident $name:ident) => {};
}
pub(crate) use section;

/// The entries of a list of tables are those of its tables.
pub(crate) fn table_entries<T: Section>(_: PhantomData<Vec<T>>, entries: &mut Vec<Entry>) {
    T::entries(entries);
}

/// Declares a closed set of words.
macro_rules! words {
    (
        $(#[doc = $doc:literal])+
        $name:ident { $( $(#[doc = $word_doc:literal])+ $variant:ident = $word:literal, )+ }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum $name {
            $( $(#[doc = $word_doc])+ $variant, )+
        }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$( Self::$variant ),+];

            /// The word in the file.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }
        }

        impl $crate::read::Value for $name {
            fn describe() -> String {
                let words: Vec<_> =
                    Self::ALL.iter().map(|it| format!("\"{}\"", it.as_str())).collect();
                format!("one of {}", words.join(", "))
            }

            fn read(
                reader: &mut $crate::read::Reader,
                node: &$crate::read::Node<'_>,
            ) -> Option<Self> {
                let text = reader.text(node, &Self::describe())?;
                let found = Self::ALL.iter().copied().find(|it| it.as_str() == text);
                let message = || format!("must be {}", Self::describe());
                found.or_else(|| reader.refuse(node, $crate::fault::Cause::Value, message()))
            }
        }
    };
}
pub(crate) use words;
