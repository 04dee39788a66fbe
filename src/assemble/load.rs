//! Rebuilding what is in memory from the store.

use super::{Core, StartError};
use crate::store::{DeviceRow, ReadError, SteeringRows};

/// Devices in one page: large enough that the read is not felt, small enough to overlap with taking
/// the page before it in.
const PAGE_ROWS: usize = 5_000;

/// Rebuilds the registry, the credentials, the tokens, the holds and the open commands. Gives back what
/// steers the fleet, for the profiles.
pub(super) async fn rebuild(core: &Core) -> Result<SteeringRows, StartError> {
    core.registry.load_customers(core.store.customers().await?);
    load_devices(core).await?;
    load_marks(core).await?;
    // Sets the registry's notion of now: whoever has been silent since long is not reported again.
    core.registry.newly_silent(core.clock.now().wall, 0);
    core.credentials.load(core.store.credentials().await?);
    core.access.load(core.store.tokens().await?);
    core.desk.load().await?;
    core.exchange.load().await?;
    core.boards.load().await?;
    core.transfers.load().await?;
    let steering = core.store.steering().await?;
    core.holds.load(&steering);
    core.equipments.load().await?;
    core.upgrades.load().await?;
    Ok(steering)
}

/// One page is read while the one before is taken in.
async fn load_devices(core: &Core) -> Result<(), StartError> {
    let mut page = read(core, None).await?;
    while let Some(last) = page.last() {
        let after = Some((last.tenant.clone(), last.id.clone()));
        let registry = core.registry.clone();
        let taken = tokio::task::spawn_blocking(move || registry.load(page));
        let (next, taken) = tokio::join!(read(core, after), taken);
        taken?;
        page = next?;
    }
    Ok(())
}

async fn read(
    core: &Core,
    after: Option<(model::Tenant, model::DeviceId)>,
) -> Result<Vec<DeviceRow>, ReadError> {
    core.store.devices(after, PAGE_ROWS).await
}

/// How devices stand to what they should be.
async fn load_marks(core: &Core) -> Result<(), StartError> {
    let mut after = None;
    loop {
        let page = core.store.provision_marks(after, PAGE_ROWS).await?;
        let Some((tenant, device, _)) = page.last() else { return Ok(()) };
        after = Some((tenant.clone(), device.clone()));
        for (tenant, device, mark) in page {
            core.registry.load_mark(&tenant, &device, mark);
        }
    }
}
