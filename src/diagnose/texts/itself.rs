//! Words for errors that a proxy answers with and of which the link behind it shows nothing.

use super::{Severity, Words};

/// A gateway status, and what stands behind the gateway is not in the captures.
pub(in crate::diagnose) static NEXT_HOP_MISSING: Words = Words {
    kind: "partial-capture",
    cause: "next-hop-not-seen",
    rule: "T8",
    severity: Severity::Note,
    summary: "{link}: {to} answers {statuses}, and whom it may have asked for them is not in the captures, {times}",
    explanation: "A proxy gives such a status for a fault on the connection behind it: capture there to see the fault. It \
        also does so of its own accord, for a limit (nginx limit_req, HAProxy timeout queue), by a rule (return 503, \
        http-request deny) or where an authorization that it asks for first fails. Where {to} is an application that asks \
        nobody, the error is its own. {users}",
    fixes: &[
        ("tcpdump", "capture on {to} as well, all ports", "The link behind it shows what it was told."),
        (
            "Envoy",
            "access log: %RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON% %UPSTREAM_HOST%",
            "UF: no connection, UH: no healthy host, UC: the server closed, UT: it took too long. The body names the \
             reset reason.",
        ),
    ],
    log_line: "",
    doubt: "Without any attempt behind it the proxy may have had no live upstream.",
};

/// The same, where the link behind was captured and nobody can read it.
pub(in crate::diagnose) static NEXT_HOP_ENCRYPTED: Words = Words {
    cause: "next-hop-encrypted",
    summary: "{link}: {to} answers {statuses}, and whether it asked anybody for them is encrypted, {times}",
    explanation: "What {to} sends on is in the captures, and it is encrypted (TLS): whether it asked anybody for these \
        requests, and what it was told, does not show. It may have passed an error on, or made one of a fault behind it, or \
        have answered by itself: for a limit (nginx limit_req, HAProxy timeout queue) or by a rule (return 503, \
        http-request deny). They took {took} (median). {users}",
    fixes: &[
        (
            "tcpdump",
            "capture behind the one who ends TLS too, where it is plain again",
            "There it shows whether they came.",
        ),
        (
            "@nginx",
            "log_format … '$upstream_addr $upstream_status $upstream_response_time';",
            "A dash: nobody was asked. Its error log then says limiting requests, or no live upstreams.",
        ),
        (
            "@haproxy",
            "option httplog",
            "The two letters of the termination state tell: SH or SC the server, sQ the queue, PR a rule.",
        ),
        (
            "Envoy",
            "access log: %RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON% %UPSTREAM_HOST%",
            "UF: no connection, UH: no healthy host, UC: the server closed, UT: it took too long, RL: rate limit.",
        ),
    ],
    doubt: "None: this says what does not show.",
    ..NEXT_HOP_MISSING
};

/// A proxy's own answer: it asks for others meanwhile, and for these it sent nothing.
pub(in crate::diagnose) static ASKED_NOBODY: Words = Words {
    kind: "proxy-error",
    cause: "asked-nobody",
    rule: "",
    severity: Severity::Warning,
    summary: "{link}: {to} itself answers {statuses} and asks nobody for these requests, {times}: {which}",
    explanation: "The link behind {to} is in the captures, and nothing was sent on it for these requests, while {passed_on} \
        got through. They took {took} (median). So {to} decided by itself: a limit (nginx limit_req and limit_conn, HAProxy \
        maxconn with timeout queue, Envoy's rate limits and circuit breakers), a rule (return 503, http-request deny, \
        maintenance), a server that it holds for dead, or an error of its own. Nothing shows that the servers behind did \
        anything wrong. {users}",
    fixes: &[
        (
            "@nginx",
            "grep 'limiting' in its error log; and limit_req, limit_conn, return 503 in its configuration",
            "It logs 'limiting requests, excess: … by zone', 'limiting connections by zone', 'no live upstreams'. limit_req_status \
             429 tells users what it is.",
        ),
        (
            "@haproxy",
            "the two letters of the termination state in its log (option httplog)",
            "sQ: waited in the queue for timeout queue (maxconn of the servers); PR: denied by a rule; SC: no server was up.",
        ),
        (
            "Envoy",
            "access log: %RESPONSE_FLAGS%",
            "UO: circuit breaker, RL: rate limit, NR: no route, UH: no healthy host.",
        ),
        ("proxy", "its log at these times, its limits, and its rules for these paths", ""),
    ],
    log_line: "limiting requests, excess: … by zone (nginx limit_req); limiting connections by zone (nginx limit_conn); sQ, PR \
        or SC as termination state (HAProxy)",
    doubt: "Connections of {to} that no capture holds, as on a socket of its own host or to a place captured nowhere, may have \
        carried them.",
};

/// The words of this file.
#[cfg(test)]
pub(in crate::diagnose) static ALL: [&Words; 3] = [&NEXT_HOP_MISSING, &NEXT_HOP_ENCRYPTED, &ASKED_NOBODY];
