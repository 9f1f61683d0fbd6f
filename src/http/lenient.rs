//! Heads that break the grammar, read as peers that are lenient read them (RFC 9112, sections 2.2, 3, 5).

use std::borrow::Cow;

use memchr::memchr;

use super::Version;
use super::oddity::{Oddities, Oddity};

/// A head line by line.
#[derive(Debug, Default)]
pub(super) struct LenientHead<'a> {
    /// The request or status line, without its end.
    pub start_line: &'a [u8],
    /// The fields that have a name, in order.
    pub fields: Vec<(&'a [u8], Cow<'a, [u8]>)>,
    /// Number of lines behind the first.
    pub lines: usize,
    /// What was odd.
    pub oddities: Oddities,
}

impl LenientHead<'_> {
    /// Whether a line is no header field.
    pub fn has_invalid_line(&self) -> bool {
        use Oddity::{BadName, ControlByte, NoColon, SpaceBeforeColon};
        [BadName, ControlByte, NoColon, SpaceBeforeColon].into_iter().any(|o| self.oddities.has(o))
    }
}

/// Reads a head. One that was cut (`whole` false) loses its last line, which may not be whole, unless it is the
/// only one.
pub(super) fn read(bytes: &[u8], whole: bool) -> LenientHead<'_> {
    let mut head = LenientHead::default();
    let mut rest = bytes;
    let mut first = true;
    while !rest.is_empty() {
        let end = memchr(b'\n', rest);
        if end.is_none() && !whole && !first {
            break;
        }
        let line = &rest[..end.unwrap_or(rest.len())];
        rest = end.map_or(&[][..], |end| &rest[end + 1..]);
        let line = match line.strip_suffix(b"\r") {
            Some(line) => line,
            None => {
                if end.is_some() {
                    head.oddities.add(Oddity::BareLf);
                }
                line
            }
        };
        if first {
            // Empty lines before the first one are skipped.
            if line.is_empty() {
                continue;
            }
            head.start_line = line;
            first = false;
        } else if line.is_empty() {
            break;
        } else {
            head.lines += 1;
            field(line, &mut head);
        }
    }
    head
}

fn field<'a>(line: &'a [u8], head: &mut LenientHead<'a>) {
    if line.iter().any(|&b| b < b' ' && b != b'\t' || b == 0x7f) {
        head.oddities.add(Oddity::ControlByte);
    }
    if matches!(line[0], b' ' | b'\t')
        && let Some((_, value)) = head.fields.last_mut()
    {
        head.oddities.add(Oddity::Folded);
        let value = value.to_mut();
        value.push(b' ');
        value.extend_from_slice(line.trim_ascii());
        return;
    }
    let Some(colon) = memchr(b':', line) else {
        head.oddities.add(Oddity::NoColon);
        return;
    };
    let blanks = line[..colon].iter().rev().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let name = &line[..colon - blanks];
    if blanks > 0 {
        head.oddities.add(Oddity::SpaceBeforeColon);
    }
    if name.is_empty() || !name.iter().copied().all(is_token_byte) {
        head.oddities.add(Oddity::BadName);
    }
    if !name.is_empty() {
        head.fields.push((name, Cow::Borrowed(line[colon + 1..].trim_ascii())));
    }
}

/// A byte of a token (RFC 9110, section 5.6.2).
#[inline]
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Method, target and version of a request line. A target with blanks in it is kept whole.
pub(super) fn request_line<'a>(
    line: &'a [u8],
    oddities: &mut Oddities,
) -> (&'a [u8], &'a [u8], Option<Version>) {
    let trimmed = line.trim_ascii();
    let blank = trimmed.iter().position(u8::is_ascii_whitespace).unwrap_or(trimmed.len());
    let (method, rest) = trimmed.split_at(blank);
    let rest = rest.trim_ascii();
    let last = rest.iter().rposition(u8::is_ascii_whitespace).map_or(0, |at| at + 1);
    let (target, version) = match version_number(&rest[last..], oddities) {
        Some(number) => (rest[..last].trim_ascii(), version(number, oddities)),
        None => (rest, None),
    };
    let spaces = usize::from(!target.is_empty()) + usize::from(version.is_some());
    let words = trimmed.split(u8::is_ascii_whitespace).count();
    if words != spaces + 1 || trimmed.len() != line.len() || version.is_none() || trimmed.contains(&b'\t') {
        oddities.add(Oddity::RequestLine);
    }
    if !method.iter().copied().all(is_token_byte) || method.iter().any(u8::is_ascii_lowercase) {
        oddities.add(Oddity::Method);
    }
    if !target.is_ascii() {
        oddities.add(Oddity::Target);
    }
    (method, target, version)
}

/// What stands behind `HTTP/` in a request line. Its case counts (RFC 9112, section 2.3), and not for all servers; clients
/// take no other in a response.
fn version_number<'a>(word: &'a [u8], oddities: &mut Oddities) -> Option<&'a [u8]> {
    let (name, number) = word.split_first_chunk::<5>()?;
    if !name.eq_ignore_ascii_case(b"HTTP/") {
        return None;
    }
    if name != b"HTTP/" {
        oddities.add(Oddity::Version);
    }
    Some(number)
}

fn version(number: &[u8], oddities: &mut Oddities) -> Option<Version> {
    match number {
        b"1.1" => Some(Version::Http11),
        b"1.0" => Some(Version::Http10),
        _ => {
            oddities.add(Oddity::Version);
            Some(if number.starts_with(b"0") { Version::Http10 } else { Version::Http11 })
        }
    }
}

/// Version and status of a status line, also of one that was cut behind the status.
pub(super) fn status_line(line: &[u8], oddities: &mut Oddities) -> Option<(Version, u16)> {
    let rest = line.strip_prefix(b"HTTP/")?;
    let blank = rest.iter().position(u8::is_ascii_whitespace)?;
    let version = version(&rest[..blank], oddities)?;
    let rest = &rest[blank..];
    let digits = rest.trim_ascii_start();
    if rest.len() - digits.len() > 1 {
        oddities.add(Oddity::StatusLine);
    }
    let (status, behind) = digits.split_first_chunk::<3>()?;
    if !status.iter().all(u8::is_ascii_digit) || behind.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    if behind.is_empty() {
        oddities.add(Oddity::NoReason);
    }
    Some((version, status.iter().fold(0, |all, &b| all * 10 + u16::from(b - b'0'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_request_lines_as_lenient_servers_do() {
        let cases: [(&[u8], _); 9] = [
            (b"GET /a HTTP/1.1", ("GET", "/a", Some(Version::Http11))),
            (b"GET  /a b  HTTP/1.0", ("GET", "/a b", Some(Version::Http10))),
            (b"get /\xc3\xa9 HTTP/1.1", ("get", "/\u{e9}", Some(Version::Http11))),
            (b"GET\t/a HTTP/1.1", ("GET", "/a", Some(Version::Http11))),
            (b"GET /a http/1.0", ("GET", "/a", Some(Version::Http10))),
            (b"GET /a", ("GET", "/a", None)),
            (b"GET", ("GET", "", None)),
            (b"GET /a HTTP/3.7", ("GET", "/a", Some(Version::Http11))),
            (b"", ("", "", None)),
        ];
        for (line, (method, target, version)) in cases {
            let mut odd = Oddities::default();
            let read = request_line(line, &mut odd);
            assert_eq!(read, (method.as_bytes(), target.as_bytes(), version));
            assert_eq!(odd.is_empty(), line == b"GET /a HTTP/1.1", "{}", line.escape_ascii());
        }
    }

    #[test]
    fn reads_status_lines_and_refuses_what_is_none() {
        let mut odd = Oddities::default();
        assert_eq!(status_line(b"HTTP/1.1 200 OK", &mut odd), Some((Version::Http11, 200)));
        assert!(odd.is_empty());
        assert_eq!(status_line(b"HTTP/1.0  404", &mut odd), Some((Version::Http10, 404)));
        assert!(odd.has(Oddity::NoReason) && odd.has(Oddity::StatusLine));
        assert_eq!(status_line(b"HTTP/1.1 2000 OK", &mut odd), None);
        assert_eq!(status_line(b"HTTP/1.1 20", &mut odd), None);
        assert_eq!(status_line(b"ICY 200 OK", &mut odd), None);
    }

    #[test]
    fn names_what_is_wrong_with_header_lines() {
        let head =
            read(b"X\r\nA: 1\r\n and more\r\nB : 2\nno colon\r\n: 3\r\nC: \x01\r\n\r\nbody: 1\r\n", true);
        let fields: Vec<_> = head.fields.iter().map(|(name, value)| (*name, &**value)).collect();
        let expected: [(&[u8], &[u8]); 3] = [(b"A", b"1 and more"), (b"B", b"2"), (b"C", b"\x01")];
        assert_eq!((fields.as_slice(), head.lines), (expected.as_slice(), 6));
        for oddity in [
            Oddity::Folded,
            Oddity::SpaceBeforeColon,
            Oddity::BareLf,
            Oddity::NoColon,
            Oddity::BadName,
            Oddity::ControlByte,
        ] {
            assert!(head.oddities.has(oddity), "{oddity:?}");
        }
        assert_eq!(read(b"X\r\nA: 1\r\nB: cu", false).fields.len(), 1);
    }
}
