//! Equal requests in flight together, and headers that tell them apart.

use super::*;

#[test]
fn equal_requests_in_flight_together_are_never_certain_and_wrong() {
    let mut script = Script::new("any.pcap");
    let mut truth = Vec::new();
    for client in 0..8 {
        let user = script.connection(0, &format!("10.0.1.1:{}", 3000 + client), "10.0.1.2:80", client as u32);
        let up = script.connection(0, &format!("10.0.2.1:{}", 4000 + client), "10.0.2.2:8000", client as u32);
        truth.push((3000 + client, 4000 + client));
        for n in 0..20 {
            let (t, takes) = (n * 9 * MS + client * 370 * US, 3 * MS + (client * 7 + n * 13) % 5 * MS / 2);
            script.request(user, t, "GET", "/", &[], "");
            script.request(up, t + 90 * US + n * US, "GET", "/", &[], "");
            script.response(up, t + takes, 200, 10);
            script.response(user, t + takes + 80 * US, 200, 10);
        }
    }
    let analysis = analyse(vec![script.finish()]);
    assert_eq!(analysis.topology.lanes.len(), 3);
    let (mut right, mut all) = (0, 0);
    for child in analysis.exchanges().filter(|x| analysis.link(x.link_id()).from.0 == 1) {
        let parentage = analysis.trees.parent(child.id).unwrap();
        let parent = analysis.exchange(parentage.parent);
        let pair = (parent.connection().inner.client.port(), child.connection().inner.client.port());
        let is_right = truth.contains(&(i64::from(pair.0), i64::from(pair.1)));
        assert!(is_right || parentage.confidence != Confidence::Certain);
        right += usize::from(is_right);
        all += 1;
    }
    assert!(right * 100 >= all * 95, "{right} of {all}");
}

/// Two users whose equal requests cross on their way through the proxy; only a header tells them apart.
fn crossing(header: &str, value: impl Fn(i64, i64) -> String) -> Analysis {
    let mut script = Script::new("any.pcap");
    let users = [3_000, 3_001].map(|p| script.connection(0, &format!("10.0.1.1:{p}"), "10.0.1.2:80", p));
    let ups = [4_000, 4_001].map(|p| script.connection(0, &format!("10.0.2.1:{p}"), "10.0.2.2:8000", p));
    for n in 0..40 {
        let t = MS + n * 20 * MS;
        let values = [0, 1].map(|user| value(n, user));
        // The second user's request overtakes the first one's in every fourth round.
        let late = if n % 4 == 3 { [300 * US, 150 * US] } else { [100 * US, 200 * US] };
        for (user, value) in values.iter().enumerate() {
            script.request(users[user], t + user as i64 * 50 * US, "GET", "/", &[(header, value)], "");
        }
        for (user, value) in values.iter().enumerate() {
            script.request(ups[user], t + late[user], "GET", "/", &[(header, value)], "");
        }
        for user in [0, 1] {
            let end = t + 5 * MS + late[user] + user as i64 * 170 * US;
            script.response(ups[user], end, 200, 10);
            script.response(users[user], end + 100 * US, 200, 10);
        }
    }
    analyse(vec![script.finish()])
}

fn assert_same_user(analysis: &Analysis) -> Vec<Confidence> {
    let children = analysis.exchanges().filter(|x| analysis.link(x.link_id()).from.0 == 1);
    let check = |child: ExchangeView<'_>| {
        let parentage = analysis.trees.parent(child.id).unwrap();
        let parent = analysis.exchange(parentage.parent);
        let ports = [parent, child].map(|x| x.connection().inner.client.port());
        assert_eq!(ports[0] + 1_000, ports[1], "{:?}", parentage.evidence.names());
        parentage.confidence
    };
    children.map(check).collect()
}

#[test]
fn an_id_header_that_nobody_knows_is_learnt_and_certain() {
    let all = assert_same_user(&crossing("x-shop-ref", |n, user| format!("{n}-{user}-{}", n * 31 + user)));
    assert!(all.iter().all(|confidence| *confidence == Confidence::Certain));
}

#[test]
fn a_header_that_is_passed_on_tells_equal_requests_apart_without_being_an_id() {
    assert_same_user(&crossing("user-agent", |_, user| format!("agent {user}")));
}

#[test]
fn equal_requests_and_news_of_failures_are_taken_in_the_order_in_which_they_came() {
    // A and B come in, then, in some rounds, the FIN of the connection that A is to go out on. The event loop is late: it
    // sends A, then B, and only then reads the FIN and sends A again. By their gaps alone B and the retry would change
    // places: who follows the failure sooner seems to be its retry.
    let mut script = Script::new("proxy.pcap");
    let rounds = 60;
    for n in 0..rounds {
        let t = 6 * MS + n * 20 * MS;
        let ask = |script: &mut Script, client: String, server: &str, (open, at, end): (i64, i64, i64)| {
            let conn = script.connection(t + open * US, &client, server, 100);
            script.request(conn, t + at * US, "GET", "/same", &[], "");
            script.response(conn, t + end * US, 200, 20);
            conn
        };
        let port = |base: i64| format!("10.0.2.1:{}", base + n);
        ask(&mut script, format!("10.0.1.1:{}", 3_000 + n), HOSTS.edge, (-900, 0, 1_100));
        ask(&mut script, format!("10.0.1.1:{}", 3_500 + n), HOSTS.edge, (-900, 20, 1_110));
        ask(&mut script, port(5_000), HOSTS.app, (320, 360, 1_010));
        if n % 5 > 0 {
            ask(&mut script, port(4_000), HOSTS.app, (300, 340, 1_000));
            continue;
        }
        let user = format!("10.0.1.1:{}", 3_700 + n);
        ask(&mut script, user, HOSTS.edge, (-5_000, -4_000, -2_000));
        let kept = ask(&mut script, port(4_000), HOSTS.app, (-3_950, -3_900, -2_100));
        script.fin(kept, t + 50 * US, Side::Server);
        script.request(kept, t + 300 * US, "GET", "/same", &[], "");
        script.rst(kept, t + 310 * US, Side::Server);
        ask(&mut script, port(6_000), HOSTS.app, (340, 380, 1_000));
    }
    let analysis = analyse(vec![script.finish()]);
    let client = |x: &ExchangeView<'_>| x.connection().inner.client.port();
    let retries = analysis.exchanges().filter(|x| (6_000..6_100).contains(&client(x)));
    let is_right = |retry: &ExchangeView<'_>| {
        let parent = analysis.trees.parent(retry.id).unwrap();
        parent.attempt == 2 && client(&analysis.exchange(parent.parent)) < 3_500
    };
    // The first of them has too little around it.
    assert!(retries.filter(is_right).count() as i64 >= rounds / 5 - 1);
}
