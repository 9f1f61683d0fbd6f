//! Edits of lanes and clocks carried out: what is shown of them at once, and the analysis that follows.

use super::chain::{self, ChainEdit};
use super::loader::Request;
use super::pending::Pending;
use super::state::AppState;
use crate::session::History;

impl AppState {
    pub(super) fn edit_chain(&mut self, edit: &ChainEdit) {
        let Some(document) = self.document.as_ref().filter(|document| document.held.is_none()) else {
            return;
        };
        let shown = &document.analysis.topology;
        let topology = self.pending.as_ref().map_or(shown, |pending| &pending.topology);
        match chain::edited(&self.edits.session().overrides, topology, edit) {
            Ok(overrides) => {
                let pending = Pending::after(self.pending.clone(), shown, edit, &overrides);
                if self.edits.edit(|session| session.overrides = overrides) {
                    self.pending = pending;
                    self.analyse_again();
                }
            }
            Err(error) => self.complain(format!("Not changed: {error}")),
        }
    }

    /// Makes the analysis anew with what the user says about the chain now.
    pub(super) fn analyse_again(&mut self) {
        let Some(document) = self.document.as_ref().filter(|document| document.held.is_none()) else {
            return;
        };
        if self.loader.is_reading() {
            // That would drop what is being read; the edit is brought in once it is there, or stopped.
            return;
        }
        let (keep, keep_logs) = (document.analysis.captures.clone(), document.analysis.logs.clone());
        let overrides = self.edits.session().overrides.clone();
        self.loader.start(Request { keep, keep_logs, overrides, ..Request::default() }, &self.background);
    }

    /// Brings in the edits that were made while something was read or analysed.
    pub(super) fn catch_up(&mut self) {
        if self.document.is_some() && self.edits.session().overrides != self.analysed {
            self.analyse_again();
        }
    }

    pub(super) fn go_back(&mut self, step: fn(&mut History) -> bool, nothing: &str) {
        let before = self.edits.session().overrides.clone();
        if !step(&mut self.edits) {
            self.hint(nothing);
        } else if self.edits.session().overrides != before {
            self.pending = None;
            self.analyse_again();
        }
    }
}
