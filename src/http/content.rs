//! What bytes of a body are, told by the bytes themselves and by what their sender calls them, and as text to be read.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use serde::de::IgnoredAny;

/// How often its length a text may grow by laying it out; what nests deeper is shown as it was sent.
const MAX_GROWTH: usize = 8;
/// How many bytes decide whether a body looks like markup.
const MARKUP_START: usize = 512;

/// What the first bytes of well-known formats are (WHATWG MIME Sniffing, section 6, and the formats' own standards).
const SIGNATURES: [(usize, &[u8], &str); 20] = [
    (0, b"\x89PNG\r\n\x1a\n", "PNG image"),
    (0, b"\xff\xd8\xff", "JPEG image"),
    (0, b"GIF87a", "GIF image"),
    (0, b"GIF89a", "GIF image"),
    (8, b"WEBP", "WebP image"),
    (8, b"WAVE", "WAVE audio"),
    (4, b"ftypavif", "AVIF image"),
    (4, b"ftyp", "MP4 media"),
    (0, b"\0\0\x01\0", "icon"),
    (0, b"ID3", "MP3 audio"),
    (0, b"OggS\0", "Ogg media"),
    (0, b"\x1a\x45\xdf\xa3", "WebM media"),
    (0, b"%PDF-", "PDF document"),
    (0, b"PK\x03\x04", "ZIP archive"),
    (0, b"\x1f\x8b\x08", "gzip data"),
    (0, b"\x28\xb5\x2f\xfd", "zstd data"),
    (0, b"wOFF", "WOFF font"),
    (0, b"wOF2", "WOFF font"),
    (0, b"\0asm", "WebAssembly"),
    (0, b"\x7fELF", "ELF program"),
];

/// A body as it is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// What it is, in a word or two: `JSON`, `PNG image`; empty where nothing tells.
    pub kind: &'static str,
    /// The text, laid out where that helps; `None` for bytes that are no text.
    pub text: Option<String>,
    /// What to know about it.
    pub notes: Vec<String>,
}

/// What a body is. `declared` is its Content-Type; `whole` says whether these are all bytes of it.
pub fn content(body: &[u8], declared: Option<&str>, whole: bool) -> Content {
    let declared = declared.unwrap_or_default().to_ascii_lowercase();
    let media_type = declared.split(';').next().unwrap_or_default().trim();
    let signature = SIGNATURES
        .iter()
        .find(|(at, bytes, _)| body.get(*at..).is_some_and(|behind| behind.starts_with(bytes)));
    if let Some((_, _, kind)) = signature {
        return Content { kind, ..Content::default() };
    }
    let mut notes = Vec::new();
    let Some(text) = text(body, media_type, charset(&declared), &mut notes) else {
        return Content { notes, ..Content::default() };
    };
    let says_json = media_type == "application/json" || media_type.ends_with("+json");
    let (kind, laid_out) = if is_json(&text, whole) {
        ("JSON", json(&text))
    } else if media_type == "application/x-www-form-urlencoded" && !text.is_empty() {
        ("form", Some(form(&text)))
    } else {
        (markup(&text), None)
    };
    if says_json && kind != "JSON" && !text.is_empty() {
        notes.push("declared as JSON, and is none".to_owned());
    }
    if laid_out.is_some() {
        notes.insert(0, format!("{kind}, laid out for reading"));
    }
    Content { kind, text: Some(laid_out.unwrap_or_else(|| text.into_owned())), notes }
}

/// The `charset` parameter of a content type.
fn charset(declared: &str) -> Option<&str> {
    let parameters = declared.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let value = parameters.filter(|(name, _)| name.trim() == "charset").map(|(_, value)| value).next()?;
    Some(value.trim().trim_matches('"'))
}

/// The body as text, if it is one: by its byte order mark, else by what its sender says, else UTF-8 (RFC 8259,
/// section 8.1, for JSON), else, for a declared text, what browsers take then.
fn text<'a>(
    body: &'a [u8],
    media_type: &str,
    charset: Option<&str>,
    notes: &mut Vec<String>,
) -> Option<Cow<'a, str>> {
    let known = charset.and_then(|name| Encoding::for_label(name.as_bytes()));
    if let (Some(name), None) = (charset, known) {
        notes.push(format!("the charset {name} is not known here"));
    }
    let marked = Encoding::for_bom(body).map(|(encoding, _)| encoding);
    let encoding = marked.or(known).unwrap_or(UTF_8);
    let (mut text, mut used) = (whole_characters(body, encoding), encoding);
    if text.is_none() && marked.is_none() && known.is_none() && media_type.starts_with("text/") {
        (text, used) = (whole_characters(body, WINDOWS_1252), WINDOWS_1252);
        notes.push("no charset is given".to_owned());
    }
    let text = text.filter(|text| text.chars().all(is_printable))?;
    if used != UTF_8 && !text.is_ascii() {
        notes.push(format!("read as {}", used.name()));
    }
    Some(text)
}

/// The text in an encoding; `None` where bytes are none in it. One cut in the middle of a character is text all the same.
fn whole_characters<'a>(body: &'a [u8], encoding: &'static Encoding) -> Option<Cow<'a, str>> {
    if encoding == UTF_8 {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        return match std::str::from_utf8(body) {
            Ok(text) => Some(text.into()),
            Err(error) if error.error_len().is_none() => {
                std::str::from_utf8(&body[..error.valid_up_to()]).ok().map(Into::into)
            }
            Err(_) => None,
        };
    }
    let (text, malformed) = encoding.decode_with_bom_removal(body);
    // At the very end a character may have been cut.
    let early = text.trim_end_matches('\u{fffd}').contains('\u{fffd}');
    (!malformed || !early).then_some(text)
}

fn is_printable(c: char) -> bool {
    !c.is_control() || matches!(c, '\n' | '\r' | '\t')
}

/// Whether the text is an object or an array of JSON, or the start of one where more was not read.
fn is_json(text: &str, whole: bool) -> bool {
    if !text.trim_start().starts_with(['{', '[']) {
        return false;
    }
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => true,
        Err(error) => error.is_eof() && !whole,
    }
}

/// JSON with a line for each value. Only the space between tokens changes: numbers and strings stay as they were sent.
fn json(text: &str) -> Option<String> {
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    let mut out = String::with_capacity(text.len() * 2);
    // `opened`: behind a bracket that nothing follows yet.
    let (mut depth, mut opened, mut in_string, mut escaped) = (0_usize, false, false, false);
    for c in text.chars() {
        if in_string {
            out.push(c);
            (in_string, escaped) = (escaped || c != '"', !escaped && c == '\\');
            continue;
        }
        if c.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(c, '}' | ']');
        depth -= usize::from(closes && depth > 0);
        if opened != closes {
            line(&mut out, depth);
        }
        opened = matches!(c, '{' | '[');
        depth += usize::from(opened);
        in_string = c == '"';
        out.push(c);
        match c {
            ',' => line(&mut out, depth),
            ':' => out.push(' '),
            _ => {}
        }
        if out.len() > MAX_GROWTH * text.len() + 1024 {
            return None;
        }
    }
    Some(out)
}

/// A submitted form with a line for each field (WHATWG URL, section 5.1).
fn form(text: &str) -> String {
    let lines = text.split('&').map(|field| {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        format!("{} = {}", unescaped(name), unescaped(value))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let escaped = digits
            .filter(|_| byte == b'%')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        out.push(escaped.unwrap_or(if byte == b'+' { b' ' } else { byte }));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    let text = String::from_utf8_lossy(&out);
    text.chars().map(|c| if is_printable(c) { c } else { '\u{fffd}' }).collect()
}

/// Markup by how it begins.
fn markup(text: &str) -> &'static str {
    let start: String = text.trim_start().chars().take(MARKUP_START).collect::<String>().to_ascii_lowercase();
    if start.starts_with("<!doctype html") || start.starts_with("<html") || start.contains("<html") {
        "HTML"
    } else if start.starts_with("<?xml") {
        "XML"
    } else if text.is_empty() {
        ""
    } else {
        "text"
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(body: &[u8], declared: &str) -> (&'static str, String, String) {
        let content = content(body, Some(declared), true);
        (content.kind, content.text.unwrap_or_default(), content.notes.join("; "))
    }

    #[test]
    fn json_is_laid_out_without_touching_its_values() {
        let body = br#"{"a":1.0e5 ,"b":[],"c":{"d": "x, {y} \" z"},"e":[12345678901234567890,null]}"#;
        let expected = "{\n  \"a\": 1.0e5,\n  \"b\": [],\n  \"c\": {\n    \"d\": \"x, {y} \\\" z\"\n  },\n  \
                        \"e\": [\n    12345678901234567890,\n    null\n  ]\n}";
        assert_eq!(of(body, "text/plain"), ("JSON", expected.into(), "JSON, laid out for reading".into()));
        let cut = content(b"{\"a\": [1, 2", None, false);
        assert_eq!((cut.kind, cut.text.as_deref()), ("JSON", Some("{\n  \"a\": [\n    1,\n    2")));
        assert_eq!(of(b"{\"a\": [1, 2", "application/json").2, "declared as JSON, and is none");
        assert_eq!(of(b"<html>Bad Gateway", "application/json").0, "HTML");
        let deep = "[".repeat(100_000);
        assert_eq!(content(deep.as_bytes(), None, false).text, Some(deep), "too deep to be laid out");
    }

    #[test]
    fn charsets_are_read() {
        let text = |body: &[u8], declared| of(body, declared).1;
        assert_eq!(text("Zürich".as_bytes(), "text/plain"), "Zürich");
        assert_eq!(of(b"Z\xfcrich", "text/html; charset=\"ISO-8859-1\"").1, "Zürich");
        assert_eq!(
            of(b"Z\xfcrich", "text/html"),
            ("text", "Zürich".into(), "no charset is given; read as windows-1252".into())
        );
        assert_eq!(text(b"\xff\xfeZ\0\xfc\0", "text/plain"), "Zü");
        assert_eq!(text(b"\x93\xfa\x96\x7b", "text/plain; charset=shift_jis"), "日本");
        assert_eq!(text(&"é".as_bytes()[..1], "text/plain; charset=utf-8"), "", "cut in a character");
        assert_eq!(content(b"Z\xfcrich", None, true).text, None, "nobody says that it is text");
        assert_eq!(content(b"a\0b", Some("text/plain"), true).text, None);
    }

    #[test]
    fn kinds_are_told_by_content() {
        assert_eq!(of(b"\x89PNG\r\n\x1a\n\0\0", "text/html").0, "PNG image");
        assert_eq!(of(b"RIFF\x10\0\0\0WEBPVP8 ", "").0, "WebP image");
        assert_eq!(of(b" <!DOCTYPE html><title>502", "").0, "HTML");
        assert_eq!(of(b"<?xml version='1.0'?><a/>", "").0, "XML");
        assert_eq!(of(b"", ""), ("", String::new(), String::new()));
        assert_eq!(
            of(b"a=1&b=x+y%26%zz&c", "application/x-www-form-urlencoded").1,
            "a = 1\nb = x y&%zz\nc = "
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), which in 0..6_usize) {
            let declared = ["", "text/html", "application/json", "text/plain; charset=utf-16", "x;charset=gb18030",
                "application/x-www-form-urlencoded"][which];
            let text = content(&bytes, Some(declared), bytes.len() % 2 == 0).text.unwrap_or_default();
            prop_assert!(text.chars().all(|c| !c.is_control() || "\n\r\t".contains(c)));
        }
    }
}
