//! Cancelling: what is being read, and the analysis of what was read.

use super::*;
use crate::app::loader::{LoadError, Loaded, Loader};
use crate::session::Session;
use crate::topology::Overrides;

/// What a load leaves that the user stopped halfway.
fn stopped() -> Loaded {
    Loaded {
        document: Document::new(fixture::with_requests(5)),
        session: Session::default(),
        cancelled: true,
        added: false,
        again: false,
        restored: false,
        overrides: Overrides::default(),
        words: "Loading was cancelled: this is what was read until then".to_owned(),
    }
}

#[test]
fn a_load_that_is_cancelled_leaves_what_is_open() {
    let mut window = window();
    let generation = window.state().document.as_ref().unwrap().generation;
    window.state_mut().arrived(stopped());
    window.run_steps(3);
    assert_eq!(window.state().document.as_ref().unwrap().generation, generation);
    assert!(window.query_by_label_contains("what was open is still shown").is_some());
    // An empty window takes what there is.
    let mut window = window_with(None, None);
    window.state_mut().arrived(stopped());
    window.run_steps(3);
    assert!(window.state().document.is_some());
    assert!(window.query_by_label_contains("this is what was read until then").is_some());
}

#[test]
fn the_analysis_of_what_was_read_can_be_cancelled_by_button_and_by_key() {
    for key in [None, Some(Key::Escape)] {
        let mut window = window_with(None, None);
        let (loader, progress, _end) = Loader::waiting("night.pcap");
        window.state_mut().loader = loader;
        progress.begin_analysis();
        window.run_steps(3);
        window.get_by_label("Read night.pcap; following its requests across the hops");
        match key {
            Some(key) => press(&mut window, key),
            None => click(&mut window, "Cancel"),
        }
        assert!(progress.is_given_up() && !progress.is_cancelled(), "{key:?}");
    }
}

#[test]
fn escape_leaves_a_field_and_a_dialog_before_it_cancels_a_load() {
    let mut window = window();
    let (loader, progress, _end) = Loader::waiting("night.pcap");
    window.state_mut().loader = loader;
    window.run_steps(3);
    window.get_by_label("Reading night.pcap");
    window.get_by_role_and_label(Role::TextInput, "Filter").focus();
    window.run_steps(3);
    press(&mut window, Key::Escape);
    assert!(!progress.is_cancelled(), "the field was left");
    press(&mut window, Key::W);
    press(&mut window, Key::Escape);
    assert!(window.state().ui.modal.is_none() && !progress.is_cancelled(), "the dialog was closed");
    press(&mut window, Key::Escape);
    assert!(progress.is_cancelled());
}

#[test]
fn an_edit_whose_analysis_is_cancelled_is_taken_back_and_can_be_made_again() {
    let mut window = recorded();
    let before = lane_names(&window);
    let generation = |window: &Window| window.state().document.as_ref().unwrap().generation;
    let shown = generation(&window);
    window.state_mut().edits.edit(|session| session.overrides.renamed.push(("uwsgi".into(), "app".into())));
    window.state_mut().not_loaded(LoadError::EditGivenUp);
    window.run_steps(3);
    assert_eq!((lane_names(&window), generation(&window)), (before, shown));
    assert_eq!(window.state().session().overrides, Overrides::default());
    assert!(window.query_by_label_contains("The analysis was cancelled").is_some());
    window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    window.run_steps(3);
    assert_eq!(lane_names(&window)[3], "app");
    // Of files, what was open stays, and so does what was said of it.
    window.state_mut().not_loaded(LoadError::GivenUp(crate::stop::Stopped));
    window.run_steps(3);
    assert_eq!(lane_names(&window)[3], "app");
}
