//! A message as it is to be read: start line, fields and body, whatever the wire protocol that carried them.

use std::borrow::Cow;
use std::fmt::Write;

use memchr::memchr;

use crate::capture::Excerpt;
use crate::tcp::Side;

use super::body::{Decoded, MOST_CODINGS, Stop, decode};
use super::content::content;
use super::fastcgi::{self, Pairs};
use super::uwsgi::{self, Vars};
use super::{Framing, Message, MessageState, Protocol};

/// At most this much of a body is shown as hexadecimal, in bytes.
const HEX_LIMIT: usize = 2 * 1024;

/// A message as it is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Request line or status line; of a request told in variables, the one that they tell.
    pub start_line: String,
    /// Names and values as sent: header fields, variables, trailers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
    /// What to know about the body, in the order of the steps that made it readable.
    pub notes: Vec<String>,
}

/// A body as it is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Text.
    Text(String),
    /// What is no text, or the start of it: to be shown by [`hex`], as wide as there is room.
    Bytes(Vec<u8>),
}

impl Default for Body {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// The parts of a message, before its body is read.
#[derive(Default)]
struct Parts<'a> {
    start_line: String,
    headers: Vec<(String, String)>,
    body: Cow<'a, [u8]>,
    notes: Vec<String>,
}

/// Shows a message of a connection of this protocol, by the bytes of it that were read again.
pub fn show(message: &Message, protocol: Protocol, from: Side, excerpt: &Excerpt) -> Shown {
    let bytes = &excerpt.bytes[..];
    let mut parts = match (protocol, from) {
        (Protocol::Uwsgi, Side::Client) => uwsgi_request(message, bytes),
        (Protocol::FastCgi, Side::Client) => fastcgi_request(bytes),
        (Protocol::FastCgi, Side::Server) => fastcgi_response(bytes),
        _ => plain(message, bytes),
    };
    if message.framing == Framing::Chunked && protocol != Protocol::FastCgi {
        parts.notes.push("sent in chunks, shown without their framing".to_owned());
        let (body, trailers) = without_chunks(&parts.body);
        parts.body = body.into();
        if !trailers.is_empty() {
            parts.notes.push(format!("trailers: {}", trailers.len()));
        }
        parts.headers.extend(trailers);
    }
    if excerpt.cut {
        parts.notes.push(format!("only the first {} are shown", size(bytes.len())));
    }
    let missing = message.state == MessageState::Lossy;
    if missing {
        parts.notes.push("bytes of it are not in the capture".to_owned());
    }
    let Parts { start_line, headers, body, mut notes } = parts;
    let whole = !excerpt.cut && !missing && message.state == MessageState::Complete;
    let decoded = decode(&body, codings(&headers, message.framing).into_iter(), !excerpt.cut);
    notes.extend(words(&decoded, body.len()));
    let declared = headers.iter().find(|(name, _)| is_content_type(name)).map(|(_, value)| value.as_str());
    let shown = content(&decoded.bytes, declared, whole && decoded.stopped.is_none());
    notes.extend(shown.notes);
    let body = match shown.text {
        Some(text) => Body::Text(text),
        None => {
            let kind = if shown.kind.is_empty() { "not text" } else { shown.kind };
            let bytes = &decoded.bytes[..decoded.bytes.len().min(HEX_LIMIT)];
            let part = if bytes.len() < decoded.bytes.len() {
                format!("the first {} ", size(bytes.len()))
            } else {
                String::new()
            };
            notes.push(format!("{kind}, {part}shown as bytes"));
            Body::Bytes(bytes.to_vec())
        }
    };
    Shown { start_line, headers, body, notes }
}

/// The name of a body's type, as a header field or as a variable.
fn is_content_type(name: &str) -> bool {
    name.eq_ignore_ascii_case("content-type") || name == "CONTENT_TYPE"
}

/// A message of HTTP/1, or the response of a gateway.
fn plain<'a>(message: &Message, bytes: &'a [u8]) -> Parts<'a> {
    let (head, body) = bytes.split_at((message.head_bytes as usize).min(bytes.len()));
    let (start_line, headers) = head_of(head);
    Parts { start_line, headers, body: body.into(), ..Parts::default() }
}

/// Start line and fields of a head. The head of a gateway's response has no status line, but a field of that name.
fn head_of(head: &[u8]) -> (String, Vec<(String, String)>) {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines().peekable();
    let is_field = |line: &&str| {
        let name = line.split_once(':').map_or("", |(name, _)| name);
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let start_line = match lines.peek() {
        Some(line) if is_field(line) => String::new(),
        _ => lines.next().unwrap_or_default().to_owned(),
    };
    (start_line, lines.take_while(|line| !line.is_empty()).map(field).collect())
}

fn field(line: &str) -> (String, String) {
    match line.split_once(':') {
        Some((name, value)) => (name.to_owned(), value.trim().to_owned()),
        None => (String::new(), line.to_owned()),
    }
}

fn uwsgi_request<'a>(message: &Message, bytes: &'a [u8]) -> Parts<'a> {
    let (packet, body) = bytes.split_at((message.head_bytes as usize).min(bytes.len()));
    let modifiers = match packet {
        [first, _, _, second, ..] => format!("uwsgi packet, modifiers {first} and {second}"),
        _ => "the start of a uwsgi packet".to_owned(),
    };
    let (start_line, headers) = variables(Vars(packet.get(uwsgi::HEADER..).unwrap_or_default()));
    Parts { start_line, headers, body: body.into(), notes: vec![modifiers] }
}

/// Variables as fields, and the request line that they tell (RFC 3875, section 4.1).
fn variables<'a>(vars: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> (String, Vec<(String, String)>) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let all: Vec<(String, String)> = vars.map(|(name, value)| (text(name), text(value))).collect();
    let value = |wanted: &str| all.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let target = value("REQUEST_URI").or(value("PATH_INFO")).or(value("DOCUMENT_URI"));
    let words = [value("REQUEST_METHOD"), target, value("SERVER_PROTOCOL")];
    (words.into_iter().flatten().collect::<Vec<_>>().join(" "), all)
}

fn fastcgi_request(bytes: &[u8]) -> Parts<'static> {
    let records = Records::of(bytes);
    let (start_line, headers) = variables(Pairs(&records.of_kind(fastcgi::kind::PARAMS)));
    let mut notes = vec![records.words()];
    if records.has(fastcgi::kind::ABORT_REQUEST) {
        notes.push("the client aborted it".to_owned());
    }
    Parts { start_line, headers, body: records.of_kind(fastcgi::kind::STDIN).into(), notes }
}

fn fastcgi_response(bytes: &[u8]) -> Parts<'static> {
    let records = Records::of(bytes);
    let output = records.of_kind(fastcgi::kind::STDOUT);
    let head_len = super::head::head_end(&output).map_or(output.len(), |end| end.len);
    let (start_line, headers) = head_of(&output[..head_len]);
    let mut notes = vec![records.words()];
    // Application status, protocol status and three bytes that are reserved (FastCGI, section 5.5).
    if let [a, b, c, d, protocol, ..] = records.of_kind(fastcgi::kind::END_REQUEST)[..] {
        let status = u32::from_be_bytes([a, b, c, d]);
        let words = match protocol {
            0 => "complete",
            1 => "refused: one request a connection",
            2 => "refused: overloaded",
            3 => "refused: unknown role",
            _ => "ended for an unknown reason",
        };
        if status != 0 || protocol != 0 {
            notes.push(format!("END_REQUEST: {words}, application status {status}"));
        }
    }
    Parts { start_line, headers, body: output[head_len..].to_vec().into(), notes }
}

/// The records of one FastCGI message, as the facts keep them: each a header and its content, without padding.
struct Records<'a> {
    all: Vec<(u8, &'a [u8])>,
    /// Bytes behind the last one that makes sense.
    rest: usize,
}

impl<'a> Records<'a> {
    fn of(mut bytes: &'a [u8]) -> Self {
        let mut all = Vec::new();
        while let Some((&[1, kind @ 1..=fastcgi::kind::LAST, _, _, high, low, _, _], behind)) =
            bytes.split_first_chunk::<{ fastcgi::HEADER }>()
        {
            let (content, rest) = behind.split_at(behind.len().min(u16::from_be_bytes([high, low]).into()));
            all.push((kind, content));
            bytes = rest;
        }
        Self { all, rest: bytes.len() }
    }

    fn has(&self, kind: u8) -> bool {
        self.all.iter().any(|&(of, _)| of == kind)
    }

    fn of_kind(&self, kind: u8) -> Vec<u8> {
        self.all.iter().filter(|&&(of, _)| of == kind).flat_map(|&(_, content)| content).copied().collect()
    }

    fn words(&self) -> String {
        let records = format!("FastCGI, {} records", self.all.len());
        if self.rest == 0 { records } else { format!("{records}; {} behind them make none", size(self.rest)) }
    }
}

/// The codings of a body in the order in which they were applied: those of the content, then those of its transfer.
fn codings(headers: &[(String, String)], framing: Framing) -> Vec<&str> {
    let listed = |wanted: &'static str| {
        let of_name = headers.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted));
        of_name.flat_map(|(_, value)| value.split(',')).map(str::trim)
    };
    let transfer = listed("transfer-encoding").filter(|coding| !coding.eq_ignore_ascii_case("chunked"));
    let transfer = transfer.filter(|_| framing == Framing::Chunked);
    // What a gateway is told of in a variable is the same.
    listed("content-encoding").chain(listed("HTTP_CONTENT_ENCODING")).chain(transfer).collect()
}

/// What to know about how a body was decoded; nothing for one that was not coded.
fn words(decoded: &Decoded, coded: usize) -> Option<String> {
    let done = (!decoded.codings.is_empty()).then(|| {
        let codings = decoded.codings.join(", ");
        format!("{codings}: {} decoded to {}", size(coded), size(decoded.bytes.len()))
    });
    let stopped = decoded.stopped.as_ref().map(|stop| match stop {
        Stop::Limit => "there is more behind it".to_owned(),
        Stop::NotRead => "the rest was not read".to_owned(),
        Stop::Cut => "the coded bytes end too early".to_owned(),
        Stop::Damaged(coding) => format!("what follows is no {coding}"),
        Stop::Checksum(coding) => format!("the checksum of {coding} does not fit"),
        Stop::Unknown(coding) => format!("the coding {coding} is not known here"),
        Stop::TooMany(count) => format!("{count} codings, of which {MOST_CODINGS} were taken off"),
    });
    let wide = decoded.wide_window.map(|window| {
        format!(
            "its zstd window is {} wide, and browsers refuse more than 8 MiB (RFC 9659)",
            size(usize::try_from(window).unwrap_or(usize::MAX))
        )
    });
    let behind = (decoded.trailing > 0).then(|| format!("{} behind the coded data", size(decoded.trailing)));
    let parts: Vec<String> = done.into_iter().chain(stopped).chain(wide).chain(behind).collect();
    (!parts.is_empty() && coded > 0).then(|| parts.join("; "))
}

/// The body without its chunk framing (RFC 9112, section 7.1), and the trailers; what does not parse is kept as it is.
fn without_chunks(mut rest: &[u8]) -> (Vec<u8>, Vec<(String, String)>) {
    let mut out = Vec::with_capacity(rest.len());
    while let Some(end) = memchr(b'\n', rest) {
        let digits = rest[..end].split(|&b| b == b';').next().unwrap_or_default();
        let size =
            std::str::from_utf8(digits).ok().and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
        let Some(size) = size else { break };
        rest = &rest[end + 1..];
        if size == 0 {
            let trailers = String::from_utf8_lossy(rest);
            return (out, trailers.lines().take_while(|line| !line.is_empty()).map(field).collect());
        }
        let taken = size.min(rest.len());
        out.extend_from_slice(&rest[..taken]);
        rest = &rest[taken..];
        rest = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n")).unwrap_or(rest);
    }
    out.extend_from_slice(rest);
    (out, Vec::new())
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        _ if bytes < 1 << 20 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64),
    }
}

/// Characters of a row of [`hex`] with this many bytes.
pub const fn hex_width(per_row: usize) -> usize {
    OFFSET + per_row * 4 + 1
}

/// Characters of the offset before the bytes of a row, and of the blanks behind it.
const OFFSET: usize = 6;

/// Rows of bytes, `per_row` (at least one) in each: the offset, the bytes in hexadecimal, and what of them is ASCII.
pub fn hex(bytes: &[u8], per_row: usize) -> String {
    let per_row = per_row.max(1);
    let mut out = String::new();
    for (row, chunk) in bytes.chunks(per_row).enumerate() {
        let mut line = format!("{:04x}  ", row * per_row);
        for byte in chunk {
            // Writing to a string cannot fail.
            let _ = write!(line, "{byte:02x} ");
        }
        let text: String =
            chunk.iter().map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { '.' }).collect();
        let _ = writeln!(out, "{line:<width$}{text}", width = OFFSET + per_row * 3 + 1);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(head: usize, bytes: &[u8], framing: Framing, cut: bool) -> Shown {
        let message =
            Message { head_bytes: head as u32, framing, state: MessageState::Complete, ..Message::default() };
        show(&message, Protocol::Http11, Side::Server, &Excerpt { bytes: bytes.to_vec(), cut })
    }

    fn text(words: &str) -> Body {
        Body::Text(words.to_owned())
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_message_is_split_into_head_and_body() {
        let head = b"HTTP/1.1 200 OK\r\nServer: x\r\nX-Odd\r\n\r\n";
        let shown = of(head.len(), &[head.as_slice(), b"hello"].concat(), Framing::Length(5), false);
        assert_eq!(shown.start_line, "HTTP/1.1 200 OK");
        assert_eq!(shown.headers, [pair("Server", "x"), pair("", "X-Odd")]);
        assert_eq!((shown.body, shown.notes.len()), (text("hello"), 0));
    }

    #[test]
    fn a_coded_body_is_shown_as_what_it_means() {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(b"{\"ok\":true}").unwrap();
        let coded = encoder.finish().unwrap();
        let head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n";
        let show = |body: &[u8], cut| of(head.len(), &[head, body].concat(), Framing::None, cut);
        let whole = show(&[&coded[..], b"!"].concat(), false);
        assert_eq!(whole.body, text("{\n  \"ok\": true\n}"));
        let notes = [
            "gzip: 32 bytes decoded to 11 bytes; 1 bytes behind the coded data",
            "JSON, laid out for reading",
        ];
        assert_eq!(whole.notes, notes);
        assert_eq!(show(&coded[..6], false).notes[0], "the coded bytes end too early");
        let cut = show(&coded[..20], true);
        assert_eq!(cut.notes[0], "only the first 63 bytes are shown");
        assert!(cut.notes[1].ends_with("the rest was not read"), "{:?}", cut.notes);
    }

    #[test]
    fn chunk_framing_is_taken_off_and_damage_kept() {
        let plain = |bytes| without_chunks(bytes).0;
        assert_eq!(plain(b"5;x=1\r\nhello\r\n1\n!\n0\r\n\r\n"), b"hello!");
        assert_eq!(plain(b"ffff\r\nshort"), b"short");
        assert_eq!(plain(b"zz\r\nkept"), b"zz\r\nkept");
        assert_eq!(plain(b""), b"");
        let shown = of(0, b"1\r\na\r\n0\r\nDigest: x\r\n\r\n", Framing::Chunked, false);
        assert_eq!((shown.body, shown.headers), (text("a"), vec![pair("Digest", "x")]));
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_hexadecimal() {
        let shown = of(0, &[0, 255, 65], Framing::None, false);
        assert_eq!(shown.body, Body::Bytes(vec![0, 255, 65]));
        assert_eq!(shown.notes, ["not text, shown as bytes"]);
        let long = of(0, &[1; HEX_LIMIT + 1], Framing::None, false);
        assert!(matches!(&long.body, Body::Bytes(bytes) if bytes.len() == HEX_LIMIT));
        assert_eq!(long.notes, ["not text, the first 2.0 KiB shown as bytes"]);
    }

    #[test]
    fn rows_of_bytes_are_as_wide_as_was_asked_for() {
        let bytes: Vec<u8> = (0x3a..0x4f).collect();
        for per_row in [4, 8, 16] {
            let rows = hex(&bytes, per_row);
            let rows: Vec<&str> = rows.lines().collect();
            assert_eq!(rows.len(), bytes.len().div_ceil(per_row));
            assert_eq!(rows[0].len(), hex_width(per_row), "{:?}", rows[0]);
            // Of a last row that is short the text still stands below the others'.
            let at = rows[0].len() - per_row;
            assert!(rows[rows.len() - 1][..at].ends_with("  ") && rows[rows.len() - 1].ends_with('N'));
        }
        assert!(hex(&bytes, 8).starts_with("0000  3a 3b 3c 3d 3e 3f 40 41  :;<=>?@A\n0008  42"));
    }

    #[test]
    fn variables_are_shown_as_such() {
        let packet =
            b"\0\x2b\0\0\x0e\0REQUEST_METHOD\x04\0POST\x0b\0REQUEST_URI\x06\0/a?b=ceverything".to_vec();
        let message = Message { head_bytes: 47, ..Message::default() };
        let excerpt = Excerpt { bytes: packet, cut: false };
        let shown = show(&message, Protocol::Uwsgi, Side::Client, &excerpt);
        assert_eq!((shown.start_line.as_str(), shown.body), ("POST /a?b=c", text("everything")));
        assert_eq!(shown.headers, [pair("REQUEST_METHOD", "POST"), pair("REQUEST_URI", "/a?b=c")]);
        assert_eq!(shown.notes, ["uwsgi packet, modifiers 0 and 0"]);
    }

    #[test]
    fn fastcgi_records_are_put_together() {
        let record =
            |kind: u8, content: &[u8]| [&[1, kind, 0, 1, 0, content.len() as u8, 5, 0], content].concat();
        let show =
            |from, bytes| show(&Message::default(), Protocol::FastCgi, from, &Excerpt { bytes, cut: false });
        let vars = b"\x0e\x04REQUEST_METHODPOST\x0b\x02REQUEST_URI/a";
        let request = [
            record(1, &[0, 1, 0, 0, 0, 0, 0, 0]),
            record(4, &vars[..9]),
            record(4, &vars[9..]),
            record(4, b""),
            record(5, b"a=1"),
            record(5, b""),
        ]
        .concat();
        let shown = show(Side::Client, request);
        assert_eq!((shown.start_line.as_str(), shown.body), ("POST /a", text("a=1")));
        assert_eq!(shown.notes, ["FastCGI, 6 records"]);
        let head = b"Status: 404 Not Found\r\nContent-Type: application/json\r\n\r\n";
        let response =
            [record(6, head), record(6, b"[1"), record(6, b"]"), record(3, &[0, 0, 0, 9, 0, 0, 0, 0])];
        let shown = show(Side::Server, response.concat());
        assert_eq!(shown.headers[0], pair("Status", "404 Not Found"));
        assert_eq!(shown.body, text("[\n  1\n]"));
        assert_eq!(shown.notes[1], "END_REQUEST: complete, application status 9");
    }
}
