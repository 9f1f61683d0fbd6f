//! Words for faults of requests: what a server refused, or what a client did not finish.

use super::{Severity, Words};

/// Q1, with a RST.
pub(in crate::diagnose) static EARLY_RESPONSE_RESET: Words = Words {
    kind: "early-response",
    cause: "reset-while-sending",
    rule: "Q1",
    severity: Severity::Error,
    summary: "{link}: {to} answers {statuses} before it has read the request, and resets, {times}",
    explanation: "{to} sent its whole answer ({statuses}) while {from} was still sending the body (up to {announced}), and \
        closed with the rest unread. The kernel turns such a close into a RST, which can destroy the answer on its way: \
        {from} then sees a broken connection instead of {statuses}, and answers 502. {users}",
    fixes: &[
        (
            "server",
            "read the request body to its end (or up to a limit) before closing",
            "The answer then always arrives.",
        ),
        ("uwsgi", "--post-buffering 8192", "uwsgi then reads each body before the application is asked."),
        (
            "ingress-nginx",
            "nginx.ingress.kubernetes.io/proxy-request-buffering: \"on\"",
            "The proxy then has the whole body before it asks, and usually passes such an answer on.",
        ),
        ("nginx", "proxy_request_buffering on;", "As above; it is the default."),
        (
            "nginx",
            "client_max_body_size {megabytes}m;",
            "Where the answer is 413: refuse at the edge what the server would refuse.",
        ),
        (
            "HAProxy",
            "option http-buffer-request",
            "Waits for the body, as far as it fits the buffer, before it connects.",
        ),
    ],
    log_line: "writev() failed (104: Connection reset by peer) while sending request to upstream",
    doubt: "Where {from} read the answer before the RST came, {statuses} was passed on, and only the connection was lost.",
};

/// Q1, without a RST.
pub(in crate::diagnose) static EARLY_RESPONSE_CLOSED: Words = Words {
    kind: "early-response",
    cause: "closed-while-sending",
    rule: "Q1",
    severity: Severity::Warning,
    summary: "{link}: {to} answers {statuses} and closes before it has read the request, {times}",
    explanation: "{to} sent its whole answer ({statuses}) while {from} was still sending the body (up to {announced}), and \
        closed. What {from} sent after that was lost. {users}",
    fixes: &[
        ("server", "read the request body to its end (or up to a limit) before closing", ""),
        ("nginx", "proxy_request_buffering on;", "The proxy then has the whole body before it asks."),
        ("ingress-nginx", "nginx.ingress.kubernetes.io/proxy-request-buffering: \"on\"", "As above."),
    ],
    log_line: "writev() failed (32: Broken pipe) while sending request to upstream",
    doubt: "Most clients read such an answer all the same; it is lost only where a RST overtakes it.",
};

/// Q1, where the proxy heard the answer.
pub(in crate::diagnose) static EARLY_RESPONSE_PASSED_ON: Words = Words {
    kind: "early-response",
    cause: "answered-before-read",
    rule: "Q1",
    severity: Severity::Warning,
    summary: "{link}: {to} answers {statuses} before it has read the request, {times}",
    explanation: "{to} sent its whole answer ({statuses}) while {from} was still passing the body on (up to {announced}). \
        {from} read it in time, stopped sending and passed the answer on. Where it writes into a connection that {to} has \
        closed already, it sees a broken connection and answers 502 instead. {users}",
    fixes: &[
        ("server", "read the request body to its end (or up to a limit) before closing", ""),
        (
            "nginx",
            "client_max_body_size {megabytes}m;",
            "Where the answer is 413 and the limit is meant: at {from} with the limit of {to}, so that the edge refuses \
             it first.",
        ),
        ("nginx", "proxy_request_buffering on;", "The proxy then has the whole body before it asks."),
        ("ingress-nginx", "nginx.ingress.kubernetes.io/proxy-request-buffering: \"on\"", "As above."),
    ],
    log_line: "",
    doubt: "Where {to} is meant to refuse such requests, this is how it does it, and nothing is lost but the connection.",
};

/// Q2.
pub(in crate::diagnose) static REQUEST_TOO_LARGE: Words = Words {
    kind: "request-too-large",
    cause: "",
    rule: "Q2",
    severity: Severity::Error,
    summary: "{link}: {to} refuses request bodies as too large (413), {times}",
    explanation: "{to} answered 413 by itself: no request for it went to the hop behind. The bodies had up to \
        {announced}; the application never saw these requests. {users}",
    fixes: &[
        (
            "ingress-nginx",
            "nginx.ingress.kubernetes.io/proxy-body-size: \"{megabytes}m\"",
            "An annotation of this one Ingress; the default is 1m.",
        ),
        ("nginx", "client_max_body_size {megabytes}m;", "In the server or location; the default is 1m."),
        ("Envoy", "buffer filter: max_request_bytes", "Where a buffer filter is configured."),
        ("client", "send less at once, or in parts", "Where the limit is meant."),
    ],
    log_line: "client intended to send too large body",
    doubt: "Where the limit is meant, this is the limit at work. Without a capture behind {to} the application may have \
        answered.",
};

/// Q2, where the proxy finds out while it passes the body on.
pub(in crate::diagnose) static REQUEST_CUT_OFF: Words = Words {
    kind: "request-too-large",
    cause: "cut-while-passing-on",
    rule: "Q2",
    severity: Severity::Error,
    summary: "{link}: {from} stops in the middle of request bodies that it passes on, {times}",
    explanation: "{from} closed after up to {sent} of these bodies ({announced} long, the largest), while its own client \
        went on sending or had sent all: it answered by itself. {to} got requests without an end, which it could not \
        answer. So does a proxy with a limit for bodies that it only counts while they pass. {users}",
    fixes: &[
        (
            "Caddy",
            "request_body { max_size {megabytes}MB }",
            "Above what clients may send; it then says 413 or 502.",
        ),
        ("ingress-nginx", "nginx.ingress.kubernetes.io/proxy-body-size: \"{megabytes}m\"", ""),
        (
            "nginx",
            "client_max_body_size {megabytes}m;",
            "Also holds for chunked bodies, whose size nobody announces.",
        ),
        ("Envoy", "buffer filter: max_request_bytes", "Where a buffer filter is configured."),
        ("Traefik", "buffering.maxRequestBodyBytes", "Where the middleware is configured."),
    ],
    log_line: "http: request body too large",
    doubt: "Where the sizes at which it stops differ widely, look for a crash or a timer of {from} instead of a limit.",
};

/// Q3.
pub(in crate::diagnose) static REQUEST_TIMEOUT: Words = Words {
    kind: "request-timeout",
    cause: "",
    rule: "Q3",
    severity: Severity::Warning,
    summary: "{link}: {from} began requests and never finished them; {to} closed after {t}, {times}",
    explanation: "{from} stopped {forms} and sent nothing for {t}; then {to} closed. nginx sends no 408 for it, only a \
        FIN: the 408 stands in its access log alone. {users}",
    fixes: &[
        ("client", "find why the client stops sending: a slow link, a full device, a lost connection", ""),
        (
            "ingress-nginx",
            "client-header-timeout and client-body-timeout: \"{above}\"",
            "In the controller's ConfigMap, in seconds.",
        ),
        (
            "nginx",
            "client_header_timeout {above}s; client_body_timeout {above}s;",
            "If clients may be that slow.",
        ),
        ("HAProxy", "timeout http-request {above}s", "For the head; 'timeout client' holds for the body."),
        ("node", "server.headersTimeout, server.requestTimeout", "60 s and 300 s by default."),
        ("Envoy", "request_timeout, stream_idle_timeout", "In the HTTP connection manager."),
    ],
    log_line: "client timed out (110: Connection timed out) while reading client request headers",
    doubt: "A client whose network died looks the same. Where {to} also stopped acknowledging, look at {to} instead.",
};

/// Q5.
pub(in crate::diagnose) static CLIENT_ABORT: Words = Words {
    kind: "client-abort",
    cause: "",
    rule: "Q5",
    severity: Severity::Warning,
    summary: "{link}: {from} left before the answer was whole, {times}",
    explanation: "{from} closed the connection {forms}, {took} after its request began (median). {waited_for} nginx logs 499, or the \
        status that it had sent, and closes what it had open behind it: connections that end there at that moment are a \
        consequence. {users}",
    fixes: &[
        (
            "client",
            "compare the client's timeout with how long the answer takes",
            "Here it left after {took}.",
        ),
        ("server", "answer faster, or hand long work to a job that the client asks about later", ""),
        (
            "load balancer",
            "an idle timeout above the slowest answer",
            "A balancer in front that gives up looks like this client.",
        ),
        (
            "nginx",
            "proxy_ignore_client_abort on;",
            "Only where the work must be finished although nobody waits.",
        ),
    ],
    log_line: "client prematurely closed connection, so upstream connection is closed too",
    doubt: "nginx logs it at level info only. A user who presses stop, a health check and a load generator that ends its \
        run leave like this too.",
};

/// Q6.
pub(in crate::diagnose) static HALF_CLOSE: Words = Words {
    kind: "half-close",
    cause: "",
    rule: "Q6",
    severity: Severity::Warning,
    summary: "{link}: {from} closes its sending side right behind the request, and {to} takes it for a goodbye, {times}",
    explanation: "{from} sent FIN together with its request or just behind it: that says 'I have sent all', not 'I am \
        gone'. {to} closed without an answer; nginx logs 499. {users}",
    fixes: &[
        (
            "client",
            "keep the sending side open until the answer is there (no shutdown(SHUT_WR), no nc -N)",
            "",
        ),
        ("nginx", "proxy_ignore_client_abort on;", "nginx then goes on after the client's FIN."),
        (
            "ingress-nginx",
            "nginx.ingress.kubernetes.io/configuration-snippet: proxy_ignore_client_abort on;",
            "Where snippets are allowed.",
        ),
        ("HAProxy", "no option abortonclose", "The default answers half-closed clients."),
    ],
    log_line: "epoll_wait() reported that client prematurely closed connection",
    doubt: "A client that really left as soon as it had asked sends the same packets.",
};

/// Q7, no 100.
pub(in crate::diagnose) static CONTINUE_STALL: Words = Words {
    kind: "continue-stall",
    cause: "",
    rule: "Q7",
    severity: Severity::Error,
    summary: "{link}: {from} waits for '100 Continue' and {to} never sends it, {times}",
    explanation: "The request said 'Expect: 100-continue', so {from} held its body back until {to} would agree. {to} \
        sent no 100: each such request lost {took} (median), or ended without an answer. {users}",
    fixes: &[
        (
            "client",
            "send no Expect header (curl: -H 'Expect:')",
            "curl adds it by itself to bodies above 1 MiB.",
        ),
        (
            "uwsgi",
            "--http :8000 --http-manage-expect",
            "Of uwsgi's servers only the http router can answer it.",
        ),
        ("nginx", "put nginx in front", "It answers 100 itself and does not pass Expect on."),
        ("HAProxy", "http-request del-header Expect", "In the frontend or backend."),
        (
            "node",
            "server.on('checkContinue', …) must call response.writeContinue()",
            "Without a handler node does it.",
        ),
        (
            "server",
            "answer 'Expect: 100-continue' with 100 or with a final status (RFC 9110, section 10.1.1)",
            "",
        ),
    ],
    log_line: "",
    doubt: "A client that is slow by itself, and sends its body a second after the head, looks the same.",
};

/// Q7, a 100 that nobody asked for.
pub(in crate::diagnose) static UNSOLICITED_1XX: Words = Words {
    kind: "unsolicited-1xx",
    cause: "",
    rule: "Q7",
    severity: Severity::Error,
    summary: "{link}: {to} sends '100 Continue' that nobody asked for, {times}",
    explanation: "The requests held no 'Expect: 100-continue', and {to} sent a 100 before its real answer. nginx before \
        1.29 takes it for the final one: its clients then get status 100, with the real response as its body. {users}",
    fixes: &[
        ("server", "send 100 only to requests that hold 'Expect: 100-continue'", ""),
        (
            "ingress-nginx",
            "nginx.ingress.kubernetes.io/proxy-http-version: \"1.0\"",
            "A server sends no 1xx to an HTTP/1.0 request.",
        ),
        ("nginx", "proxy_http_version 1.0;", "As above."),
    ],
    log_line: "",
    doubt: "Proxies other than nginx pass it on or drop it, and nothing breaks; access logs with status 100 tell.",
};

/// Q9.
pub(in crate::diagnose) static BAD_REQUEST: Words = Words {
    kind: "bad-request",
    cause: "",
    rule: "Q9",
    severity: Severity::Error,
    summary: "{link}: {from} sends requests that break HTTP, and {to} refuses them, {times}",
    explanation: "{to} answered {statuses} by itself, and the requests are malformed: a line that is no header field, a \
        method that is none, no Host or two of them, or both Content-Length and Transfer-Encoding. {users}",
    fixes: &[
        ("client", "mend the client: the first evidence packet shows what it sent", ""),
        ("nginx", "error_log … info;", "At level info nginx names what it refuses ('client sent …')."),
        ("Envoy", "access log: %RESPONSE_CODE_DETAILS%", "Names what it refuses."),
        ("HAProxy", "show errors", "On its socket: the last malformed request, byte by byte."),
    ],
    log_line: "client sent invalid",
    doubt: "Scanners and attacks look like this: see whether the clients are yours.",
};

/// Q9, by clients that are nobody's users.
pub(in crate::diagnose) static BAD_REQUEST_OF_STRANGERS: Words = Words {
    cause: "stranger",
    severity: Severity::Note,
    summary: "{link}: strangers send requests that break HTTP, and {to} refuses them, {times}",
    explanation: "{to} answered {statuses} by itself. Who sent them was answered nothing else, or hardly anything, while \
        others were served: that is how scanners look, which every server on the Internet meets.",
    fixes: &[("server", "nothing: it did what it should", "")],
    doubt: "A new client that does it wrongly from the start looks the same.",
    ..BAD_REQUEST
};

/// Q10.
pub(in crate::diagnose) static REQUEST_HEADER_TOO_LARGE: Words = Words {
    kind: "request-header-too-large",
    cause: "",
    rule: "Q10",
    severity: Severity::Error,
    summary: "{link}: {to} refuses request heads as too large (up to {request_head}), {times}",
    explanation: "The heads of these requests have up to {request_head} (the longest target {target}), more than any that \
        {to} answered. nginx answers 400 or 414, node and Envoy 431; uwsgi drops the connection without a word. {users}",
    fixes: &[
        (
            "client",
            "send less: cookies are the usual reason",
            "Each Set-Cookie of the application comes back with each request.",
        ),
        ("ingress-nginx", "large-client-header-buffers: \"4 {buffer}k\"", "In the controller's ConfigMap."),
        (
            "nginx",
            "large_client_header_buffers 4 {buffer}k;",
            "In the server block; a single line must fit one buffer.",
        ),
        ("uwsgi", "--buffer-size 32768", "4,096 bytes by default, for the whole head."),
        (
            "gunicorn",
            "--limit-request-line 8190 --limit-request-field_size 0",
            "4,094 and 8,190 bytes by default.",
        ),
        ("node", "--max-http-header-size=65536", "16 KiB by default."),
        ("HAProxy", "tune.bufsize 65536", "16 KiB by default."),
        ("Envoy", "max_request_headers_kb: 96", "60 KiB by default."),
    ],
    log_line: "client sent too long header line",
    doubt: "Where {to} answered 400, a large head may be chance: its log says which rule it was. uwsgi logs 'invalid HTTP \
        request size'.",
};

/// The words of this file.
#[cfg(test)]
pub(in crate::diagnose) static ALL: [&Words; 13] = [
    &EARLY_RESPONSE_RESET,
    &EARLY_RESPONSE_CLOSED,
    &EARLY_RESPONSE_PASSED_ON,
    &REQUEST_TOO_LARGE,
    &REQUEST_CUT_OFF,
    &REQUEST_TIMEOUT,
    &CLIENT_ABORT,
    &HALF_CLOSE,
    &CONTINUE_STALL,
    &UNSOLICITED_1XX,
    &BAD_REQUEST,
    &BAD_REQUEST_OF_STRANGERS,
    &REQUEST_HEADER_TOO_LARGE,
];
