//! Times the window's frames with a large capture, without a screen.
//!
//! `cargo bench --bench frames` makes a capture of its own; `HOPSCOPE_BIG=PATH` names another one.
#![allow(missing_docs, reason = "a bench has no users but its reader")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot build its input must stop")]

mod input;

use std::path::PathBuf;
use std::time::Duration;

use hopscope::app::Offscreen;

const FRAMES: usize = 60;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let path =
        std::env::var_os("HOPSCOPE_BIG").map_or_else(|| folder.path().join("bench.pcap"), PathBuf::from);
    if !path.exists() {
        // Many connections open at once.
        std::fs::write(&path, input::capture(20_000, 10, 50_000)).unwrap();
    }
    let mut window = Offscreen::open(vec![path], [1600.0, 1000.0]);
    print("while it is read", window.frames_while_busy());
    print("after it was read", (0..FRAMES).map(|_| window.frame()).collect());
    window.settle();
    println!("{} exchanges", window.exchanges());
    window.set_clock(1);
    print("while analysed anew", window.frames_while_busy());
    print("after that", (0..FRAMES).map(|_| window.frame()).collect());
    window.settle();
    time(&mut window, "at rest", |_| {});
    for command in ["Next failure", "Next row", "Zoom in", "Pan right", "Pan left"] {
        time(&mut window, command, |window| assert!(window.run(command)));
    }
    window.run("Fit all");
    time(&mut window, "all in view", |_| {});
    // Each frame another view: no layout of the frame before can be used.
    let mut turn = 0;
    time(&mut window, "all in view, laid out anew", |window| {
        let zoom = if turn % 2 == 0 { "Zoom in" } else { "Fit all" };
        turn += 1;
        assert!(window.run(zoom));
    });
    window.filter("method:get");
    window.settle();
    window.run("Fit all");
    time(&mut window, "all in view, with a filter", |_| {});
    window.filter("");
    window.settle();
    for tab in ["Show connections", "Show statistics", "Show where it starts", "Show exchanges"] {
        window.run(tab);
        time(&mut window, tab, |_| {});
    }
}

/// Prints what frames cost, each after something was done.
fn time(window: &mut Offscreen, name: &str, mut act: impl FnMut(&mut Offscreen)) {
    let all = (0..FRAMES).map(|_| {
        act(window);
        window.frame()
    });
    print(name, all.collect());
}

fn print(name: &str, mut all: Vec<Duration>) {
    let count = all.len();
    all.sort_unstable();
    let Some(worst) = all.last() else { return println!("{name:<28} no frame") };
    let slow = all.iter().filter(|took| **took > Duration::from_millis(16)).count();
    println!("{name:<28} median {:>8.2?}  worst {worst:>8.2?}  {slow} of {count} over 16 ms", all[count / 2]);
}
