//! The session with its undo and redo.

use crate::session::{Annotation, Session};

/// The session, and its annotations before and after each edit.
#[derive(Default)]
pub struct Edits {
    session: Session,
    undo: Vec<Vec<Annotation>>,
    redo: Vec<Vec<Annotation>>,
}

impl Edits {
    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Begins anew with another session.
    pub fn replace(&mut self, session: Session) {
        *self = Self { session, ..Self::default() };
    }

    /// Changes what is no edit: view, selection, filter.
    pub fn look(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Makes an edit that can be undone.
    pub fn edit(&mut self, change: impl FnOnce(&mut Session)) {
        self.undo.push(self.session.annotations.clone());
        self.redo.clear();
        change(&mut self.session);
    }

    /// Takes the last edit back.
    pub fn undo(&mut self) -> bool {
        let Some(before) = self.undo.pop() else { return false };
        self.redo.push(std::mem::replace(&mut self.session.annotations, before));
        true
    }

    /// Makes the last edit taken back again.
    pub fn redo(&mut self) -> bool {
        let Some(after) = self.redo.pop() else { return false };
        self.undo.push(std::mem::replace(&mut self.session.annotations, after));
        true
    }
}
