//! Words for servers whose workers are all taken.

use super::{Severity, Words};

/// All workers hold a kept connection.
pub(in crate::diagnose) static WORKER_EXHAUSTION: Words = Words {
    kind: "worker-exhaustion",
    cause: "",
    rule: "fact 6",
    severity: Severity::Error,
    summary: "{link}: all {n} workers of {server} hold a kept connection, and other requests wait unserved, {times}",
    explanation: "{server} never served more than {workers} at a time, so it has that many workers, and each is bound \
        to one kept connection, even while that is idle (usual answer there: {usual}). The kernel still accepted \
        further connections and acknowledged their requests, which nobody read, for up to {longest}. {late} {users}",
    fixes: &[
        (
            "uwsgi",
            "--http :8000 --http-keepalive=75",
            "Instead of http11-socket: the router keeps the connections, and workers stay free.",
        ),
        (
            "uwsgi",
            "--processes {more} (or --gevent 100)",
            "More workers than the proxy keeps connections: its pool size times its worker processes.",
        ),
        (
            "ingress-nginx",
            "nginx.ingress.kubernetes.io/proxy-http-version: \"1.0\"",
            "Ends the reuse of connections for this one Ingress, so no idle one holds a worker.",
        ),
        (
            "nginx",
            "keepalive {n};",
            "In the upstream block: at most so many idle connections, over all worker processes together.",
        ),
        (
            "php-fpm",
            "pm.max_children = {more}",
            "More children than the proxy keeps connections (fastcgi_keep_conn on); or let it keep none.",
        ),
        ("gunicorn", "--worker-class gthread --threads 8", "A thread then waits for requests, not a worker."),
        ("apache", "mpm_event instead of mpm_prefork", "Idle connections then hold no process."),
    ],
    log_line: "upstream timed out (110: Connection timed out) while reading response header from upstream, or status \
        499 in the access log",
    doubt: "Requests that hang by themselves on new connections only would look alike; the server's count of workers \
        (here {n}) confirms or refutes it.",
};

/// The words of this file.
#[cfg(test)]
pub(in crate::diagnose) static ALL: [&Words; 1] = [&WORKER_EXHAUSTION];
