//! Work off the UI thread: a named thread, a channel for its result, and a repaint when it is there.

use std::sync::mpsc::{Receiver, TryRecvError, channel};

/// Starts threads that wake the window when they are done; without a context, work runs at once (for tests).
#[derive(Clone, Default)]
pub struct Background {
    ctx: Option<egui::Context>,
}

/// A result to come.
pub struct Task<T> {
    receiver: Receiver<T>,
}

/// How a task stands.
pub enum Progressing<T> {
    /// Here it is; a task gives it once.
    Done(T),
    /// Not yet.
    Running,
    /// It never comes: the thread could not start, or died.
    Lost,
}

impl<T> Task<T> {
    /// One whose result the test sends.
    #[cfg(test)]
    pub fn to_come() -> (Self, std::sync::mpsc::Sender<T>) {
        let (sender, receiver) = channel();
        (Self { receiver }, sender)
    }

    /// How it stands, without waiting.
    pub fn poll(&self) -> Progressing<T> {
        match self.receiver.try_recv() {
            Ok(value) => Progressing::Done(value),
            Err(TryRecvError::Empty) => Progressing::Running,
            Err(TryRecvError::Disconnected) => Progressing::Lost,
        }
    }
}

/// Wakes the window when the thread ends, however it ends.
struct Wake(egui::Context);

impl Drop for Wake {
    fn drop(&mut self) {
        self.0.request_repaint();
    }
}

impl Background {
    /// Threads that wake the window of `ctx`.
    pub fn waking(ctx: &egui::Context) -> Self {
        Self { ctx: Some(ctx.clone()) }
    }

    /// No threads: the work is done when `spawn` returns.
    #[cfg(test)]
    pub fn inline() -> Self {
        Self::default()
    }

    /// Does the work on a thread of this name.
    pub fn spawn<T: Send + 'static>(&self, name: &str, work: impl FnOnce() -> T + Send + 'static) -> Task<T> {
        let (sender, receiver) = channel();
        let Some(ctx) = self.ctx.clone() else {
            // The receiver is right here, so sending cannot fail.
            let _ = sender.send(work());
            return Task { receiver };
        };
        let job = move || {
            let wake = Wake(ctx);
            // Nobody waits any more when a newer task has taken this one's place.
            let _ = sender.send(work());
            drop(sender);
            drop(wake);
        };
        let thread = std::thread::Builder::new().name(format!("hopscope {name}"));
        // Without a thread the job and its sender are dropped, and the task reads as lost.
        let _ = thread.spawn(job);
        Task { receiver }
    }
}
