//! The operator's side of the daemon, as far as a scenario needs it: commands and counts.

use crate::http::{Client, HttpError};
use crate::world::World;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;

/// Why the API is of no use. The texts are few.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("no operator.token in the data directory, or no token in an answer")]
    NoToken,
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("status {0}")]
    Status(u16),
}

/// A connection to the API.
pub(crate) struct Api {
    client: Client,
    authorization: String,
}

impl Api {
    /// Connects with the operator's token.
    pub(crate) async fn connect(world: &Arc<World>) -> Result<Self, ApiError> {
        let token = world.secrets.operator.as_deref().ok_or(ApiError::NoToken)?;
        let client = Client::connect(world.targets.operator, None, None).await?;
        Ok(Self { client, authorization: format!("Bearer {token}") })
    }

    /// Has a device do something.
    pub(crate) async fn command(&mut self, device: &str, command: &Value) -> Result<(), ApiError> {
        let path = format!("/api/v1/devices/{device}/commands");
        let headers =
            [("authorization", self.authorization.as_str()), ("content-type", "application/json")];
        let body = Bytes::from(command.to_string());
        let answer = self.client.request(Method::POST, &path, &headers, body).await?;
        match answer.status {
            StatusCode::OK | StatusCode::ACCEPTED => Ok(()),
            other => Err(ApiError::Status(other.as_u16())),
        }
    }

    /// What the business keeps for a serial from now on.
    pub(crate) async fn put_equipment(
        &mut self,
        serial: &str,
        document: &Value,
    ) -> Result<(), ApiError> {
        let path = format!("/api/v1/equipment/{serial}");
        let headers =
            [("authorization", self.authorization.as_str()), ("content-type", "application/json")];
        let body = Bytes::from(document.to_string());
        let answer = self.client.request(Method::PUT, &path, &headers, body).await?;
        if answer.status.is_success() {
            Ok(())
        } else {
            Err(ApiError::Status(answer.status.as_u16()))
        }
    }

    /// Makes a token for a program that may subscribe to all that boards send.
    pub(crate) async fn program_token(&mut self, name: &str) -> Result<String, ApiError> {
        let body = json!({
            "name": name, "role": "program",
            "publish": ["boards/+/down/#"], "subscribe": ["#"],
        });
        let headers =
            [("authorization", self.authorization.as_str()), ("content-type", "application/json")];
        let body = Bytes::from(body.to_string());
        let answer = self.client.request(Method::POST, "/api/v1/tokens", &headers, body).await?;
        if !answer.status.is_success() {
            return Err(ApiError::Status(answer.status.as_u16()));
        }
        let made = serde_json::from_slice::<Value>(&answer.body).ok();
        let token = made.and_then(|it| Some(it.get("token")?.as_str()?.to_owned()));
        token.ok_or(ApiError::NoToken)
    }

    /// A metric without labels.
    pub(crate) async fn metric(world: &Arc<World>, name: &str) -> Option<f64> {
        let mut client = Client::connect(world.targets.operator, None, None).await.ok()?;
        let answer = client.request(Method::GET, "/metrics", &[], Bytes::new()).await.ok()?;
        let text = String::from_utf8_lossy(&answer.body);
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(it, _)| *it == name)?.1.parse().ok()
    }
}
