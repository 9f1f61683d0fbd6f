//! Words for connections that never came about or began in the wrong protocol (C rules).

use super::{Severity, Words};

/// C1.
pub(in crate::diagnose) static CONNECTION_REFUSED: Words = Words {
    kind: "connection-refused",
    cause: "",
    rule: "C1",
    severity: Severity::Error,
    summary: "{link}: {servers} refused connections, {times}",
    explanation: "The SYN was answered by a RST: nothing listens on {servers}, or a policy rejects. {asker} then \
        answers 502 or tries another address. {meaning} {hurt}",
    fixes: &[
        ("kubernetes", "readinessProbe, and a preStop sleep", "Only pods that listen should be endpoints."),
        (
            "server",
            "listen on the address and port that the proxy connects to",
            "127.0.0.1 is not reachable from outside.",
        ),
        (
            "nginx",
            "server ADDRESS:PORT; in the upstream block",
            "Compare with what `ss -ltn` shows on the server.",
        ),
        ("haproxy", "server NAME ADDRESS:PORT check", "Health checks take a dead server out."),
    ],
    log_line: "connect() failed (111: Connection refused) while connecting to upstream",
    doubt: "Probes and scanners connect to closed ports too.",
};

/// C1, where only checks were refused.
pub(in crate::diagnose) static CHECK_REFUSED: Words = Words {
    cause: "health-check",
    severity: Severity::Warning,
    summary: "{link}: {servers} refused what look like health checks, {times}",
    explanation: "The SYN was answered by a RST: nothing listens on {servers}. {from} tried at a fixed pace, also while it \
        had no request in hand, and never sent a request there: so these are its checks of whether the server lives. \
        {hurt}",
    doubt: "A client that tries again at a fixed pace looks the same.",
    ..CONNECTION_REFUSED
};

/// C1, at ports that nobody is served at.
pub(in crate::diagnose) static STRANGER_REFUSED: Words = Words {
    cause: "unserved-port",
    severity: Severity::Note,
    summary: "{link}: attempts at ports that serve nobody, {servers}, were refused {times}",
    explanation: "The SYN was answered by a RST: nothing listens there. Who tried got no answer at a port that serves users, \
        or tried one port after the other: that is how scanners look, which every machine on the Internet meets.",
    fixes: &[("network", "nothing, or a firewall that drops what is for other ports", "")],
    doubt: "A user who has the wrong port looks the same.",
    ..CONNECTION_REFUSED
};

/// C3, at such ports.
pub(in crate::diagnose) static STRANGER_UNANSWERED: Words = Words {
    cause: "unserved-port",
    severity: Severity::Note,
    summary: "{link}: attempts at ports that serve nobody, {servers}, got no answer, {times}",
    explanation: "Nothing came back, not even a refusal, as a firewall has it. Who tried got no answer at a port that serves \
        users, or tried one port after the other: that is how scanners look, which every machine on the Internet meets.",
    fixes: &[("network", "nothing: the firewall does what it is there for", "")],
    doubt: "A user who has the wrong port looks the same.",
    ..CONNECT_TIMEOUT
};

/// C2.
pub(in crate::diagnose) static HOST_UNREACHABLE: Words = Words {
    kind: "host-unreachable",
    cause: "",
    rule: "C2",
    severity: Severity::Error,
    summary: "{link}: {servers} cannot be reached, {times}",
    explanation: "The SYN was answered by an ICMP error: {codes}. The packets never got to {servers}. {asker} then answers \
        502 or tries another address. {hurt}",
    fixes: &[
        (
            "network",
            "ip route get ADDRESS, on the host that sent the ICMP error",
            "Its route or policy is the fault.",
        ),
        (
            "kubernetes",
            "kubectl get nodes, endpoints and networkpolicies",
            "A node that is gone, or a policy that rejects.",
        ),
    ],
    log_line: "connect() failed (113: No route to host) while connecting to upstream (port rejected: 111: Connection \
        refused; no route to the network: 101: Network is unreachable)",
    doubt: "A passing ICMP error during a route change heals by itself.",
};

/// C3.
pub(in crate::diagnose) static CONNECT_TIMEOUT: Words = Words {
    kind: "connect-timeout",
    cause: "",
    rule: "C3",
    severity: Severity::Error,
    summary: "{link}: {servers} answered no connection attempt, {times}",
    explanation: "{from} sent {syns} for a connection and got nothing back, not even a refusal. {alive} {asker} \
        then answers 504 or tries another address. {hurt}",
    fixes: &[
        ("network", "look for a policy or firewall that drops (DROP, NetworkPolicy, security group)", ""),
        (
            "server",
            "ss -lnt and nstat -az TcpExtListenDrops, on the server",
            "A full accept queue drops SYNs too.",
        ),
        ("nginx", "proxy_connect_timeout 2s;", "Finds another address sooner; 60 s is the default."),
        ("ingress-nginx", "nginx.ingress.kubernetes.io/proxy-connect-timeout: \"2\"", "5 s is the default."),
        ("haproxy", "timeout connect 2s", ""),
        ("envoy", "connect_timeout: 2s, on the cluster", ""),
    ],
    log_line: "upstream timed out (110: Connection timed out) while connecting to upstream",
    doubt: "A dropped SYN and a full accept queue look alike from the client's side. Where one SYN is all that was sent, \
        the client gave up before the next was due, and the same is seen if the capture lacks the answers.",
};

/// C4.
pub(in crate::diagnose) static ACCEPT_QUEUE_OVERFLOW: Words = Words {
    kind: "accept-queue-overflow",
    cause: "",
    rule: "C4",
    severity: Severity::Error,
    summary: "{link}: {servers} does not accept connections fast enough, and its queue of them was full, {times}",
    explanation: "{seen}; this went on for up to {delay} each. {meanwhile}. So it was the server's kernel that turned them \
        away: its queue of connections that wait for accept() was full. {lost} failed for it. {hurt}",
    fixes: &[
        ("uwsgi", "--listen 1024", "100 is the default; net.core.somaxconn must be as large."),
        ("gunicorn", "--backlog 2048, and more --workers", "net.core.somaxconn must be as large."),
        ("node", "server.listen({ port, backlog: 2048 })", "511 is the default."),
        ("server", "more workers, or faster ones: the queue fills because nobody accepts", ""),
        (
            "server",
            "a longer backlog (listen), and sysctl -w net.core.somaxconn=4096",
            "The kernel cuts every backlog to it. A longer queue only helps against bursts.",
        ),
    ],
    log_line: "upstream timed out (110: Connection timed out) while connecting to upstream; uwsgi: *** uWSGI listen \
        queue of socket … full !!!; nstat: TcpExtListenOverflows",
    doubt: "A path that loses only SYNs, such as a rate limit for new connections, looks the same.",
};

/// C5.
pub(in crate::diagnose) static NO_LIVE_UPSTREAM: Words = Words {
    kind: "no-live-upstream",
    cause: "",
    rule: "C5",
    severity: Severity::Error,
    summary: "{link}: {to} answers {statuses} at once without asking anybody, {times}",
    explanation: "The answer came within {t}, and on all links behind {to} there is no attempt for it, not even a SYN: \
        {to} had no upstream that it held for alive. {before} {users}",
    fixes: &[
        (
            "nginx",
            "server … max_fails=0; or a shorter fail_timeout",
            "One failure then does not take an address out for 10 s.",
        ),
        ("kubernetes", "kubectl get endpoints", "Without a ready pod there is nobody to ask."),
        ("haproxy", "show servers state", "All servers of the backend are down by their checks."),
        ("envoy", "outlier_detection and health_checks of the cluster", "All hosts are ejected."),
        (
            "varnish",
            "varnishd -p backend_remote_error_holddown=0",
            "It asks nobody for 0.25 s after a refusal, and for 10 s after an error of its own side (backend_local_…).",
        ),
        (
            "squid",
            "cache_peer … connect-fail-limit=100",
            "It takes a peer for dead after 10 failed connections.",
        ),
        (
            "lighttpd",
            "\"disable-time\" => 0 in proxy.server",
            "It asks nobody for 1 s after a failed connection.",
        ),
    ],
    log_line: "no live upstreams while connecting to upstream (HAProxy's access log: <NOSRV> and SC)",
    doubt: "A limit or a rule that makes {to} answer {statuses} by itself (limit_req, return) looks the same.",
};

/// C6, the client speaks TLS.
pub(in crate::diagnose) static TLS_TO_PLAIN: Words = Words {
    kind: "tls-plain-mismatch",
    cause: "tls-to-plain",
    rule: "C6",
    severity: Severity::Error,
    summary: "{link}: {from} speaks TLS to {servers}, which does not, {times}",
    explanation: "{from} begins with a TLS handshake, and {answer}. {users}",
    fixes: &[
        (
            "ingress-nginx",
            "nginx.ingress.kubernetes.io/backend-protocol: \"HTTP\"",
            "Or give the backend's TLS port.",
        ),
        ("nginx", "proxy_pass http://…;", "Instead of https://, or with the backend's TLS port."),
        ("haproxy", "server … (without ssl)", ""),
        ("envoy", "remove transport_socket from the cluster", ""),
    ],
    log_line: "SSL_do_handshake() failed (… wrong version number) while SSL handshaking to upstream, or: upstream timed \
        out (110: Connection timed out) while SSL handshaking to upstream",
    doubt: "{doubt}",
};

/// C6, nobody answers the client's TLS.
pub(in crate::diagnose) static TLS_UNANSWERED: Words = Words {
    kind: "tls-plain-mismatch",
    cause: "tls-unanswered",
    rule: "C6",
    severity: Severity::Error,
    summary: "{link}: {servers} answers no TLS handshake of {from}, {times}: it may not speak TLS",
    explanation: "{from} begins with a TLS handshake, {to} receives it, and {answer}. No connection to this address was \
        answered in these captures. {users}",
    ..TLS_TO_PLAIN
};

/// Both speak TLS, and the handshake fails.
pub(in crate::diagnose) static TLS_REFUSED: Words = Words {
    kind: "tls-handshake-failed",
    cause: "",
    rule: "C6",
    severity: Severity::Error,
    summary: "{link}: TLS handshakes of {from} with {servers} fail, {times}",
    explanation: "Both sides speak TLS, and {answer}. No request was sent on these connections; a proxy then answers 502. \
        {users}",
    fixes: &[
        (
            "server",
            "openssl s_client -connect ADDRESS -servername NAME, from where {from} runs",
            "Shows certificate, versions and the alert.",
        ),
        (
            "nginx",
            "proxy_ssl_server_name on; proxy_ssl_name NAME; proxy_ssl_protocols …; proxy_ssl_trusted_certificate …",
            "nginx sends no server name by default: unrecognized_name and handshake_failure often mean that.",
        ),
        (
            "ingress-nginx",
            "nginx.ingress.kubernetes.io/proxy-ssl-server-name: \"on\", proxy-ssl-name, proxy-ssl-secret",
            "",
        ),
        ("haproxy", "server … ssl sni str(NAME) verify required ca-file …", ""),
        ("envoy", "transport_socket: sni, validation_context", "On the cluster."),
    ],
    log_line: "SSL_do_handshake() failed (… alert …) while SSL handshaking to upstream",
    doubt: "The alert names the reason as its sender sees it: the log of that side has more.",
};

/// C6, the client speaks plain HTTP.
pub(in crate::diagnose) static PLAIN_TO_TLS: Words = Words {
    kind: "tls-plain-mismatch",
    cause: "plain-to-tls",
    rule: "C6",
    severity: Severity::Error,
    summary: "{link}: {from} speaks plain HTTP to {servers}, which wants TLS, {times}",
    explanation: "{from} sends a plain HTTP request, and {answer}. {users}",
    fixes: &[
        (
            "ingress-nginx",
            "nginx.ingress.kubernetes.io/backend-protocol: \"HTTPS\"",
            "Or give the backend's plain port.",
        ),
        ("nginx", "proxy_pass https://…;", "Instead of http://, or with the backend's plain port."),
        ("haproxy", "server … ssl verify required", ""),
        ("envoy", "transport_socket: envoy.transport_sockets.tls, on the cluster", ""),
    ],
    log_line: "client sent plain HTTP request to HTTPS port while reading client request headers (at the server)",
    doubt: "{doubt}",
};

/// C7, sent and not understood.
pub(in crate::diagnose) static PROXY_NOT_EXPECTED: Words = Words {
    kind: "proxy-protocol-mismatch",
    cause: "header-not-expected",
    rule: "C7",
    severity: Severity::Error,
    summary: "{link}: {from} sends a PROXY header to {servers}, which does not expect one, {times}",
    explanation: "{from} begins each connection with a PROXY protocol header, and {answer}. {users}",
    fixes: &[
        ("haproxy", "server … (without send-proxy)", "Or let the server expect it."),
        ("nginx", "listen … proxy_protocol;", "At the server, if it is an nginx; with set_real_ip_from."),
        (
            "ingress-nginx",
            "use-proxy-protocol: \"true\"",
            "In the controller's ConfigMap, where a load balancer sends it.",
        ),
        ("gunicorn", "--proxy-protocol", ""),
    ],
    log_line: "client sent invalid method while reading client request line, client sent invalid request (at the server)",
    doubt: "{doubt}",
};

/// C7, sent more than once.
pub(in crate::diagnose) static PROXY_TWICE: Words = Words {
    kind: "proxy-protocol-mismatch",
    cause: "header-twice",
    rule: "C7",
    severity: Severity::Error,
    summary: "{link}: {from} sends {servers} more than one PROXY header on a connection, {times}",
    explanation: "Behind the first PROXY protocol header another one follows, in the place of the request, and {answer}. \
                  Most likely {from} puts its own header before one that it was sent and passes on as it is. {users}",
    fixes: &[
        ("haproxy", "bind … accept-proxy", "At {from}: it then takes off the header that it is sent."),
        (
            "nginx",
            "listen … proxy_protocol;",
            "At {from}, if it is an nginx that is sent a header and sends its own.",
        ),
        (
            "haproxy",
            "server … (without send-proxy)",
            "Or let the header of the proxy before it go through alone.",
        ),
    ],
    log_line: "client sent invalid method while reading client request line (at the server)",
    doubt: "{doubt}",
};

/// C7, expected and not sent.
pub(in crate::diagnose) static PROXY_EXPECTED: Words = Words {
    kind: "proxy-protocol-mismatch",
    cause: "header-missing",
    rule: "C7",
    severity: Severity::Error,
    summary: "{link}: {servers} closes connections that begin without a PROXY header, {times}",
    explanation: "{from} sends plain HTTP, and {answer}. {users}",
    fixes: &[
        ("haproxy", "server … send-proxy", "If the server is to see the clients' addresses."),
        ("nginx", "listen …; (without proxy_protocol)", "At the server."),
        (
            "ingress-nginx",
            "use-proxy-protocol: \"false\"",
            "In the controller's ConfigMap, or turn it on at the load balancer.",
        ),
        ("envoy", "transport_socket: envoy.transport_sockets.upstream_proxy_protocol", "On the cluster."),
    ],
    log_line: "broken header: \"GET / HTTP/1.1…\" while reading PROXY protocol (at the server)",
    doubt: "{doubt}",
};

/// C8.
pub(in crate::diagnose) static HTTP2_MISMATCH: Words = Words {
    kind: "http2-mismatch",
    cause: "",
    rule: "C8",
    severity: Severity::Error,
    summary: "{link}: {from} and {servers} do not speak the same version of HTTP, {times}",
    explanation: "{answer}. {users}",
    fixes: &[
        (
            "ingress-nginx",
            "nginx.ingress.kubernetes.io/backend-protocol: \"HTTP\" (or \"GRPC\" for HTTP/2)",
            "",
        ),
        ("nginx", "proxy_pass http://…; for HTTP/1, grpc_pass grpc://…; for HTTP/2", ""),
        ("haproxy", "server … proto h1 (or proto h2)", ""),
        ("envoy", "http2_protocol_options on the cluster, or not", ""),
        (
            "kubernetes",
            "appProtocol: kubernetes.io/h2c, on the Service's port",
            "Only if the pods speak h2c.",
        ),
    ],
    log_line: "invalid connection preface while processing HTTP/2 connection, or: client sent invalid request (at the \
        server)",
    doubt: "{doubt}",
};

/// The words of this file.
#[cfg(test)]
pub(in crate::diagnose) static ALL: [&Words; 16] = [
    &TLS_REFUSED,
    &CONNECTION_REFUSED,
    &CHECK_REFUSED,
    &STRANGER_REFUSED,
    &STRANGER_UNANSWERED,
    &HOST_UNREACHABLE,
    &CONNECT_TIMEOUT,
    &ACCEPT_QUEUE_OVERFLOW,
    &NO_LIVE_UPSTREAM,
    &TLS_TO_PLAIN,
    &TLS_UNANSWERED,
    &PLAIN_TO_TLS,
    &PROXY_NOT_EXPECTED,
    &PROXY_TWICE,
    &PROXY_EXPECTED,
    &HTTP2_MISMATCH,
];
