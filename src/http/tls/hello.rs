//! What ClientHello and ServerHello say (RFC 8446, section 4.1; RFC 5246, section 7.4.1).

use super::TlsFacts;

/// Kinds of hello, as the handshake protocol numbers them.
pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;

/// The random of a ServerHello that asks for another ClientHello (RFC 8446, section 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Extensions that are read.
mod extension {
    pub const SERVER_NAME: usize = 0;
    pub const ALPN: usize = 16;
    pub const PRE_SHARED_KEY: usize = 41;
    pub const SUPPORTED_VERSIONS: usize = 43;
}

/// Whether the body of a ServerHello is that of a HelloRetryRequest.
pub(super) fn asks_again(body: &[u8]) -> bool {
    body.get(2..34) == Some(&RETRY)
}

/// Takes what a hello says. Of one that is cut short, or makes no sense from some place on, the server's name and the
/// protocols count where they stand before; a version does not, for a later extension may overrule it.
pub(super) fn read(kind: u8, body: &[u8], facts: &mut TlsFacts) {
    let mut told = TlsFacts::default();
    match kind {
        CLIENT_HELLO => {
            let whole = client(body, &mut told).is_some();
            facts.server_name = told.server_name;
            facts.alpn_offered = told.alpn_offered;
            facts.offered = told.offered.filter(|_| whole);
        }
        SERVER_HELLO if server(body, &mut told).is_some() => {
            facts.version = told.version;
            facts.cipher = told.cipher;
            facts.alpn = told.alpn;
            facts.resumed |= told.resumed;
        }
        _ => {}
    }
}

fn client(body: &[u8], told: &mut TlsFacts) -> Option<()> {
    let mut fields = Fields(body);
    told.offered = Some(fields.number(2)? as u16);
    fields.take(32)?;
    fields.vector(1)?;
    fields.vector(2)?;
    fields.vector(1)?;
    each_extension(fields, |number, mut extension| {
        match number {
            extension::SERVER_NAME => {
                let mut list = extension.vector(2)?;
                list.take(1)?;
                told.server_name = Some(text(list.vector(2)?.0));
            }
            extension::ALPN => told.alpn_offered = Some(names(&mut extension)?),
            extension::SUPPORTED_VERSIONS => {
                let mut list = extension.vector(1)?;
                let mut highest = None;
                while let Some(version) = list.number(2) {
                    if version & 0x0f0f != GREASE {
                        highest = highest.max(Some(version as u16));
                    }
                }
                told.offered = highest.or(told.offered);
            }
            _ => {}
        }
        Some(())
    })
}

/// Reserved values that clients strew in, so that servers learn to ignore what they do not know (RFC 8701).
const GREASE: usize = 0x0a0a;

fn server(body: &[u8], told: &mut TlsFacts) -> Option<()> {
    let mut fields = Fields(body);
    told.version = Some(fields.number(2)? as u16);
    fields.take(32)?;
    fields.vector(1)?;
    told.cipher = Some(fields.number(2)? as u16);
    fields.take(1)?;
    each_extension(fields, |number, mut extension| {
        match number {
            extension::ALPN => told.alpn = Some(names(&mut extension)?),
            extension::SUPPORTED_VERSIONS => told.version = Some(extension.number(2)? as u16),
            extension::PRE_SHARED_KEY => told.resumed = true,
            _ => {}
        }
        Some(())
    })
}

/// Hands on each extension by its number; a hello of old may have none.
fn each_extension<'a>(
    mut fields: Fields<'a>,
    mut take: impl FnMut(usize, Fields<'a>) -> Option<()>,
) -> Option<()> {
    if fields.0.is_empty() {
        return Some(());
    }
    let len = fields.number(2)?;
    // Where the list is cut, those in front are there.
    let mut all = Fields(fields.0.get(..len).unwrap_or(fields.0));
    while !all.0.is_empty() {
        let number = all.number(2)?;
        take(number, all.vector(2)?)?;
    }
    (len <= fields.0.len()).then_some(())
}

/// A list of protocol names, separated by commas.
fn names(extension: &mut Fields<'_>) -> Option<Box<str>> {
    let mut list = extension.vector(2)?;
    let mut names = Vec::new();
    while !list.0.is_empty() {
        names.push(text(list.vector(1)?.0));
    }
    Some(names.join(",").into())
}

fn text(bytes: &[u8]) -> Box<str> {
    bytes.escape_ascii().to_string().into()
}

/// Reads big-endian fields one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |all, &b| all << 8 | usize::from(b)))
    }

    /// A vector behind its length of so many bytes.
    fn vector(&mut self, length_bytes: usize) -> Option<Fields<'a>> {
        let len = self.number(length_bytes)?;
        self.take(len).map(Fields)
    }
}
