//! What a client sent again by itself, in the window.

use super::*;
use crate::correlate::{Again, Confidence};
use crate::topology::ExchangeId;

#[test]
fn the_tree_names_what_its_client_sent_again_and_leads_to_the_others() {
    let mut analysis = recorded().state().document.as_ref().unwrap().analysis.as_ref().clone();
    let is_root =
        |id: &ExchangeId| analysis.trees.parent(*id).is_none() && !analysis.trees.children(*id).is_empty();
    let roots: Vec<ExchangeId> =
        (0..analysis.topology.exchanges.len() as u32).map(ExchangeId).filter(is_root).collect();
    let (failed, later) = (roots[0], roots[1]);
    let again = Again { id: later, of: failed, confidence: Confidence::Likely, attempt: 2 };
    analysis.trees.again = vec![again];
    analysis.trees.again_of = vec![(failed, later)];
    let mut window = window_with(None, Some(Document::new(analysis)));
    window.state_mut().apply(&egui::Context::default(), vec![Action::SelectExchange(later)]);
    window.run_steps(4);
    window.get_by_label_contains("sent this 2 times: a client's retry");
    assert!(window.query_by_label_contains("A client's retry, sent again").is_some());
    window.get_by_label_contains("sent 1 of 2").click();
    window.run_steps(4);
    assert_eq!(window.state().session().selection.exchange, Some(failed));
}
