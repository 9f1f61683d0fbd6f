//! Servers that answer nobody: each connection is closed at its first request, whatever that asks for. They want something
//! else first (a PROXY header, TLS), let nobody in, or cannot serve anything.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::analysis::Analysis;
use crate::tcp::Opening;
use crate::topology::LinkId;

use super::mismatch::{NEVER_ANSWERED, is_turned_away};

/// What the connections of one server address show.
#[derive(Default)]
struct Server {
    turned_away: u64,
    /// Connections that show anything else: an answer, a refusal (a process that dies leaves its port closed), a request
    /// that was waited for.
    other: u64,
}

/// The servers that closed on each first request at once, and did nothing else.
pub(super) fn find(analysis: &Analysis) -> BTreeSet<(LinkId, SocketAddr)> {
    let mut servers: BTreeMap<(LinkId, SocketAddr), Server> = BTreeMap::new();
    for connection in analysis.connections() {
        let server = servers.entry((connection.inner.link, connection.inner.server)).or_default();
        if server.other > 0 {
            continue;
        }
        let opened = matches!(connection.flow().opening, Opening::Handshake);
        let idle = opened && connection.inner.exchanges.is_empty();
        let away = connection.exchanges().next().is_some_and(|x| !x.raw.response.is_present())
            && is_turned_away(connection);
        if away {
            server.turned_away += 1;
        } else if !idle {
            server.other += 1;
        }
    }
    servers.retain(|_, server| server.other == 0 && server.turned_away >= NEVER_ANSWERED);
    servers.into_keys().collect()
}

#[cfg(test)]
mod tests {
    use crate::diagnose::testkit::{Chain, MS};
    use crate::http::FirstBytes;
    use crate::http::Method::Get;
    use crate::tcp::Side::Server;

    fn told(closed: i64, then: impl FnOnce(&mut Chain)) -> Vec<String> {
        let mut chain = Chain::new(&["nginx", "app"]);
        for n in 0..closed {
            let at = chain.open(0, n * 100 * MS);
            let conn = &mut chain.conns[at];
            let target = ["/a", "/b", "/c"][n as usize % 3];
            conn.speak(FirstBytes::HttpRequest, FirstBytes::None);
            conn.request(Get, target, n * 100 * MS + MS).sync().fin(Server, n * 100 * MS + 2 * MS);
        }
        then(&mut chain);
        let findings = chain.analyse().diagnosis.findings;
        findings.iter().map(|f| format!("{}/{} ×{}", f.kind, f.cause, f.count)).collect()
    }

    #[test]
    fn who_answers_nobody_wants_something_else_first() {
        assert_eq!(told(6, |_| {}), ["closed-before-response/every-request ×6"]);
        // Few may be chance; who answered once, or was gone for a while, speaks the language.
        assert_eq!(told(3, |_| {}), ["closed-before-response/ ×3"]);
        let answered = told(6, |chain| {
            let at = chain.open(0, 900 * MS);
            chain.conns[at].request(Get, "/d", 901 * MS).response(200, 902 * MS);
        });
        assert_eq!(answered, ["closed-before-response/ ×6"]);
        let died = told(6, |chain| chain.refused(0, 900 * MS));
        assert!(died.contains(&"closed-before-response/ ×6".to_owned()), "{died:?}");
    }
}
