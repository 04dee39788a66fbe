//! Upgrades of no images, for tests of those who only ask for them.

use super::{Parts, UpgradeOptions, Upgrades};
use crate::clock::Clock;
use crate::commands::Desk;
use crate::pipeline::Pipeline;
use crate::registry::Registry;
use crate::secrets::{KEY_LEN, Vault};
use crate::store::{Store, Writer};
use crate::transfers::{self, TransferOptions, Transfers};
use crate::wake::Wakes;
use config::Config;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc;

impl Upgrades {
    /// With nothing in the catalogue, so that nothing is ever told to a device.
    pub(crate) fn idle(
        store: &Arc<dyn Store>,
        writer: &Writer,
        registry: &Arc<Registry>,
        clock: Clock,
    ) -> Arc<Self> {
        let prometheus = prometheus::Registry::new();
        let vault = Vault::new(&[7; KEY_LEN]);
        let parts =
            transfers::Parts { store: Arc::clone(store), writer: writer.clone(), vault, clock };
        let options = TransferOptions::from(&Config::default());
        let transfers = Transfers::new(parts, Path::new("nowhere"), options, &prometheus).unwrap();
        let (wake, _) = mpsc::channel(1);
        let (of_store, of_registry) = (Arc::clone(store), Arc::clone(registry));
        let desk = Desk::new(of_store, writer.clone(), of_registry, Arc::default(), clock, wake);
        let desk = Arc::new(desk);
        let (of_registry, of_desk) = (Arc::clone(registry), Arc::clone(&desk));
        let pipeline = Pipeline::new(writer.clone(), of_registry, of_desk, clock);
        let parts = Parts {
            store: Arc::clone(store),
            writer: writer.clone(),
            registry: Arc::clone(registry),
            desk,
            pipeline: Arc::new(pipeline),
            transfers,
            holds: Arc::default(),
            wakes: Wakes::new().0,
            clock,
        };
        let options = UpgradeOptions::new(&Config::default(), Vec::new());
        Self::new(parts, options, &prometheus).unwrap()
    }
}
