//! Headers and body of the selected exchange, read again from the capture file when somebody looks.

use super::background::{Background, Progressing, Task};
use super::document::Document;
use crate::capture::{Excerpt, ExtentError, ExtentReader};
use crate::http::body::{Decoded, Stop, decode};
use crate::http::{Framing, Message};
use crate::topology::ExchangeId;

/// At most this much of a message is read.
const LIMIT: usize = 64 * 1024;
/// At most this much of a body is shown as hexadecimal.
const HEX_LIMIT: usize = 2 * 1024;

/// A message as the pane shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Request line or status line.
    pub start_line: String,
    /// Names and values as sent.
    pub headers: Vec<(String, String)>,
    /// The body as text, or as hexadecimal where it is no text.
    pub body: String,
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
    let part = |message: &Message| {
        message.is_present().then(|| {
            let extents = exchange.facts.extents(message);
            let excerpt = ExtentReader::of(info)?.read(&extents, LIMIT)?;
            Ok(part(message, &excerpt))
        })
    };
    Contents { request: part(&exchange.raw.request), response: part(&exchange.raw.response) }
}

fn part(message: &Message, excerpt: &Excerpt) -> Part {
    let head_end = (message.head_bytes as usize).min(excerpt.bytes.len());
    let (head, body) = excerpt.bytes.split_at(head_end);
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let start_line = lines.next().unwrap_or_default().to_owned();
    let headers: Vec<(String, String)> = lines
        .take_while(|line| !line.is_empty())
        .map(|line| match line.split_once(':') {
            Some((name, value)) => (name.to_owned(), value.trim().to_owned()),
            None => (String::new(), line.to_owned()),
        })
        .collect();
    let mut notes = Vec::new();
    let body = if message.framing == Framing::Chunked {
        notes.push("sent in chunks, shown without their framing".to_owned());
        without_chunks(body)
    } else {
        body.to_vec()
    };
    if excerpt.cut {
        notes.push(format!("only the first {} are shown", super::format::bytes(LIMIT as u64)));
    }
    let decoded = decode(&body, codings(&headers, message.framing).into_iter());
    notes.extend(words(&decoded, body.len(), excerpt.cut));
    let body = body_text(&decoded.bytes, &mut notes);
    Part { start_line, headers, body, body_note: notes.join("; ") }
}

/// The codings of a body in the order in which they were applied: those of the content, then those of its transfer.
fn codings(headers: &[(String, String)], framing: Framing) -> Vec<&str> {
    let listed = |wanted: &'static str| {
        let of_name = headers.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted));
        of_name.flat_map(|(_, value)| value.split(',')).map(str::trim)
    };
    let transfer = listed("transfer-encoding").filter(|coding| !coding.eq_ignore_ascii_case("chunked"));
    let transfer = transfer.filter(|_| framing == Framing::Chunked);
    listed("content-encoding").chain(transfer).collect()
}

/// What to know about how a body was decoded; nothing for one that was not coded. A body of which only the first part
/// was read (`cut`) ends too early for every decoder, whatever that one calls it.
fn words(decoded: &Decoded, coded: usize, cut: bool) -> Option<String> {
    let size = |len: usize| super::format::bytes(len as u64);
    let done = (!decoded.codings.is_empty()).then(|| {
        let codings = decoded.codings.join(", ");
        format!("{codings}: {} decoded to {}", size(coded), size(decoded.bytes.len()))
    });
    let stopped = decoded.stopped.as_ref().map(|stop| match stop {
        Stop::Limit => "there is more behind it".to_owned(),
        Stop::Damaged(_) | Stop::Cut if cut => "the rest was not read".to_owned(),
        Stop::Cut => "the coded bytes end too early".to_owned(),
        Stop::Damaged(coding) => format!("what follows is no {coding}"),
        Stop::Unknown(coding) => format!("the coding {coding} is not known here"),
    });
    let parts: Vec<String> = done.into_iter().chain(stopped).collect();
    (!parts.is_empty() && coded > 0).then(|| parts.join("; "))
}

/// The body without its chunk framing (RFC 9112, section 7.1); what does not parse is kept as it is.
fn without_chunks(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rest.len());
    while let Some(line) = memchr::memmem::find(rest, b"\r\n") {
        let digits = rest[..line].split(|&b| b == b';').next().unwrap_or_default();
        let size =
            std::str::from_utf8(digits).ok().and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
        let Some(size) = size else { break };
        rest = &rest[line + 2..];
        if size == 0 {
            return out;
        }
        let taken = size.min(rest.len());
        out.extend_from_slice(&rest[..taken]);
        rest = rest[taken..].strip_prefix(b"\r\n").unwrap_or(&rest[taken..]);
    }
    out.extend_from_slice(rest);
    out
}

fn body_text(body: &[u8], notes: &mut Vec<String>) -> String {
    // A body cut in the middle of a character is text all the same.
    let text = match std::str::from_utf8(body) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&body[..error.valid_up_to()]).ok(),
        Err(_) => None,
    };
    let printable = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    if let Some(text) = text.filter(|text| text.chars().all(printable)) {
        return text.to_owned();
    }
    notes.push("not text, shown as bytes".to_owned());
    hex(&body[..body.len().min(HEX_LIMIT)])
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for (row, chunk) in bytes.chunks(16).enumerate() {
        let mut line = format!("{:04x}  ", row * 16);
        for byte in chunk {
            // Writing to a string cannot fail.
            let _ = write!(line, "{byte:02x} ");
        }
        let text: String =
            chunk.iter().map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { '.' }).collect();
        let _ = writeln!(out, "{line:<54}{text}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_split_into_head_and_body() {
        let bytes = b"HTTP/1.1 200 OK\r\nServer: x\r\nX-Odd\r\n\r\nhello".to_vec();
        let message = Message { head_bytes: 37, ..Message::default() };
        let part = part(&message, &Excerpt { bytes, cut: false });
        assert_eq!(part.start_line, "HTTP/1.1 200 OK");
        assert_eq!(part.headers[0], ("Server".to_owned(), "x".to_owned()));
        assert_eq!(part.headers[1], (String::new(), "X-Odd".to_owned()));
        assert_eq!((part.body.as_str(), part.body_note.as_str()), ("hello", ""));
    }

    #[test]
    fn a_coded_body_is_shown_as_what_it_means() {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(b"{\"ok\":true}").unwrap();
        let coded = encoder.finish().unwrap();
        let head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n";
        let message = Message { head_bytes: head.len() as u32, ..Message::default() };
        let whole = part(&message, &Excerpt { bytes: [head.as_slice(), &coded].concat(), cut: false });
        assert_eq!(whole.body, "{\"ok\":true}");
        assert!(whole.body_note.starts_with("gzip: "), "{}", whole.body_note);
        let half = part(&message, &Excerpt { bytes: [head.as_slice(), &coded[..6]].concat(), cut: false });
        assert_eq!(half.body_note, "the coded bytes end too early; not text, shown as bytes");
        // Brotli's decoder calls an early end damage; here it is only what was read.
        let head = b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\n\r\n";
        let message = Message { head_bytes: head.len() as u32, ..Message::default() };
        let bytes = [head.as_slice(), b"\x0b\x06\x80hel"].concat();
        let note = |cut| part(&message, &Excerpt { bytes: bytes.clone(), cut }).body_note;
        assert!(note(true).contains("the rest was not read"), "{}", note(true));
        assert!(!note(true).contains("no br"), "{}", note(true));
    }

    #[test]
    fn chunk_framing_is_taken_off_and_damage_kept() {
        assert_eq!(without_chunks(b"5;x=1\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), b"hello!");
        assert_eq!(without_chunks(b"ffff\r\nshort"), b"short");
        assert_eq!(without_chunks(b"zz\r\nkept"), b"zz\r\nkept");
        assert_eq!(without_chunks(b""), b"");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_hexadecimal() {
        let mut notes = Vec::new();
        assert!(body_text(&[0, 255, 65], &mut notes).starts_with("0000  00 ff 41"));
        assert_eq!(notes.len(), 1);
        assert_eq!(body_text("é".as_bytes().get(..1).unwrap(), &mut notes), "");
    }
}
