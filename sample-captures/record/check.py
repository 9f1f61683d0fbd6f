"""Holds a recording against its logs by means of tshark, which knows nothing of hopscope.

    check.py FOLDER

Writes FOLDER/wire.json, what tshark counts on each link, and ends with 1 where that and truth.json differ.
"""

import collections
import json
import pathlib
import subprocess
import sys

FIELDS = ("frame.number", "tcp.stream", "ip.src", "ipv6.src", "tcp.srcport", "ip.dst", "ipv6.dst", "tcp.dstport",
          "tcp.flags", "tcp.seq_raw", "tcp.ack_raw", "tcp.len", "http.request.method", "http.response.code",
          "frame.len", "frame.cap_len")
FIN, SYN, RST, ACK = 1, 2, 4, 16


def packets(path, ports):
    command = ["tshark", "-n", "-r", str(path), "-T", "fields"]
    for port in ports:
        command += ["-d", f"tcp.port=={port},http"]
    for field in FIELDS:
        command += ["-e", field]
    # An acknowledged hole would be a packet that the capture lost.
    command += ["-e", "tcp.analysis.ack_lost_segment", "-e", "tcp.analysis.lost_segment", "-Y", "tcp"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for line in output.splitlines():
        frame, stream, s4, s6, sport, d4, d6, dport, flags, seq, ack, length, method, code, size, held, *lost = line.split("\t")
        yield {"frame": int(frame), "stream": int(stream), "from": f"{s6 and f'[{s6}]' or s4}:{sport}",
               "to": f"{d6 and f'[{d6}]' or d4}:{dport}", "flags": int(flags, 16), "seq": int(seq), "ack": int(ack),
               "length": int(length), "methods": method.split(",") if method else [],
               "codes": code.split(",") if code else [], "cut": size != held, "lost": any(lost)}


def at_least(a, b):
    """a >= b for sequence numbers, which wrap."""
    return (a - b) & 0xFFFFFFFF < 0x80000000


def form(request, answer_side):
    """How a reused connection's request was rejected; R1 to R4 of the fault catalogue."""
    end = request["seq"] + request["length"]
    fin = next((p for p in answer_side if p["flags"] & FIN), None)
    if fin and at_least(request["ack"], (fin["seq"] + fin["length"] + 1) & 0xFFFFFFFF):
        return "stale-pick"
    after = [p for p in answer_side if p["frame"] > request["frame"]]
    if any(p["flags"] & RST and p["flags"] & ACK and at_least(p["ack"], end) for p in after) and not fin:
        return "queued-reset"
    if fin and any(p["flags"] & RST for p in after):
        return "fin-in-flight"
    return "swallowed" if fin else "other"


def link(path, servers, seen):
    streams = collections.defaultdict(list)
    for packet in seen:
        if packet["from"] in servers or packet["to"] in servers:
            streams[packet["stream"]].append(packet)
    result = {"capture": path.name, "packets": sum(map(len, streams.values())), "connections": 0, "empty_connections": 0,
              "requests": 0, "responses": 0, "first_requests": 0, "reused_requests": 0, "unanswered_reused": 0,
              "unanswered_first": 0, "pipelined": 0}
    status = collections.defaultdict(collections.Counter)
    forms, methods = collections.Counter(), collections.Counter()
    for stream in streams.values():
        result["connections"] += any(p["flags"] & SYN and not p["flags"] & ACK for p in stream)
        waiting, requests = [], 0
        for packet in stream:
            for method in packet["methods"]:
                requests += 1
                result["pipelined"] += bool(waiting)
                waiting.append((requests, method, packet))
            for code in packet["codes"]:
                _, method, _ = waiting.pop(0)
                result["responses"] += 1
                status[method][code] += 1
        result["requests"] += requests
        result["empty_connections"] += not requests
        result["first_requests"] += requests > 0
        result["reused_requests"] += max(requests - 1, 0)
        answers = [p for p in stream if p["from"] in servers]
        for ordinal, method, request in waiting:
            status[method]["none"] += 1
            if ordinal == 1:
                result["unanswered_first"] += 1
            else:
                result["unanswered_reused"] += 1
                methods[method] += 1
                forms[form(request, answers)] += 1
    result["status"] = {m: dict(sorted(c.items())) for m, c in sorted(status.items())}
    result["rejected_by_method"] = dict(sorted(methods.items()))
    result["rejected_by_form"] = dict(sorted(forms.items()))
    return result


def main():
    folder = pathlib.Path(sys.argv[1])
    truth = json.loads((folder / "truth.json").read_text())
    app = next(truth[name] for name in ("uwsgi", "gunicorn", "node") if name in truth)
    servers = truth["servers"]
    ports = sorted({address.rsplit(":", 1)[1] for hop in ("edge", "ingress", "app") for address in servers[hop]})
    links, wrong = [], []
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".pcap", ".pcapng")):
        seen = list(packets(path, ports))
        for what in ("cut", "lost"):
            if count := sum(p[what] for p in seen):
                wrong.append(f"{path.name}: {count} packets {what}")
        for name, hop, expected in (
                ("user -> nginx", "edge", (truth["edge"]["requests"], truth["edge"]["status"])),
                ("nginx -> ingress", "ingress", (truth["edge"]["upstream_attempts"], truth["ingress"]["status"])),
                ("ingress -> app", "app", (truth["ingress"]["upstream_attempts"], None))):
            counted = link(path, set(servers[hop]), seen)
            if not counted["packets"]:
                continue
            links.append({"link": name, **counted})
            here = f"{path.name}, {name}"
            if counted["requests"] != expected[0]:
                wrong.append(f"{here}: {counted['requests']} requests, {expected[0]} by the logs")
            if expected[1] is not None and counted["status"] != expected[1]:
                wrong.append(f"{here}: {counted['status']}, by the logs {expected[1]}")
            if hop == "app":
                unanswered = counted["unanswered_reused"] + counted["unanswered_first"]
                if unanswered != truth["rejected_second_requests"]:
                    wrong.append(f"{here}: {unanswered} without an answer, {truth['rejected_second_requests']} by the logs")
                if counted["responses"] != app["requests"]:
                    wrong.append(f"{here}: {counted['responses']} answers, {app['requests']} by the application's log")
    (folder / "wire.json").write_text(json.dumps(links, indent=2) + "\n")
    for entry in links:
        print(f"{entry['capture']:14} {entry['link']:17} {entry['connections']} connections, {entry['requests']} requests, "
              f"{entry['responses']} answers; reused {entry['reused_requests']}, of these without an answer "
              f"{entry['unanswered_reused']} {entry['rejected_by_method']} {entry['rejected_by_form']}")
    for line in wrong:
        print("DIFFERS:", line)
    sys.exit(bool(wrong))


main()
