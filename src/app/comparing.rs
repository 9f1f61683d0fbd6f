//! The comparison with another session: read on a thread, kept as figures only.

use std::path::PathBuf;
use std::sync::Arc;

use super::background::Background;
use super::document::Document;
use super::loader::{Loader, Request};
use crate::analysis::Analysis;
use crate::export::Comparison;
use crate::logs::LogFormat;
use crate::topology::Overrides;

/// The comparison under way, and the last one made.
#[derive(Default)]
pub struct Comparing {
    loader: Loader,
    other: Option<(String, Arc<Analysis>)>,
    made: Option<(u64, Comparison)>,
    problem: Option<String>,
    /// Whether what is open was recorded after the change: the other session is A then.
    is_after: bool,
}

impl Comparing {
    /// Starts to read the other session.
    pub fn start(
        &mut self,
        paths: Vec<PathBuf>,
        overrides: Overrides,
        log_format: Option<LogFormat>,
        background: &Background,
    ) {
        self.problem = None;
        self.loader.start(Request { paths, overrides, log_format, ..Request::default() }, background);
    }

    /// Stops reading; what was read is compared.
    pub fn cancel(&self) {
        self.loader.cancel();
    }

    /// Takes what was before for what was after.
    pub fn swap(&mut self) {
        self.is_after = !self.is_after;
        self.made = None;
    }

    /// Forgets the other session: it was chosen for one that is open no more.
    pub fn forget(&mut self) {
        self.loader.cancel();
        *self = Self::default();
    }

    /// What is being read.
    pub fn reading(&self) -> Option<&str> {
        self.loader.progress().map(|stage| stage.what)
    }

    /// The comparison.
    pub fn made(&self) -> Option<&Comparison> {
        self.made.as_ref().map(|(_, comparison)| comparison)
    }

    /// Why the last one was not made.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Takes what was read, and compares anew when one side is another one.
    pub fn update(&mut self, document: Option<&Document>) {
        let what = self.loader.progress().map(|stage| stage.what.to_owned());
        match self.loader.poll() {
            Some(Ok(loaded)) => {
                self.other = Some((what.unwrap_or_default(), loaded.document.analysis));
                self.made = None;
            }
            Some(Err(error)) => self.problem = Some(error.to_string()),
            None => {}
        }
        let (Some(document), Some((name, other))) = (document, &self.other) else { return };
        if self.made.as_ref().is_some_and(|(generation, _)| *generation == document.generation) {
            return;
        }
        let ours = format!("{}, open here", name_of(&document.analysis));
        let (mut names, mut both) = ([ours, name.clone()], [&document.analysis, other]);
        if self.is_after {
            names.reverse();
            both.reverse();
        }
        self.made = Some((document.generation, Comparison::new(names, both.map(|one| &**one))));
    }
}

/// The captures of an analysis, shortly.
fn name_of(analysis: &Analysis) -> String {
    let paths: Vec<_> =
        analysis.captures.iter().map(|capture| capture.info.path.display().to_string()).collect();
    match &paths[..] {
        [] => "what is open".to_owned(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}
