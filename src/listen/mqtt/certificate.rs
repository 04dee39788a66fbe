//! What a board's certificate proves.

use super::Driver;
use model::{DeviceId, EventType, Protocol};
use mqtt::ConnackCode;

impl Driver {
    /// Whether a certificate proves that the board is `device`; false where it showed none and need
    /// not. One that names another, or nobody, opens nothing, whatever password comes with it.
    pub(super) async fn is_certified(&self, device: &DeviceId) -> Result<bool, ConnackCode> {
        let Some(names) = self.stream.board_names() else {
            if self.listener.options.requires_certificate {
                return Err(self.failed("certificate", ConnackCode::NotAuthorised));
            }
            return Ok(false);
        };
        let named: Vec<DeviceId> = names.iter().filter_map(|name| self.named(name)).collect();
        if named.contains(device) {
            return Ok(true);
        }
        let Some(own) = named.first() else {
            return Err(self.failed("unnamed", ConnackCode::NotAuthorised));
        };
        // About the board whose certificate it is, not about its victim.
        self.note(EventType::DEVICE_IDENTITY_MISMATCHED, own, device).await?;
        Err(self.failed("identity", ConnackCode::NotAuthorised))
    }

    /// The board that a name in a certificate stands for: an identity, or what could be a client id.
    fn named(&self, name: &str) -> Option<DeviceId> {
        let identity = DeviceId::parse(name).ok().filter(|it| it.protocol() == Protocol::Mqtt);
        identity.or_else(|| self.device_of(name).ok())
    }
}
