//! Undo and redo of what the user edited; where the user looks is carried along and never undone.

use super::{Annotation, Session, Target};
use crate::topology::Overrides;

/// How many edits can be taken back; the oldest is forgotten first.
pub const MAX_UNDO: usize = 256;

/// The undoable part of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Edited {
    overrides: Overrides,
    annotations: Vec<Annotation>,
}

impl Edited {
    fn of(session: &Session) -> Self {
        Self { overrides: session.overrides.clone(), annotations: session.annotations.clone() }
    }

    /// Puts this state into the session and returns the one that was there.
    fn swap_into(self, session: &mut Session) -> Self {
        Self {
            overrides: std::mem::replace(&mut session.overrides, self.overrides),
            annotations: std::mem::replace(&mut session.annotations, self.annotations),
        }
    }
}

/// A session with the way back: annotations, lanes, names and offsets can be undone; view, selection and
/// filter stay as they are when that happens.
#[derive(Clone, Debug, Default)]
pub struct History {
    session: Session,
    undo: Vec<Edited>,
    redo: Vec<Edited>,
    kept: Edited,
}

/// A state of the edits, to be told later that it was kept somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark(Edited);

impl History {
    /// A history that begins with this session.
    pub fn new(session: Session) -> Self {
        Self { kept: Edited::of(&session), session, ..Self::default() }
    }

    /// The edits as they are now, for [`Self::keep`].
    pub fn mark(&self) -> Mark {
        Mark(Edited::of(&self.session))
    }

    /// Takes note that the edits of this mark are saved.
    pub fn keep(&mut self, mark: Mark) {
        self.kept = mark.0;
    }

    /// Whether there are edits that neither the session began with nor a save has kept.
    pub fn is_unsaved(&self) -> bool {
        self.kept.overrides != self.session.overrides || self.kept.annotations != self.session.annotations
    }

    /// The session as it is now.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Begins anew with another session.
    pub fn replace(&mut self, session: Session) {
        *self = Self::new(session);
    }

    /// For changes of view, selection and filter, which are not undone.
    pub fn look(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Makes an edit that can be undone. One that changes nothing leaves no trace; returns whether it did.
    pub fn edit(&mut self, change: impl FnOnce(&mut Session)) -> bool {
        let before = Edited::of(&self.session);
        change(&mut self.session);
        if before == Edited::of(&self.session) {
            return false;
        }
        if self.undo.len() >= MAX_UNDO {
            self.undo.remove(0);
        }
        self.undo.push(before);
        self.redo.clear();
        true
    }

    /// Takes the last edit back; `false` when there is none.
    pub fn undo(&mut self) -> bool {
        let Some(before) = self.undo.pop() else { return false };
        self.redo.push(before.swap_into(&mut self.session));
        true
    }

    /// Makes the edit last taken back again; `false` when there is none.
    pub fn redo(&mut self) -> bool {
        let Some(after) = self.redo.pop() else { return false };
        self.undo.push(after.swap_into(&mut self.session));
        true
    }

    /// Gives every note another target, in the session and on the way back and forth: a new analysis has other ids.
    pub fn retarget(&mut self, target: impl Fn(Target) -> Target) {
        let states = self.undo.iter_mut().chain(&mut self.redo).chain([&mut self.kept]);
        let states = states.map(|state| &mut state.annotations);
        for note in states.chain([&mut self.session.annotations]).flatten() {
            note.target = target(note.target);
        }
    }

    /// Whether an edit can be taken back.
    pub fn can_undo(&self) -> bool {
        !self.undo.is_empty()
    }

    /// Whether an edit can be made again.
    pub fn can_redo(&self) -> bool {
        !self.redo.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::SessionTime;

    fn note(text: &str) -> Annotation {
        Annotation { target: Target::Moment(SessionTime(7)), text: text.into() }
    }

    #[test]
    fn edits_go_back_and_forth_while_the_view_stays() {
        let mut history = History::default();
        assert!(history.edit(|s| s.annotations.push(note("a"))));
        assert!(history.edit(|s| s.overrides.renamed.push(("10.0.0.1".into(), "edge".into()))));
        history.look().filter = "status:502".into();
        assert!(history.undo());
        assert!(history.session().overrides.renamed.is_empty());
        assert_eq!(history.session().annotations, [note("a")]);
        assert_eq!(history.session().filter, "status:502");
        assert!(history.undo() && !history.undo());
        assert!(history.redo() && history.redo() && !history.redo());
        assert_eq!(history.session().overrides.renamed.len(), 1);
        assert_eq!(history.session().filter, "status:502");
    }

    #[test]
    fn a_new_edit_ends_the_way_forward_and_no_change_is_no_edit() {
        let mut history = History::default();
        history.edit(|s| s.annotations.push(note("a")));
        history.undo();
        assert!(!history.edit(|s| s.filter = "x".into()), "a filter is no edit");
        assert!(history.can_redo());
        history.edit(|s| s.annotations.push(note("b")));
        assert!(!history.can_redo());
    }

    #[test]
    fn notes_get_new_targets_on_the_way_back_too() {
        let mut history = History::default();
        history.edit(|s| s.annotations.push(note("a")));
        history.edit(|s| s.annotations.clear());
        history.retarget(|_| Target::Moment(SessionTime(9)));
        history.undo();
        assert_eq!(history.session().annotations[0].target, Target::Moment(SessionTime(9)));
    }

    #[test]
    fn what_a_save_has_kept_is_not_unsaved_until_it_is_edited() {
        let mut history = History::new(Session { annotations: vec![note("old")], ..Session::default() });
        assert!(!history.is_unsaved());
        history.look().filter = "status:502".into();
        assert!(!history.is_unsaved(), "a filter is no edit");
        history.edit(|s| s.annotations.push(note("a")));
        assert!(history.is_unsaved());
        let mark = history.mark();
        history.retarget(|_| Target::Moment(SessionTime(9)));
        assert!(history.is_unsaved());
        history.keep(mark);
        history.retarget(|_| Target::Moment(SessionTime(9)));
        assert!(!history.is_unsaved());
        history.undo();
        assert!(history.is_unsaved(), "the file still has the note");
        history.redo();
        assert!(!history.is_unsaved());
    }

    #[test]
    fn the_way_back_is_bounded() {
        let mut history = History::default();
        for i in 0..MAX_UNDO + 10 {
            history.edit(|s| s.annotations.push(note(&i.to_string())));
        }
        while history.undo() {}
        assert_eq!(history.session().annotations.len(), 10);
    }
}
