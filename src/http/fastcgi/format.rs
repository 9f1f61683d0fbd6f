//! The format of FastCGI: record headers, variables, and what connections begin with.

use crate::tcp::Side;

/// Bytes of a record's header.
pub(in crate::http) const HEADER: usize = 8;

/// The record types that are read (section 8).
pub(in crate::http) mod kind {
    pub const BEGIN_REQUEST: u8 = 1;
    pub const ABORT_REQUEST: u8 = 2;
    pub const END_REQUEST: u8 = 3;
    pub const PARAMS: u8 = 4;
    pub const STDIN: u8 = 5;
    pub const STDOUT: u8 = 6;
    pub const STDERR: u8 = 7;
    pub const GET_VALUES: u8 = 9;
    pub const GET_VALUES_RESULT: u8 = 10;
    pub const LAST: u8 = 11;
}

/// The pairs of a stream of variables (section 3.4): lengths of one byte, or of four with the high bit set.
pub(in crate::http) struct Pairs<'a>(pub(in crate::http) &'a [u8]);

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let mut length = || {
            let (&first, rest) = self.0.split_first()?;
            if first < 0x80 {
                self.0 = rest;
                return Some(usize::from(first));
            }
            let (long, rest) = self.0.split_first_chunk::<4>()?;
            self.0 = rest;
            Some((u32::from_be_bytes(*long) & 0x7fff_ffff) as usize)
        };
        let (name_len, value_len) = (length()?, length()?);
        let (name, rest) = self.0.split_at_checked(name_len)?;
        let (value, rest) = rest.split_at_checked(value_len)?;
        self.0 = rest;
        Some((name, value))
    }
}

/// Whether the bytes start a record as this side opens with, or goes on with; `None` when more are needed.
pub(in crate::http) fn starts_record(from: Side, bytes: &[u8]) -> Option<bool> {
    if bytes.get(1).is_some_and(|&b| matches!(b, kind::GET_VALUES | kind::GET_VALUES_RESULT)) {
        return starts_values(from, bytes);
    }
    let fits = |at: usize, test: &dyn Fn(u8) -> bool| bytes.get(at).map(|&b| test(b));
    let checks: &[(usize, &dyn Fn(u8) -> bool)] = match from {
        // BEGIN_REQUEST has 8 bytes of content: role 1 to 3, flags, and 5 zeros.
        Side::Client => &[
            (0, &|b| b == 1),
            (1, &|b| b == kind::BEGIN_REQUEST),
            (4, &|b| b == 0),
            (5, &|b| b == 8),
            (7, &|b| b == 0),
            (8, &|b| b == 0),
            (9, &|b| (1..=3).contains(&b)),
            (10, &|b| b <= 1),
            (15, &|b| b == 0),
        ],
        Side::Server => &[
            (0, &|b| b == 1),
            (1, &|b| matches!(b, kind::END_REQUEST | kind::STDOUT | kind::STDERR)),
            (6, &|b| b < 8),
            (7, &|b| b == 0),
        ],
    };
    for &(at, test) in checks {
        if !fits(at, test)? {
            return Some(false);
        }
    }
    Some(true)
}

/// Whether the bytes start a record that asks what the application can, or answers this (section 4.1). Such records are
/// of no request.
fn starts_values(from: Side, bytes: &[u8]) -> Option<bool> {
    let asks = from == Side::Client;
    let start = [1, if asks { kind::GET_VALUES } else { kind::GET_VALUES_RESULT }, 0, 0];
    let known = bytes.len().min(start.len());
    if bytes[..known] != start[..known] || bytes.get(7).is_some_and(|&reserved| reserved != 0) {
        return Some(false);
    }
    let header = bytes.first_chunk::<HEADER>()?;
    let content = usize::from(u16::from_be_bytes([header[4], header[5]]));
    // The names are told by the specification; a question has no values.
    const NAME: &[u8] = b"FCGI_";
    if content < 2 + NAME.len() {
        return Some(!asks && content == 0);
    }
    if asks && bytes.get(HEADER + 1).is_some_and(|&len| len != 0) {
        return Some(false);
    }
    let name = bytes.get(HEADER + 2..).unwrap_or_default();
    let known = name.len().min(NAME.len());
    if name[..known] != NAME[..known] {
        return Some(false);
    }
    (known == NAME.len()).then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_question_for_values_and_its_answer() {
        let asks = b"\x01\x09\0\0\0\x10\0\0\x0e\0FCGI_MAX_CONNS";
        let tells = b"\x01\x0a\0\0\0\x11\0\0\x0e\x01FCGI_MAX_CONNS1";
        assert_eq!(starts_record(Side::Client, asks), Some(true));
        assert_eq!(starts_record(Side::Server, tells), Some(true));
        assert_eq!(starts_record(Side::Server, asks), Some(false));
        assert_eq!(starts_record(Side::Client, tells), Some(false));
        for cut in 0..15 {
            assert_eq!(starts_record(Side::Client, &asks[..cut]), None, "{cut} bytes");
        }
        assert_eq!(starts_record(Side::Client, b"\x01\x09\0\0\0\x10\0\0\x0e\0ACGI_"), Some(false));
    }
}
