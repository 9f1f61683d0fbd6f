//! Notes: on what they are, and taking them back.

use super::*;

#[test]
fn a_note_is_written_listed_undone_and_redone() {
    let mut window = window();
    click(&mut window, FINDING);
    press(&mut window, Key::N);
    assert!(matches!(window.state().ui.modal, Some(Modal::Note { target: Target::Exchange(_), .. })));
    window.get_by_role_and_label(Role::TextInput, "Your words").type_text("ticket 4411");
    window.run_steps(3);
    click(&mut window, "Save note");
    assert_eq!(window.state().session().annotations.len(), 1);
    assert_eq!(window.state().session().annotations[0].text, "ticket 4411");
    window.get_by_label("ticket 4411");
    window.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    window.run_steps(3);
    assert!(window.state().session().annotations.is_empty());
    window.key_press_modifiers(Modifiers { shift: true, ..Modifiers::COMMAND }, Key::Z);
    window.run_steps(3);
    assert_eq!(window.state().session().annotations.len(), 1);
}

#[test]
fn a_note_can_be_on_the_exchange_its_connection_or_the_moment() {
    let mut window = window();
    for (kind, count) in [("Exchange: ", 1), ("Connection: ", 2), ("Moment: ", 3)] {
        click(&mut window, FINDING);
        press(&mut window, Key::N);
        window.get_by(|node| node.label().is_some_and(|label| label.as_str().starts_with(kind))).click();
        window.run_steps(2);
        window.get_by_role_and_label(Role::TextInput, "Your words").type_text("x");
        window.run_steps(3);
        click(&mut window, "Save note");
        assert_eq!(window.state().session().annotations.len(), count);
    }
    let cursor = window.state().session().selection.cursor.unwrap();
    let targets: Vec<_> = window.state().session().annotations.iter().map(|note| note.target).collect();
    assert!(
        matches!(targets[..], [Target::Exchange(_), Target::Connection(_), Target::Moment(at)] if at == cursor),
        "{targets:?}"
    );
}
