//! Clocks that differ, were set, or are tied by nothing but the requests themselves.

use super::*;

/// `user → nginx → ingress → app`, sixty requests: what is captured at these legs, by a clock that is set by `step` halfway.
fn stepping(name: &str, held: &[usize], step: i64) -> Arc<CaptureFacts> {
    const LEGS: [(&str, &str); 3] = [
        ("10.0.1.1:3000", "10.0.1.2:80"),
        ("10.0.1.2:3000", "10.0.1.3:8080"),
        ("10.0.1.3:3000", "10.0.1.4:9000"),
    ];
    let mut script = Script::new(name);
    let conns: Vec<(usize, Conn)> =
        held.iter().map(|&leg| (leg, script.connection(0, LEGS[leg].0, LEGS[leg].1, 100))).collect();
    for n in 0..STEPPING {
        let (at, target) =
            (10 * MS + n * 20 * MS + if n < STEPPING / 2 { 0 } else { step }, format!("/item/{n}"));
        for &(leg, conn) in &conns {
            script.request(conn, at + leg as i64 * 100 * US, "GET", &target, &[], "");
        }
        for &(leg, conn) in conns.iter().rev() {
            script.response(conn, at + 5 * MS - leg as i64 * 100 * US, 200, 20);
        }
    }
    script.finish()
}

const STEPPING: i64 = 60;

#[test]
fn a_clock_that_was_set_is_told_of_its_own_capture_and_not_of_those_that_agree() {
    for step in [3 * MS, -3 * MS, 500 * MS, -500 * MS, HOUR, -HOUR, -20 * HOUR] {
        for set in 0..3 {
            let by = |at: usize| if at == set { step } else { 0 };
            let analysis = analyse(vec![
                stepping("ingress.pcap", &[1, 2], by(0)),
                stepping("nginx.pcap", &[0, 1], by(1)),
                stepping("app.pcap", &[2], by(2)),
            ]);
            let steps = |at: usize| analysis.topology.clocks[at].steps.into_iter().flatten();
            for at in 0..3 {
                assert_eq!(steps(at).count(), usize::from(at == set), "{step} {set} {at}");
            }
            let own = steps(set).next().unwrap();
            let band = analysis.topology.clocks[set].band_ns.unwrap().max(2 * US);
            assert!((own.by_ns + step).abs() <= 2 * band && !own.is_relative, "{step} {set} {own:?}");
            let followed =
                analysis.exchanges().filter(|x| parent_target(x).as_deref() == Some(&*x.target())).count();
            assert_eq!((followed as i64, analysis.trees.orphans.len()), (2 * STEPPING, 0), "{step} {set}");
        }
    }
}

#[test]
fn of_two_clocks_the_one_was_set_whose_own_times_show_it_and_else_either() {
    // A step of 3 ms is no longer than a pause between two packets; nobody can tell it from one back of the other.
    for (step, is_relative) in [(HOUR, false), (-HOUR, false), (-500 * MS, false), (3 * MS, true)] {
        for set in 0..2 {
            let by = |at: usize| if at == set { step } else { 0 };
            let analysis =
                analyse(vec![stepping("nginx.pcap", &[0, 1], by(0)), stepping("app.pcap", &[1, 2], by(1))]);
            let steps: Vec<_> = (0..2)
                .flat_map(|at| {
                    analysis.topology.clocks[at].steps.iter().flatten().map(move |step| (at, step))
                })
                .collect();
            let [(at, own)] = steps[..] else { panic!("{step} {set} {steps:?}") };
            assert_eq!(own.is_relative, is_relative, "{step} {set}");
            assert!(
                is_relative || (at == set && own.by_ns.signum() == -step.signum()),
                "{step} {set} {own:?}"
            );
        }
    }
}

#[test]
fn a_connection_in_two_captures_counts_once_and_aligns_clocks_hours_apart() {
    let (mut one, mut other) = (Script::new("nginx.pcap"), Script::new("app.pcap"));
    HOSTS.tell(Some(&mut one), None, HOUR);
    HOSTS.tell(None, Some(&mut one), HOUR);
    HOSTS.tell(None, Some(&mut other), -7 * HOUR);
    let captures = [one.finish(), other.finish()];
    for order in [[0, 1], [1, 0]] {
        let analysis = analyse(order.map(|at| Arc::clone(&captures[at])).to_vec());
        assert_eq!(analysis.topology.connections.len(), 2);
        assert_eq!(analysis.topology.exchanges.len(), 20);
        assert_eq!(lanes(&analysis), ["user", "nginx", "app"]);
        let clocks = &analysis.topology.clocks;
        let app = clocks[order[1]].offset_ns - clocks[order[0]].offset_ns;
        assert!((app - 8 * HOUR).abs() <= 2 * US, "{clocks:?}");
        assert!(clocks.iter().all(|clock| clock.method == ClockMethod::SameSegment));
        assert_followed(&analysis);
    }
}

#[test]
fn captures_that_share_no_packet_are_aligned_by_containment() {
    let chain = Chain { ids: true, ..HOSTS };
    let (mut one, mut other) = (Script::new("nginx.pcap"), Script::new("app.pcap"));
    chain.tell(Some(&mut one), None, 0);
    chain.tell(None, Some(&mut other), 3 * HOUR);
    let analysis = analyse(vec![one.finish(), other.finish()]);
    let clocks = &analysis.topology.clocks;
    assert_eq!(clocks[1].method, ClockMethod::Containment);
    let off = clocks[1].offset_ns - clocks[0].offset_ns + 3 * HOUR;
    assert!(off.abs() <= clocks[0].band_ns.unwrap() + clocks[1].band_ns.unwrap(), "{clocks:?}");
    assert_followed(&analysis);
}
