//! The steps of the connection that is stepped through, made once for each.

use crate::analysis::Analysis;
use crate::diagnose::{self, Step};
use crate::topology::{ConnectionId, ExchangeId};

/// The steps of one connection.
#[derive(Default)]
pub struct Story {
    key: Option<(u64, ConnectionId)>,
    steps: Vec<Step>,
}

impl Story {
    /// Brings the steps up to date with the selected connection.
    pub fn update(&mut self, analysis: &Analysis, generation: u64, connection: Option<ConnectionId>) {
        let key = connection.map(|connection| (generation, connection));
        if self.key != key {
            self.steps = connection.map_or_else(Vec::new, |connection| diagnose::steps(analysis, connection));
            self.key = key;
        }
    }

    /// The steps in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The step that proves the verdict on this exchange; else, of one that was answered with a failure, that answer; else
    /// the first step that is about it; else the first.
    pub fn best_step(&self, exchange: Option<ExchangeId>) -> Option<usize> {
        let about = |step: &Step| exchange.is_none() || step.exchange == exchange;
        let proof = self.steps.iter().rposition(|step| step.proof && about(step));
        let answer = self.steps.iter().position(|step| step.failure && about(step));
        proof
            .or(answer.filter(|_| exchange.is_some()))
            .or_else(|| self.steps.iter().position(about))
            .or((!self.steps.is_empty()).then_some(0))
    }
}
