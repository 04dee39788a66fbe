//! One session of a router: signs in, informs, tells, and does what it is told.

use super::Router;
use super::script::{Mishap, Trick};
use crate::cpe::{post, signed};
use crate::http::{Answer, Connection};
use crate::tree::fault;
use cwmp::{Body, EventStruct, Inform, Message, Namespace, Options, Parameter, Request, Response};
use std::collections::BTreeMap;
use std::io;
use std::mem::forget;
use std::thread;

/// Most requests that are answered in one session.
const REQUESTS_MAX: usize = 500;

/// What happened in a session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visit {
    /// How it ended.
    pub(crate) end: End,
    /// Codes of the events that began it.
    pub(crate) events: Vec<String>,
    /// Requests that it made, without those that were only asked for a sign.
    pub(crate) posts: usize,
    /// What it was asked, in order.
    pub(crate) requests: Vec<Request>,
    /// What it was told to set and took.
    pub(crate) taken: BTreeMap<String, String>,
    /// The codes with which it refused a call.
    pub(crate) faults: Vec<u16>,
}

/// How a session ended.
#[derive(Clone, Debug, Default)]
pub(crate) enum End {
    /// It was told nothing more.
    Done,
    /// The gateway answered with this status in place of what was expected.
    #[expect(dead_code, reason = "is printed when a test fails")]
    Status(u16, String),
    /// The connection broke.
    #[default]
    Broken,
    /// It played a trick that ended it.
    #[expect(dead_code, reason = "is printed when a test fails")]
    Tricked(Trick),
}

impl Visit {
    /// Fails the test unless it was told nothing more.
    pub(crate) fn assert_ended(&self) {
        assert!(matches!(self.end, End::Done), "{self:#?}");
    }

    /// Names of the calls that it was asked, in order.
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.requests.iter().map(Request::name).collect()
    }

    /// Whether it was asked for something, and nothing else than to say what it is.
    pub(crate) fn asks(&self, call: &str) -> usize {
        self.requests.iter().filter(|it| it.name() == call).count()
    }

    /// Every parameter that it was told to set, taken or not, in the order of the calls.
    pub(crate) fn told(&self) -> Vec<(String, String)> {
        let sets = self.requests.iter().filter_map(|request| match request {
            Request::SetParameterValues { parameters, .. } => Some(parameters),
            _ => None,
        });
        let pair = |it: &Parameter| (it.name.to_string(), it.value.expose().to_string());
        sets.flatten().map(pair).collect()
    }
}

impl Router {
    /// Holds one session with what there is to tell.
    pub(super) fn session(&self) -> Visit {
        let mut visit = Visit::default();
        if self.tree.lock().unwrap().has_news() {
            self.pending.lock().unwrap().happened(EventStruct::VALUE_CHANGE, "");
        }
        match self.try_session(&mut visit) {
            Ok(end) => visit.end = end,
            Err(_) => visit.end = End::Broken,
        }
        let mut pending = self.pending.lock().unwrap();
        pending.retries = if matches!(visit.end, End::Done) { 0 } else { pending.retries + 1 };
        drop(pending);
        visit
    }

    fn try_session(&self, visit: &mut Visit) -> io::Result<End> {
        let mut connection = Connection::open(self.cwmp)?;
        let inform = self.inform(visit);
        let mut answer = post(&mut connection, &[], &inform)?;
        if answer.status == 401 {
            let (username, password) = self.credentials();
            let authorization = signed(&answer, &username, &password)?;
            answer = post(&mut connection, &[("Authorization", &*authorization)], &inform)?;
        }
        visit.posts += 1;
        let is_informed =
            |body: &Body| matches!(body, Body::Response(it) if matches!(**it, Response::Inform));
        if answer.status != 200 || !is_informed(&read(&answer).body) {
            return Ok(End::Status(answer.status, answer.text()));
        }
        self.pending.lock().unwrap().events.clear();
        self.tree.lock().unwrap().told();
        let cookies: Vec<&str> =
            answer.all("set-cookie").filter_map(|it| it.split(';').next()).collect();
        let cookies = cookies.join("; ");
        let headers = [("Cookie", cookies.as_str())];
        while let Some(body) = self.next_to_tell() {
            let expected = format!("{}Response", body.name());
            let told = Message::new(Some("2".into()), Namespace::default(), body).encode();
            let answer = post(&mut connection, &headers, &told)?;
            visit.posts += 1;
            if read(&answer).body.name() != expected {
                return Ok(End::Status(answer.status, answer.text()));
            }
            self.pending.lock().unwrap().to_tell.remove(0);
        }
        self.obey(connection, &headers, visit)
    }

    fn next_to_tell(&self) -> Option<Body> {
        self.pending.lock().unwrap().to_tell.first().cloned()
    }

    fn obey(
        &self,
        mut connection: Connection,
        headers: &[(&str, &str)],
        visit: &mut Visit,
    ) -> io::Result<End> {
        let mut reply = String::new();
        for _ in 0..REQUESTS_MAX {
            let answer = post(&mut connection, headers, &reply)?;
            visit.posts += 1;
            let asked = match answer.status {
                200 | 204 => read(&answer),
                status => return Ok(End::Status(status, answer.text())),
            };
            let request = match asked.body {
                Body::Empty => return Ok(End::Done),
                Body::Request(request) => *request,
                Body::GetRpcMethods => Request::GetRpcMethods,
                other => panic!("{} is no call of an ACS", other.name()),
            };
            let trick = self.script.lock().unwrap().take(request.name());
            match trick {
                Some(Trick::Silence) => {
                    visit.requests.push(request);
                    // It stays open until this process ends.
                    forget(connection);
                    return Ok(End::Tricked(Trick::Silence));
                }
                Some(Trick::CutBefore) => {
                    visit.requests.push(request);
                    return Ok(End::Tricked(Trick::CutBefore));
                }
                Some(Trick::Slow(time)) => thread::sleep(time),
                Some(Trick::Fault(_) | Trick::CutAfter | Trick::SilenceAfter) | None => {}
            }
            let body = match trick {
                Some(Trick::Fault(code)) => Body::Fault(Box::new(fault(code))),
                _ => self.answer(&request, visit),
            };
            if let Body::Fault(fault) = &body {
                visit.faults.push(fault.code);
            }
            visit.requests.push(request);
            match trick {
                Some(Trick::CutAfter) => return Ok(End::Tricked(Trick::CutAfter)),
                Some(Trick::SilenceAfter) => {
                    forget(connection);
                    return Ok(End::Tricked(Trick::SilenceAfter));
                }
                _ => {}
            }
            reply = Message::new(asked.id, asked.namespace, body).encode();
        }
        panic!("{} is asked for ever: {:?}", self.serial, visit.calls());
    }

    fn answer(&self, request: &Request, visit: &mut Visit) -> Body {
        let answered = self.tree.lock().unwrap().answer(request);
        let answered = answered.unwrap_or_else(|| {
            let mut script = self.script.lock().unwrap();
            let response = match request {
                Request::GetRpcMethods => {
                    let methods = ["GetParameterValues", "SetParameterValues", "Download"];
                    return Ok(Response::GetRpcMethods {
                        methods: methods.map(Box::from).to_vec(),
                    });
                }
                Request::Reboot { .. } => Response::Reboot,
                Request::FactoryReset => Response::FactoryReset,
                Request::Download(_) => {
                    script.downloads += 1;
                    if let Some(Mishap::Refused(code)) = script.mishap {
                        return Err(fault(code));
                    }
                    Response::Download { status: 1 }
                }
                // A router does not know every call (A.5.1).
                _ => return Err(fault(9000)),
            };
            self.pending.lock().unwrap().errands.push(request.clone());
            Ok(response)
        });
        match answered {
            Ok(response) => {
                if let Request::SetParameterValues { parameters, .. } = request {
                    let pair =
                        |it: &Parameter| (it.name.to_string(), it.value.expose().to_string());
                    visit.taken.extend(parameters.iter().map(pair));
                }
                Body::Response(Box::new(response))
            }
            Err(mut fault) => {
                if self.script.lock().unwrap().is_mute {
                    // The part's own code is all there is.
                    fault.code = fault.parameters.first().map_or(fault.code, |it| it.code);
                    fault.parameters.clear();
                }
                Body::Fault(Box::new(fault))
            }
        }
    }

    fn inform(&self, visit: &mut Visit) -> String {
        let (tree, pending) = (self.tree.lock().unwrap(), self.pending.lock().unwrap());
        visit.events = pending.events.iter().map(|(code, _)| code.clone()).collect();
        let event = |(code, key): &(String, String)| EventStruct {
            code: code.as_str().into(),
            command_key: key.as_str().into(),
        };
        let inform = Inform {
            device: tree.identity(),
            events: pending.events.iter().map(event).collect(),
            max_envelopes: 1,
            current_time: "2026-01-01T00:00:00Z".into(),
            retry_count: pending.retries,
            parameters: tree.inform_parameters(),
        };
        let body = Body::Inform(Box::new(inform));
        Message::new(Some("1".into()), Namespace::default(), body).encode()
    }

    /// What it signs in with: what it was given, else what every one of them has.
    fn credentials(&self) -> (String, String) {
        let tree = self.tree.lock().unwrap();
        let held = |half: &str| tree.value_below_root(&format!("ManagementServer.{half}"));
        let own = held("Username").zip(held("Password"));
        own.filter(|(user, password)| !user.is_empty() && !password.is_empty())
            .unwrap_or_else(|| ("enrol".to_owned(), self.secret.clone()))
    }
}

fn read(answer: &Answer) -> Message {
    cwmp::decode(None, &answer.body, &Options::default()).unwrap_or_else(|error| {
        panic!("{error}: {} {}", answer.status, answer.text());
    })
}
