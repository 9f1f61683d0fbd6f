//! Refusals by a server that had just closed all that it had: it ended, and nobody accepts until it is back.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::analysis::Analysis;
use crate::capture::SessionTime;
use crate::diagnose::burst::{self, Burst};
use crate::diagnose::words::duration;
use crate::tcp::Opening;
use crate::topology::LinkId;

use super::Attempt;

/// So many of a hundred refusals must come while the server is away.
const LEAST_PERCENT: usize = 90;

/// The end of a server that its refusals follow.
pub(super) struct Ended {
    /// The figures of it.
    pub(super) values: Vec<(&'static str, String)>,
}

/// What the server of these refusals had done before nobody accepted any more; `None` where most have another reason.
pub(super) fn find(analysis: &Analysis, link: LinkId, bursts: &[Burst], cases: &[&Attempt]) -> Option<Ended> {
    if bursts.is_empty() || cases.is_empty() {
        return None;
    }
    let mut accepted: BTreeMap<SocketAddr, Vec<SessionTime>> = BTreeMap::new();
    for &id in &analysis.link(link).connections {
        let connection = analysis.connection(id);
        if connection.flow().opening == Opening::Handshake {
            accepted.entry(connection.inner.server).or_default().push(connection.inner.first);
        }
    }
    accepted.values_mut().for_each(|times| times.sort_unstable());
    let (mut of, mut behind, mut longest, mut is_back) = (None, 0, 0, true);
    for case in cases {
        let connection = analysis.connection(case.connection).inner;
        let (server, at) = (connection.server, connection.first);
        let before = bursts.iter().rposition(|burst| burst.server == server && burst.from <= at);
        let times = accepted.get(&server).map_or(&[][..], Vec::as_slice);
        let next = times.get(times.partition_point(|&time| time <= at));
        let Some(ended) = before.filter(|&before| {
            let last = times.partition_point(|&time| time < at).checked_sub(1).map(|last| times[last]);
            last.is_none_or(|last| last <= bursts[before].to)
        }) else {
            continue;
        };
        behind += 1;
        of.get_or_insert(ended);
        is_back &= next.is_some();
        longest = longest.max(next.map_or(0, |next| next.since_ns(bursts[ended].to)));
    }
    let at = of.filter(|_| behind * 100 >= cases.len() * LEAST_PERCENT)?;
    let at = burst::told_for(bursts, at);
    let back = match (is_back, longest) {
        (true, longest) => format!("accepted again after {} at most", duration(longest)),
        (false, 0) => "did not accept again in these captures".to_owned(),
        (false, _) => "did not accept again at the end of these captures".to_owned(),
    };
    let mut values = burst::values(bursts, at);
    values.retain(|(name, _)| matches!(*name, "share" | "window"));
    values.extend([("back", back), ("again", burst::again(bursts, bursts[at].server))]);
    Some(Ended { values })
}

#[cfg(test)]
mod tests {
    use crate::diagnose::testkit::{Chain, MS};
    use crate::http::Method::Get;
    use crate::tcp::Side::Server;

    fn told(before: bool) -> Vec<String> {
        let mut chain = Chain::new(&["proxy", "app"]);
        for n in 0..4 {
            let at = chain.open(0, n * MS);
            let conn = &mut chain.conns[at];
            for k in 0..5 {
                let at = 10 * MS + k * 250 * MS + n * 110 * MS;
                conn.request(Get, "/a", at).response(200, at + 5 * MS);
            }
            if n == 0 {
                conn.request(Get, "/a", 1_495 * MS).sync().fin(Server, 1_500 * MS);
            } else {
                conn.fin(Server, 1_501 * MS);
            }
        }
        for n in 0..6 {
            chain.refused(0, if before { 400 * MS } else { 1_600 * MS } + n * 10 * MS);
        }
        let back = chain.open(0, 1_900 * MS);
        chain.conns[back].request(Get, "/a", 1_901 * MS).response(200, 1_903 * MS);
        let findings = chain.analyse().diagnosis.findings;
        findings.iter().map(|f| format!("{}/{} ×{}", f.kind, f.cause, f.count)).collect()
    }

    #[test]
    fn refusals_behind_the_end_of_a_server_belong_to_its_story_whose_end_they_are() {
        let told = told(false);
        assert!(told[0].ends_with("/server-restarted ×1"), "the cause comes first: {told:?}");
        assert_eq!(told[1], "connection-refused/server-restarted ×6");
    }

    #[test]
    fn refusals_before_it_have_another_reason() {
        let told = told(true);
        assert!(told.contains(&"connection-refused/ ×6".to_owned()), "{told:?}");
    }
}
