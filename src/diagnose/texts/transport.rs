//! Words for what the transport shows: loss, closed windows, sizes that do not get through, restarts, late connections (T rules).

use super::{Severity, Words};

/// T6.
pub(in crate::diagnose) static RESTART_BURST: Words = Words {
    kind: "restart-burst",
    cause: "",
    rule: "T6",
    severity: Severity::Warning,
    summary: "{link}: {server} closed {share} within {window}{again}",
    explanation: "So many at once, and none of them for its idle time or its number of requests: the process was \
        restarted, reloaded or killed. {announced} {refused} {hurt}",
    fixes: &[
        (
            "kubernetes",
            "kubectl get events, and the pod's restart count",
            "A rolling update, an eviction or an out-of-memory kill stands there.",
        ),
        ("server", "drain before exit: stop accepting, finish requests, then close", ""),
    ],
    log_line: "",
    doubt: "The packets show the event, not its reason: a firewall or load balancer between them that cuts all \
        connections at once looks the same.",
};

/// T1.
pub(in crate::diagnose) static RETRANSMISSION_DELAY: Words = Words {
    kind: "retransmission-delay",
    cause: "",
    rule: "T1",
    severity: Severity::Warning,
    summary: "{link}: lost packets delayed requests, {times}",
    explanation: "Segments of these requests or responses were lost and sent again. They stood still for {wait} (median; \
        {longest} at most) because of it{think}. {failed}",
    fixes: &[
        (
            "network",
            "ip -s link, ethtool -S, nstat -az TcpRetransSegs: where are packets dropped?",
            "On both hosts and between.",
        ),
        ("kubernetes", "look for CPU limits and conntrack drops on the nodes of this path", ""),
    ],
    log_line: "",
    doubt: "A retransmission that was not needed (the acknowledgement was late) delays nothing.",
};

/// T2.
pub(in crate::diagnose) static ZERO_WINDOW: Words = Words {
    kind: "zero-window",
    cause: "",
    rule: "T2",
    severity: Severity::Warning,
    summary: "{link}: {who} does not read what {peer} sends, {times}",
    explanation: "{who} closed its receive window, so {peer} had to wait: for up to {longest}, {all} in all. The program \
        at {who} reads slower than the data comes.",
    fixes: &[
        ("server", "find what keeps the program at {who} from reading: busy, blocked, or a slow disk", ""),
        (
            "nginx",
            "proxy_buffering on; larger proxy_buffers",
            "Where {who} is a slow client, nginx then frees the upstream.",
        ),
        ("ingress-nginx", "nginx.ingress.kubernetes.io/proxy-buffering: \"on\"", "Off by default."),
    ],
    log_line: "upstream timed out (110: Connection timed out) while sending request to upstream, where it lasts",
    doubt: "A slow download by a slow client is no fault.",
};

/// T3.
pub(in crate::diagnose) static MTU_BLACK_HOLE: Words = Words {
    kind: "mtu-black-hole",
    cause: "",
    rule: "T3",
    severity: Severity::Error,
    summary: "{link}: large packets from {who} to {peer} never arrive, {times}",
    explanation: "{seen} while segments of up to {through} bytes got through, and no ICMP error said that they are too \
        big. Somewhere between, the MTU is smaller and the message about it is filtered.",
    fixes: &[
        (
            "network",
            "ping -M do -s 1472 ADDRESS, smaller until it works",
            "That size plus 28 is the path's MTU.",
        ),
        (
            "kubernetes",
            "set the MTU of the network plugin (Calico veth_mtu, Flannel, Cilium mtu)",
            "The node's MTU less the overlay's header: 50 for VXLAN.",
        ),
        ("network", "allow ICMP type 3 code 4 (IPv6: type 2)", "Path MTU discovery needs it."),
        ("server", "sysctl -w net.ipv4.tcp_mtu_probing=1", "The sender then finds the size by itself."),
    ],
    log_line: "upstream timed out (110: Connection timed out) while reading upstream",
    doubt: "A host that died in the middle of a large response looks alike on a single connection.",
};

/// T4.
pub(in crate::diagnose) static DELAYED_ACK: Words = Words {
    kind: "delayed-ack-stall",
    cause: "",
    rule: "T4",
    severity: Severity::Warning,
    summary: "{link}: {who} sends {what} in parts with 40 ms between, {times}",
    explanation: "The first part of these small {what} was followed by the rest 40 ms later, and hardly any took about as \
        long: {who} holds the rest back (Nagle) until {peer} acknowledges, and {peer} delays its acknowledgement by 40 ms.",
    fixes: &[
        ("server", "set TCP_NODELAY, or write head and body with one call", ""),
        ("nginx", "tcp_nodelay on;", "The default; look whether it was turned off."),
        ("uwsgi", "--tcp-nodelay", ""),
        ("node", "socket.setNoDelay(true)", "The default since version 16."),
    ],
    log_line: "",
    doubt: "An application that itself takes 40 ms between its writes looks the same.",
};

/// T5, where a SYN had to be sent again.
pub(in crate::diagnose) static CONNECT_DELAY: Words = Words {
    kind: "connect-delay",
    cause: "",
    rule: "T5",
    severity: Severity::Warning,
    summary: "{link}: connections to {servers} came about only after {wait}, {times}",
    explanation: "The first SYN got no answer, and TCP sends it again after 1, 3 and 7 s: {from} had these connections \
        {wait} (median; {longest} at most) after it had asked for them. {waiting} {meanwhile}. Either the path dropped the \
        SYNs, or the kernel of {to} did, as it does while its queue of connections to accept is full.",
    fixes: &[
        (
            "server",
            "nstat -az TcpExtListenOverflows TcpExtListenDrops",
            "Where these grow the queue was full: more workers, a longer backlog, net.core.somaxconn.",
        ),
        ("uwsgi", "--listen 1024", "100 is the default; net.core.somaxconn must be as large."),
        (
            "network",
            "ip -s link, iptables -L -v -n, conntrack -S: where are SYNs dropped?",
            "Also a limit for new connections, or a full conntrack table, drops SYNs alone.",
        ),
        (
            "nginx",
            "keepalive in the upstream block",
            "Fewer connections are opened, and fewer requests wait for one.",
        ),
    ],
    log_line: "upstream timed out (110: Connection timed out) while connecting to upstream, where it lasts",
    doubt: "A host that was just starting, or came back from a failover, looks the same.",
};

/// The words of this file.
#[cfg(test)]
pub(in crate::diagnose) static ALL: [&Words; 6] =
    [&RESTART_BURST, &RETRANSMISSION_DELAY, &ZERO_WINDOW, &MTU_BLACK_HOLE, &DELAYED_ACK, &CONNECT_DELAY];
