//! Words for requests that a server turned away on a reused connection, one entry a cause.

use super::{Severity, Words};

/// Idle timeouts in seconds that are defaults of well-known servers, for the words "the default of".
pub(in crate::diagnose) const KNOWN_IDLE_TIMEOUTS: [(i64, &str); 7] = [
    (2, "gunicorn's default --keep-alive"),
    (4, "uwsgi's default socket-timeout for http11-socket"),
    (5, "the default of uvicorn, Apache httpd and older node"),
    (6, "node's default of 5 s plus its buffer of 1 s"),
    (20, "Tomcat's default"),
    (60, "the default of many load balancers"),
    (75, "nginx's default keepalive_timeout"),
];

const RETRY_WARNING: (&str, &str, &str) = (
    "ingress-nginx",
    "do not set retry-non-idempotent: \"true\" to hide this",
    "It repeats POSTs: an order may be placed twice, and the fault stays.",
);

/// The server answers one request a connection, and does not say so.
pub(in crate::diagnose) static CLOSES_AFTER_EACH: Words = Words {
    kind: "rejected-reused-request",
    cause: "server-closes-after-each-response",
    rule: "",
    severity: Severity::Error,
    summary: "{link}: {to} rejects the second request on a reused connection, {times}",
    explanation: "{ordinals} {users} {to} closes each connection after one response{unsaid}{close_gap}. So {from} keeps the connection for the next request, and what it sends \
        before it has noticed the close is lost.",
    fixes: &[
        (
            "ingress-nginx",
            "nginx.ingress.kubernetes.io/proxy-http-version: \"1.0\"",
            "An annotation of this one Ingress: the proxy then asks in HTTP/1.0 and reuses no connection to it.",
        ),
        (
            "uwsgi",
            "--add-header \"Connection: close\"",
            "uwsgi then announces the close it makes anyway; in an .ini file: add-header = Connection: close",
        ),
        (
            "ingress-nginx",
            "upstream-keepalive-connections: \"0\"",
            "In the controller's ConfigMap: ends reuse for all its services, not only for this one.",
        ),
        (
            "nginx",
            "proxy_http_version 1.0;",
            "In the location that passes to it; without reuse nothing else changes.",
        ),
        (
            "nginx",
            "keepalive 0;",
            "In the upstream block, from nginx 1.29.7 on: there keep-alive is on by default.",
        ),
        (
            "haproxy",
            "option http-server-close",
            "In the backend: closes the connection to the server after each response ('http-reuse never' does not).",
        ),
        (
            "uwsgi",
            "--http :8000 --http-keepalive=75",
            "Instead of http-socket: keeps connections, longer than the proxy's 60 s.",
        ),
        (
            "proxy",
            "a new connection to {to} for each request: no keep-alive towards it",
            "Or let {to} say 'Connection: close' in each response, or keep its connections open.",
        ),
        RETRY_WARNING,
    ],
    log_line: "{logged}",
    doubt: "Where second requests were answered outside the captured time, the cause is another one.",
};

/// The client noticed the close before it wrote.
pub(in crate::diagnose) static UNSENT: Words = Words {
    kind: "rejected-reused-request",
    cause: "closed-before-it-was-sent",
    rule: "R1",
    severity: Severity::Error,
    summary: "{link}: {from} picked kept connections that {to} had just closed, {times}",
    explanation: "{from} answered {statuses} and sent nothing for these requests: it let go of a connection that {to} had \
        closed, right before the answer. {users} It is the same race as that of the rejected requests, noticed before \
        the request was written; a proxy repeats only what it may (GET), and often without a trace.",
    fixes: &[
        (
            "caddy",
            "transport http { keepalive off }",
            "In the reverse_proxy directive: a connection for each request.",
        ),
        (
            "traefik",
            "serversTransport.maxIdleConnsPerHost: -1",
            "Keeps no idle connection; or forwardingTimeouts.idleConnTimeout below the server's timeout.",
        ),
        ("server", "keep connections open longer than the proxy does, or announce the close", ""),
    ],
    log_line: "http: server closed idle connection (Go: Caddy, Traefik)",
    doubt: "Between a request and its error such closes come by chance too, where there are many; the proxy's log is certain.",
};

/// The answer before it came too early: the server closes because it does not read that request to its end.
pub(in crate::diagnose) static AFTER_EARLY_ANSWER: Words = Words {
    kind: "rejected-reused-request",
    cause: "closed-after-early-answer",
    rule: "",
    severity: Severity::Error,
    summary: "{link}: {to} closes after it answered before it had read the request, and {from} sends the next one, {times}",
    explanation: "{to} had answered the request before while its body was still under way. It does not read such a body to \
        its end, so it closes; {from} sent its next request on the same connection all the same, which nobody reads. \
        {ordinals} {users}",
    fixes: &[
        (
            "client",
            "use no connection further on which the answer came before the request was sent whole",
            "Unless it is sure that the server reads the rest (RFC 9112, section 9.6).",
        ),
        ("server", "announce the close with 'Connection: close' in such an answer", ""),
        ("server", "read the request body to its end (or up to a limit) before closing", ""),
    ],
    log_line: "",
    doubt: "None: the packets show the answer before the request's end, and the close behind it.",
};

/// The client goes on with a connection of which it was said that it ends.
pub(in crate::diagnose) static CLOSE_IGNORED: Words = Words {
    kind: "rejected-reused-request",
    cause: "announced-close-ignored",
    rule: "",
    severity: Severity::Error,
    summary: "{link}: {from} sends a second request on connections that were announced to end, {times}",
    explanation: "{ordinals} {users} {said_last} ('Connection: close' in the request or the response, or HTTP/1.0 without \
        keep-alive; RFC 9112, section 9.6){close_gap}. {from} sends another request on it all the same, which nobody reads.",
    fixes: &[
        (
            "client",
            "send no request on a connection behind 'Connection: close'",
            "Nor behind HTTP/1.0 without keep-alive.",
        ),
        ("client", "turn off pipelining", "Where the second request was sent before the first was answered."),
        RETRY_WARNING,
    ],
    log_line: "{logged}",
    doubt: "Where something between the two changes the headers, each side may have been told something else.",
};

/// Requests were under way while the server said that the connection ends.
pub(in crate::diagnose) static PIPELINED_BEHIND_CLOSE: Words = Words {
    cause: "sent-ahead-of-a-close",
    severity: Severity::Warning,
    summary: "{link}: {from} had sent further requests when {to} said that the connection ends, {times}",
    explanation: "{ordinals} {users} {to} answered with 'Connection: close' (or HTTP/1.0) while {from} had sent its next \
        request already. A server reads none behind such an answer (RFC 9112, section 9.6); the client has to send it again \
        on another connection, as it may: nobody acted on it.",
    fixes: &[
        ("client", "send again what a close left unanswered", "It is safe: the server read none of it."),
        ("client", "turn off pipelining", ""),
        RETRY_WARNING,
    ],
    doubt: "None: the acknowledgement numbers show what {from} knew.",
    ..CLOSE_IGNORED
};

/// The server's idle timeout is shorter than the proxy's.
pub(in crate::diagnose) static IDLE_TIMEOUT: Words = Words {
    kind: "rejected-reused-request",
    cause: "idle-timeout-mismatch",
    rule: "",
    severity: Severity::Error,
    summary: "{link}: {to} closes idle connections after {t} while {from} still uses them, {times}",
    explanation: "{to} closes a connection {whose} once it has been idle for {t} {spread} (seen on {samples}){known}; \
        {from} keeps idle connections {keeps}. A request that {from} sends at that very moment meets the close and is \
        lost. {sure} {ordinals} {users}",
    fixes: &[
        (
            "ingress-nginx",
            "upstream-keepalive-timeout: \"{below_s}\"",
            "In the controller's ConfigMap, in seconds: below the server's {t}.",
        ),
        ("nginx", "keepalive_timeout {below};", "In the upstream block: below the server's {t}."),
        (
            "haproxy",
            "option http-server-close",
            "In the backend: no idle connection to the server is kept then; pool-purge-delay closes only half of them at a time.",
        ),
        (
            "envoy",
            "common_http_protocol_options: { idle_timeout: {below_envoy} }",
            "On the cluster: below the server's {t}.",
        ),
        ("gunicorn", "--keep-alive 75", "Longer than the proxy keeps idle connections (60 s by default)."),
        (
            "node",
            "server.keepAliveTimeout = 75_000;",
            "Longer than the proxy keeps idle connections; headersTimeout above it.",
        ),
        ("uvicorn", "--timeout-keep-alive 75", "Longer than the proxy keeps idle connections."),
        (
            "uwsgi",
            "--http :8000 --http-keepalive=75",
            "Instead of http11-socket, which holds a worker for each idle connection.",
        ),
        RETRY_WARNING,
        ("proxy", "close idle connections to {to} before it does: after {below} at most", ""),
    ],
    log_line: "{logged}",
    doubt: "With few closed connections the timeout is a guess: compare it with the server's configuration.",
};

/// The server closes after a fixed number of requests.
pub(in crate::diagnose) static MAX_REQUESTS: Words = Words {
    kind: "rejected-reused-request",
    cause: "max-requests-per-connection",
    rule: "",
    severity: Severity::Error,
    summary: "{link}: {to} closes each connection after {k} requests and loses the next one, {times}",
    explanation: "Every rejected request was number {k1} on its connection, and {to} closed {samples} after exactly \
        {k} responses without announcing it. {users}",
    fixes: &[
        (
            "ingress-nginx",
            "upstream-keepalive-requests: \"{k_below}\"",
            "In the controller's ConfigMap: the proxy then closes first.",
        ),
        ("nginx", "keepalive_requests {k_below};", "In the upstream block: nginx then closes first."),
        (
            "haproxy",
            "option http-server-close",
            "In the backend: closes the connection to the server after each response.",
        ),
        (
            "server",
            "announce the last response with 'Connection: close', or raise its limit of {k} requests",
            "",
        ),
        RETRY_WARNING,
        ("proxy", "send at most {k_below} requests on one connection to {to}", ""),
    ],
    log_line: "{logged}",
    doubt: "A few connections of equal length may be chance.",
};

/// The server went away with many connections at once.
pub(in crate::diagnose) static RESTARTED: Words = Words {
    kind: "rejected-reused-request",
    cause: "server-restarted",
    rule: "",
    severity: Severity::Error,
    summary: "{link}: {server} was restarted with requests on its connections, {times}",
    explanation: "{server} closed {share} within {window}{others}{refused}. {before} was \
        restarted, reloaded or killed, or its workers ended together (max-requests), and the requests on those connections were lost. {users}",
    fixes: &[
        (
            "@nginx",
            "keepalive_min_timeout 5s;",
            "Where {to} is nginx 1.27.4 or later: a worker that ends on a reload then keeps idle connections open for so long.",
        ),
        (
            "@haproxy",
            "option idle-close-on-response",
            "Where {to} is HAProxy, in the frontend: on a reload it then closes kept connections only after one more response.",
        ),
        (
            "kubernetes",
            "lifecycle.preStop: sleep 15, and a terminationGracePeriodSeconds above it",
            "The pod then leaves the endpoints before it closes.",
        ),
        ("server", "drain kept connections on reload (announce 'Connection: close' before closing)", ""),
        (
            "uwsgi",
            "touch-chain-reload = FILE, with lazy-apps = true",
            "Workers are then replaced one after another.",
        ),
        RETRY_WARNING,
    ],
    log_line: "{logged}",
    doubt: "The packets show the burst, not its reason: compare with the events of the cluster and the server's log. A \
        firewall or load balancer between them that cuts all connections at once looks the same.",
};

/// Single workers went away, one at a time.
pub(in crate::diagnose) static RECYCLED: Words = Words {
    kind: "rejected-reused-request",
    cause: "worker-recycled",
    rule: "",
    severity: Severity::Error,
    summary: "{link}: {to} closed single connections right after a response and lost the next request, {times}",
    explanation: "Each of these connections was closed right after a response, after a different number of requests, \
        while other connections lived on: workers that end after so many requests (max-requests) or crash, one at a \
        time, do that. {ordinals} {users}",
    fixes: &[
        (
            "uwsgi",
            "max-requests = 0",
            "Or a much larger number; --http instead of http11-socket hides it from the proxy.",
        ),
        ("gunicorn", "--max-requests 0", "Or a much larger number, with --max-requests-jitter."),
        ("server", "look in the server's log at these times: worker exit, crash, out of memory", ""),
        RETRY_WARNING,
    ],
    log_line: "{logged}",
    doubt: "A crash right after a response looks the same.",
};

/// Something between both ends forgot the connection.
pub(in crate::diagnose) static MIDDLEBOX: Words = Words {
    kind: "rejected-reused-request",
    cause: "middlebox-dropped",
    rule: "",
    severity: Severity::Error,
    summary: "{link}: idle connections to {to} died without a close, {times}",
    explanation: "The connections had been idle for {idle} and no side had closed them; then a request got {got}. \
        {worked} A NAT, firewall or load balancer between {from} and {to} has forgotten them, or the server was \
        restarted without closing. {users}",
    fixes: &[
        (
            "nginx",
            "keepalive_timeout {below};",
            "In the upstream block: below the idle limit of what stands between.",
        ),
        (
            "haproxy",
            "option srvtcpka",
            "In the backend: TCP probes keep the entry alive; srvtcpka-idle below the limit.",
        ),
        (
            "nginx",
            "proxy_socket_keepalive on;",
            "TCP probes keep the entry alive; net.ipv4.tcp_keepalive_time below the limit.",
        ),
        (
            "ingress-nginx",
            "upstream-keepalive-timeout: \"{below_s}\"",
            "In the controller's ConfigMap, in seconds.",
        ),
        (
            "proxy",
            "close idle connections to {to} after {below} at most, or send TCP keep-alives on them",
            "",
        ),
    ],
    log_line: "{logged}",
    doubt: "A capture that misses the server's FIN looks the same; a capture at the server tells.",
};

/// The other end does not know the connection, or does not answer, after no long idle time.
pub(in crate::diagnose) static VANISHED: Words = Words {
    kind: "rejected-reused-request",
    cause: "host-vanished",
    rule: "",
    severity: Severity::Error,
    summary: "{link}: {to} no longer knew connections that had just worked, {times}",
    explanation: "The connections had carried answered requests shortly before and no side had closed them; then a \
        request got a bare reset or no answer at all. The host behind the address went away or was replaced (a pod \
        that was killed with its network, a failed node), or the path to it broke. {users}",
    fixes: &[
        ("kubernetes", "look at the events of these pods and nodes: eviction, node failure, IP reused", ""),
        (
            "nginx",
            "proxy_next_upstream error timeout; proxy_connect_timeout 2s;",
            "Idempotent requests then go to another address soon.",
        ),
        ("network", "look for a firewall or conntrack change at these times", ""),
    ],
    log_line: "{logged}",
    doubt: "A capture that misses the server's FIN looks the same; a capture at the server tells.",
};

/// Rejected, and the figures fit no known cause.
pub(in crate::diagnose) static UNKNOWN_CAUSE: Words = Words {
    kind: "rejected-reused-request",
    cause: "unknown",
    rule: "",
    severity: Severity::Error,
    summary: "{link}: {to} rejects requests on reused connections, {times}",
    explanation: "{to} closed the connection without answering. {worked} {ordinals} {users}",
    fixes: &[
        (
            "server",
            "keep idle connections longer than the proxy does, and announce each close with 'Connection: close'",
            "",
        ),
        (
            "ingress-nginx",
            "nginx.ingress.kubernetes.io/proxy-http-version: \"1.0\"",
            "Ends the reuse of connections for this one Ingress.",
        ),
        ("nginx", "proxy_http_version 1.0;", "Ends the reuse of connections to it."),
        ("haproxy", "option http-server-close", "In the backend: ends the reuse of connections to it."),
        RETRY_WARNING,
    ],
    log_line: "{logged}",
    doubt: "The rejections are certain; why the server closed is not: a longer capture may tell.",
};

/// The words of this file.
#[cfg(test)]
pub(in crate::diagnose) static ALL: [&Words; 12] = [
    &AFTER_EARLY_ANSWER,
    &UNSENT,
    &CLOSE_IGNORED,
    &PIPELINED_BEHIND_CLOSE,
    &CLOSES_AFTER_EACH,
    &IDLE_TIMEOUT,
    &MAX_REQUESTS,
    &RESTARTED,
    &RECYCLED,
    &MIDDLEBOX,
    &VANISHED,
    &UNKNOWN_CAUSE,
];
