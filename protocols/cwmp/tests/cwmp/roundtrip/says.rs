//! Everything that can be said, made up.

mod answers;
mod calls;
mod notices;

use crate::cwmp::{Body, Parameter, XsdType};
use proptest::prelude::*;

/// Text that survives: no white space around it, no character that XML forbids.
pub(super) fn word() -> impl Strategy<Value = Box<str>> {
    "[!-~äß€🦀]{0,8}( [<&>\"'\\]a-z]{1,4})?".prop_map(|text| text.trim().into())
}

fn name() -> impl Strategy<Value = Box<str>> {
    "[A-Za-z_][A-Za-z0-9_-]{0,8}(\\.[A-Za-z0-9_]{1,6}){0,4}\\.?".prop_map(String::into_boxed_str)
}

fn xsd_type() -> impl Strategy<Value = XsdType> {
    prop::sample::select(vec![
        "string",
        "int",
        "unsignedInt",
        "long",
        "unsignedLong",
        "boolean",
        "dateTime",
        "base64Binary",
        "hexBinary",
        "decimal",
    ])
    .prop_map(XsdType::new)
}

fn parameter() -> impl Strategy<Value = Parameter> {
    // A string keeps every white space, line ends included.
    let text = (name(), "[ \\t\\r\\n -~äß€🦀]{0,12}")
        .prop_map(|(name, value)| Parameter::new(&name, &value, XsdType::String));
    let other = (name(), word(), xsd_type())
        .prop_map(|(name, value, xsd_type)| Parameter::new(&name, &value, xsd_type));
    prop_oneof![text, other]
}

fn parameters() -> impl Strategy<Value = Vec<Parameter>> {
    prop::collection::vec(parameter(), 0..4)
}

fn strings() -> impl Strategy<Value = Vec<Box<str>>> {
    prop::collection::vec(name(), 0..4)
}

/// A length as `unsignedInt` holds it.
fn file_bytes() -> impl Strategy<Value = u64> {
    any::<u32>().prop_map(u64::from)
}

pub(super) fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        4 => notices::notice(),
        4 => calls::request().prop_map(|it| Body::Request(Box::new(it))),
        4 => answers::response().prop_map(|it| Body::Response(Box::new(it))),
        1 => Just(Body::GetRpcMethods),
        1 => Just(Body::Unknown { name: "Vendor".into() }),
    ]
}
