//! Words for what breaks the framing of a response.

use super::{Severity, Words};

/// P6, by a chunk size that is none.
pub(in crate::diagnose) static INVALID_CHUNK: Words = Words {
    kind: "truncated-response",
    cause: "invalid-chunk",
    rule: "P6",
    severity: Severity::Error,
    summary: "{link}: {to} breaks the chunked coding of its responses, {times}",
    explanation: "Where the size of the next chunk should stand {to} sent something else, so that nobody can tell where the \
        response ends. A proxy gives it up there: before it has passed a byte on it answers 502 or closes, later it cuts \
        the response off, and its access log shows the status of the head. {users}",
    fixes: &[
        ("server", "let the server or the framework write the chunks, or send a Content-Length", ""),
        (
            "server",
            "write nothing to the connection beside the response",
            "Such as what a library prints, or a second thread that answers as well.",
        ),
    ],
    log_line: "upstream sent invalid chunked response while reading upstream",
    doubt: "None: this is counted, not inferred.",
};

/// The words of this file.
#[cfg(test)]
pub(super) static ALL: [&Words; 1] = [&INVALID_CHUNK];
