//! The device's side of STUN, for simulators and tests.

use super::{
    BINDING_CHANGE, BINDING_ERROR, BINDING_REQUEST, BINDING_RESPONSE, CONNECTION_REQUEST_BINDING,
    CONNECTION_REQUEST_VALUE, COOKIE, ERROR_CODE, HEADER_LEN, INTEGRITY_LEN, MAPPED_ADDRESS,
    MESSAGE_INTEGRITY, USERNAME, attribute, integrity, number, put, set_len,
};
use std::net::{IpAddr, SocketAddr};

/// A binding request as a device makes it, for simulators and tests: with `proof` (name and
/// password) once it was asked for them. `cookie` chooses RFC 5389.
#[must_use]
pub fn binding_request(
    transaction: [u8; 12],
    cookie: bool,
    proof: Option<(&str, &str)>,
    changed: bool,
) -> Vec<u8> {
    let mut out = BINDING_REQUEST.to_be_bytes().to_vec();
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(if cookie { &COOKIE } else { b"old!" });
    out.extend_from_slice(&transaction);
    put(&mut out, CONNECTION_REQUEST_BINDING, CONNECTION_REQUEST_VALUE);
    if changed {
        put(&mut out, BINDING_CHANGE, &[]);
    }
    if let Some((username, password)) = proof {
        let filled = format!("{username:<width$}", width = username.len().next_multiple_of(4));
        put(&mut out, USERNAME, filled.as_bytes());
        let total = out.len() + 4 + INTEGRITY_LEN;
        set_len(&mut out, total);
        let proof = integrity(&out, password, !cookie);
        put(&mut out, MESSAGE_INTEGRITY, &proof);
    }
    let total = out.len();
    set_len(&mut out, total);
    out
}

/// The device's own address in an answer, as a simulator reads it; `None` in a refusal.
#[must_use]
pub fn mapped_address(answer: &[u8]) -> Option<SocketAddr> {
    if number(answer, 0)? != BINDING_RESPONSE {
        return None;
    }
    let mut at = HEADER_LEN;
    while at < answer.len() {
        let attribute = attribute(answer, at)?;
        at += 4 + attribute.value.len().next_multiple_of(4);
        if attribute.kind != MAPPED_ADDRESS {
            continue;
        }
        let port = number(attribute.value, 2)?;
        let ip: IpAddr = match attribute.value.get(4..)? {
            v4 if v4.len() == 4 => <[u8; 4]>::try_from(v4).ok()?.into(),
            v6 => <[u8; 16]>::try_from(v6).ok()?.into(),
        };
        return Some(SocketAddr::new(ip, port));
    }
    None
}

/// The code of a refusal, as a simulator reads it; `None` in another answer.
#[must_use]
pub fn error_code(answer: &[u8]) -> Option<u16> {
    let error = attribute(answer, HEADER_LEN)?;
    if number(answer, 0)? != BINDING_ERROR || error.kind != ERROR_CODE {
        return None;
    }
    let [_, _, class, rest, ..] = error.value else { return None };
    Some(u16::from(*class) * 100 + u16::from(*rest))
}
