//! Words for what logs tell, alone or beside the captures.

use super::{Severity, Words};

/// Log and wire say different things of one request.
pub(in crate::diagnose) static LOG_DISAGREEMENT: Words = Words {
    kind: "log-disagreement",
    cause: "",
    rule: "",
    severity: Severity::Warning,
    summary: "{link}: {to}'s access log and the packets disagree, {times}",
    explanation: "{to} logged something else than what went over the wire: {pairs}. {meaning}",
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

/// A clock that was not set.
pub(in crate::diagnose) static LOG_CLOCK: Words = Words {
    kind: "log-clock",
    cause: "",
    rule: "",
    severity: Severity::Warning,
    summary: "{file}: {whose} clock is {by} {which} the captures'; {whose} lines were joined all the same",
    explanation: "{lines} about requests that occur once in the log and once on the wire all lie this far from them, besides \
        a time zone. The other lines were taken to be as far off.",
    fixes: &[("server", "set the clocks of both hosts (chronyc tracking, timedatectl)", "")],
    log_line: "",
    doubt: "A log of another run with the same requests would be off by the time between the runs.",
};

/// A log of another time.
pub(in crate::diagnose) static LOG_APART: Words = Words {
    kind: "log-not-joined",
    cause: "",
    rule: "",
    severity: Severity::Warning,
    summary: "{file}: no line is of the captures' time, so none was joined",
    explanation: "Logged was from {log}, and captured from {captured}: no time zone brings them together, and no line \
        tells of requests by which a wrong clock could be told.",
    fixes: &[("hopscope", "give the log of the time of the captures", "")],
    log_line: "",
    doubt: "Where the capturing host's clock was wrong, the log is right.",
};

/// Without captures.
pub(in crate::diagnose) static FAULT_BEHIND: Words = Words {
    kind: "fault-behind-proxy",
    cause: "",
    rule: "",
    severity: Severity::Error,
    summary: "{file}: {requests} failed, and the fault lies behind this proxy: at {behind}",
    explanation: "The log answers with {statuses} what the server behind it had failed or not answered ({field}). No log \
        given here shows these requests failing any deeper. Only packets on the link between this proxy and that server \
        tell why.",
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

/// In an error log, where no capture shows it.
pub(in crate::diagnose) static ERRORS_LOGGED: Words = Words {
    cause: "error-log",
    severity: Severity::Warning,
    summary: "{file}: {faults} of the servers behind this proxy, which no packets show",
    explanation: "The error log tells of {classes}, at {behind}. The packets given do not hold enough of these requests to \
        tell why: they were cut by a snap length, lost, or captured elsewhere. Some may have been hidden by a retry.",
    ..FAULT_BEHIND
};

/// Without captures, and without a word about servers behind.
pub(in crate::diagnose) static UPSTREAM_NOT_LOGGED: Words = Words {
    kind: "upstream-not-logged",
    cause: "",
    rule: "",
    severity: Severity::Warning,
    summary: "{file}: {requests} failed, and the log does not tell whether a server behind it did",
    explanation: "It answered {statuses}. No line names a server behind: the format has no $upstream_addr and no \
        $upstream_status. So this server may have failed by itself, or passed on what another one did.",
    fixes: &[
        (
            "nginx",
            "log_format hops '$remote_addr [$time_iso8601] \"$request\" $status $body_bytes_sent \"$upstream_addr\" \
             \"$upstream_status\" \"$upstream_response_time\" $request_id'; access_log … hops;",
            "Each attempt is then an entry of the lists.",
        ),
        ("haproxy", "option httplog", "It names the server and how the session ended."),
        (
            "tcpdump",
            "tcpdump -B 65536 --immediate-mode -s0 -w FILE",
            "At this server: its packets tell whom it asked, and what came back.",
        ),
    ],
    log_line: "",
    doubt: "Where this server asks nobody, the failures are its own.",
};

/// Without captures, in the log of an application server.
pub(in crate::diagnose) static APPLICATION_LOGGED: Words = Words {
    kind: "application-error",
    cause: "logged",
    rule: "",
    severity: Severity::Error,
    summary: "{file}: {requests} failed at the application itself, with {statuses}",
    explanation: "This is the log of the application server, behind which nobody is asked: the errors are its own.",
    fixes: &[("server", "look in the application's log for these requests", "")],
    log_line: "",
    doubt: "What it asks by other means, such as a database, may be why.",
};

/// The words of this file.
#[cfg(test)]
pub(in crate::diagnose) static ALL: [&Words; 7] = [
    &LOG_APART,
    &LOG_CLOCK,
    &LOG_DISAGREEMENT,
    &FAULT_BEHIND,
    &ERRORS_LOGGED,
    &UPSTREAM_NOT_LOGGED,
    &APPLICATION_LOGGED,
];
