//! What a device is to do: what its profile demands, what was asked of it, and what we want to know
//! of it.

use super::CwmpListener;
use super::sessions::Owned;
use crate::provision;
use crate::provisioner::Run;
use crate::transfers::{Recipient, TransferError};
use crate::wake::SignIn;
use cwmp::{SetupOutcome, Support, SupportedFile, Work, XsdType};
use model::{
    Command, CommandChange, CommandKind, CommandState, DataModel, DeploymentOperation, Fact,
    ParameterValue,
};
use provisioning::base::Part;
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, info};

/// The name of learning a data model.
const DISCOVERY: &str = "discovery";
/// How deep a data model is asked for level by level, once asking for whole objects has failed: the
/// device fell silent over one, or its answer was larger than a body may be. Deeper than TR-181 goes.
const LEVELS_MAX: u8 = 24;

impl CwmpListener {
    /// Says what the device should do. In a session that brings no work nothing is read, and nothing
    /// waited for.
    pub(super) async fn decide(&self, owned: &mut Owned) {
        let mut work: Vec<Work> = Vec::new();
        let is_first = !std::mem::replace(&mut owned.is_set_up, true);
        if is_first {
            let is_booting = owned.inform.is_booting;
            self.parts.upgrades.called(&owned.tenant, &owned.device, is_booting).await;
        }
        if is_first && self.parts.desk.is_held(&owned.tenant, &owned.device) {
            self.remember_held(owned);
        } else if is_first {
            let set_up = self.parts.provision.set_up(owned.subject());
            if let Some((parts, sign_in)) = set_up {
                owned.offered = Some(sign_in);
                let setup = |Part { name, kind }| Work::Setup { name: name.into(), kind };
                work.extend(parts.into_iter().map(setup));
            }
            if let Some(kind) = self.parts.provision.set_up_stun(owned.subject()) {
                work.push(Work::Setup { name: provision::STUN.into(), kind });
            }
            work.extend(self.new_credentials(owned));
        }
        let commands = self.parts.pipeline.decide(&owned.tenant, &owned.device);
        if !commands.is_empty() {
            self.take_up_commands(owned, commands, &mut work).await;
        }
        // Last: who asked for something must not wait for what nobody asked for.
        if is_first && let Some(failed) = self.is_to_be_discovered(owned) {
            let depth = (failed > 0).then_some(LEVELS_MAX);
            let kind = CommandKind::Refresh { path: String::new(), depth };
            work.push(Work::Setup { name: DISCOVERY.into(), kind });
        }
        if work.is_empty() {
            let is_looked_at;
            (work, is_looked_at) = self.profile(owned).await;
            // Seeing to its firmware may have made a command.
            if work.is_empty() && is_looked_at {
                let commands = self.parts.pipeline.decide(&owned.tenant, &owned.device);
                self.take_up_commands(owned, commands, &mut work).await;
            }
        }
        owned.session.assign(work, self.parts.clock.now());
    }

    /// A device that would be set up and may not be written to is woken once it may.
    fn remember_held(&self, owned: &Owned) {
        let provision = &self.parts.provision;
        let lacks_some = provision.set_up(owned.subject()).is_some()
            || provision.set_up_stun(owned.subject()).is_some();
        if lacks_some {
            self.parts.desk.holds().remember(&owned.tenant, &owned.device);
        }
    }

    /// The credentials that the device was given and does not use yet.
    fn new_credentials(&self, owned: &mut Owned) -> Option<Work> {
        let now = self.parts.clock.now().monotonic;
        let (credentials, root) = (&self.parts.credentials, owned.inform.root);
        let (kind, pushing) = credentials.to_push(&owned.tenant, &owned.device, root, now)?;
        owned.pushing = Some(pushing);
        Some(Work::Setup { name: Work::CREDENTIALS.into(), kind })
    }

    /// Adds commands with what helps to do them. One that cannot be done ends here.
    async fn take_up_commands(
        &self,
        owned: &mut Owned,
        commands: Vec<Command>,
        work: &mut Vec<Work>,
    ) {
        let model = match commands.iter().any(|command| is_writing(&command.kind)) {
            true => self.data_model(owned).await,
            false => None,
        };
        let mut failed = Vec::new();
        for command in commands {
            if let CommandKind::Refresh { path, depth } = &command.kind {
                let is_whole = path.is_empty() && depth.is_none();
                owned.refreshes.push((command.id.clone(), is_whole));
            }
            let called_at = owned.inform.called_at.as_deref();
            match self.support(&command, model.as_ref(), called_at) {
                Ok(support) => {
                    let Command { id, kind, .. } = command;
                    work.push(Work::Command { id, kind, support });
                }
                Err(cause) => {
                    let change = CommandChange::new(command.id, CommandState::Failed);
                    failed.push(Fact::Command(change.because(cause.to_string())));
                }
            }
        }
        if !failed.is_empty() {
            self.record(failed).await;
        }
    }

    /// What is kept of the device's data model, as far as it can be read.
    async fn data_model(&self, owned: &Owned) -> Option<DataModel> {
        let loaded = self.parts.data_models.load(&owned.tenant, &owned.device).await;
        loaded.unwrap_or_else(|error| {
            debug!(device = %owned.device, %error, "kept data model not read; the device is asked");
            None
        })
    }

    /// What helps to do a command; or why it cannot be done.
    fn support(
        &self,
        command: &Command,
        model: Option<&DataModel>,
        called_at: Option<&str>,
    ) -> Result<Support, TransferError> {
        let mut support = Support::default();
        if let (CommandKind::SetParameters { values }, Some(model)) = (&command.kind, model) {
            let bare = values.iter().filter(|(_, value)| matches!(value, ParameterValue::Bare(_)));
            let types = model.types(bare.map(|(path, _)| path.as_str()));
            support.types = types.map(|(path, name)| (path.into(), XsdType::new(name))).collect();
            let read_only = model.read_only(values.keys().map(String::as_str));
            support.read_only = read_only.map(Into::into).collect();
        }
        support.files = self.files(command, called_at)?;
        Ok(support)
    }

    /// Where the files of a transfer are, in the order in which the command names them. The addresses
    /// are good from when the transfer may begin for as long as the operator says, and never longer
    /// than the command.
    fn files(
        &self,
        command: &Command,
        called_at: Option<&str>,
    ) -> Result<Vec<SupportedFile>, TransferError> {
        let Command { tenant, device, id, .. } = command;
        let to = Recipient { tenant, device, command: id, called_at };
        let transfers = &self.parts.transfers;
        let valid = |begins_s: u32| {
            let valid = transfers.link_valid() + Duration::from_secs(begins_s.into());
            let now = self.parts.clock.now().wall;
            let left = command.expires_at.map(|end| end.duration_since(now));
            left.map_or(valid, |left| valid.min(left.try_into().unwrap_or_default()))
        };
        let offer = |image: &str, begins_s| transfers.offer(to, image, valid(begins_s));
        match &command.kind {
            CommandKind::Download { image, delay_s } => Ok(vec![offer(image, *delay_s)?]),
            CommandKind::ScheduleDownload { image, windows } => {
                let end_s = windows.last().map_or(0, |window| window.end_s);
                Ok(vec![offer(image, end_s)?])
            }
            CommandKind::Upload { file_type, delay_s } => {
                Ok(vec![transfers.inbox(to, file_type, valid(*delay_s))?])
            }
            CommandKind::ChangeDuState { operations } => {
                let images = operations.iter().filter_map(|operation| match operation {
                    DeploymentOperation::Install { image, .. }
                    | DeploymentOperation::Update { image, .. } => Some(image),
                    DeploymentOperation::Uninstall { .. } => None,
                });
                images.map(|image| offer(image, 0)).collect()
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Whether the data model is to be learned: when nothing whole is kept of it, and when the device
    /// comes from factory settings. How often that failed before.
    fn is_to_be_discovered(&self, owned: &Owned) -> Option<u32> {
        let (tenant, device) = (&owned.tenant, &owned.device);
        let is_due = self.options.discovers
            && (owned.inform.is_bootstrap || !self.parts.data_models.is_kept(tenant, device));
        let now = self.parts.clock.now().monotonic;
        is_due.then(|| self.discoveries.begin(tenant, device, now)).flatten()
    }

    /// A piece of setting up has ended.
    pub(super) async fn set_up(&self, owned: &mut Owned, name: &str, outcome: SetupOutcome) {
        if Run::is_ours(name) {
            return self.profile_told(owned, name, &outcome);
        }
        if name == DISCOVERY {
            return self.discovered(owned, outcome).await;
        }
        if name == provision::STUN {
            return self.stun_told(owned, &outcome).await;
        }
        if name == Work::CREDENTIALS {
            return self.told_credentials(owned, &outcome);
        }
        let sign_in = owned.offered.take_if(|_| name == Part::CREDENTIALS);
        match (outcome, sign_in) {
            (SetupOutcome::Done { .. }, Some(sign_in)) => self.keep(owned, &sign_in).await,
            (SetupOutcome::Done { .. }, None) => {}
            (SetupOutcome::Failed { cause, applied, .. }, sign_in) => {
                info!(device = %owned.device, part = name, %cause, "profile not applied");
                // What it took is in force: forgetting it would shut us out.
                if let Some(sign_in) = sign_in.filter(|_| takes_credentials(&applied)) {
                    self.keep(owned, &sign_in).await;
                }
            }
        }
    }

    /// Whatever the device says of the STUN server, it was told; unless it did not answer.
    async fn stun_told(&self, owned: &Owned, outcome: &SetupOutcome) {
        if let SetupOutcome::Failed { cause, result, .. } = outcome {
            debug!(device = %owned.device, %cause, "STUN server not taken");
            if result.is_none() {
                return;
            }
        }
        let told = self.parts.provision.stun_told(&owned.tenant, &owned.device).await;
        if let Err(error) = told {
            info!(device = %owned.device, %error, "not kept that the device was told of STUN");
        }
    }

    async fn discovered(&self, owned: &mut Owned, outcome: SetupOutcome) {
        match outcome {
            SetupOutcome::Done { .. } => {
                self.discoveries.ended(&owned.tenant, &owned.device);
                owned.is_discovered = true;
                self.keep_lessons(owned, true).await;
            }
            SetupOutcome::Failed { cause, .. } => {
                info!(device = %owned.device, %cause, "data model not learned; tried again later");
            }
        }
    }

    fn told_credentials(&self, owned: &mut Owned, outcome: &SetupOutcome) {
        let word = match outcome {
            SetupOutcome::Done { .. } => "taken",
            SetupOutcome::Failed { cause, .. } => {
                info!(device = %owned.device, %cause, "new credentials not taken");
                "refused"
            }
        };
        self.parts.metrics.credential_pushes.with_label_values(&[word]).inc();
        if let Some(pushing) = owned.pushing.take() {
            self.parts.credentials.pushed(&pushing, outcome, self.parts.clock.now());
        }
    }

    async fn keep(&self, owned: &Owned, sign_in: &SignIn) {
        let kept = self.parts.provision.keep(&owned.tenant, &owned.device, sign_in).await;
        if let Err(error) = kept {
            info!(device = %owned.device, %error, "connection request credentials not kept");
        }
    }

    /// Keeps what the session was told of the data model, before it goes on. `is_whole` says that
    /// with this the device has told all.
    pub(super) async fn keep_lessons(&self, owned: &mut Owned, is_whole: bool) {
        if is_whole || !owned.lessons.is_empty() {
            // It fails only by a panic, which ends the process.
            let _ = self.turns.spawn(self.learning(owned, is_whole)).await;
        }
    }

    /// Leaves the little that a session was told to be written later; false when it is too much.
    pub(super) fn note_lessons(&self, owned: &mut Owned) -> bool {
        if owned.lessons.is_empty() {
            return true;
        }
        let (observations, at) = (owned.lessons.take(), self.parts.clock.now().wall);
        match self.parts.data_models.note(&owned.tenant, &owned.device, observations, at) {
            None => true,
            Some(much) => {
                owned.lessons.add(much);
                false
            }
        }
    }

    /// Merges what the session was told into what is kept. What cannot be kept is counted, and no
    /// fault of the device's: it is asked again.
    pub(super) fn learning(
        &self,
        owned: &mut Owned,
        is_whole: bool,
    ) -> impl Future<Output = ()> + Send + use<> {
        let data_models = Arc::clone(&self.parts.data_models);
        let (tenant, device) = (owned.tenant.clone(), owned.device.clone());
        let observations = owned.lessons.take();
        let at = self.parts.clock.now().wall;
        async move {
            let kept = if is_whole {
                data_models.learn_whole(&tenant, &device, observations, at).await
            } else {
                data_models.learn(&tenant, &device, observations, at).await
            };
            if let Err(error) = kept {
                debug!(%device, %error, "what the device told of its data model is not kept");
            }
        }
    }
}

/// Whether a command writes values whose types the kept data model may know.
fn is_writing(kind: &CommandKind) -> bool {
    matches!(kind, CommandKind::SetParameters { .. })
}

/// Whether both halves of the connection request credentials are among what a device took.
fn takes_credentials(applied: &[Box<str>]) -> bool {
    ["Username", "Password"].iter().all(|half| {
        let end = format!(".ManagementServer.ConnectionRequest{half}");
        applied.iter().any(|path| path.ends_with(&end))
    })
}
