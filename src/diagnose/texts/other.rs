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

/// The words of this file.
#[cfg(test)]
pub(in crate::diagnose) static ALL: [&Words; 2] = [&CAPTURE_LOSS, &PARTIAL_CAPTURE];
