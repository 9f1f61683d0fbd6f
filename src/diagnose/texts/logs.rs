//! Words for what logs tell, alone or beside the captures.

use super::{Severity, Words};

/// Log and wire say different things of one request.
pub(in crate::diagnose) static LOG_DISAGREEMENT: Words = Words {
    kind: "log-disagreement",
    cause: "",
    rule: "",
    severity: Severity::Warning,
    summary: "{link}: {to}'s access log and the packets disagree, {times}",
    explanation: "{to} logged something else than what went over the wire: {pairs}. Whoever counts failures by the access \
        log misses these.",
    fixes: &[
        (
            "nginx",
            "alert on the error log as well ('prematurely closed', 'timed out', 'readv() failed')",
            "A body that was cut off is an error there, and a 200 in the access log.",
        ),
        (
            "nginx",
            "log $upstream_status, $upstream_bytes_received and $request_completion",
            "$request_completion is empty where the answer was not sent whole.",
        ),
    ],
    log_line: "",
    doubt: "A line is joined to a request by its id and its time: an id that clients use twice can join the wrong ones.",
};

/// Without captures.
pub(in crate::diagnose) static FAULT_BEHIND: Words = Words {
    kind: "fault-behind-proxy",
    cause: "",
    rule: "",
    severity: Severity::Error,
    summary: "{file}: {requests} failed, and the fault lies behind this proxy: at {behind}",
    explanation: "The log answers with {statuses} what the server behind it had failed or not answered (the last entry of \
        $upstream_status). No log given here shows these requests failing any deeper. Only packets on the link between \
        this proxy and that server tell why.",
    fixes: &[
        (
            "tcpdump",
            "tcpdump -B 65536 --immediate-mode -s0 -w FILE",
            "At this proxy, and at the server behind it; then give both files to hopscope with these logs.",
        ),
        ("server", "look in the log of the server behind, at these times", ""),
    ],
    log_line: "",
    doubt: "A proxy behind whose log was not given would only have passed the failure on.",
};

/// The words of this file.
#[cfg(test)]
pub(in crate::diagnose) static ALL: [&Words; 2] = [&LOG_DISAGREEMENT, &FAULT_BEHIND];
