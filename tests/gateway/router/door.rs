//! Where a router may be woken, and what it does then.

use super::Router;
use crate::cpe::is_right_digest;
use crate::daemon::{Daemon, free_port};
use crate::tree::Model;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

impl Router {
    /// One that lives on its own once it is woken: each right connection request is a session, and
    /// what follows from it.
    pub(crate) fn awake(daemon: &Daemon, model: &str, serial: &str) -> Arc<Self> {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let model = Arc::new(Model::named(model).unwrap());
        let router =
            Arc::new(Self::of(daemon, model, serial, format!("http://127.0.0.1:{port}/w")));
        let lives = Arc::clone(&router);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if lives.is_woken(stream) {
                    lives.live(&["6 CONNECTION REQUEST"]);
                }
            }
        });
        router
    }

    /// Answers one connection request; whether it was right.
    fn is_woken(&self, stream: TcpStream) -> bool {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).unwrap_or(0) == 0 {
                return false;
            }
        }
        let authorization = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("authorization").then(|| value.trim().to_owned())
        });
        let half = |half: &str| {
            let path = format!("ManagementServer.ConnectionRequest{half}");
            self.tree.lock().unwrap().value_below_root(&path).unwrap_or_default()
        };
        let is_right = authorization
            .is_some_and(|it| is_right_digest(&it, &half("Username"), &half("Password")));
        let answer = if is_right {
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        } else {
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"cpe\", \
             nonce=\"4f6e6365\", algorithm=MD5, qop=\"auth\"\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        };
        stream.get_mut().write_all(answer.as_bytes()).is_ok() && is_right
    }
}
