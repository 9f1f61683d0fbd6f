//! What is worth knowing of a lane in a few words, for the right end of its band.

use super::model::LinkRows;
use crate::analysis::Analysis;
pub(crate) use crate::capture::grouped;
use crate::diagnose::words::counted;
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
    let figures = |l: &LinkRows| Figures::of(analysis, l);
    let out: Vec<_> = links.iter().filter(|l| link_ends(l.link).from == lane).map(figures).collect();
    let into: Vec<_> = links.iter().filter(|l| link_ends(l.link).to == lane).map(figures).collect();
    let mut alarming = false;
    if analysis.lane(lane).inferred {
        parts.push("not captured itself".to_owned());
    }
    if into.is_empty() {
        let (requests, failures) = out.iter().fold((0, 0), |sum, l| (sum.0 + l.requests, sum.1 + l.failures));
        alarming = failures > 0;
        let connections: u64 = out.iter().map(|l| l.connections).sum();
        if requests == 0 && connections > 0 {
            let is_encrypted = links.iter().any(|l| link_ends(l.link).from == lane && encrypted(l) > 0);
            let noun = if is_encrypted { "encrypted connection" } else { "connection" };
            parts.push(format!("{}, no request read", counted(connections, noun)));
        } else {
            parts.push(format!("{} of {}", counted(failures, "failure"), grouped(requests)));
        }
    }
    if let Some(methods) = retried_methods(analysis, lane) {
        parts.push(format!("retries {methods}"));
    }
    let rejected: u64 = into.iter().map(|l| l.rejected).sum();
    if rejected > 0 {
        alarming = true;
        parts.push(format!("rejects {}", grouped(rejected)));
    }
    let (connections, closed, reused) = into
        .iter()
        .fold((0, 0, 0), |sum, l| (sum.0 + l.connections, sum.1 + l.closed_after_one, sum.2 + l.reused));
    let encrypted: u64 = links.iter().filter(|l| link_ends(l.link).to == lane).map(encrypted).sum();
    if encrypted > 0 {
        // How often those were used again cannot be read.
        parts.push(format!("{} of {} connections encrypted", grouped(encrypted), grouped(connections)));
    } else if connections > 0 && closed * 10 >= connections * 9 {
        parts.push("closes after each".to_owned());
    } else if reused > 0 {
        parts.push(format!("{} of {} connections reused", grouped(reused), grouped(connections)));
    } else if connections > 1 && into.iter().any(|l| l.requests > 0) {
        parts.push("no connection reused".to_owned());
    }
    LaneFact { text: parts.join(" · "), alarming }
}

fn encrypted(link: &LinkRows) -> u64 {
    let connections = link.rows.iter().flat_map(|row| &row.connections);
    connections.filter(|span| span.carries == Some("encrypted")).count() as u64
}

/// The figures of a link as the board has them: a snapshot opened without its captures draws only the exchanges that
/// it holds, and its lanes must not count those as if they were all.
#[derive(Clone, Copy)]
struct Figures {
    requests: u64,
    failures: u64,
    rejected: u64,
    connections: u64,
    reused: u64,
    closed_after_one: u64,
}

impl Figures {
    fn of(analysis: &Analysis, link: &LinkRows) -> Self {
        let drawn = Self {
            requests: u64::from(link.requests),
            failures: u64::from(link.failures),
            rejected: u64::from(link.rejected),
            connections: u64::from(link.connections),
            reused: u64::from(link.reused),
            closed_after_one: u64::from(link.closed_after_one),
        };
        let board = analysis.diagnosis.board.links.get(link.link);
        match board.filter(|board| board.connections > drawn.connections) {
            None => drawn,
            Some(board) => Self {
                requests: board.requests,
                failures: board.servers.values().map(|server| server.failed).sum(),
                rejected: board.rejected_by_method.values().sum(),
                connections: board.connections,
                reused: board.reused_connections,
                // A snapshot of before this was counted knows only of those that it holds.
                closed_after_one: board.closed_after_one.max(drawn.closed_after_one),
            },
        }
    }
}

fn retried_methods(analysis: &Analysis, lane: LaneId) -> Option<String> {
    let retries = analysis.diagnosis.retries.iter().find(|r| r.lane == Some(lane))?;
    let methods: Vec<_> = retries.retried.iter().map(|(method, count)| format!("{count} {method}")).collect();
    (!methods.is_empty()).then(|| methods.join(", "))
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

    #[test]
    fn an_answer_without_its_request_is_no_request_as_on_the_board() {
        let mut analysis = sample::analysis(30, 10);
        let first = analysis.exchanges().find(|x| x.link_id().0 == 0).unwrap();
        let key = analysis.topology.exchanges[first.id.0 as usize];
        let facts = std::sync::Arc::make_mut(&mut analysis.captures[key.capture.index()]);
        facts.exchanges[key.index as usize].request = crate::http::Message::default();
        let fact = Model::new(&analysis).lanes[0].fact.text.clone();
        assert!(fact.contains(" of 29"), "{fact}");
    }

    #[test]
    fn whose_clients_close_is_not_said_to_close_after_each_request() {
        use crate::tcp::Side;
        let fact = |first: Side| {
            let mut script = crate::testing::Script::new("app.pcap");
            for n in 0..3 {
                let at = n * 1_000_000_000;
                let asked = script.connection(at, &format!("10.0.1.1:{}", 3000 + n), "10.0.1.2:80", 100);
                script.request(asked, at + 1_000, "GET", &format!("/{n}"), &[], "");
                script.response(asked, at + 2_000, 200, 10);
                script.fin(asked, at + 3_000, first);
                script.fin(asked, at + 4_000, first.peer());
            }
            let captures = vec![script.finish()];
            let analysis = crate::analysis::analyse(captures, &crate::topology::Overrides::default());
            Model::new(&analysis).lanes[1].fact.text.clone()
        };
        assert_eq!(fact(Side::Server), "closes after each");
        assert_eq!(fact(Side::Client), "no connection reused");
    }

    #[test]
    fn a_lane_whose_requests_cannot_be_read_says_so() {
        let mut script = crate::testing::Script::new("edge.pcap");
        let user = script.connection(0, "10.0.1.1:3000", "10.0.1.2:443", 100);
        script.flow(user).protocol = crate::http::Protocol::Tls;
        let analysis =
            crate::analysis::analyse(vec![script.finish()], &crate::topology::Overrides::default());
        assert_eq!(Model::new(&analysis).lanes[0].fact.text, "1 encrypted connection, no request read");
    }

    #[test]
    fn whether_encrypted_connections_were_used_again_is_not_said() {
        let mut script = crate::testing::Script::new("edge.pcap");
        for n in 0..3 {
            let at = n * 1_000_000_000;
            let asked = script.connection(at, &format!("10.0.1.1:{}", 3000 + n), "10.0.1.2:443", 100);
            if n == 0 {
                // Plain HTTP to the port of TLS.
                script.request(asked, at + 1_000, "GET", "/", &[], "");
                script.response(asked, at + 2_000, 400, 10);
            } else {
                script.flow(asked).protocol = crate::http::Protocol::Tls;
            }
        }
        let analysis =
            crate::analysis::analyse(vec![script.finish()], &crate::topology::Overrides::default());
        assert_eq!(Model::new(&analysis).lanes[1].fact.text, "2 of 3 connections encrypted");
    }

    #[test]
    fn lanes_of_a_snapshot_count_what_the_captures_held() {
        use crate::diagnose::{LinkFigures, ServerFigures};
        let mut analysis = sample::analysis(30, 10);
        let failed = ServerFigures { failed: 8, ..ServerFigures::default() };
        let figures = LinkFigures {
            connections: 4_000,
            reused_connections: 3_999,
            requests: 28_800,
            servers: [("10.88.1.2:80".to_owned(), failed)].into(),
            ..LinkFigures::default()
        };
        analysis.diagnosis.board.links = vec![figures; 3];
        analysis.diagnosis.board.links[1].closed_after_one = 3_990;
        let model = Model::new(&analysis);
        assert!(model.lanes[2].fact.text.ends_with("closes after each"), "{}", model.lanes[2].fact.text);
        assert_eq!(model.lanes[0].fact.text, "8 failures of 28,800");
        assert!(model.lanes[1].fact.text.ends_with("3,999 of 4,000 connections reused"));
    }
}
