//! Times what users wait for: loading and analysing a capture, and laying out the timeline.
//!
//! `cargo bench` prints the median, fastest and slowest of some runs, and the median per unit of work.
#![allow(missing_docs, reason = "a bench has no users but its reader")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot build its input must stop")]

mod input;

use std::fs;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hopscope::analysis;
use hopscope::capture::SessionTime;
use hopscope::load::{self, Progress};
use hopscope::session::TimeView;
use hopscope::timeline::{Look, Row, Scale, Span, SpanFlags, layout_row};
use hopscope::topology::{ExchangeId, Overrides};

const RUNS: usize = 9;

fn main() {
    // Cargo passes its own flags; the first plain word chooses benches by name.
    let only = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    let wanted = |name: &str| name.contains(&only);
    if wanted("load") || wanted("analyse") {
        load_and_analyse();
    }
    for (name, count) in [("layout 100,000 spans", 100_000), ("layout 1,000,000 spans", 1_000_000)] {
        if wanted(name) {
            layout(name, count);
        }
    }
}

/// Runs `work` several times and prints how long it took.
fn time<T>(name: &str, units: usize, unit: &str, mut work: impl FnMut() -> T) {
    black_box(work());
    let mut runs: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            black_box(work());
            start.elapsed()
        })
        .collect();
    runs.sort_unstable();
    let median = runs[RUNS / 2];
    let each = median.as_nanos() as f64 / units as f64;
    println!("{name:<32} {median:>10.2?} ({:.2?} to {:.2?})  {each:.1} ns a {unit}", runs[0], runs[RUNS - 1]);
}

fn load_and_analyse() {
    const CONNECTIONS: u32 = 2_000;
    const REQUESTS: u32 = 10;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bench.pcap");
    // One connection after the other.
    let apart_ns = i64::from(REQUESTS) * input::EXCHANGE_NS;
    fs::write(&path, input::capture(CONNECTIONS, REQUESTS, apart_ns)).unwrap();
    let paths: [PathBuf; 1] = [path];
    let packets = load::load(&paths, &Progress::default())[0].info.packets as usize;
    time("load 20,000 exchanges", packets, "packet", || load::load(&paths, &Progress::default()));
    let facts = load::load(&paths, &Progress::default());
    time("analyse 20,000 exchanges", (CONNECTIONS * REQUESTS) as usize, "exchange", || {
        analysis::analyse(facts.clone(), &Overrides::default())
    });
}

/// One row with all spans in view, one in a thousand of them rejected: the worst case of a full zoom-out.
fn layout(name: &str, count: u32) {
    let spans: Vec<Span> = (0..count)
        .map(|n| Span {
            exchange: ExchangeId(n),
            ordinal: n,
            start: i64::from(n) * 1_000,
            end: i64::from(n) * 1_000 + 900,
            look: if n % 1_000 == 0 { Look::Rejected } else { Look::Answered },
            flags: SpanFlags::default(),
            attempt: 1,
        })
        .collect();
    let view = TimeView { start: SessionTime(0), end: SessionTime(i64::from(count) * 1_000) };
    let scale = Scale::new(view, 0.0, 1_600.0);
    let row = Row::new(vec![], spans, vec![]);
    time(name, count as usize, "span", || layout_row(&row, &scale, 1.0, None));
}
