//! Connections whose SYN had to be sent again.

use super::testkit::{Chain, MS};
use crate::capture::CaptureTime;
use crate::http::Method::Get;
use crate::tcp::Side::Client;

const S: i64 = 1_000 * MS;

/// A user's request for which the proxy connects at `syns`; it is answered, or its user leaves.
fn connect(syns: &[i64], leaves: bool) -> Vec<String> {
    let mut chain = Chain::new(&["user", "nginx", "app"]);
    let works = chain.open(1, 0);
    chain.conns[works].request(Get, "/", MS).response(200, 2 * MS).fin(Client, 3 * MS);
    let user = chain.open(0, 10 * S);
    chain.conns[user].request(Get, "/a", 10 * S + MS);
    let app = chain.open(1, syns[syns.len() - 1]);
    let conn = &mut chain.conns[app];
    let syn = conn.events[0];
    for &at in syns[..syns.len() - 1].iter().rev() {
        conn.events.insert(0, crate::tcp::Event { at: CaptureTime(at), ..syn });
    }
    conn.flow.first.0 = CaptureTime(syns[0]);
    let begun = syns[syns.len() - 1] + MS;
    conn.request(Get, "/a", begun).sync();
    if leaves {
        chain.conns[user].sync().fin(Client, begun + 5 * MS);
        chain.conns[app].fin(Client, begun + 6 * MS);
    } else {
        chain.conns[app].response(200, begun + 5 * MS);
        chain.conns[user].response(200, begun + 6 * MS);
    }
    chain.parent((app, 0), (user, 0), 1);
    let findings = chain.analyse().diagnosis.findings.into_iter();
    let late = findings.filter(|finding| finding.kind == "connect-delay");
    late.map(|f| format!("{:?} ×{}: {}", f.severity, f.count, f.explanation)).collect()
}

#[test]
fn a_syn_that_was_sent_again_delayed_who_waited_for_the_connection() {
    let first = 10 * S + 2 * MS;
    let late = connect(&[first, first + S, first + 3 * S], false);
    let [one] = &late[..] else { panic!("{late:?}") };
    assert!(one.starts_with("Warning ×1") && one.contains("3.00 s (median; 3.00 s at most)"), "{one}");
    assert!(one.contains("1 request waited for that."), "{one}");
    let left = connect(&[first, first + S], true);
    assert!(left.iter().all(|one| one.starts_with("Error ×1")) && left.len() == 1, "{left:?}");
    assert!(left[0].contains("of 1 the user left"), "{left:?}");
    // At once, and twice in the capture.
    assert_eq!(connect(&[first], false), [""; 0]);
    assert_eq!(connect(&[first, first + 20 * MS], false), [""; 0]);
}
