//! What a hop sends on, on the links behind it: what tells a proxy that answers by itself from one that cannot be seen to ask.

use std::collections::BTreeMap;

use crate::analysis::{Analysis, ExchangeView};
use crate::capture::SessionTime;
use crate::correlate::{Confidence, Parentage};
use crate::http::Protocol;
use crate::topology::LaneId;

/// What one lane sends on.
#[derive(Default)]
struct Sender {
    /// How many of the requests that it was asked led to one of its own.
    passed_on: u64,
    /// Whether bytes of what it sends are missing in the captures.
    lossy: bool,
    /// When connections were open of which no request can be read, and whether those are encrypted.
    unread: Vec<(SessionTime, SessionTime, bool)>,
    /// When requests that failed began and ended, and how, of which nothing tells for which of several they were: one of
    /// two that are taken for attempts of one request may have been another's.
    doubtful: Vec<(SessionTime, SessionTime, Option<u16>)>,
}

/// What all lanes send on.
pub(super) struct Sending(BTreeMap<LaneId, Sender>);

/// What the server of one exchange sends on, and sent while it had that in hand.
#[derive(Clone, Copy, Default)]
pub(super) struct SentOn {
    /// How many of the requests that it was asked led to one of its own.
    pub(super) passed_on: u64,
    /// Whether bytes of what it sends are missing in the captures.
    pub(super) lossy: bool,
    /// Whether it had encrypted connections open, or has no others.
    pub(super) encrypted: bool,
    /// Whether it had other connections open of which no request can be read.
    pub(super) unread: bool,
    /// Whether something may have been asked for this one that failed alike, and is taken for another one's.
    pub(super) doubtful: bool,
}

impl Sending {
    #[cold]
    pub(super) fn find(analysis: &Analysis) -> Self {
        let mut lanes: BTreeMap<LaneId, Sender> = BTreeMap::new();
        for connection in analysis.connections() {
            let link = analysis.link(connection.inner.link);
            let asks = lanes.entry(link.from).or_default();
            asks.lossy |= connection.flow().is_lossy();
            if connection.carries_unread() {
                let encrypted = connection.flow().protocol == Protocol::Tls;
                let (from, to) = connection.open_span();
                asks.unread.push((from, to, encrypted));
            }
            // An answer that breaks off is passed on as far as it came.
            let failed = |x: &ExchangeView<'_>| {
                x.status().is_none_or(|status| status >= 500) || !x.raw.response.is_complete()
            };
            let is_sure = |x: &ExchangeView<'_>| {
                let parent = analysis.trees.parent(x.id);
                let alone = |parent: &Parentage| analysis.trees.children(parent.parent).len() == 1;
                parent.is_some_and(|parent| parent.confidence != Confidence::Ambiguous && alone(parent))
            };
            let doubtful = connection.exchanges().filter(|x| failed(x) && !is_sure(x));
            asks.doubtful.extend(doubtful.map(|x| (x.started(), x.settled(), x.status())));
            let led_on = |x: &ExchangeView<'_>| {
                x.raw.response.is_present() && !analysis.trees.children(x.id).is_empty()
            };
            let passed_on = connection.exchanges().filter(led_on).count() as u64;
            if passed_on > 0 {
                lanes.entry(link.to).or_default().passed_on += passed_on;
            }
        }
        Self(lanes)
    }

    pub(super) fn around(&self, analysis: &Analysis, exchange: ExchangeView<'_>) -> SentOn {
        let lane = analysis.link(exchange.link_id()).to;
        let Some(sender) = self.0.get(&lane) else { return SentOn::default() };
        let (from, to) = (exchange.started(), exchange.settled());
        let open = |encrypted: bool| {
            let mut own = sender.unread.iter().filter(|one| one.2 == encrypted);
            own.any(|one| sender.passed_on == 0 || one.0 <= to && one.1 >= from)
        };
        let alike = |&(began, ended, status): &(SessionTime, SessionTime, Option<u16>)| {
            began >= from && ended <= to && status.is_none_or(|status| Some(status) == exchange.status())
        };
        let doubtful = sender.doubtful.iter().any(alike);
        let (encrypted, unread) = (open(true), open(false));
        SentOn { passed_on: sender.passed_on, lossy: sender.lossy, encrypted, unread, doubtful }
    }
}

#[cfg(test)]
mod tests {
    use super::Sending;
    use crate::diagnose::Severity;
    use crate::diagnose::testkit::{Chain, MS};
    use crate::diagnose::wirekit::Who::{App, Down, Up, User};
    use crate::diagnose::wirekit::Wire;
    use crate::http::Method::Get;
    use crate::http::{FirstBytes, Protocol};
    use crate::tcp::Opening;
    use crate::tcp::Side::{Client, Server};
    use crate::topology::ExchangeId;

    const LIMITED: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

    fn get(target: &str) -> String {
        format!("GET {target} HTTP/1.1\r\nHost: shop\r\n\r\n")
    }

    fn told(wire: &Wire) -> Vec<(String, Severity)> {
        let findings = wire.analysis().diagnosis.findings;
        findings.into_iter().map(|finding| (finding.cause, finding.severity)).collect()
    }

    #[test]
    fn a_proxy_that_answers_by_itself_and_asks_for_others_is_told_so_and_nobody_accused() {
        let mut wire = Wire::new();
        let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        for n in 0..3 {
            let target = format!("/item/{n}");
            wire.say(User, get("/limited")).say(Down, LIMITED);
            wire.say(User, get(&target)).say(Up, get(&target)).say(App, ok).say(Down, ok);
        }
        assert_eq!(told(&wire), [("asked-nobody".to_owned(), Severity::Warning)]);
        let finding = &wire.analysis().diagnosis.findings[0];
        assert!(
            finding.explanation.contains("while 5 other requests got through"),
            "{}",
            finding.explanation
        );
        assert!(finding.summary.contains("proxy itself answers 503"), "{}", finding.summary);
    }

    #[test]
    fn what_the_snap_length_cut_off_may_have_been_any_request() {
        let may_be_unread = |is_cut: bool| {
            let mut chain = Chain::new(&["user", "proxy", "app"]);
            let (user, behind) = (chain.open(0, 0), chain.open(1, 0));
            chain.conns[user].request(Get, "/limited", 20 * MS).response(503, 21 * MS);
            if is_cut {
                chain.conns[behind].flow.directions[0].cut_bytes = 300;
            }
            chain.conns[behind].fin(Client, 400 * MS);
            let analysis = chain.analyse();
            Sending::find(&analysis).around(&analysis, analysis.exchange(ExchangeId(0))).unread
        };
        assert_eq!([false, true].map(may_be_unread), [false, true]);
    }

    #[test]
    fn an_encrypted_connection_that_began_before_its_capture_was_open_before_its_first_packet() {
        let encrypted = |opening: Opening| {
            let mut chain = Chain::new(&["user", "proxy", "app"]);
            let (user, other, behind) = (chain.open(0, 0), chain.open(1, 0), chain.open(1, 30 * MS));
            chain.conns[user].request(Get, "/", 2 * MS).response(200, 5 * MS);
            chain.conns[other].request(Get, "/", 3 * MS).response(200, 4 * MS);
            chain.parent((other, 0), (user, 0), 1);
            chain.conns[user].request(Get, "/limited", 20 * MS).response(503, 21 * MS);
            let conn = &mut chain.conns[behind];
            conn.speak(FirstBytes::TlsData, FirstBytes::TlsData);
            (conn.flow.opening, conn.flow.protocol) = (opening, Protocol::Tls);
            let analysis = chain.analyse();
            let told = analysis.diagnosis.findings.iter().map(|finding| finding.kind.clone());
            let told: Vec<String> = told.collect();
            (Sending::find(&analysis).around(&analysis, analysis.exchange(ExchangeId(1))).encrypted, told)
        };
        assert!(!encrypted(Opening::Handshake).0);
        let (is_known, told) = encrypted(Opening::MidStream);
        assert!(is_known && told.iter().all(|kind| kind != "no-live-upstream"), "{told:?}");
    }

    #[test]
    fn an_answer_that_breaks_off_may_be_that_of_another_request_of_the_same() {
        // Two that are alike and under way together; both of what was asked for them may have gone to the first.
        let told = |of_one: bool| {
            let mut chain = Chain::new(&["user", "proxy", "app"]);
            let mut cut = |link, at: i64| {
                let conn = chain.open(link, 0);
                chain.conns[conn]
                    .request(Get, "/t", at)
                    .response(200, 20 * MS - at)
                    .cut()
                    .fin(Server, 20 * MS);
                conn
            };
            let (one, other) = (cut(0, MS), cut(0, MS));
            let below = [cut(1, 2 * MS), cut(1, 2 * MS)];
            chain.guess((below[0], 0), (one, 0), 1);
            chain.guess((below[1], 0), (if of_one { one } else { other }, 0), if of_one { 2 } else { 1 });
            let findings = chain.analyse().diagnosis.findings;
            findings.into_iter().map(|finding| (finding.kind, finding.summary)).collect::<Vec<_>>()
        };
        for told in [told(false), told(true)] {
            let [(kind, summary)] = &told[..] else { panic!("{told:?}") };
            assert!(kind == "truncated-response" && summary.starts_with("proxy → app"), "{told:?}");
        }
    }

    #[test]
    fn of_what_goes_on_encrypted_nobody_says_that_it_was_not_asked() {
        let mut wire = Wire::new();
        // A ClientHello without extensions.
        let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3];
        hello.extend([7; 32]);
        hello.extend([0, 0, 2, 0x13, 1, 1, 0]);
        wire.say(Up, hello).say(User, get("/limited")).say(Down, LIMITED).say(Up, [0x17, 3, 3, 0, 1, 9]);
        assert_eq!(told(&wire), [("next-hop-encrypted".to_owned(), Severity::Note)]);
    }
}
