//! The commands that talk to the running daemon, as any operator would: through its REST API, with
//! the token of the data directory.

mod table;

use crate::files;
use crate::plans::{DevicePlan, FleetPlan};
use crate::secrets;
use crate::settings::Settings;
use reqwest::{Client, Method, Response};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// Longest wait for the daemon's answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The same of a plan of the fleet: as long as the daemon itself takes at the most.
const PLAN_TIMEOUT: Duration = Duration::from_secs(300);

/// Why the daemon could not be asked, or would not.
pub type ClientError = Box<dyn std::error::Error + Send + Sync>;

/// What a program may do over MQTT, as topic filters.
#[derive(Clone, Debug, Default)]
pub struct Topics {
    /// What it may publish.
    pub publish: Vec<String>,
    /// What it may read.
    pub subscribe: Vec<String>,
    /// What it may neither publish nor read.
    pub deny: Vec<String>,
}

/// Makes a token with a role; returns it. It is not shown again.
pub async fn create_token(
    settings: &Settings,
    role: &str,
    name: Option<&str>,
    tenant: Option<&str>,
    topics: Topics,
) -> Result<String, ClientError> {
    let made = || format!("{role}-{}", secrets::new_secret().expose().to_lowercase());
    let name = name.map_or_else(made, str::to_owned);
    let mut body = serde_json::json!({ "role": role, "name": name });
    if let Some(tenant) = tenant {
        body["tenant"] = tenant.into();
    }
    let Topics { publish, subscribe, deny } = topics;
    for (name, filters) in [("publish", publish), ("subscribe", subscribe), ("deny", deny)] {
        if !filters.is_empty() {
            body[name] = filters.into();
        }
    }
    let answer = call(settings, Method::POST, "/api/v1/tokens", Some(&body)).await?;
    let answer: Value = serde_json::from_slice(&answer.bytes().await?)?;
    let token = answer["token"].as_str().ok_or("the daemon's answer holds no token")?;
    Ok(token.to_owned())
}

/// Forgets a sink that is no longer configured, with all that waits for it.
pub async fn drop_sink(settings: &Settings, name: &str) -> Result<(), ClientError> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || !name.chars().all(is_name) {
        return Err("a sink's name is letters, digits, `-` and `_`".into());
    }
    call(settings, Method::DELETE, &format!("/api/v1/sinks/{name}"), None).await?;
    Ok(())
}

/// What would be sent to a device, or to all: as a table, and whether it is anything.
///
/// `profile` is a file that is planned with as though it stood in the folder of profiles.
pub async fn plan(
    settings: &Settings,
    device: Option<&str>,
    profile: Option<&Path>,
    examples: usize,
) -> Result<(String, bool), ClientError> {
    let profile = profile.map(files::read_text).transpose()?;
    let mut body = match device {
        Some(device) => serde_json::json!({ "device": device }),
        None => serde_json::json!({ "fleet": true, "limit": examples }),
    };
    if let Some(profile) = profile {
        body["profile"] = profile.into();
    }
    let answer = call(settings, Method::POST, "/api/v1/plans", Some(&body)).await?;
    let answer = answer.bytes().await?;
    if device.is_some() {
        let plan: DevicePlan = serde_json::from_slice(&answer)?;
        return Ok((table::device(&plan), table::changes_any(&plan)));
    }
    let plan: FleetPlan = serde_json::from_slice(&answer)?;
    Ok((table::fleet(&plan), plan.changed > 0))
}

async fn call(
    settings: &Settings,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Response, ClientError> {
    let token = files::read_secret(&settings.config.data_dir.join("operator.token"))?;
    let mut address = settings.config.operator.listen;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let timeout = if path.ends_with("/plans") { PLAN_TIMEOUT } else { TIMEOUT };
    let client = Client::builder().no_proxy().timeout(timeout).build()?;
    let mut request =
        client.request(method, format!("http://{address}{path}")).bearer_auth(token.expose());
    if let Some(body) = body {
        request = request
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(serde_json::to_vec(body)?);
    }
    let answer = request.send().await?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status();
    let problem: Value = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
    let detail =
        ["detail", "title"].iter().find_map(|key| problem[*key].as_str()).unwrap_or("refused");
    let fault = |fault: &Value| {
        let text = |key: &str| fault[key].as_str().unwrap_or("").to_owned();
        let line = fault["line"].as_u64().map_or_else(String::new, |line| format!(":{line}"));
        format!("\n  {}{line}: {}", text("file"), text("message"))
    };
    let faults: String = problem["faults"].as_array().into_iter().flatten().map(fault).collect();
    Err(format!("the daemon answered {status}: {detail}{faults}").into())
}
