//! A request told as CGI variables (RFC 3875, section 4.1), as uwsgi and FastCGI send it.

use super::head::{self, RequestHead};
use super::load::Context;
use super::{ExchangeFlags, Framing, HeaderDigest, Version};

/// The head that variables tell. `HTTP_X_REQUEST_ID` becomes the header `x-request-id`, so that one request has
/// equal digests on all its hops, whatever their protocols.
pub(super) fn request<'a>(
    vars: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    context: &mut Context,
) -> RequestHead {
    let mut head = RequestHead::default();
    let (mut method, mut uri, mut path, mut query) = (&b""[..], &b""[..], &b""[..], &b""[..]);
    context.digests.clear();
    for (name, value) in vars {
        match name {
            b"REQUEST_METHOD" => method = value,
            b"REQUEST_URI" => uri = value,
            b"PATH_INFO" | b"DOCUMENT_URI" if path.is_empty() => path = value,
            b"QUERY_STRING" => query = value,
            b"SERVER_PROTOCOL" => {
                head.version = if value == b"HTTP/1.0" { Version::Http10 } else { Version::Http11 };
            }
            b"CONTENT_LENGTH" if !value.is_empty() => {
                let length = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
                head.framing = length.map_or(Framing::None, Framing::Length);
                push(b"content-length", value, context);
            }
            b"CONTENT_TYPE" if !value.is_empty() => push(b"content-type", value, context),
            b"REMOTE_ADDR" => push(b"remote-addr", value, context),
            b"REMOTE_PORT" => push(b"remote-port", value, context),
            // Sent beside their variables of their own by some servers; one is enough.
            b"HTTP_CONTENT_LENGTH" | b"HTTP_CONTENT_TYPE" => {}
            _ => {
                let Some(name) = name.strip_prefix(b"HTTP_") else { continue };
                head.header_lines = head.header_lines.saturating_add(1);
                if name == b"HOST" {
                    head.host = Some(context.facts.intern(&String::from_utf8_lossy(value)));
                }
                if name == b"EXPECT" && value.eq_ignore_ascii_case(b"100-continue") {
                    head.flags |= ExchangeFlags::EXPECTS_CONTINUE;
                }
                push(name, value, context);
            }
        }
    }
    head.method = head::method(&String::from_utf8_lossy(method), &mut context.facts);
    head.target = match (uri, query) {
        (b"", b"") => context.facts.add_text(path),
        (b"", query) => context.facts.add_text(&[path, b"?", query].concat()),
        (uri, _) => context.facts.add_text(uri),
    };
    head.headers = context.facts.add_headers(&context.digests);
    head
}

fn push(name: &[u8], value: &[u8], context: &mut Context) {
    let name: Vec<u8> = name.iter().map(|&b| if b == b'_' { b'-' } else { b.to_ascii_lowercase() }).collect();
    let name = context.facts.intern_header(&String::from_utf8_lossy(&name));
    let digest = HeaderDigest::of(name, context.facts.name(name), value);
    context.digests.push(digest);
}
