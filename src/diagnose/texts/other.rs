//! Words for all other findings.

use super::{Severity, Words};

/// P1.
pub(in crate::diagnose) static CLOSED_BEFORE_RESPONSE: Words = Words {
    kind: "closed-before-response",
    cause: "",
    rule: "P1",
    severity: Severity::Error,
    summary: "{link}: {to} closed new connections without answering their first request, {times}",
    explanation: "{to} had the request and closed without a byte of a response. The first request on a connection \
        meets no stale pool, so the server itself gave up: a crash, a killed worker, a limit. {users}",
    fixes: &[
        ("server", "look in the server's log at these times: crash, out of memory, worker timeout", ""),
        (
            "uwsgi",
            "harakiri and buffer-size",
            "A request head above buffer-size (4,096 bytes) is dropped like this.",
        ),
        ("gunicorn", "--timeout", "A worker that takes longer is killed."),
    ],
    log_line: "upstream prematurely closed connection while reading response header from upstream",
    doubt: "The packets show that it closed, not why.",
};

/// P2.
pub(in crate::diagnose) static RESPONSE_TIMEOUT: Words = Words {
    kind: "response-timeout",
    cause: "",
    rule: "P2",
    severity: Severity::Error,
    summary: "{link}: {from} gave up waiting for {to} after {t}, {times}",
    explanation: "{to} acknowledged each request and sent nothing for {t}; then {from} closed. {users}",
    fixes: &[
        ("server", "find what the server was waiting for: a slow query, or no free worker", ""),
        (
            "ingress-nginx",
            "nginx.ingress.kubernetes.io/proxy-read-timeout: \"{above}\"",
            "If the answer may take that long.",
        ),
        ("nginx", "proxy_read_timeout {above}s;", "If the answer may take that long."),
    ],
    log_line: "upstream timed out (110: Connection timed out) while reading response header from upstream",
    doubt: "A user who left at that moment looks the same where few waited equally long.",
};

/// P5 and P6.
pub(in crate::diagnose) static TRUNCATED_RESPONSE: Words = Words {
    kind: "truncated-response",
    cause: "",
    rule: "P5, P6",
    severity: Severity::Error,
    summary: "{link}: {to} closed in the middle of responses, {times}",
    explanation: "The response ended before its Content-Length was reached or its last chunk had come. Access logs \
        show the status that the head announced, often 200. {users}",
    fixes: &[
        ("server", "look in the server's log at these times: crash or timeout in the middle of a body", ""),
        ("server", "send a Content-Length that is true", ""),
    ],
    log_line: "upstream prematurely closed connection while reading upstream",
    doubt: "None: this is counted, not inferred.",
};

/// Q5.
pub(in crate::diagnose) static CLIENT_ABORT: Words = Words {
    kind: "client-abort",
    cause: "",
    rule: "Q5",
    severity: Severity::Warning,
    summary: "{link}: {from} left before the answer was whole, {times}",
    explanation: "The client closed the connection while {to} was still working, after {t} (median). nginx logs 499.",
    fixes: &[("client", "compare the client's timeout with how long the answer takes", "")],
    log_line: "epoll_wait() reported that client prematurely closed connection",
    doubt: "A load generator that ends its run leaves like this.",
};

/// A complete 5xx by the last hop.
pub(in crate::diagnose) static APPLICATION_ERROR: Words = Words {
    kind: "application-error",
    cause: "",
    rule: "",
    severity: Severity::Error,
    summary: "{link}: {to} itself answers {statuses}, {times}",
    explanation: "The responses are complete and {to} asked nobody else: the error is its own. {users}",
    fixes: &[("server", "look in the application's log for these requests", "")],
    log_line: "",
    doubt: "Where {to} is a proxy and what it asks was not captured, the error may come from behind it.",
};

/// A gateway status, and what stands behind the gateway is not in the captures.
pub(in crate::diagnose) static NEXT_HOP_MISSING: Words = Words {
    kind: "partial-capture",
    cause: "next-hop-not-seen",
    rule: "T8",
    severity: Severity::Note,
    summary: "{link}: {to} answers {statuses}, and what it asked for them is not in the captures, {times}",
    explanation: "A proxy gives such a status for a fault on the connection behind it. Capture there to see the fault. \
        {users}",
    fixes: &[("tcpdump", "capture on {to} as well, all ports", "The link behind it shows what it was told.")],
    log_line: "",
    doubt: "Without any attempt behind it the proxy may have had no live upstream.",
};

/// Failures that retries hid.
pub(in crate::diagnose) static MASKED_FAILURES: Words = Words {
    kind: "masked-failures",
    cause: "",
    rule: "3a",
    severity: Severity::Warning,
    summary: "{link}: retries by {from} hid failures of {methods}",
    explanation: "{from} repeated {methods} after a failed attempt, and the user got the answer of a later one. {never} \
        Access logs show it only in $upstream_status.",
    fixes: &[("", "mend the fault below: retries hide it, add latency, and do not help POSTs", "")],
    log_line: "",
    doubt: "None: this is counted, not inferred.",
};

/// T7.
pub(in crate::diagnose) static CAPTURE_LOSS: Words = Words {
    kind: "capture-loss",
    cause: "",
    rule: "T7",
    severity: Severity::Note,
    summary: "The captures miss packets: {count} not judged",
    explanation: "Bytes were acknowledged that the capture does not hold: {places}. What failed on these connections \
        is not known.",
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
