//! Words for what the transport shows: loss, closed windows, sizes that do not get through, restarts (T rules).

use super::{Severity, Words};

/// T6.
pub(in crate::diagnose) static RESTART_BURST: Words = Words {
    kind: "restart-burst",
    cause: "",
    rule: "T6",
    severity: Severity::Warning,
    summary: "{link}: {server} closed {share} within {window}",
    explanation: "So many at once, and none of them for its idle time or its number of requests: the process was \
        restarted, reloaded or killed. {refused} {hurt}",
    fixes: &[
        (
            "kubernetes",
            "kubectl get events, and the pod's restart count",
            "A rolling update, an eviction or an out-of-memory kill stands there.",
        ),
        ("server", "drain before exit: stop accepting, finish requests, then close", ""),
    ],
    log_line: "",
    doubt: "The packets show the event, not its reason.",
};

/// The words of this file.
#[cfg(test)]
pub(in crate::diagnose) static ALL: [&Words; 1] = [&RESTART_BURST];
