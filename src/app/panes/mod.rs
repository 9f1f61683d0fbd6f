//! The panes: each reads the document and the session, draws, and gives back actions.

pub mod annotations;
pub mod board;
pub mod clocks;
pub mod compare;
pub mod connection;
pub mod connections;
pub mod detail;
pub mod dropping;
pub mod figures;
pub mod findings;
pub mod lanes;
pub mod log_lines;
pub mod modals;
pub mod stats;
pub mod steps;
pub mod table;
pub mod tree;
pub mod verdict;
pub mod welcome;

use super::Palette;
use super::document::Document;
use super::format::{Clock, cut_middle};
use super::pending::Pending;
use super::state::Action;
use crate::analysis::Analysis;
use crate::session::Session;
use crate::topology::{LaneId, LinkId, Topology};

/// Most characters of a lane's name where a link is named in little room.
const LANE: usize = 18;

/// What every pane reads.
#[derive(Clone, Copy)]
pub struct Pane<'a> {
    /// What is open.
    pub document: &'a Document,
    /// Its analysis.
    pub analysis: &'a Analysis,
    /// Its lanes as edited since, where they were.
    pub pending: Option<&'a Pending>,
    /// What the user made of it.
    pub session: &'a Session,
    /// Whether there is an edit to take back, and one to make again.
    pub can_go: (bool, bool),
    /// Prints times.
    pub clock: &'a Clock,
    /// Colours.
    pub palette: Palette,
}

impl<'a> Pane<'a> {
    /// The lanes that the editor shows and edits: those to come, where some are.
    pub fn chain(&self) -> &'a Topology {
        self.pending.map_or(&self.analysis.topology, |pending| &pending.topology)
    }

    /// A link by its lanes' names, long ones cut in their middles: at the end of the whole, the second would be lost.
    pub fn link_in_short(&self, id: LinkId) -> String {
        let link = self.analysis.link(id);
        let [from, to] = [link.from, link.to].map(|lane| cut_middle(&self.analysis.lane(lane).name, LANE));
        format!("{from} → {to}")
    }

    /// Which of these a lane of the analysis is.
    pub fn chain_lane(&self, id: LaneId) -> Option<LaneId> {
        self.pending.map_or(Some(id), |pending| pending.now(id))
    }
}

/// Where panes put what they want done.
pub type Actions = Vec<Action>;
