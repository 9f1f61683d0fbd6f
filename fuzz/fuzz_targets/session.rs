//! Bytes as a session file: it is refused, or read, written and read again to the same; and what it holds can be shown
//! and found again in captures.
#![no_main]

use hopscope::analysis::Analysis;
use hopscope::export::{self, Comparison, Report};
use hopscope::session::{Session, Snapshot};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(snapshot) = Snapshot::from_ron(text) else { return };
    let written = snapshot.to_ron().expect("what was read can be written");
    let again = Snapshot::from_ron(&written).expect("what was written can be read");
    assert_eq!(again, snapshot);
    assert_eq!(again.to_ron().expect("the same again"), written);

    let (analysis, session) = snapshot.clone().into_analysis();
    assert_eq!(snapshot.clone().with_session(&session), snapshot);
    show(&analysis);
    let _ = Comparison::new(["before".to_owned(), "after".to_owned()], [&analysis, &analysis]).text();

    let (_, said) = snapshot.restore(&Analysis::default());
    assert!(said.len() >= session.annotations.iter().filter(|note| !is_moment(note)).count());
    let (found, _) = snapshot.restore(&analysis);
    keep(&analysis, &found);
    keep(&analysis, &session);
});

fn is_moment(note: &hopscope::session::Annotation) -> bool {
    matches!(note.target, hopscope::session::Target::Moment(_))
}

/// A snapshot of a session that was opened without its captures.
fn keep(analysis: &Analysis, session: &Session) {
    let Ok(text) = Snapshot::of(analysis, session, &[]).to_ron() else { return };
    Snapshot::from_ron(&text).expect("what was written can be read");
}

fn show(analysis: &Analysis) {
    let _ = Report::new(analysis, true).has_error();
    let _ = export::text(analysis);
    for exchange in analysis.exchanges() {
        let _ = (exchange.settled(), exchange.attempts(), analysis.trees.tree(exchange.id));
    }
}
