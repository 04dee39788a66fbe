//! HTTP as devices write it.

use super::peer::{Inform, assert_informed, call_of};
use super::{Rows, Scene};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use std::io::Write as _;

pub(super) const ROWS: Rows = &[
    ("any_path", any_path),
    ("neither_soapaction_nor_content_type", bare_headers),
    ("get", get),
    ("http_1_0", http_1_0),
    ("expect_100_continue", expect_100_continue),
    ("chunked", chunked),
    ("gzip", gzip),
    ("deflate_with_zlib", deflate_with_zlib),
    ("deflate_without_zlib", deflate_without_zlib),
    ("deflate_bomb", deflate_bomb),
    ("brotli", brotli),
    ("white_space_only", white_space_only),
];

/// A request with headers of its own and its length.
fn request(line: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{line}\r\nHost: acs\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn any_path(scene: &Scene) {
    let paths = ["/", "/acs", "//", "/a/b/c.do;x=1?y=%20&z", "/%ff", "http://acs:7547/x", "*"];
    for (place, path) in paths.iter().enumerate() {
        let inform = Inform::of(&format!("PATH{place}")).envelope();
        let line = format!("POST {path} HTTP/1.1");
        let answer = scene.peer().raw(&request(&line, "", inform.as_bytes()));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_informed(&answer);
    }
}

fn bare_headers(scene: &Scene) {
    let inform = Inform::of("BARE0001").envelope();
    let answer = scene.peer().raw(&request("POST / HTTP/1.1", "", inform.as_bytes()));
    assert_informed(&answer);
    let odd = "SOAPAction: urn:none#Inform\r\nContent-Type: application/soap+xml\r\n";
    let inform = Inform::of("BARE0002").envelope();
    assert_informed(&scene.peer().raw(&request("POST / HTTP/1.1", odd, inform.as_bytes())));
}

fn get(scene: &Scene) {
    let answer = scene.peer().raw(b"GET / HTTP/1.1\r\nHost: acs\r\n\r\n");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
}

fn http_1_0(scene: &Scene) {
    let inform = Inform::of("OLD00001").envelope();
    let kept = "Connection: keep-alive\r\n";
    let mut peer = scene.peer();
    assert_informed(&peer.raw(&request("POST / HTTP/1.0", kept, inform.as_bytes())));
    let answer = peer.raw(&request("POST / HTTP/1.0", kept, b""));
    assert!(matches!(answer.status, 200 | 204), "the connection holds: {}", answer.status);
}

/// What libcurl does with a body of more than a kilobyte.
fn expect_100_continue(scene: &Scene) {
    let inform = Inform::of("EXPECT01").envelope();
    let mut peer = scene.peer();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: acs\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        inform.len()
    );
    assert_eq!(peer.raw(head.as_bytes()).status, 100, "else it waits a second for it");
    assert_informed(&peer.raw(inform.as_bytes()));
}

fn chunked(scene: &Scene) {
    let inform = Inform::of("CHUNK001").envelope();
    let head = "POST / HTTP/1.1\r\nHost: acs\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut peer = scene.peer();
    let mut bytes = head.as_bytes().to_vec();
    for (place, chunk) in inform.as_bytes().chunks(47).enumerate() {
        let extension = if place % 2 == 0 { "" } else { ";odd=1" };
        write!(bytes, "{:X}{extension}\r\n", chunk.len()).unwrap();
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\nX-Trailer: 1\r\n\r\n");
    assert_informed(&peer.raw(&bytes));
    let empty = [head.as_bytes(), b"0\r\n\r\n"].concat();
    let call = call_of(&peer.raw(&empty)).expect("a chunked nothing is an empty POST");
    assert!(["SetParameterValues", "GetParameterNames"].contains(&&*call.name), "{call:?}");
}

fn packed(scene: &Scene, serial: &str, coding: &str, pack: fn(&[u8]) -> Vec<u8>) {
    let body = pack(Inform::of(serial).envelope().as_bytes());
    let answer = scene.peer().post_bytes(&[("Content-Encoding", coding)], &body);
    assert_informed(&answer);
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn zlibbed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut packer = DeflateEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn gzip(scene: &Scene) {
    packed(scene, "GZIP0001", "gzip", gzipped);
    packed(scene, "GZIP0002", "X-GZIP", gzipped);
}

fn deflate_with_zlib(scene: &Scene) {
    packed(scene, "ZLIB0001", "deflate", zlibbed);
}

fn deflate_without_zlib(scene: &Scene) {
    packed(scene, "DEFL0001", "deflate", deflated);
}

fn deflate_bomb(scene: &Scene) {
    for pack in [zlibbed, deflated] {
        let bomb = pack(&vec![b' '; 100 << 20]);
        assert!(bomb.len() < 1 << 20, "small on the wire");
        let answer = scene.peer().post_bytes(&[("Content-Encoding", "deflate")], &bomb);
        assert_eq!(answer.status, 413);
    }
}

fn brotli(scene: &Scene) {
    let answer = scene.peer().post_bytes(&[("Content-Encoding", "br")], b"\x0b\x02\x80abc\x03");
    assert_eq!(answer.status, 415);
}

fn white_space_only(scene: &Scene) {
    scene.known("BLANK001");
    let mut peer = scene.peer();
    peer.call_in("BLANK001");
    assert_eq!(peer.post(" \r\n\t ").status, 204, "it has no more to say, nor have we");
}
