//! Headers and body of the selected exchange, read again from the capture file when somebody looks.

use super::background::{Background, Progressing, Task};
use super::document::Document;
use crate::capture::{ExtentError, ExtentReader};
use crate::http::Message;
use crate::http::show::{Body, Shown, show};
use crate::tcp::Side;
use crate::topology::ExchangeId;

/// At most this much of a message is read.
const LIMIT: usize = 64 * 1024;

/// A message as the pane shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Request line or status line.
    pub start_line: String,
    /// Names and values as sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
    /// What to know about the body: cut, chunked, binary; may be empty.
    pub body_note: String,
}

/// Both messages of an exchange; `None` where the capture holds no byte of one.
pub struct Contents {
    /// The request.
    pub request: Option<Result<Part, ExtentError>>,
    /// The response.
    pub response: Option<Result<Part, ExtentError>>,
}

/// The contents of the exchange looked at last.
#[derive(Default)]
pub struct ContentsCache {
    key: Option<(u64, ExchangeId)>,
    task: Option<Task<Contents>>,
    contents: Option<Contents>,
}

impl ContentsCache {
    /// Starts reading when another exchange is looked at, and takes what was read.
    pub fn update(&mut self, document: &Document, exchange: Option<ExchangeId>, background: &Background) {
        let key = exchange.map(|id| (document.generation, id));
        if key.is_some() && key != self.key {
            self.key = key;
            self.contents = None;
            self.task = exchange.map(|id| {
                let document = document.clone();
                background.spawn("contents", move || read(&document, id))
            });
        }
        match self.task.as_ref().map(Task::poll) {
            Some(Progressing::Done(contents)) => {
                self.contents = Some(contents);
                self.task = None;
            }
            Some(Progressing::Lost) => self.task = None,
            Some(Progressing::Running) | None => {}
        }
    }

    /// What was read of the exchange looked at last; `None` while it is being read.
    pub fn get(&self) -> Option<&Contents> {
        self.contents.as_ref()
    }
}

fn read(document: &Document, id: ExchangeId) -> Contents {
    let exchange = document.analysis.exchange(id);
    let info = &exchange.facts.info;
    let protocol = exchange.connection().flow().protocol;
    let part = |message: &Message, from| {
        message.is_present().then(|| {
            let extents = exchange.facts.extents(message);
            let excerpt = ExtentReader::of(info)?.read(&extents, LIMIT)?;
            Ok(part(show(message, protocol, from, &excerpt)))
        })
    };
    Contents {
        request: part(&exchange.raw.request, Side::Client),
        response: part(&exchange.raw.response, Side::Server),
    }
}

fn part(shown: Shown) -> Part {
    let Shown { start_line, headers, body, notes } = shown;
    Part { start_line, headers, body, body_note: notes.join("; ") }
}
