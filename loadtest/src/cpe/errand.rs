//! What a router does after a session that told it to: restart, fetch or send a file, call again.

use super::device::{Errand, Transfer};
use super::{Cpe, RESTART, event};
use crate::http::{Client, HttpError, Tls};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cwmp::{Body, EventStruct, Fault, TransferComplete, fault_words};
use hyper::{Method, StatusCode, Uri};
use std::net::SocketAddr;
use tokio::net::lookup_host;
use tokio::time::sleep;

const TRANSFER_COMPLETE: &str = "7 TRANSFER COMPLETE";
const SCHEDULED: &str = "3 SCHEDULED";
const M_SCHEDULE_INFORM: &str = "M ScheduleInform";
const CHANGE_COMPLETE: &str = "11 DU STATE CHANGE COMPLETE";
const M_CHANGE_DU_STATE: &str = "M ChangeDUState";

/// Download or upload failed (TR-069 A.5.1).
const TRANSFER_FAILED: u16 = 9010;
/// The server wants other credentials.
const NOT_AUTHENTICATED: u16 = 9012;
/// The URL's scheme is none that it speaks.
const PROTOCOL_UNSUPPORTED: u16 = 9013;
/// The server cannot be reached.
const UNREACHABLE: u16 = 9015;
/// The file is not there.
const FILE_MISSING: u16 = 9016;
/// It broke off, or is not as long as was said.
const INCOMPLETE: u16 = 9017;

impl Cpe {
    /// Does it, and notes what is to be told of it in the next session.
    pub(super) async fn carry_out(&mut self, errand: Errand) {
        match errand {
            Errand::Restart { command_key } => {
                sleep(RESTART).await;
                self.happened(EventStruct::BOOT, "");
                self.happened(EventStruct::M_REBOOT, &command_key);
            }
            Errand::Forget => {
                sleep(RESTART).await;
                self.device.forget();
                self.signer = None;
                self.spec.door.set(None);
                self.events.clear();
                self.happened(EventStruct::BOOTSTRAP, "");
                self.happened(EventStruct::BOOT, "");
            }
            Errand::Call { command_key } => {
                self.happened(SCHEDULED, "");
                self.happened(M_SCHEDULE_INFORM, &command_key);
            }
            Errand::Modules(change) => {
                self.happened(CHANGE_COMPLETE, "");
                self.happened(M_CHANGE_DU_STATE, &change.command_key);
                self.to_tell.push(Body::DuStateChangeComplete(change));
            }
            Errand::Transfer(transfer) => self.transfer(*transfer).await,
        }
    }

    fn happened(&mut self, code: &str, command_key: &str) {
        let event = event(code, command_key);
        if !self.events.contains(&event) {
            self.events.push(event);
        }
    }

    async fn transfer(&mut self, transfer: Transfer) {
        let start_time = super::now().into();
        let ended = if transfer.is_download() {
            self.fetch(&transfer).await
        } else {
            self.send(&transfer).await
        };
        let fault = ended.err().map(|code| {
            Box::new(Fault { code, text: fault_words(code).into(), ..Fault::default() })
        });
        let is_firmware = transfer.file_type.starts_with("1 ") && transfer.is_download();
        if is_firmware && fault.is_none() {
            // New software runs after a restart (A.3.2.8).
            sleep(RESTART).await;
            self.happened(EventStruct::BOOT, "");
        }
        self.happened(TRANSFER_COMPLETE, "");
        self.happened(transfer.event, &transfer.command_key);
        self.to_tell.push(Body::TransferComplete(Box::new(TransferComplete {
            command_key: transfer.command_key,
            fault,
            start_time,
            complete_time: super::now().into(),
            ..TransferComplete::default()
        })));
    }

    /// Fetches a file; what an image says of its version in its first line (`version 1.2.3`) is what
    /// runs from then on.
    async fn fetch(&mut self, transfer: &Transfer) -> Result<(), u16> {
        let place = Place::of(transfer).await?;
        let mut client = place.connect().await?;
        let headers = place.headers();
        let file = client.fetch(&place.path, &headers).await.map_err(|_| INCOMPLETE)?;
        judge(file.status)?;
        if transfer.file_bytes > 0 && transfer.file_bytes != file.length {
            return Err(INCOMPLETE);
        }
        let first = String::from_utf8_lossy(&file.beginning).into_owned();
        let version = first.lines().next().and_then(|line| line.strip_prefix("version "));
        if let Some(version) = version.filter(|_| transfer.file_type.starts_with("1 ")) {
            self.device.run_software(version.trim());
        }
        Ok(())
    }

    async fn send(&self, transfer: &Transfer) -> Result<(), u16> {
        let place = Place::of(transfer).await?;
        let mut client = place.connect().await?;
        let headers = place.headers();
        let text = Bytes::from(self.device.settings());
        let answer = client.request(Method::PUT, &place.path, &headers, text).await;
        judge(answer.map_err(|_| INCOMPLETE)?.status)
    }
}

/// Where a file is.
struct Place {
    to: SocketAddr,
    tls: Option<Tls>,
    path: String,
    authorization: Option<String>,
}

impl Place {
    async fn of(transfer: &Transfer) -> Result<Self, u16> {
        let address = &transfer.address;
        let url: Uri = address.url.expose().parse().map_err(|_| TRANSFER_FAILED)?;
        let (tls, port) = match url.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => (Some(Tls::new().map_err(|_| TRANSFER_FAILED)?), 443),
            _ => return Err(PROTOCOL_UNSUPPORTED),
        };
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let found = lookup_host((host, url.port_u16().unwrap_or(port))).await;
        let to = found.ok().and_then(|mut all| all.next()).ok_or(UNREACHABLE)?;
        let (user, password) = (address.username.expose(), address.password.expose());
        let pair = format!("{user}:{password}");
        let authorization = (!user.is_empty()).then(|| format!("Basic {}", STANDARD.encode(pair)));
        let path = url.path_and_query().map_or("/", |it| it.as_str()).to_owned();
        Ok(Self { to, tls, path, authorization })
    }

    async fn connect(&self) -> Result<Client, u16> {
        let client = Client::connect(self.to, self.tls.as_ref(), None).await;
        client.map_err(|error| match error {
            HttpError::Lost => INCOMPLETE,
            HttpError::Refused | HttpError::Connect | HttpError::Tls | HttpError::Late => {
                UNREACHABLE
            }
        })
    }

    fn headers(&self) -> Vec<(&'static str, &str)> {
        self.authorization.iter().map(|it| ("authorization", it.as_str())).collect()
    }
}

fn judge(status: StatusCode) -> Result<(), u16> {
    match status.as_u16() {
        200..=299 => Ok(()),
        401 | 403 => Err(NOT_AUTHENTICATED),
        404 | 410 => Err(FILE_MISSING),
        _ => Err(TRANSFER_FAILED),
    }
}
