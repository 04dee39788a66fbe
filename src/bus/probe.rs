//! Whether the broker works: a message must come back to who sent it.

use crate::deliver::Inside;
use crate::deliver::{MqttConnection, MqttFault, MqttSignIn, reach_inside};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Its client id and its topic, which consumers cannot have.
const CLIENT_ID: &str = "lastmile-probe";
const TOPIC: &str = "lastmile/probe";
/// How long a message may take through the broker.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a broker may take to open its port.
const START_MAX: Duration = Duration::from_secs(10);
const START_STEP: Duration = Duration::from_millis(20);

/// What the broker does not do.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    /// It lets nobody in, or cuts.
    #[error("{}", crate::settings::chain(.0))]
    Fault(#[from] MqttFault),
    /// What was sent did not come back.
    #[error("no message came through in {} s", PATIENCE.as_secs())]
    Silent,
}

/// Sends one message and waits for it.
pub(super) async fn once(inside: &Inside) -> Result<(), ProbeError> {
    let probe = async {
        let wire = reach_inside(inside.address).await.map_err(MqttFault::from)?;
        let login = Some((inside.username, &inside.password));
        let sign_in = MqttSignIn { client_id: CLIENT_ID, login };
        let mut connection = MqttConnection::open(wire, sign_in).await?;
        connection.subscribe(TOPIC).await?;
        connection.tell(TOPIC, Bytes::from_static(b"?")).await?;
        while connection.message().await?.0 != TOPIC {}
        connection.disconnect().await
    };
    match timeout(PATIENCE, probe).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(ProbeError::Silent),
    }
}

/// Probes again and again until it works, as long as a start may take.
pub(super) async fn until_it_works(inside: &Inside) -> Result<(), ProbeError> {
    let trying = async {
        while once(inside).await.is_err() {
            sleep(START_STEP).await;
        }
    };
    timeout(START_MAX, trying).await.map_err(|_| ProbeError::Silent)
}
