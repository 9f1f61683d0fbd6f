//! The steps of the connection that is stepped through, made once for each.

use crate::analysis::Analysis;
use crate::capture::{Frame, SessionTime};
use crate::tcp::{EventKind, Side};
use crate::topology::{ConnectionId, ExchangeId};

/// A step.
#[derive(Clone, Debug)]
pub struct Step {
    pub at: SessionTime,
    pub frame: Frame,
    pub title: String,
    pub hint: String,
    pub exchange: Option<ExchangeId>,
    pub proof: bool,
    pub why: String,
}

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
            self.steps = connection.map_or_else(Vec::new, |connection| steps(analysis, connection));
            self.key = key;
        }
    }

    /// The steps in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The step that proves the verdict on this exchange; else the first step that is about it; else the first.
    pub fn best_step(&self, exchange: Option<ExchangeId>) -> Option<usize> {
        let about = |step: &Step| exchange.is_none() || step.exchange == exchange;
        let proof = self.steps.iter().rposition(|step| step.proof && about(step));
        proof.or_else(|| self.steps.iter().position(about)).or((!self.steps.is_empty()).then_some(0))
    }
}

fn steps(analysis: &Analysis, id: ConnectionId) -> Vec<Step> {
    let connection = analysis.connection(id);
    let link = analysis.link(connection.inner.link);
    let name = |side| match side {
        Side::Client => &analysis.lane(link.from).name,
        Side::Server => &analysis.lane(link.to).name,
    };
    let mut all = Vec::new();
    for event in connection.events() {
        let what = match event.kind {
            EventKind::Syn => "opens (SYN)",
            EventKind::SynAck => "agrees (SYN-ACK)",
            EventKind::Established => "completes the handshake",
            EventKind::Fin => "sends FIN",
            EventKind::FinAcked => "acknowledges the FIN",
            EventKind::Rst => "answers RST",
            EventKind::DataAfterFin => "sends data after its FIN",
            EventKind::Hole => "bytes missing in the capture",
            EventKind::ZeroWindow => "closes its window",
        };
        all.push(Step {
            at: connection.time(event.at),
            frame: connection.frame(event.frame),
            title: format!("{} {what}", name(event.from)),
            hint: String::new(),
            exchange: None,
            proof: event.kind == EventKind::Rst,
            why: String::new(),
        });
    }
    for exchange in connection.exchanges() {
        for (message, title) in [
            (
                &exchange.raw.request,
                format!("request {} {} {}", exchange.raw.ordinal, exchange.method(), exchange.target()),
            ),
            (
                &exchange.raw.response,
                format!("response {} {}", exchange.raw.ordinal, exchange.status().unwrap_or(0)),
            ),
        ] {
            if let Some((first, last)) = exchange.frames(message) {
                all.push(Step {
                    at: analysis.session_time(exchange.capture, message.start),
                    frame: first,
                    title,
                    hint: format!("frames {}–{}", first.number, last.number),
                    exchange: Some(exchange.id),
                    proof: false,
                    why: String::new(),
                });
            }
        }
    }
    all.sort_by_key(|step| (step.at, step.frame));
    all
}
