//! The course of a session, from what is remembered to what is kept.

use super::run::{Known, Run, Stage};
use super::waits::Asked;
use super::{Introduced, Parts, Provisioner, seed};
use crate::equipment::Values;
use crate::profiles::Outcome;
use crate::quirks;
use crate::registry::{Device, Mark};
use crate::store::Operation;
use crate::upgrades::Upgrade;
use cwmp::{SetupOutcome, Work};
use jiff::{SignedDuration, Timestamp};
use model::{DataModel, Now, Observation};
use provisioning::{Standing, Subject, Wanted, decide};
use tracing::{debug, info};

/// How long a device that is on hold is left alone, whatever is to be done.
const HELD_PAUSE: SignedDuration = SignedDuration::from_hours(1);

impl Provisioner {
    /// Begins a session's course; `None` when there is nothing to decide after all.
    /// `lessons` is what the session was told of the device's data model and is not kept yet.
    pub async fn begin(
        &self,
        it: Introduced,
        lessons: &[Observation],
        now: Now,
    ) -> Option<Box<Run>> {
        let Parts { registry, .. } = &self.parts;
        let generation = self.generation();
        let mark = registry.mark(&it.tenant, &it.device)?;
        let kept = match self.kept(&it.tenant, &it.device).await {
            Ok(kept) => kept,
            Err(error) => {
                info!(device = %it.device, %error, "how it stands cannot be read; tried again later");
                return None;
            }
        };
        let request = registry.take_request(&it.tenant, &it.device);
        let is_claimed = registry.is_claimed(&it.tenant, &it.device);
        let fresh = self.parts.equipments.fresh(&it.tenant, &it.device, now);
        let is_same = fresh == Some(mark.values);
        let is_due = kept.held.is_due(now.wall, &it.events, is_claimed)
            || self.may_go_on(&it.tenant, &it.device, mark);
        if !is_due
            && !request.is_any
            && mark.generation == generation
            && (is_same || self.are_same(&it, mark, now).await)
        {
            return None;
        }
        let model = self.model(&it, lessons, now.wall).await;
        let seed = seed(&it.device);
        let mut run = Run::new(it, kept, model, generation, seed, self.key);
        (run.is_requested, run.is_ordered) = (request.is_any, request.is_ordered);
        run.is_claimed = is_claimed;
        if request.is_ordered {
            run.kept.held.release();
        }
        Some(Box::new(run))
    }

    /// Asks the business again, whose word is old: whether it says what it said. Then nothing else need
    /// be read.
    async fn are_same(&self, it: &Introduced, mark: Mark, now: Now) -> bool {
        let Some(device) = self.parts.registry.get(&it.tenant, &it.device) else { return true };
        let subject = subject(&device, it.root);
        match self.parts.equipments.values(&it.tenant, &subject, now).await {
            Values::Known { version, .. } => version == mark.values,
            Values::Unknown | Values::Taken { .. } => mark.standing == Standing::Unknown,
            Values::NotReady { retry_at } | Values::Unavailable { retry_at } => {
                self.retries.put(&it.tenant, &it.device, retry_at);
                mark.standing == Standing::AwaitingValues
            }
        }
    }

    /// What is known of the device, with what its session was told.
    async fn model(&self, it: &Introduced, lessons: &[Observation], at: Timestamp) -> DataModel {
        let loaded = self.parts.data_models.load(&it.tenant, &it.device).await;
        let loaded = loaded.unwrap_or_else(|error| {
            debug!(device = %it.device, %error, "kept data model not read; the device is asked");
            None
        });
        let mut model = loaded.unwrap_or_default();
        for lesson in lessons {
            model.learn(lesson, at);
        }
        model
    }

    /// What to ask of the device next; nothing when the course is over. `lessons` as in
    /// [`Self::begin`].
    pub async fn next(&self, run: &mut Run, lessons: &[Observation], now: Now) -> Vec<Work> {
        run.place = None;
        let model = match run.model.take() {
            Some(model) => model,
            None => self.model(&run.it, lessons, now.wall).await,
        };
        let work = self.go_on(run, &model, now).await;
        if !work.is_empty() {
            run.place = self.memory.place(model.len());
            run.model = run.place.is_some().then_some(model);
        }
        work
    }

    async fn go_on(&self, run: &mut Run, model: &DataModel, now: Now) -> Vec<Work> {
        if run.stage == Stage::Names {
            let work = self.names(run, model, now.wall).await;
            if !work.is_empty() {
                return work;
            }
            self.meet(run, model, now).await;
        }
        if run.stage == Stage::Rounds { self.round(run, model, now).await } else { Vec::new() }
    }

    /// Finds the names that the device says of itself, so that the business can be asked by them.
    async fn names(&self, run: &mut Run, model: &DataModel, now: Timestamp) -> Vec<Work> {
        let Some(device) = self.parts.registry.get(&run.it.tenant, &run.it.device) else {
            return Vec::new();
        };
        if run.wanted.aliases.is_empty() {
            let loaded = self.parts.profiles.loaded_for(&run.it.tenant, &run.it.device);
            let values = loaded.values(&run.it.tenant);
            let subject = subject(&device, run.it.root);
            let layers = loaded.set.layers(&subject, None);
            let wanted = layers.render(&subject, None, &values, model);
            if wanted.aliases.is_empty() {
                return Vec::new();
            }
            run.wanted = Wanted { aliases: wanted.aliases, ..Wanted::default() };
            let lent = run.lend();
            let circumstances = run.circumstances(&lent, now);
            run.scratch.begin(circumstances);
        }
        let lent = run.lend();
        let circumstances = run.circumstances(&lent, now);
        let plan = decide(&run.wanted, model, &run.scratch, circumstances);
        if !plan.writes() && run.scratch.starts_round(&plan, self.rounds_max, now) {
            self.metrics.rounds.with_label_values(&["learned"]).inc();
            return run.work(plan);
        }
        self.name(run, &device, model).await;
        Vec::new()
    }

    /// Gives the device the names that it says.
    async fn name(&self, run: &Run, device: &Device, model: &DataModel) {
        let Parts { writer, registry, equipments, .. } = &self.parts;
        for alias in provisioning::aliases(&run.wanted, model) {
            let is_new = !device.facts.aliases.contains(&alias);
            if !is_new || registry.by_alias(&run.it.tenant, &alias).is_some() {
                continue;
            }
            let (tenant, device) = (run.it.tenant.clone(), run.it.device.clone());
            let put = Operation::PutAlias { tenant, device, alias };
            match writer.transact(vec![put.clone()]).await {
                Ok(()) => {
                    registry.apply_operation(&put);
                    equipments.forget(&run.it.tenant, &run.it.device);
                }
                Err(error) => debug!(device = %run.it.device, %error, "a name is not given to it"),
            }
        }
    }

    /// Asks the business, and makes of profiles and values what the device should be.
    async fn meet(&self, run: &mut Run, model: &DataModel, now: Now) {
        let Parts { registry, profiles, equipments, .. } = &self.parts;
        let Some(device) = registry.get(&run.it.tenant, &run.it.device) else {
            run.stage = Stage::Over;
            return;
        };
        let met = subject(&device, run.it.root);
        let asked_at = equipments.changes(&run.it.tenant, &run.it.device);
        self.take_requests(run);
        let values = equipments.values(&run.it.tenant, &met, now).await;
        let (known, equipment) = match values {
            Values::Known { equipment, serial, version, .. } => {
                (Known::Values { serial, version }, Some(equipment))
            }
            Values::Unknown => (Known::Nothing, None),
            Values::Taken { .. } => (Known::Taken, None),
            Values::NotReady { retry_at } | Values::Unavailable { retry_at } => {
                (Known::Later(retry_at), None)
            }
        };
        run.known = known;
        self.take_late_requests(run, asked_at);
        let device = registry.get(&run.it.tenant, &run.it.device).unwrap_or(device);
        let subject = subject(&device, run.it.root);
        run.is_claimed = registry.is_claimed(&run.it.tenant, &run.it.device)
            && !matches!(run.known, Known::Taken);
        let candidate = profiles.candidate_for(&run.it.tenant, &run.it.device);
        run.kept.tries(candidate.is_some(), &run.before.held.refused);
        let loaded = profiles.loaded_for(&run.it.tenant, &run.it.device);
        let tenant_values = loaded.values(&run.it.tenant);
        let layers = loaded.set.layers(&subject, equipment.as_deref());
        run.kept.set_quirks(quirks::named(layers.quirks()));
        run.wanted = layers.render(&subject, equipment.as_deref(), &tenant_values, model);
        run.fingerprint = run.wanted.fingerprint(&self.key);
        if run.kept.firmware != device.facts.software_version {
            run.kept.held.release();
            run.kept.firmware.clone_from(&device.facts.software_version);
        }
        let lent = run.lend();
        let circumstances = run.circumstances(&lent, now.wall);
        run.kept.held.begin(circumstances);
        if run.kept.held.standing == Standing::New {
            // Whatever is kept from now on is of a device that was begun with.
            run.kept.held.standing = Standing::Pending;
        }
        run.stage = Stage::Rounds;
    }

    /// What was asked for is answered by the end of this session, from here on.
    fn take_requests(&self, run: &mut Run) {
        let request = self.parts.registry.take_request(&run.it.tenant, &run.it.device);
        if request.is_ordered {
            run.kept.held.release();
        }
        // After the mark: a request that comes between leaves the mark of its own.
        run.asked.join(self.waits.take(&run.it.tenant, &run.it.device));
    }

    /// Asking the business took its time, and the claim that came of it marks the device, too. What was
    /// asked for meanwhile is answered as well, unless what the business says has changed.
    fn take_late_requests(&self, run: &mut Run, asked_at: u32) {
        let Parts { registry, equipments, .. } = &self.parts;
        let (tenant, device) = (&run.it.tenant, &run.it.device);
        let late = registry.take_request(tenant, device);
        let asked = self.waits.take(tenant, device);
        // After they were taken: each is made after its change is counted.
        if equipments.changes(tenant, device) != asked_at {
            drop(asked);
            if late.is_any {
                registry.request_mark(tenant, device, late.is_ordered);
            }
            return;
        }
        if late.is_ordered {
            run.kept.held.release();
        }
        run.asked.join(asked);
    }

    /// One round: what is still to be done, or the end.
    async fn round(&self, run: &mut Run, model: &DataModel, now: Now) -> Vec<Work> {
        let lent = run.lend();
        let circumstances = run.circumstances(&lent, now.wall);
        let timer = self.metrics.decision_seconds.start_timer();
        let plan = decide(&run.wanted, model, &run.kept.held, circumstances);
        timer.observe_duration();
        let barred = if plan.writes() { self.barred(run, now) } else { None };
        if barred.is_some() || !run.kept.held.starts_round(&plan, self.rounds_max, now.wall) {
            run.note_drift(&plan);
            run.kept.held.settle(&run.wanted, &plan, circumstances);
            run.kept.lacks(&plan);
            if barred == Some(Standing::Held) {
                // It is seen when the hold is lifted; until then only readings are due.
                let later = now.wall + HELD_PAUSE;
                run.kept.held.due_at = Some(plan.due_at.map_or(later, |due| due.min(later)));
            }
            self.end(run, model, barred, now).await;
            return Vec::new();
        }
        let word = if plan.writes() { "written" } else { "learned" };
        self.metrics.rounds.with_label_values(&[word]).inc();
        if plan.adds() {
            // A first contact that ends here is none when the device comes again: what it was told
            // to make would be forgotten.
            run.kept.held.stands(Standing::Pending, "an object is being made", now.wall);
            if let Err(error) = self.keep(run, Vec::new(), true).await {
                // Made twice after a crash, it would be there twice.
                info!(device = %run.it.device, %error, "an object is not made before it is remembered");
                self.put_back(run);
                run.stage = Stage::Over;
                return Vec::new();
            }
        }
        run.work(plan)
    }

    /// Why nothing may be written now.
    fn barred(&self, run: &Run, now: Now) -> Option<Standing> {
        let Parts { registry, holds, .. } = &self.parts;
        let (tenant, device) = (&run.it.tenant, &run.it.device);
        if holds.holds(registry, tenant, device) {
            // It is woken once it may be written to.
            holds.remember(tenant, device);
            return Some(Standing::Held);
        }
        let needs_agreement = run.kept.from_factory_at.is_none();
        (needs_agreement && !holds.may_change(tenant, device, now))
            .then_some(Standing::AwaitingApproval)
    }

    /// Takes over how a piece of work ended.
    pub fn outcome(&self, run: &mut Run, name: &str, outcome: &SetupOutcome, now: Timestamp) {
        let is_silent = matches!(outcome, SetupOutcome::Failed { result: None, .. });
        let Parts { holds, registry, .. } = &self.parts;
        if is_silent && holds.holds(registry, &run.it.tenant, &run.it.device) {
            // Not asked, since a hold came: the device has refused nothing.
            return run.drop_step(name);
        }
        for code in run.outcome(name, outcome, now) {
            self.metrics.refused(code);
        }
    }

    /// The session was lost before its course was over, by our own doing where `is_ours`: the next one
    /// goes on.
    pub async fn cut(&self, run: &mut Run, is_ours: bool, now: Timestamp) {
        let is_begun = run.stage == Stage::Rounds;
        run.stage = Stage::Over;
        self.metrics.sessions.with_label_values(&["lost"]).inc();
        if !is_begun {
            return self.put_back(run);
        }
        if run.has_written && !is_ours {
            // It may be cut off by what it was told; where it is not, its next session says so.
            self.note(run, Outcome::Failed);
        }
        run.kept.held.cut(now);
        if let Err(error) = self.keep(run, Vec::new(), true).await {
            debug!(device = %run.it.device, %error, "what a lost session did is not kept");
            self.put_back(run);
        }
    }

    /// Nothing is kept of the session: what it was to answer is for the next.
    pub(super) fn put_back(&self, run: &mut Run) {
        let is_asked = run.is_requested || !run.asked.ids().is_empty();
        // They are there before the mark.
        run.asked = Asked::default();
        if is_asked {
            let (tenant, device) = (&run.it.tenant, &run.it.device);
            self.parts.registry.request_mark(tenant, device, run.is_ordered);
        }
    }

    /// Sees to the firmware of a device that is as wanted beside it. Says whether the business waits
    /// for it: a device from factory settings is done when it runs what it should. Not for a window,
    /// though, which may be days away: nobody is without a line until then.
    pub(super) async fn see_to_firmware(&self, run: &mut Run, device: &Device, now: Now) -> bool {
        let Some(wanted) = &run.wanted.firmware else { return false };
        let subject = subject(device, run.it.root);
        let is_new = run.kept.from_factory_at.is_some();
        let seen_to = self.parts.upgrades.see_to(&device.tenant, &subject, wanted, is_new);
        let is_awaited = match seen_to.await {
            Upgrade::Right => false,
            Upgrade::UnderWay => is_new,
            Upgrade::Waits { until, is_for_window, .. } => {
                run.kept.due_by(until);
                is_new && !is_for_window
            }
            Upgrade::Refused { cause } => {
                run.kept.lacks_firmware(cause);
                false
            }
        };
        if is_awaited {
            // Whatever ends it, the next session after that sees it.
            run.kept.due_by(now.wall);
        }
        is_awaited
    }
}

/// A device as its profiles see it.
pub(crate) fn subject<'a>(device: &'a Device, root: &'a str) -> Subject<'a> {
    Subject {
        id: &device.id,
        facts: &device.facts,
        tags: &device.tags,
        group: device.group.as_deref(),
        customer: device.customer.as_deref(),
        root,
    }
}
