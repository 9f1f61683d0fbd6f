//! Ctrl-C while standard input is read: it goes to the program that writes as well, whose end is awaited.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

/// What shells expect of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Lets the first Ctrl-C end only whoever writes to standard input, so that `tcpdump -w - | hopscope report -` gives its
/// report then; the second one ends this program too.
pub(super) fn let_the_writer_end() {
    let asked = AtomicBool::new(false);
    let on_signal = move || {
        if asked.swap(true, Ordering::Relaxed) {
            process::exit(INTERRUPTED);
        }
        eprintln!("hopscope: waiting for the end of standard input; Ctrl-C again to give up.");
    };
    // Without a handler Ctrl-C ends this program at once, as ever.
    let _ = ctrlc::set_handler(on_signal);
}
