//! What is worth knowing of a lane in a few words, for the right end of its band.

use super::model::LinkRows;
use crate::analysis::Analysis;
use crate::topology::LaneId;

/// A few words on a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneFact {
    /// The words; empty when there is nothing to say.
    pub text: String,
    /// Whether they tell of failures.
    pub alarming: bool,
}

/// The fact of a lane: failures for the users' lane, retries for one that retries, then how it treats its
/// connections.
pub(super) fn lane_fact(analysis: &Analysis, links: &[LinkRows], lane: LaneId) -> LaneFact {
    let mut parts = Vec::new();
    let link_ends = |at: usize| &analysis.topology.links[at];
    let out: Vec<_> = links.iter().filter(|l| link_ends(l.link).from == lane).collect();
    let into: Vec<_> = links.iter().filter(|l| link_ends(l.link).to == lane).collect();
    let mut alarming = false;
    if into.is_empty() {
        let (requests, failures) = out.iter().fold((0, 0), |sum, l| (sum.0 + l.requests, sum.1 + l.failures));
        alarming = failures > 0;
        let noun = if failures == 1 { "failure" } else { "failures" };
        parts.push(format!("{} {noun} of {}", grouped(failures), grouped(requests)));
    }
    if let Some(methods) = retried_methods(analysis, lane) {
        parts.push(format!("retries {methods}"));
    }
    let rejected: u32 = into.iter().map(|l| l.rejected).sum();
    if rejected > 0 {
        alarming = true;
        parts.push(format!("rejects {}", grouped(rejected)));
    }
    let (connections, closed, reused) = into
        .iter()
        .fold((0, 0, 0), |sum, l| (sum.0 + l.connections, sum.1 + l.closed_after_one, sum.2 + l.reused));
    if connections > 0 {
        if closed * 10 >= connections * 9 {
            parts.push("closes after each".to_owned());
        } else if reused > 0 {
            parts.push(format!("{} of {} connections reused", grouped(reused), grouped(connections)));
        }
    }
    LaneFact { text: parts.join(" · "), alarming }
}

fn retried_methods(analysis: &Analysis, lane: LaneId) -> Option<String> {
    let retries = analysis.diagnosis.retries.iter().find(|r| r.lane == Some(lane))?;
    let methods: Vec<_> = retries.retried.iter().map(|(method, count)| format!("{count} {method}")).collect();
    (!methods.is_empty()).then(|| methods.join(", "))
}

/// `2,880`.
pub(crate) fn grouped(count: u32) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::{Model, sample};

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn lanes_say_what_they_do() {
        let model = Model::new(&sample::analysis(30, 10));
        let facts: Vec<_> = model.lanes.iter().map(|l| l.fact.text.as_str()).collect();
        assert!(facts[0].contains("of 30"), "{facts:?}");
        assert!(facts[1].starts_with("retries 2 GET"), "{facts:?}");
        assert!(facts[3].starts_with("rejects 3"), "{facts:?}");
    }
}
