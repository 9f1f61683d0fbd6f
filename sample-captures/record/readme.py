"""Writes a recording's README.md from its truth.json (the logs) and wire.json (tshark).

    readme.py FOLDER NAME > README.md
"""

import json
import pathlib
import sys

LINK_TYPES = {"nginx.pcap": "`-i any` (LINUX_SLL2), microseconds", "ingress.pcap": "Ethernet, nanoseconds",
              "any.pcapng": "`-i any` (LINUX_SLL2), nanoseconds; recorded as pcap, made pcapng without loss by `editcap -F pcapng`"}


def statuses(by_method):
    return ", ".join(f"{method} {status}: {count}" for method, counts in by_method.items() for status, count in counts.items())


def counted(by_name):
    return ", ".join(f"{count} {name}" for name, count in by_name.items()) or "none"


def main():
    folder = pathlib.Path(sys.argv[1])
    truth, wire = (json.loads((folder / name).read_text()) for name in ("truth.json", "wire.json"))
    servers, settings, edge, ingress = (truth[key] for key in ("servers", "settings", "edge", "ingress"))
    backend = settings["BACKEND"]
    out = [f"# {sys.argv[2]}", "", truth["description"], ""]
    out += ["## The chain", "", "| hop | listens on | what it is |", "|---|---|---|",
            f"| user | – ({servers['user']}) | wrk, {settings['CONCURRENCY']} kept connections |",
            f"| nginx | {', '.join(servers['edge'])} | Debian's nginx, `proxy_next_upstream {settings['EDGE_NEXT_UPSTREAM']}` |",
            f"| ingress | {', '.join(servers['ingress'])} | nginx with ingress-nginx's upstream settings, "
            f"`proxy_http_version {settings['INGRESS_HTTP_VERSION']}`, `keepalive {settings['INGRESS_KEEPALIVE']}`, "
            f"`proxy_next_upstream {settings['INGRESS_NEXT_UPSTREAM']}` |",
            f"| {backend} | {', '.join(servers['app'])} | "
            + (f"Debian's uwsgi, `{settings['APP_SOCKET_OPTION']}`" if backend == "uwsgi"
               else f"gunicorn, gthread, `--keep-alive {settings['GUNICORN_KEEPALIVE']}`")
            + f", {settings['APP_WORKERS']} processes |", "",
            "X-Request-ID is set by nginx and passed on." if settings["REQUEST_ID"] == "on" else "No hop sets a request id.", ""]

    out += ["## By the servers' logs (`truth.json`)", "",
            f"- nginx: {edge['requests']} requests ({statuses(edge['status'])}), {edge['upstream_attempts']} attempts at the ingress.",
            f"- ingress: {ingress['requests']} requests ({statuses(ingress['status'])}), "
            f"{ingress['upstream_attempts']} attempts at {backend}.",
            f"- {backend}: {truth[backend]['requests']} requests ({statuses(truth[backend]['status'])}).",
            f"- retried: at nginx {counted(edge['retried'])} (saved: {counted(edge['saved_by_retry'])}), "
            f"at the ingress {counted(ingress['retried'])} (saved: {counted(ingress['saved_by_retry'])}).",
            f"- rejected second requests: {truth['rejected_second_requests']} = {truth['prematurely_closed']} times `upstream "
            f"prematurely closed connection` + {truth['reset_104']} times `recv() failed (104` in `ingress-error.log`; "
            f"other errors: {truth['other_errors']}.", ""]

    out += ["## By tshark (`wire.json`)", "",
            "Equal to the logs on every link that a capture holds; no packet cut, none lost.", "",
            "| capture | link | connections | requests | answers | reused requests | of these rejected |",
            "|---|---|---|---|---|---|---|"]
    for link in wire:
        rejected = str(link["unanswered_reused"])
        if link["unanswered_reused"]:
            rejected += f" ({counted(link['rejected_by_method'])}; {counted(link['rejected_by_form'])})"
        out.append(f"| {link['capture']} | {link['link'].replace('app', backend)} | {link['connections']} | {link['requests']} | "
                   f"{link['responses']} | {link['reused_requests']} | {rejected} |")
    out += ["", "One more connection than the user's is wrk's own, which tries the address and sends nothing." if any(
        link["empty_connections"] for link in wire) else ""]

    out += ["", "## Files", ""]
    for path in sorted(folder.glob("*.pcap*")):
        out.append(f"- `{path.name}`: {LINK_TYPES.get(path.name, 'Ethernet, microseconds')}, {path.stat().st_size / 1e6:.2f} MB")
    out += ["- `logs/`: access and error logs of both nginx and of the application, without the lines that describe the machine",
            "- `truth.json`, `wire.json`: the counts above", ""]
    if truth["scenario"] != "custom":
        out += [f"Made by `record/record.sh {truth['scenario']} OUTDIR` with its defaults (the load's seed was {settings['SEED']}; "
                "each run differs, since the race does).", ""]
    print("\n".join(out).rstrip())


main()
