//! When the frontier is saved: by its interval, when asked, and once before the first page.

use std::sync::Arc;

use super::*;
use crate::checkpoint::QuarantinedRecord;
use crate::decode::SchemaState;

#[derive(Debug, Default)]
pub(super) struct Saving {
    /// Something may be saved that no entry of the order stands for (a new shard).
    pub(super) changed: bool,
    /// The schema that has its place in the order.
    pub(super) schema: Option<Arc<SchemaState>>,
    /// Memory is short: no reader may ask for a page.
    pub(super) starved: bool,
    asked: bool,
    busy: bool,
    /// What the save under way takes along: it is written once, and only then it is written.
    unconfirmed: (Vec<Gap>, Vec<QuarantinedRecord>),
    through: u64,
    /// The newest epoch that the save under way speaks of, or the last one did.
    epoch: u64,
    last: Now,
}

impl Saving {
    pub(super) fn ask(&mut self) {
        self.asked = true;
    }

    fn is_behind(&self, frontier: &Frontier<Ledger, Delta>) -> bool {
        self.changed || frontier.passed() > self.through && !broken::is("saved-once")
    }

    fn due(&self, frontier: &Frontier<Ledger, Delta>, options: &Options) -> Option<Now> {
        let wanted = options.keeper == Keeper::Store && !self.busy && self.is_behind(frontier);
        wanted.then(|| if self.asked { self.last } else { self.last + options.commit_interval })
    }
}

impl Run {
    /// When the next save is due. Before every shard has its start there is nothing worth saving.
    pub(super) fn save_due(&self) -> Option<Now> {
        let opening = matches!(self.stage, Stage::Listing | Stage::Capturing);
        if opening { None } else { self.saving.due(&self.frontier, &self.options) }
    }

    pub(super) fn save_soon(&mut self) {
        self.saving.asked = self.saving.is_behind(&self.frontier);
    }

    pub(super) fn save_when_due(&mut self, now: Now) {
        if self.save_due().is_none_or(|due| due > now) {
            return;
        }
        let through = self.frontier.passed();
        let ledger = self.frontier.state_mut();
        let save = Save {
            through,
            checkpoint: ledger.checkpoint.clone(),
            gaps: std::mem::take(&mut ledger.gaps),
            quarantined: std::mem::take(&mut ledger.quarantined),
        };
        self.saving.unconfirmed = (save.gaps.clone(), save.quarantined.clone());
        self.saving.epoch = save.checkpoint.epoch.max(save.checkpoint.epoch_begun);
        self.saving.busy = true;
        self.saving.changed = false;
        self.saving.asked = false;
        self.saving.last = now;
        self.actions.push(Action::Save(Box::new(save)));
    }

    pub(super) fn saved(&mut self, through: u64, result: Result<()>, now: Now) -> Result<()> {
        self.saving.busy = false;
        let (gaps, quarantined) = std::mem::take(&mut self.saving.unconfirmed);
        if let Err(error) = result {
            if broken::is("failed-save-forgets") {
                return Err(error);
            }
            // The store may work again for the save at the end, which then passes them too.
            let ledger = self.frontier.state_mut();
            ledger.gaps.splice(..0, gaps);
            ledger.quarantined.splice(..0, quarantined);
            return Err(error);
        }
        self.saving.through = self.saving.through.max(through);
        if self.options.keeper == Keeper::Loader {
            self.passed_by_loader(through);
        }
        // A save from before this epoch may be answered only now.
        let told = self.options.keeper == Keeper::Loader || self.saving.epoch >= self.epoch;
        if self.stage == Stage::Recording && told {
            self.recorded(now);
        }
        Ok(())
    }

    /// What the loader wrote with its data is done and durable at once, gaps and quarantine included.
    fn passed_by_loader(&mut self, through: u64) {
        self.frontier.pass(through);
        let ledger = self.frontier.state_mut();
        if !broken::is("gap-written-again") {
            ledger.gaps.clear();
        }
        ledger.quarantined.clear();
    }

    /// For a loader: everything up to the last batch taken, to be written in one transaction with it.
    pub fn state(&self) -> Save {
        let (through, ledger) = self.frontier.through_taken();
        Save { through, checkpoint: ledger.checkpoint, gaps: ledger.gaps, quarantined: ledger.quarantined }
    }

    /// The last entry that a save asked for now would cover; `None` when nothing is unsaved.
    pub fn unsaved_through(&self) -> Option<u64> {
        let behind = self.saving.busy || self.saving.is_behind(&self.frontier);
        behind.then(|| self.frontier.passed())
    }

    /// The last entry that is durable.
    pub fn saved_through(&self) -> u64 {
        self.saving.through
    }
}
