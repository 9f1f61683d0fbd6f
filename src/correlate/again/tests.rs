use crate::analysis::{Analysis, analyse};
use crate::correlate::Confidence;
use crate::tcp::Side;
use crate::testing::{Conn, Script};
use crate::topology::{ExchangeId, Overrides};

const MS: i64 = 1_000_000;
const S: i64 = 1_000 * MS;

fn build(script: Script) -> Analysis {
    analyse(vec![script.finish()], &Overrides::default())
}

fn user(script: &mut Script, at: i64, port: usize) -> Conn {
    script.connection(at, &format!("10.0.0.1:{}", 3_000 + port), "10.0.0.2:80", 100 + port as u32)
}

/// A request on a connection of its own; status 0 where the server closes without an answer.
fn ask(script: &mut Script, at: i64, port: usize, target: &str, headers: &[(&str, &str)], status: u16) {
    let conn = user(script, at - MS, port);
    script.request(conn, at, "GET", target, headers, "");
    match status {
        0 => script.fin(conn, at + 5 * MS, Side::Server),
        status => script.response(conn, at + 5 * MS, status, 20),
    }
}

/// By the later request's port which one it repeats, with its number.
fn again(analysis: &Analysis) -> Vec<(u16, u16, u16)> {
    let port = |id: ExchangeId| analysis.exchange(id).connection().inner.client.port() - 3_000;
    let mut all: Vec<_> =
        analysis.trees.again.iter().map(|own| (port(own.id), port(own.of), own.attempt)).collect();
    all.sort_unstable();
    all
}

#[test]
fn a_client_that_backs_off_until_it_gets_an_answer_repeats_one_request() {
    let mut script = Script::new("a.pcap");
    for (port, (at, status)) in [(1, 503), (2, 0), (4, 504), (8, 200)].into_iter().enumerate() {
        ask(&mut script, at * S, port, "/item/7", &[("user-agent", "curl/8")], status);
    }
    // Another client, another target, another failure that nobody repeats.
    ask(&mut script, 3 * S, 7, "/item/7", &[("user-agent", "other")], 200);
    ask(&mut script, 5 * S, 8, "/item/8", &[("user-agent", "curl/8")], 404);
    ask(&mut script, 6 * S, 9, "/item/8", &[("user-agent", "curl/8")], 404);
    ask(&mut script, 7 * S, 10, "/item/9", &[("user-agent", "other")], 500);
    let analysis = build(script);
    // That the client asked twice for what is not there shows that it asks for the same anyway: only time tells then.
    assert_eq!(again(&analysis), []);
    let mut script = Script::new("a.pcap");
    for (port, (at, status)) in [(1, 503), (2, 0), (4, 504), (8, 200)].into_iter().enumerate() {
        ask(&mut script, at * S, port, "/item/7", &[("user-agent", "curl/8")], status);
    }
    ask(&mut script, 3 * S, 7, "/item/7", &[("user-agent", "other")], 200);
    ask(&mut script, 7 * S, 10, "/item/9", &[("user-agent", "other")], 500);
    let analysis = build(script);
    assert_eq!(again(&analysis), [(1, 0, 2), (2, 1, 3), (3, 2, 4)]);
    assert!(analysis.trees.again.iter().all(|own| own.confidence == Confidence::Likely));
    assert!(analysis.diagnosis.retries.is_empty());
}

#[test]
fn who_asks_for_the_same_at_a_pace_of_its_own_repeats_nothing() {
    for failing in [|n: usize| n % 3 == 1, |n: usize| n < 12, |_| true, |n: usize| n == 5] {
        let mut script = Script::new("a.pcap");
        for n in 0..40 {
            ask(&mut script, (1 + n as i64) * S, n, "/poll", &[], if failing(n) { 502 } else { 200 });
        }
        assert_eq!(again(&build(script)), []);
    }
}

/// Numbers without a pattern.
fn dice(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 40
}

/// Requests of many users of one address for 40 targets, of which some fail; with `repeats` these are sent again after
/// some 30 ms. Gives how many were, and how many of them and of others are named.
fn crowd(failing: u64, repeats: bool) -> (usize, usize, usize) {
    let mut script = Script::new("a.pcap");
    let (mut state, mut port, mut truth) = (7, 0, Vec::new());
    for n in 0..600 {
        let mut at = S + n * 20 * MS + dice(&mut state) as i64 % (20 * MS);
        let target = format!("/item/{}", dice(&mut state) % 40);
        let mut fails = dice(&mut state) % 100 < failing;
        for attempt in 0..3 {
            ask(&mut script, at, port, &target, &[], if fails { 503 } else { 200 });
            port += 1;
            if !(fails && repeats) || attempt == 2 {
                break;
            }
            truth.push((port as u16, port as u16 - 1));
            at += 20 * MS + dice(&mut state) as i64 % (30 * MS);
            fails = dice(&mut state) % 100 < failing;
        }
    }
    let found = again(&build(script));
    let right = found.iter().filter(|own| truth.contains(&(own.0, own.1))).count();
    let count = truth.iter().filter(|(later, _)| usize::from(*later) < port).count();
    (count, right, found.len() - right)
}

#[test]
fn repeats_of_many_clients_behind_one_address_are_told_from_chance() {
    for failing in [3, 10, 60, 95] {
        assert_eq!(crowd(failing, false), (0, 0, 0), "{failing}");
    }
    for failing in [3, 10, 30] {
        let (count, right, wrong) = crowd(failing, true);
        // By chance another user may ask for the same while a repeat waits.
        assert!(
            right * 10 >= count * 9 && wrong <= 1 + right / 20,
            "{failing}: {right} of {count}, {wrong} wrong"
        );
    }
}

#[test]
fn an_id_that_comes_again_only_after_failures_is_sure() {
    let mut script = Script::new("a.pcap");
    for n in 0..20 {
        let (at, id) = ((1 + n as i64) * S, format!("{:08x}", n * 7_919));
        let headers = [("x-request-id", id.as_str())];
        let fails = n % 5 == 1;
        ask(&mut script, at, 2 * n, "/same", &headers, if fails { 0 } else { 200 });
        if fails {
            ask(&mut script, at + 300 * MS, 2 * n + 1, "/same", &headers, 200);
        }
    }
    let analysis = build(script);
    assert_eq!(again(&analysis), [(3, 2, 2), (13, 12, 2), (23, 22, 2), (33, 32, 2)]);
    assert!(analysis.trees.again.iter().all(|own| own.confidence == Confidence::Certain));
}

#[test]
fn where_all_ask_for_the_same_at_once_no_request_is_the_repeat_of_another() {
    let mut script = Script::new("a.pcap");
    let mut state = 3;
    for n in 0..400usize {
        let at = S + n as i64 * 2 * MS + dice(&mut state) as i64 % (2 * MS);
        ask(&mut script, at, n, "/same", &[], if dice(&mut state).is_multiple_of(8) { 503 } else { 200 });
    }
    assert_eq!(again(&build(script)), []);
}
