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
        (
            "server",
            "more workers than the proxy keeps connections, or none bound to an idle one",
            "It has {n}.",
        ),
        ("apache", "mpm_event instead of mpm_prefork", "Idle connections then hold no process."),
    ],
    log_line: "upstream timed out (110: Connection timed out) while reading response header from upstream, or status \
        499 in the access log",
    doubt: "Requests that hang by themselves on new connections only would look alike; the server's count of workers \
        (here {n}) confirms or refutes it.",
};

/// More requests than workers.
pub(in crate::diagnose) static WORKER_QUEUE: Words = Words {
    kind: "worker-exhaustion",
    cause: "queue",
    rule: "P2",
    severity: Severity::Error,
    summary: "{link}: {server} works on {at_once} at a time, and others are given up in its queue, {times}",
    explanation: "An answer takes {usual} once its turn has come, and of {answers} {queued} began only when an earlier one \
        was done, never more than {n} at once: so many workers there are. The kernel accepted further connections and \
        acknowledged their requests, which nobody read; they waited until their clients gave up, after {longest} at the \
        longest. {users}",
    fixes: &[
        (
            "uwsgi",
            "--processes {more} (or --threads, --gevent 100)",
            "More requests at a time than clients wait for.",
        ),
        ("gunicorn", "--workers {more}, or --worker-class gthread --threads {more}", ""),
        ("php-fpm", "pm.max_children = {more}", ""),
        ("server", "find out what takes {usual} for each request", "Faster answers need fewer workers."),
        (
            "nginx",
            "proxy_read_timeout above the longest wait",
            "Hides the queue: users wait longer, and get an answer.",
        ),
    ],
    log_line: "upstream timed out (110: Connection timed out) while reading response header from upstream, or status \
        499 in the access log",
    doubt: "Something behind the server that serves {n} at a time (a lock, a pool of database connections) looks alike; \
        the server's count of workers tells.",
};

/// A few slow requests hold all workers.
pub(in crate::diagnose) static WORKERS_HELD: Words = Words {
    kind: "worker-exhaustion",
    cause: "held",
    rule: "P2",
    severity: Severity::Error,
    summary: "{link}: {held} hold all workers of {server}, and others are given up before it reads them, {times}",
    explanation: "From when it had {which} in hand, {server} answered nobody for {span}. The kernel still accepted \
        connections and acknowledged their requests; such requests are answered in {usual} otherwise, and here they were \
        given up after up to {longest}. So the server works on {n} requests at a time at most, and the slow ones took all \
        these places. {users}",
    fixes: &[
        (
            "server",
            "find what {which} waits for (a database, another service, a lock), and give it a timeout",
            "",
        ),
        ("server", "more workers, or ones that serve others while a request waits", "It has {n} at most."),
        (
            "gunicorn",
            "--worker-class gthread --threads {more}, or --workers {more}",
            "Sync workers are the default.",
        ),
        ("uwsgi", "--processes {more} (or --threads, --gevent 100); --harakiri 30 ends what hangs", ""),
        ("php-fpm", "pm.max_children = {more}; request_terminate_timeout = 30s", ""),
        (
            "nginx",
            "a location of its own for the slow requests, to workers of their own",
            "Others then find free workers.",
        ),
    ],
    log_line: "upstream timed out (110: Connection timed out) while reading response header from upstream, or status \
        499 in the access log",
    doubt: "A server that stands still as a whole (paused, swapping, waiting for one lock) looks alike if slow requests \
        happened to be in hand; its count of workers (here at most {n}) tells.",
};

/// Slow requests hold all workers again and again.
pub(in crate::diagnose) static WORKERS_BUSY: Words = Words {
    kind: "worker-exhaustion",
    cause: "slow-requests",
    rule: "P2",
    severity: Severity::Error,
    summary: "{link}: slow requests hold all workers of {server} ({n} at a time), and others are given up in its queue, \
        {times}",
    explanation: "{server} worked on {held} at a time that take {slow} and more ({which}), hardly ever on more, and while \
        it did it answered hardly any other at once, though such requests take {usual} where a worker is free. They waited \
        until a slow one was done, and were given up after up to {longest}. {users}",
    fixes: &[
        ("server", "find what {which} waits for (a database, another service), and make it quicker", ""),
        ("server", "more workers, or ones that serve others while a request waits", "It has {n}."),
        (
            "gunicorn",
            "--worker-class gthread --threads {more}, or --workers {more}",
            "Sync workers are the default.",
        ),
        ("uwsgi", "--processes {more} (or --threads, --gevent 100)", ""),
        ("php-fpm", "pm.max_children = {more}", ""),
        ("puma", "threads {more}, {more}", "Or more workers, where the code holds Ruby's lock."),
        (
            "nginx",
            "a location of its own for the slow requests, to workers of their own",
            "Others then find free workers.",
        ),
    ],
    log_line: "upstream timed out (110: Connection timed out) while reading response header from upstream, or status \
        499 in the access log",
    doubt: "A lock, or a pool of database connections, that the slow requests hold and the others need looks alike; the \
        server's count of workers (here {n}) tells.",
};

/// The words of this file.
#[cfg(test)]
pub(in crate::diagnose) static ALL: [&Words; 4] =
    [&WORKER_EXHAUSTION, &WORKER_QUEUE, &WORKERS_HELD, &WORKERS_BUSY];
