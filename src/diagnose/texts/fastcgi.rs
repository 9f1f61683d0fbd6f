//! Words for what only FastCGI applications can answer: that they do not serve the request.

use super::{Severity, Words};

/// What nginx logs of an END_REQUEST in place of an answer, whatever its status.
const LOG_LINE: &str =
    "upstream sent unexpected FastCGI record: 3 while reading response header from upstream";

/// FCGI_OVERLOADED.
pub(in crate::diagnose) static FASTCGI_OVERLOADED: Words = Words {
    kind: "fastcgi-refused",
    cause: "overloaded",
    rule: "",
    severity: Severity::Error,
    summary: "{link}: {to} says that it is overloaded and serves no request, {times}",
    explanation: "{to} ended these requests with FCGI_OVERLOADED and without output: something that the application needs \
        (a worker, a database connection) was used up. nginx answers 502 for it. {users}",
    fixes: &[
        ("server", "find what was used up at these times: workers, database connections, memory", ""),
        ("php-fpm", "pm.max_children, and listen.backlog", "More workers, if memory allows."),
        (
            "nginx",
            "fastcgi_next_upstream error timeout invalid_header;",
            "Where another server can serve it.",
        ),
    ],
    log_line: LOG_LINE,
    doubt: "The record says overloaded, not of what.",
};

/// FCGI_CANT_MPX_CONN.
pub(in crate::diagnose) static FASTCGI_CANNOT_MULTIPLEX: Words = Words {
    kind: "fastcgi-refused",
    cause: "cannot-multiplex",
    rule: "",
    severity: Severity::Error,
    summary: "{link}: {to} refused requests because it serves one at a time on a connection, {times}",
    explanation: "{to} ended these requests with FCGI_CANT_MPX_CONN, without output: it says that another request was open \
        on the connection, and that it does not multiplex. {users}",
    fixes: &[
        ("proxy", "send one request at a time on a connection (as nginx does), over more connections", ""),
        ("server", "a FastCGI library that multiplexes", ""),
    ],
    log_line: LOG_LINE,
    doubt: "Where {from} sends one request at a time, {to} uses the status for something else: look at its log.",
};

/// FCGI_UNKNOWN_ROLE.
pub(in crate::diagnose) static FASTCGI_UNKNOWN_ROLE: Words = Words {
    kind: "fastcgi-refused",
    cause: "unknown-role",
    rule: "",
    severity: Severity::Error,
    summary: "{link}: {to} does not know the role that {from} asks for, {times}",
    explanation: "{to} ended these requests with FCGI_UNKNOWN_ROLE, without output: it is no responder, or no authorizer or \
        filter, whichever {from} asked for. Another kind of application listens there. {users}",
    fixes: &[
        (
            "proxy",
            "check fastcgi_pass: host and port of an application that answers requests (a responder)",
            "",
        ),
        ("server", "start it in the role that is asked for", ""),
    ],
    log_line: LOG_LINE,
    doubt: "None, where the start of the connection was captured.",
};

/// A status that the specification does not have.
pub(in crate::diagnose) static FASTCGI_REFUSED: Words = Words {
    kind: "fastcgi-refused",
    cause: "unknown",
    rule: "",
    severity: Severity::Error,
    summary: "{link}: {to} ended requests with a FastCGI status that means no success, {times}",
    explanation: "{to} ended these requests without output, with a protocol status that the FastCGI specification does not \
        have. {users}",
    fixes: &[("server", "look in the application's log at these times", "")],
    log_line: LOG_LINE,
    doubt: "What the status means only the application knows.",
};

/// END_REQUEST as if all were well, and no output.
pub(in crate::diagnose) static FASTCGI_NO_OUTPUT: Words = Words {
    kind: "fastcgi-no-output",
    cause: "",
    rule: "",
    severity: Severity::Error,
    summary: "{link}: {to} ended requests without a byte of an answer, {times}",
    explanation: "{to} said by END_REQUEST that the request was done, and had written nothing: the script ended before it \
        wrote a header, so {from} has nothing to pass on. nginx answers 502 for it. {users}",
    fixes: &[
        ("server", "look in the application's log: the script ended early, or writes to nowhere", ""),
        (
            "php-fpm",
            "catch_workers_output = yes",
            "What the script wrote before it ended then stands in the log.",
        ),
    ],
    log_line: LOG_LINE,
    doubt: "The packets show that nothing was written, not why.",
};

#[cfg(test)]
pub(super) static ALL: [&Words; 5] = [
    &FASTCGI_OVERLOADED,
    &FASTCGI_CANNOT_MULTIPLEX,
    &FASTCGI_UNKNOWN_ROLE,
    &FASTCGI_REFUSED,
    &FASTCGI_NO_OUTPUT,
];
