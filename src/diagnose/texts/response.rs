//! Words for faults of responses, and for the errors that a hop reports about itself.

use super::{Severity, Words};

/// P1.
pub(in crate::diagnose) static CLOSED_BEFORE_RESPONSE: Words = Words {
    kind: "closed-before-response",
    cause: "",
    rule: "P1",
    severity: Severity::Error,
    summary: "{link}: {to} {asked}, {times}",
    explanation: "{to} closed ({ends}) {took} after the request began (median), without a byte of a response. {why}, so \
        the server itself gave up: a crash, a killed worker, a limit. {users}",
    fixes: &[
        ("server", "look in the server's log at these times: crash, out of memory, worker timeout", ""),
        (
            "kubernetes",
            "kubectl get events; kubectl describe pod",
            "OOMKilled, failed probes and restarts stand there.",
        ),
        (
            "uwsgi",
            "harakiri, evil-reload-on-rss and max-requests",
            "Each kills a worker with its request in hand.",
        ),
        ("gunicorn", "--timeout", "A worker that takes longer (30 s by default) is killed."),
        ("node", "process.on('uncaughtException', …)", "One exception ends all requests of the process."),
    ],
    log_line: "upstream prematurely closed connection while reading response header from upstream (FIN), or: recv() failed \
        (104: Connection reset by peer) while reading response header from upstream (RST)",
    doubt: "The packets show that it closed, not why. A server that closes every connection at once may want a PROXY \
        header or TLS first: its log says so.",
};

/// P1, where nobody is answered.
pub(in crate::diagnose) static CLOSED_ON_ALL: Words = Words {
    kind: "closed-before-response",
    cause: "every-request",
    rule: "P1",
    severity: Severity::Error,
    summary: "{link}: {to} closes every connection at its first request and answers nobody, {times}",
    explanation: "{to} closed ({ends}) {took} after each request began (median), whatever was asked for, and answered none \
        while the captures ran. So closes a server that wants something else first: a PROXY header, of which {from} sent \
        none, or TLS. One whose access rules drop {from}, or that fails at every request, does as well. {users}",
    fixes: &[
        (
            "server",
            "look in its log for what it says of these connections",
            "It names the reason; the packets do not.",
        ),
        ("nginx", "listen … without proxy_protocol", "Where whoever calls it sends no PROXY header."),
        (
            "ingress-nginx",
            "use-proxy-protocol: \"false\"",
            "In the controller's ConfigMap, where the load balancer in front sends no PROXY header.",
        ),
        ("haproxy", "bind … without accept-proxy; or server … send-proxy where it calls", ""),
        ("varnish", "varnishd -a :80 without ,PROXY", ""),
    ],
    log_line: "broken header: \"GET / HTTP/1.1 …\" while reading PROXY protocol (nginx, where that is the reason)",
    doubt: "The packets show that it closes on everybody, not why.",
};

/// P1, for requests that are always closed on.
pub(in crate::diagnose) static CLOSED_ON_REQUEST: Words = Words {
    kind: "closed-before-response",
    cause: "this-request",
    rule: "P1",
    severity: Severity::Error,
    summary: "{link}: {to} closes the connection on certain requests and never answers them, {times}: {which}",
    explanation: "{to} read each of these requests and closed ({ends}) {took} after it began (median), without a byte of a \
        response, whether it was the first on its connection or not; in between {to} answered {others}. So it is these \
        requests that make it close: a rule that drops them, or a crash in what serves them. No stale connection is to \
        blame, and timeouts of kept connections change nothing. {users}",
    fixes: &[
        (
            "server",
            "look for what handles {which}: a rule that closes (filter, WAF, bot protection), or a crash in the log",
            "One such request by hand (curl -v) shows the same.",
        ),
        (
            "nginx",
            "return 403; (or 404) where the server has return 444;",
            "444 closes without an answer: meant for users, but a proxy in front reports 502, tries again, and may hold \
                the server for dead (max_fails).",
        ),
        ("haproxy", "http-request deny, where it has silent-drop or reject", "As nginx's 444."),
        (
            "uwsgi",
            "the traceback or signal in its log at these times",
            "A worker that dies takes its request along.",
        ),
    ],
    log_line: "upstream prematurely closed connection while reading response header from upstream; nginx that closes logs \
        status 444",
    doubt: "A few requests of a kind that crash by chance look alike; the more there are, the less.",
};

/// P1, where each such request had been worked on for a while.
pub(in crate::diagnose) static CLOSED_AT_LIMIT: Words = Words {
    kind: "closed-before-response",
    cause: "time-limit",
    rule: "P1",
    severity: Severity::Error,
    summary: "{link}: {to} closes the connection on certain requests after {quickest} or more and never answers them, \
        {times}: {which}",
    explanation: "{to} had each of these requests for {quickest} at least ({took} in the median) and then closed ({ends}) \
        without a byte of a response; in between {to} answered {others}. A limit on how long a worker may take does that \
        (uwsgi's harakiri, gunicorn's --timeout, php-fpm's request_terminate_timeout), and so does a worker that dies of such \
        a request after a while, as of memory. No stale connection is to blame, and longer timeouts at {from} change \
        nothing. {users}",
    fixes: &[
        (
            "server",
            "find what {which} waits for, or answer first and work afterwards",
            "A slow query or call stands behind it more often than not.",
        ),
        (
            "uwsgi",
            "harakiri = SECONDS, above what these take",
            "Its log names HARAKIRI, or the signal that ended a worker.",
        ),
        ("gunicorn", "--timeout SECONDS, above what these take", "Its log says WORKER TIMEOUT."),
        (
            "php-fpm",
            "request_terminate_timeout = SECONDS, above what these take",
            "Its log says 'execution timed out'.",
        ),
    ],
    log_line: "upstream prematurely closed connection while reading response header from upstream, or: recv() failed (104: \
        Connection reset by peer) while reading response header from upstream",
    doubt: "The packets show the close and not who decided it: the server's log at these times does.",
};

/// P2.
pub(in crate::diagnose) static RESPONSE_TIMEOUT: Words = Words {
    kind: "response-timeout",
    cause: "",
    rule: "P2",
    severity: Severity::Error,
    summary: "{link}: {from} gave up waiting for {to} after {t}, {times}",
    explanation: "{to} acknowledged each request, then {forms}. After {t} of silence {from} closed. A proxy answers 504 for it, or \
        tries another server, so that the work is done twice. {users}",
    fixes: &[
        ("server", "find what the server was waiting for: a slow query, or no free worker", ""),
        (
            "ingress-nginx",
            "nginx.ingress.kubernetes.io/proxy-read-timeout: \"{above}\"",
            "If the answer may take that long.",
        ),
        (
            "nginx",
            "proxy_read_timeout {above}s;",
            "If the answer may take that long; it counts between two reads.",
        ),
        ("HAProxy", "timeout server {above}s", "If the answer may take that long."),
        ("Envoy", "route timeout: {above}s", "15 s by default."),
        ("httpd", "ProxyTimeout {above}", "In seconds, if the answer may take that long; httpd says 502."),
        (
            "varnish",
            ".first_byte_timeout = {above}s; .between_bytes_timeout = {above}s;",
            "Of the backend; Varnish says 503.",
        ),
        ("squid", "read_timeout {above} seconds", "If the answer may take that long."),
        ("caddy", "response_header_timeout {above}s in transport http", "In the reverse_proxy directive."),
        ("lighttpd", "\"read-timeout\" => {above} in proxy.server", "If the answer may take that long."),
        (
            "uwsgi",
            "more processes, and harakiri below the proxy's timeout",
            "A worker that hangs is then replaced.",
        ),
        ("gunicorn", "--workers, --threads", "A sync worker serves one request at a time."),
    ],
    log_line: "upstream timed out (110: Connection timed out) while reading response header from upstream",
    doubt: "A user who left at that moment looks the same where few waited equally long.",
};

/// P2, seen from a user's side alone.
pub(in crate::diagnose) static CLIENT_GAVE_UP: Words = Words {
    cause: "client-gave-up",
    severity: Severity::Warning,
    summary: "{link}: {from} gave up waiting for {to} after {t}, {times}",
    explanation: "{to} acknowledged each request and sent nothing for {t}; then {from} closed. Nothing shows a fault of {to} \
        but that it took longer than {from} would wait: that is the timer, or the patience, of {from}. {users}",
    log_line: "client prematurely closed connection",
    doubt: "Where {from} is itself a proxy, this is its timeout, and its clients got 504.",
    ..RESPONSE_TIMEOUT
};

/// P3.
pub(in crate::diagnose) static SEND_STALL: Words = Words {
    kind: "send-stall",
    cause: "",
    rule: "P3",
    severity: Severity::Error,
    summary: "{link}: {to} stopped reading the request, and {from} gave up, {times}",
    explanation: "{to}'s receive window was closed with parts of the request unsent (bodies of up to {announced}), and did \
        not open again before {from} closed: the process at {to} does not read. {users}",
    fixes: &[
        (
            "server",
            "find why the application does not read the body: blocked, or waiting for a lock or a worker",
            "",
        ),
        ("nginx", "proxy_send_timeout {above}s;", "If the server may take that long between two reads."),
        ("ingress-nginx", "nginx.ingress.kubernetes.io/proxy-send-timeout: \"{above}\"", "As above."),
        ("uwsgi", "--post-buffering 8192", "uwsgi then reads each body before the application is asked."),
    ],
    log_line: "upstream timed out (110: Connection timed out) while sending request to upstream",
    doubt: "None, where the capture holds the closed window.",
};

/// P4.
pub(in crate::diagnose) static RESPONSE_HEADER_TOO_LARGE: Words = Words {
    kind: "response-header-too-large",
    cause: "",
    rule: "P4",
    severity: Severity::Error,
    summary: "{link}: {from} refuses responses of {to} whose head is too large (up to {response_head}), {times}",
    explanation: "{to} answered, with a head of up to {response_head}; that is more than {from} takes (nginx 4 or 8 KiB by \
        default), so it closed and answered with an error of its own. Cookies and long redirects are the usual reason. \
        {users}",
    fixes: &[
        (
            "ingress-nginx",
            "nginx.ingress.kubernetes.io/proxy-buffer-size: \"{buffer}k\"",
            "An annotation of this one Ingress; the default is 4k.",
        ),
        (
            "nginx",
            "proxy_buffer_size {buffer}k; proxy_busy_buffers_size {buffer}k;",
            "For uwsgi_pass: uwsgi_buffer_size.",
        ),
        ("HAProxy", "tune.bufsize 65536", "16 KiB by default, for the whole head."),
        ("Envoy", "max_response_headers_kb", "60 KiB by default."),
        (
            "varnish",
            "varnishd -p http_resp_hdr_len={buffer}k -p http_resp_size={buffer}k",
            "8 KiB a line and 32 KiB in all by default; workspace_backend and workspace_client must hold it too.",
        ),
        ("httpd", "ProxyPass … responsefieldsize={buffer_bytes}", "8 KiB a line by default."),
        ("node", "node --max-http-header-size={buffer_bytes}", "16 KiB by default, for the whole head."),
        ("server", "send smaller cookies, and fewer headers", ""),
    ],
    log_line: "upstream sent too big header while reading response header from upstream",
    doubt: "Where {from} is no nginx, its limit may be another and the reason too: look at its log.",
};

/// P5 and P6.
pub(in crate::diagnose) static TRUNCATED_RESPONSE: Words = Words {
    kind: "truncated-response",
    cause: "",
    rule: "P5, P6",
    severity: Severity::Error,
    summary: "{link}: {to} closed in the middle of responses, {times}",
    explanation: "{to} ended its responses {forms} ({ends}). Access logs show the status that the head announced, often \
        200, and no fault: only the error log and the packets do. {users}",
    fixes: &[
        ("server", "look in the server's log at these times: crash or timeout in the middle of a body", ""),
        ("server", "send a Content-Length that is true", ""),
        ("uwsgi", "harakiri, socket-timeout", "Both cut a response that takes longer."),
        (
            "gunicorn",
            "--timeout, --graceful-timeout",
            "A sync worker is killed in the middle of a long download.",
        ),
    ],
    log_line: "upstream prematurely closed connection while reading upstream (FIN), or: readv() failed (104: Connection \
        reset by peer) while reading upstream (RST)",
    doubt: "None: this is counted, not inferred.",
};

/// P7.
pub(in crate::diagnose) static EXTRA_RESPONSE_BYTES: Words = Words {
    kind: "extra-response-bytes",
    cause: "",
    rule: "P7",
    severity: Severity::Warning,
    summary: "{link}: {to} sends bytes behind the end of its responses, {times}",
    explanation: "After a response was complete by its own framing, more bytes came that no request had asked for: a \
        Content-Length that is too small, or a body where none is allowed (HEAD, 204, 304). {from} throws them away and \
        cannot reuse the connection; a proxy that does not may take them for the next answer. {users}",
    fixes: &[
        ("server", "send a Content-Length that is true, or let the framework compute it", ""),
        ("server", "send no body for HEAD, 204 and 304", ""),
    ],
    log_line: "upstream sent more data than specified in \"Content-Length\" header while reading upstream",
    doubt: "None: this is counted, not inferred.",
};

/// P7, with a request whose answer they spoilt.
pub(in crate::diagnose) static EXTRA_BYTES_TAKEN: Words = Words {
    kind: "extra-response-bytes",
    cause: "taken-for-the-next-answer",
    rule: "P7",
    severity: Severity::Error,
    summary: "{link}: {to} sends bytes behind the end of its responses, and {from} takes them for the next answer, {times}",
    explanation: "After a response was complete by its own framing, more bytes came: a Content-Length that is too small, or \
        a body where none is allowed (HEAD, 204, 304). They lay in the kept connection when {from} sent its next request, \
        and stood where that one's status line should be. {users}",
    fixes: &[
        ("server", "send no body for HEAD, 204 and 304", ""),
        ("server", "send a Content-Length that is true, or let the framework compute it", ""),
        (
            "nginx",
            "no keepalive in this upstream block",
            "Until the server is mended: nothing is left for a next request.",
        ),
    ],
    log_line: "upstream sent no valid HTTP/1.0 header while reading response header from upstream",
    doubt: "That the next answer failed for another reason at the same time.",
};

/// P8.
pub(in crate::diagnose) static UNSOLICITED_RESPONSE: Words = Words {
    kind: "unsolicited-response",
    cause: "",
    rule: "P8",
    severity: Severity::Warning,
    summary: "{link}: {to} sends responses ({statuses}) that no request asked for, {times}",
    explanation: "On a kept connection with no request under way {to} sent {statuses}, as some servers do before they \
        close an idle connection. nginx then drops the connection, which is harmless; but a request that {from} sends at \
        that very moment gets this as its answer. {users}",
    fixes: &[
        ("server", "close idle connections without a response", ""),
        ("server", "keep idle connections longer than the proxy does", "Then the proxy closes first."),
        ("HAProxy", "option http-ignore-probes", "No 408 to connections on which nothing was asked."),
        ("nginx", "keepalive_timeout in the upstream block below the server's", ""),
    ],
    log_line: "",
    doubt: "None: this is counted, not inferred.",
};

/// P8, with a request that got it.
pub(in crate::diagnose) static WRONG_ANSWER: Words = Words {
    kind: "unsolicited-response",
    cause: "answered-the-wrong-request",
    rule: "P8",
    severity: Severity::Error,
    summary: "{link}: {to} sends {statuses} unasked, and {from} takes it for the answer to its next request, {times}",
    explanation: "{to} sent {statuses} on an idle kept connection, and crossed with the next request. That request got no \
        answer of its own; the hop before it got {statuses}, meant for nobody. {users}",
    fixes: &[
        ("server", "close idle connections without a response", ""),
        ("server", "keep idle connections longer than the proxy does", "Then the proxy closes first."),
        ("nginx", "keepalive_timeout in the upstream block below the server's", ""),
        ("ingress-nginx", "upstream-keepalive-timeout", "In the controller's ConfigMap: below the server's."),
    ],
    log_line: "",
    doubt: "The hop before may have had the same status from elsewhere.",
};

/// P9.
pub(in crate::diagnose) static NOT_HTTP: Words = Words {
    kind: "not-http",
    cause: "",
    rule: "P9",
    severity: Severity::Error,
    summary: "{link}: what {to} answers is no HTTP, {times}",
    explanation: "The first bytes of the answer are no status line. nginx takes them for HTTP/0.9, passes them on as they \
        are, and logs status 009 in its access log. {users}",
    fixes: &[
        (
            "proxy",
            "check port and protocol: this may be a database, a metrics port or another protocol's listener",
            "",
        ),
        (
            "ingress-nginx",
            "nginx.ingress.kubernetes.io/backend-protocol",
            "HTTP, HTTPS, GRPC, GRPCS or FCGI: what the service really speaks. uwsgi's --socket speaks none of them.",
        ),
        ("nginx", "uwsgi_pass, fastcgi_pass or grpc_pass in place of proxy_pass", "As the server speaks."),
        ("uwsgi", "--http-socket in place of --socket", "--socket speaks uwsgi's binary protocol."),
    ],
    log_line: "upstream sent no valid HTTP/1.0 header while reading response header from upstream",
    doubt: "None, where the start of the connection was captured.",
};

/// P10, refused.
pub(in crate::diagnose) static CONFLICTING_FRAMING: Words = Words {
    kind: "conflicting-framing",
    cause: "refused-by-proxy",
    rule: "P10",
    severity: Severity::Error,
    summary: "{link}: {to} sends both Content-Length and Transfer-Encoding, and {from} answers 502 instead, {times}",
    explanation: "The two say different things about where the response ends (RFC 9112, section 6.3), so {from} refuses \
        it. This often begins with a move from HTTP/1.0 to HTTP/1.1 towards {to}: only then it sends chunks. {users}",
    fixes: &[
        (
            "server",
            "remove the Content-Length that the application sets by hand, or the Transfer-Encoding",
            "",
        ),
        ("nginx", "proxy_http_version 1.0;", "Until the application is mended: it then sends no chunks."),
        (
            "ingress-nginx",
            "nginx.ingress.kubernetes.io/proxy-http-version: \"1.0\"",
            "As above, for one Ingress.",
        ),
    ],
    log_line: "upstream sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time",
    doubt: "None: both headers are in the response.",
};

/// P10, passed on.
pub(in crate::diagnose) static CONFLICTING_FRAMING_TOLERATED: Words = Words {
    kind: "conflicting-framing",
    cause: "",
    rule: "P10",
    severity: Severity::Warning,
    summary: "{link}: {to} sends both Content-Length and Transfer-Encoding, {times}",
    explanation: "The two say different things about where the response ends (RFC 9112, section 6.3). {from} took it; \
        newer nginx answers 502 to it, and two hops that read it differently can be made to mix up responses. {users}",
    fixes: &[
        (
            "server",
            "remove the Content-Length that the application sets by hand, or the Transfer-Encoding",
            "",
        ),
        ("nginx", "proxy_http_version 1.0;", "Until the application is mended: it then sends no chunks."),
        (
            "ingress-nginx",
            "nginx.ingress.kubernetes.io/proxy-http-version: \"1.0\"",
            "As above, for one Ingress.",
        ),
    ],
    log_line: "upstream sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time",
    doubt: "None: both headers are in the response.",
};

/// P11, refused.
pub(in crate::diagnose) static INVALID_HEADER: Words = Words {
    kind: "invalid-header",
    cause: "refused-by-proxy",
    rule: "P11",
    severity: Severity::Error,
    summary: "{link}: {to} sends a malformed header line, and {from} answers 502 instead, {times}",
    explanation: "A line of the response's head is no header field: a control byte, no colon, or a blank before it. \
        {from} refuses the whole response. {users}",
    fixes: &[
        (
            "server",
            "mend the header that the application writes; the first evidence packet shows it",
            "Often a line feed or a binary value in it.",
        ),
        ("nginx", "proxy_hide_header does not help: the head cannot be read at all", ""),
    ],
    log_line: "upstream sent invalid header",
    doubt: "{from} may have had another reason for its 502: its error log names the header.",
};

/// P11, passed on.
pub(in crate::diagnose) static INVALID_HEADER_TOLERATED: Words = Words {
    kind: "invalid-header",
    cause: "",
    rule: "P11",
    severity: Severity::Warning,
    summary: "{link}: {to} sends a malformed header line, {times}",
    explanation: "A line of the response's head is no header field: a control byte, no colon, a blank before it, or a \
        Content-Length that is no number. {from} took it here; other proxies, and newer ones, answer 502. {users}",
    fixes: &[(
        "server",
        "mend the header that the application writes; the first evidence packet shows it",
        "",
    )],
    log_line: "upstream sent invalid header",
    doubt: "What one proxy refuses another one ignores.",
};

/// P12.
pub(in crate::diagnose) static UNFRAMED_KEPT_OPEN: Words = Words {
    kind: "unframed-kept-open",
    cause: "",
    rule: "P12",
    severity: Severity::Error,
    summary: "{link}: {to} sends responses without an end and keeps the connection open, {times}",
    explanation: "The responses say neither how long they are nor that the connection will close, so their end is the \
        close, and that came late: {from} waited {took} (median) for an answer that was there already. {users}",
    fixes: &[
        ("server", "send a Content-Length, or chunks", ""),
        ("server", "or say 'Connection: close' and close at once", ""),
        (
            "uwsgi",
            "--http :8000 --http-auto-chunked --http-keepalive=75",
            "Instead of http11-socket, which closes after 4 s.",
        ),
        ("nginx", "proxy_http_version 1.0;", "Servers close after a response to HTTP/1.0."),
        (
            "ingress-nginx",
            "nginx.ingress.kubernetes.io/proxy-http-version: \"1.0\"",
            "As above, for one Ingress.",
        ),
    ],
    log_line: "",
    doubt: "A stream that pauses for long before it ends looks the same.",
};

/// A complete 5xx by the last hop.
pub(in crate::diagnose) static APPLICATION_ERROR: Words = Words {
    kind: "application-error",
    cause: "",
    rule: "",
    severity: Severity::Error,
    summary: "{link}: {to} itself answers {statuses}, {times}",
    explanation: "The responses are complete and nothing shows that {to} asked somebody else for them: the error is its own, and \
        no connection is to blame. It took {took} (median). {users}",
    fixes: &[("server", "look in the application's log for these requests", "")],
    log_line: "",
    doubt: "Where {to} is a proxy and what it asks was not captured, the error may come from behind it.",
};

/// Failures that retries hid.
pub(in crate::diagnose) static MASKED_FAILURES: Words = Words {
    kind: "masked-failures",
    cause: "",
    rule: "3a",
    severity: Severity::Warning,
    summary: "{link}: retries by {from} hid failures of {methods}",
    explanation: "{from} repeated {methods} after a failed attempt, and passed the answer of a later one on. {never} \
        Access logs show it only in $upstream_status.",
    fixes: &[
        ("", "mend the fault below: retries hide it, add latency, and do not help POSTs", ""),
        (
            "nginx",
            "log_format … '$upstream_addr $upstream_status $upstream_response_time';",
            "Each attempt is then an entry of a comma list.",
        ),
        (
            "nginx",
            "proxy_next_upstream error;",
            "Where repeating a slow request is worse than its 504: a timeout is retried too, and the work is done again.",
        ),
    ],
    log_line: "",
    doubt: "{counted}",
};

/// Failures that a fallback hid.
pub(in crate::diagnose) static MASKED_BY_FALLBACK: Words = Words {
    cause: "fallback",
    summary: "{link}: {from} answered {methods} well although {to} failed them",
    explanation: "These requests failed behind {from}, and it answered them well all the same, {instead}. So users saw no         failure, and access logs show it only in $upstream_status.",
    fixes: &[
        ("", "mend the fault below: a fallback hides it, and may answer with less than was asked for", ""),
        (
            "nginx",
            "error_page, with proxy_intercept_errors",
            "There it says what is answered instead: without '=200' the status stays that of the failure.",
        ),
        (
            "nginx",
            "log_format … '$upstream_addr $upstream_status $upstream_response_time';",
            "What was asked for first stands there before a colon.",
        ),
    ],
    doubt: "None: this is counted, not inferred.",
    ..MASKED_FAILURES
};

/// The words of this file.
#[cfg(test)]
pub(in crate::diagnose) static ALL: [&Words; 22] = [
    &CLIENT_GAVE_UP,
    &CLOSED_BEFORE_RESPONSE,
    &CLOSED_ON_ALL,
    &CLOSED_ON_REQUEST,
    &CLOSED_AT_LIMIT,
    &RESPONSE_TIMEOUT,
    &SEND_STALL,
    &RESPONSE_HEADER_TOO_LARGE,
    &TRUNCATED_RESPONSE,
    &EXTRA_RESPONSE_BYTES,
    &EXTRA_BYTES_TAKEN,
    &UNSOLICITED_RESPONSE,
    &WRONG_ANSWER,
    &NOT_HTTP,
    &CONFLICTING_FRAMING,
    &CONFLICTING_FRAMING_TOLERATED,
    &INVALID_HEADER,
    &INVALID_HEADER_TOLERATED,
    &UNFRAMED_KEPT_OPEN,
    &APPLICATION_ERROR,
    &MASKED_FAILURES,
    &MASKED_BY_FALLBACK,
];
