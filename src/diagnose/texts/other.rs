//! Words for all other findings.

use super::{Severity, Words};

/// T7.
pub(in crate::diagnose) static CAPTURE_LOSS: Words = Words {
    kind: "capture-loss",
    cause: "",
    rule: "T7",
    severity: Severity::Note,
    summary: "The captures miss packets: {count} not judged",
    explanation: "Later packets prove bytes that the capture does not hold: {places}. {arrival} What \
        failed on these connections is not known.",
    fixes: &[("tcpdump", "tcpdump -B 65536 --immediate-mode -s0 -w FILE", "A larger buffer loses less.")],
    log_line: "",
    doubt: "None: this is counted, not inferred.",
};

/// T8.
pub(in crate::diagnose) static PARTIAL_CAPTURE: Words = Words {
    kind: "partial-capture",
    cause: "",
    rule: "T8",
    severity: Severity::Note,
    summary: "The captures show parts of connections only: {count} not judged",
    explanation: "Their start, their end or one direction lies outside the captures: {places}.",
    fixes: &[],
    log_line: "",
    doubt: "None: this is counted, not inferred.",
};

/// T8, of packets that were captured in part.
pub(in crate::diagnose) static SNAP_LENGTH: Words = Words {
    kind: "partial-capture",
    cause: "snap-length",
    rule: "T8",
    severity: Severity::Note,
    summary: "The snap length cut off what requests and answers hold: {count} not judged",
    explanation: "Of larger packets only the beginning was kept, so that the ends of messages are not known there: {places}. \
        Whether an answer was whole, a request was finished, or a head too large can then hardly be told; closes, resets \
        and times can, and are. Logs of the servers tell more.",
    fixes: &[("tcpdump", "tcpdump -B 65536 --immediate-mode -s0 -w FILE", "Keeps whole packets.")],
    log_line: "",
    doubt: "None: this is counted, not inferred.",
};

/// The words of this file.
#[cfg(test)]
pub(in crate::diagnose) static ALL: [&Words; 3] = [&CAPTURE_LOSS, &PARTIAL_CAPTURE, &SNAP_LENGTH];
