"""Counts what the servers' own logs say, as JSON; the tests hold hopscope's report against it.

    truth.py LOGS > truth.json

Ends with 1 if the recording does not hold what record.sh was asked for (MIN_REJECTED, …).
"""

import collections
import json
import os
import pathlib
import re
import sys

ACCESS = re.compile(
    r'(?P<time>\S+) (?P<peer>\S+) (?P<connection>\d+) (?P<ordinal>\d+) '
    r'"(?P<method>\S+) (?P<target>\S+) (?P<protocol>\S+)" (?P<status>\d+) (?P<bytes>\d+) '
    r'to="(?P<to>[^"]*)" got="(?P<got>[^"]*)" took="(?P<took>[^"]*)" (?P<duration>\S+) (?P<id>\S+)$')
# The application's log, whichever server wrote it, quotes the request line, and a status follows.
APP = re.compile(r'"(?P<method>[A-Z]+) (?P<target>\S+) (?P<protocol>\S+)" (?P<status>\d+)')

CLOSED = "upstream prematurely closed connection while reading response header"
RESET = "failed (104: "


def access_entries(path):
    entries = []
    for line in path.read_text().splitlines():
        match = ACCESS.match(line)
        if not match:
            sys.exit(f"not understood: {line} in {path}")
        entry = match.groupdict()
        entry["attempts"] = [] if entry["got"] == "-" else entry["got"].split(", ")
        entries.append(entry)
    return entries


def proxy(entries):
    status = collections.defaultdict(collections.Counter)
    retried, saved = collections.Counter(), collections.Counter()
    for entry in entries:
        status[entry["method"]][entry["status"]] += 1
        if len(entry["attempts"]) > 1:
            retried[entry["method"]] += 1
            saved[entry["method"]] += entry["status"][0] in "23"
    return {
        "requests": len(entries),
        "connections": len({entry["connection"] for entry in entries}),
        "status": {method: dict(sorted(counts.items())) for method, counts in sorted(status.items())},
        "upstream_attempts": sum(len(entry["attempts"]) for entry in entries),
        "retried": dict(sorted(retried.items())),
        "saved_by_retry": {method: n for method, n in sorted(saved.items()) if n},
        "no_upstream": sum(not entry["attempts"] for entry in entries),
    }


def errors(path):
    """The error-log lines of level error and above."""
    return [line for line in path.read_text().splitlines() if re.search(r" \[(error|crit|alert|emerg)\] ", line)]


def app(directory):
    path = next(p for p in (directory / "uwsgi-access.log", directory / "app-access.log") if p.exists())
    status = collections.defaultdict(collections.Counter)
    requests = 0
    for line in path.read_text().splitlines():
        match = APP.search(line)
        if not match:
            sys.exit(f"not understood: {line} in {path}")
        requests += 1
        status[match["method"]][match["status"]] += 1
    return {
        "requests": requests,
        "status": {method: dict(sorted(counts.items())) for method, counts in sorted(status.items())},
    }


def addresses():
    env = os.environ
    return {
        "user": env["USER_HOST"],
        "edge": [f"{env['EDGE_HOST']}:{env['EDGE_PORT']}"],
        "ingress": [f"{env['INGRESS_HOST']}:{env['INGRESS_PORT_1']}", f"{env['INGRESS_HOST']}:{env['INGRESS_PORT_2']}"],
        "app": [f"{env['APP_HOST']}:{env['APP_PORT']}"],
    }


SETTINGS = ("BACKEND", "APP_SOCKET_OPTION", "GUNICORN_KEEPALIVE", "INGRESS_HTTP_VERSION", "EDGE_NEXT_UPSTREAM",
            "INGRESS_NEXT_UPSTREAM", "REQUEST_ID", "REQUESTS", "SEED", "CONCURRENCY", "THINK_MS", "POST_PERCENT",
            "SAME_TARGET", "EDGE_WORKERS", "INGRESS_WORKERS", "INGRESS_KEEPALIVE", "APP_WORKERS", "APP_WORK_MS")


def main():
    logs = pathlib.Path(sys.argv[1])
    edge_entries, ingress_entries = access_entries(logs / "nginx-access.log"), access_entries(logs / "ingress-access.log")
    edge, ingress, application = proxy(edge_entries), proxy(ingress_entries), app(logs)
    ingress_errors, edge_errors = errors(logs / "ingress-error.log"), errors(logs / "nginx-error.log")
    closed = sum(CLOSED in line for line in ingress_errors)
    reset = sum(RESET in line for line in ingress_errors)
    truth = {
        "scenario": os.environ.get("SCENARIO", ""),
        "description": os.environ.get("DESCRIPTION", ""),
        "servers": addresses(),
        "settings": {name: os.environ.get(name, "") for name in SETTINGS},
        "edge": edge,
        "ingress": ingress,
        os.environ.get("BACKEND", "uwsgi"): application,
        "retried_gets": edge["retried"].get("GET", 0) + ingress["retried"].get("GET", 0),
        "rejected_second_requests": closed + reset,
        "prematurely_closed": closed,
        "reset_104": reset,
        "other_errors": len(ingress_errors) - closed - reset + len(edge_errors),
    }
    json.dump(truth, sys.stdout, indent=2)
    print()

    # The logs have to agree with each other before anything is compared with them.
    problems = []
    if edge["requests"] != int(os.environ["REQUESTS"]):
        problems.append(f"{edge['requests']} requests in the edge's log")
    if edge["upstream_attempts"] != ingress["requests"]:
        problems.append(f"edge made {edge['upstream_attempts']} attempts, ingress logged {ingress['requests']}")
    answered = ingress["upstream_attempts"] - closed - reset
    if not truth["other_errors"] and answered != application["requests"]:
        problems.append(f"ingress got {answered} answers, the application logged {application['requests']}")
    if closed + reset < int(os.environ.get("MIN_REJECTED", 0)):
        problems.append("too few rejected requests")
    if truth["retried_gets"] < int(os.environ.get("MIN_RETRIED", 0)):
        problems.append("too few retried GETs")
    limit = int(os.environ.get("MAX_ERRORS", -1))
    if limit >= 0 and len(ingress_errors) + len(edge_errors) > limit:
        problems.append("errors in the logs")
    print(f"{edge['requests']} requests, {closed + reset} rejected ({closed} closed, {reset} reset), "
          f"{truth['retried_gets']} GETs retried, {truth['other_errors']} other errors: {'; '.join(problems) or 'fine'}",
          file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
