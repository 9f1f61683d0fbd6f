//! Tests of what bounds say.

use super::*;

const US: i64 = 1_000;
const S: i64 = 1_000_000_000;

/// Bounds around δ(t), with delays between 20 µs and 300 µs that have no pattern.
fn bounds(count: i64, delta: impl Fn(i64) -> i64) -> Bounds {
    let mut bounds = Bounds::default();
    for n in 0..count {
        let (at, delay) = (n * S / 10, 20 * US + (n * 7_919) % 281 * US);
        let frames = |n: i64| [n as u32; 2];
        bounds.to_server.push(Bound { at, by: delta(at) + delay, frames: frames(2 * n + 1) });
        let (at, delay) = (at + S / 100, (delay * 31) % (301 * US) + 20 * US);
        bounds.to_client.push(Bound { at, by: delta(at) - delay, frames: frames(2 * n + 2) });
    }
    bounds
}

#[test]
fn a_constant_offset_lies_inside_its_band_whatever_the_delays() {
    for offset in [0, -86_400 * S, 1_000_000, 3 * 3_600 * S] {
        let fit = bounds(200, |_| offset).fit(6).unwrap();
        assert!((fit.delta_ns - offset).abs() <= fit.band_ns && fit.band_ns < 40 * US, "{fit:?}");
        assert!(fit.is_exact && fit.is_steady());
    }
}

#[test]
fn a_drift_is_told_from_an_offset() {
    let truth = |at: i64| 5 * S + at / 20_000;
    let fit = bounds(2_000, truth).fit(6).unwrap();
    for at in [0, 100 * S, 200 * S] {
        let told = fit.delta_ns + ((at - fit.pivot.at) as f64 * fit.drift) as i64;
        assert!((told - truth(at)).abs() <= fit.band_ns.max(40 * US), "{at} {fit:?}");
    }
    assert!((fit.drift - 5e-5).abs() < 1e-6 && fit.band_ns < 60 * US, "{fit:?}");
}

#[test]
fn a_drift_too_small_to_be_seen_lies_inside_the_band_of_an_offset() {
    for drift in [-50, 20, 80] {
        let truth = |at: i64| at * drift / 1_000_000;
        // Within a third of a second the delays hide it.
        let mut bounds = bounds(200, |at| truth(at / 64));
        for bound in bounds.to_server.iter_mut().chain(&mut bounds.to_client) {
            bound.at /= 64;
        }
        let fit = bounds.fit(6).unwrap();
        assert!(fit.is_steady(), "{drift} {fit:?}");
        for at in [0, 20 * S / 64] {
            assert!((fit.delta_ns - truth(at)).abs() <= fit.band_ns, "{drift} {at} {fit:?}");
        }
        assert!(fit.band_ns < 60 * US, "{fit:?}");
    }
}

#[test]
fn a_clock_goes_on_to_drift_where_nothing_is_compared_any_more() {
    for drift in [-40, 0, 25, 90] {
        for seen in [2 * S, 20 * S, 100 * S] {
            let truth = |at: i64| 3 * S + at / 1_000_000 * drift;
            let fit = bounds(seen / (S / 10), truth).fit(6).unwrap();
            for at in [-30 * S, 0, seen, 200 * S, 3_600 * S] {
                let told = fit.delta_ns + ((at - fit.pivot.at) as f64 * fit.drift) as i64;
                let outside = (-at).max(at - seen).max(0);
                let band = fit.band_ns + (outside as f64 * fit.pace) as i64;
                assert!((told - truth(at)).abs() <= band, "{drift} {seen} {at} {fit:?}");
            }
            // A long time of bounds leaves little doubt of the pace.
            assert!(seen < 100 * S || fit.pace < 1e-6, "{fit:?}");
        }
    }
}

#[test]
fn a_drift_is_inside_the_band_where_what_came_back_was_seen_for_a_moment_only() {
    let truth = |at: i64| at / 50_000;
    let mut bounds = bounds(80, truth);
    bounds.to_client.truncate(4);
    let fit = bounds.fit(6).unwrap();
    for at in [0, 8 * S] {
        let told = fit.delta_ns + ((at - fit.pivot.at) as f64 * fit.drift) as i64;
        assert!((told - truth(at)).abs() <= fit.band_ns, "{at} {fit:?}");
    }
}

#[test]
fn a_wrong_pair_hides_no_drift() {
    let truth = |at: i64| 7 * S + at / 40_000;
    let mut bounds = bounds(500, truth);
    bounds.to_server[100].by -= 2 * S;
    bounds.to_client[400].by += S / 1_000;
    let fit = bounds.fit(6).unwrap();
    for at in [0, 50 * S] {
        let told = fit.delta_ns + ((at - fit.pivot.at) as f64 * fit.drift) as i64;
        assert!((told - truth(at)).abs() <= fit.band_ns && fit.band_ns < 100 * US, "{at} {fit:?}");
    }
    assert!(!fit.is_exact);
}

#[test]
fn a_step_is_told_where_it_is_however_many_come_before_it() {
    for (step_at, by) in [(60 * S, 250_000 * US), (100 * S, 2 * S), (20 * S, -2 * S), (190 * S, 3_000 * US)] {
        let truth = |at: i64| if at < step_at { 0 } else { by };
        let fit = bounds(2_000, truth).fit(6).unwrap();
        let [jump] = fit.jumps[..] else { panic!("{fit:?}") };
        assert!(jump.before.at < step_at && step_at <= jump.after.at, "{fit:?}");
        assert!(jump.after.at - jump.before.at <= S / 5, "{fit:?}");
        assert!((jump.by - by).abs() <= 2 * fit.band_ns && fit.delta_ns.abs() <= fit.band_ns, "{fit:?}");
        assert!(fit.band_ns < 60 * US, "{fit:?}");
    }
}

#[test]
fn a_step_back_of_the_clock_that_times_are_told_by_is_found_as_well() {
    // A's own times from 60 s on are lower, so that some come twice, or all.
    for back in [S / 4, 50 * S, 120 * S, 7_200 * S] {
        let mut bounds = bounds(2_000, |_| 0);
        for bound in bounds.to_server.iter_mut().chain(&mut bounds.to_client).filter(|b| b.at >= 60 * S) {
            (bound.at, bound.by) = (bound.at - back, bound.by + back);
        }
        let fit = bounds.fit(6).unwrap();
        assert!(fit.is_exact && fit.jumps.len() == 1, "{back} {fit:?}");
        assert!((fit.jumps[0].by - back).abs() <= 2 * fit.band_ns, "{fit:?}");
        assert_eq!(fit.jumps[0].after.frames[0].div_ceil(2), 601, "{fit:?}");
    }
}

#[test]
fn a_wrong_pair_moves_nothing() {
    let mut bounds = bounds(500, |_| 7 * S);
    bounds.to_server[100].by -= 2 * S;
    let fit = bounds.fit(6).unwrap();
    assert!(
        (fit.delta_ns - 7 * S).abs() <= fit.band_ns && fit.band_ns < 400 * US && !fit.is_exact,
        "{fit:?}"
    );
}
