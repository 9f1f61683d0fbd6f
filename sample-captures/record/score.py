#!/usr/bin/env python3
"""Scores the tree of requests that hopscope finds against a truth that it cannot see.

    score.py [OPTIONS] HOPSCOPE FOLDER…

Every server of a recording names, in a header X-Truth of what it sends on, the request that made it ask:
`address:port/ordinal` of that request's client connection (record.sh with TRUTH_HEADER=on). Before hopscope reads the
captures those values are overwritten by as many `x`. FOLDER holds the classic pcap files of one recording, all by one
clock. The options make them worse, as captures from several machines are:

    --shift FILE=NS     adds to a file's timestamps, e.g. uwsgi.pcap=-86400000000000
    --drift FILE=PPM    lets a file's clock run faster
    --step FILE=NS      sets a file's clock forward halfway through
    --loss PERCENT      drops packets of every file at random (--seed N)
    --without FILE      leaves a file out
    --reverse           gives the files in reverse order
    --details N         prints the first N wrong or missing parents
    --expect NAME=VALUE ends with 1 if a figure is lower, e.g. recall=0.999, sure=0.95 or clocks=1

A parent is right if it is the nearest ancestor that the captures hold. `sure` is the share of right ones among those
called certain or likely, `recall` the share of right ones among all true ones (ambiguous ones apart, as `held back`),
`attempts` the share of right attempt numbers, `clocks` the share of offsets that lie inside their band.
"""

import argparse
import collections
import json
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile

TRUTH = re.compile(rb"X[-_]TRUTH(?:: ?|..)([0-9a-fA-F.:\[\]]+/(?:\d+|-))", re.I | re.S)
REQUEST = re.compile(rb"[A-Z]{3,10} \S+ HTTP/1\.[01]\r\n|\0..\0.{2}(?=.*REQUEST_METHOD)", re.S)
LINK_HEADERS = {1: 14, 101: 0, 113: 16, 276: 20}


class Capture:
    """A pcap file: packets as [time in ns, bytes, original length], and the TCP segment of each."""

    def __init__(self, path):
        self.name = path.name
        data = path.read_bytes()
        order = "<" if data[0] in (0x4D, 0xD4) else ">"
        magic, *_, self.link = struct.unpack_from(order + "IHHiIII", data)
        self.unit = 1 if magic == 0xA1B23C4D else 1000
        self.packets, at = [], 24
        while at + 16 <= len(data):
            seconds, part, held, length = struct.unpack_from(order + "IIII", data, at)
            self.packets.append([seconds * 10**9 + part * self.unit, bytearray(data[at + 16:at + 16 + held]), length])
            at += 16 + held

    def write(self, path):
        # Always nanoseconds, so that a shift or a drift is exact.
        out = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, self.link)]
        for time, data, length in self.packets:
            out += [struct.pack("<IIII", time // 10**9, time % 10**9, len(data), length), data]
        path.write_bytes(b"".join(out))

    def segment(self, packet):
        """Source, destination, sequence number, flags, position of the TCP header and of the payload; or None."""
        data, at = packet[1], LINK_HEADERS[self.link]
        if len(data) < at + 40:
            return None
        if data[at] >> 4 == 4 and data[at + 9] == 6:
            ends, tcp = (bytes(data[at + 12:at + 16]), bytes(data[at + 16:at + 20])), at + (data[at] & 15) * 4
            total = at + int.from_bytes(data[at + 2:at + 4], "big")
        elif data[at] >> 4 == 6 and data[at + 6] == 6:
            ends, tcp = (bytes(data[at + 8:at + 24]), bytes(data[at + 24:at + 40])), at + 40
            total = tcp + int.from_bytes(data[at + 4:at + 6], "big")
        else:
            return None
        source, target, seq = struct.unpack_from(">HHI", data, tcp)
        payload = tcp + (data[tcp + 12] >> 4) * 4
        return text(ends[0], source), text(ends[1], target), seq, data[tcp + 13], tcp, payload, total, ends


def text(address, port):
    if len(address) == 4:
        return f"{'.'.join(map(str, address))}:{port}"
    groups = ":".join(f"{high << 8 | low:x}" for high, low in zip(address[::2], address[1::2]))
    zeros = max(re.findall(r"(?:^|:)0(?::0)+(?=:|$)", groups), key=len, default=None)
    if zeros:
        groups = groups.replace(zeros, "::" if groups.startswith(zeros) else ":", 1)
        groups = re.sub(":{3,}", "::", groups)
    return f"[{groups}]:{port}"


Request = collections.namedtuple("Request", "key time client ordinal truth line")


def requests(captures):
    """All requests by (client, server, sequence number)."""
    found = {}
    for capture in captures:
        counts = collections.Counter()
        met = set()
        for packet in capture.packets:
            segment = capture.segment(packet)
            if not segment:
                continue
            source, target, seq, flags, _, payload, total, _ = segment
            if flags & 0x12 == 2:
                counts[source, target] = 0
            key = (source, target, seq)
            body = bytes(packet[1][payload:total])
            if key in met or not REQUEST.match(body):
                continue
            met.add(key)
            counts[source, target] += 1
            truth = TRUTH.search(body)
            found.setdefault(key, Request(key, packet[0], source, counts[source, target],
                                          truth and truth[1].decode(), body[:60].split(b"\r")[0]))
    return found


def parents(found):
    """The request that caused each, where it is among those found."""
    by_client = collections.defaultdict(list)
    for request in found.values():
        by_client[request.client].append(request)
    answer = {}
    for request in found.values():
        if not request.truth:
            continue
        client, _, ordinal = request.truth.rpartition("/")
        before = [r for r in by_client[client] if r.time <= request.time + 10**6 and r.key != request.key
                  and ordinal in ("-", str(r.ordinal))]
        answer[request.key] = max(before, key=lambda r: r.time).key if before else "unseen"
    return answer


def checksum(data, segment):
    *_, tcp, _, total, ends = segment
    data[tcp + 16:tcp + 18] = b"\0\0"
    body = bytes(data[tcp:total])
    whole = ends[0] + ends[1] + struct.pack(">HH", 6, len(body)) + body + b"\0" * (len(body) % 2)
    value = sum(struct.unpack(f">{len(whole) // 2}H", whole))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    data[tcp + 16:tcp + 18] = struct.pack(">H", ~value & 0xFFFF)


def mask(capture):
    for packet in capture.packets:
        segment = capture.segment(packet)
        match = segment and TRUTH.search(packet[1], segment[5])
        if match:
            packet[1][match.start(1):match.end(1)] = b"x" * (match.end(1) - match.start(1))
            if segment[6] <= len(packet[1]):
                checksum(packet[1], segment)


def pairs(values):
    return {name: float(value) for name, _, value in (value.rpartition("=") for value in values)}


def worsen(captures, options):
    """Applies shift, drift, step and loss; returns its first and last time and what was added to a time, by file."""
    shift, drift, step = pairs(options.shift), pairs(options.drift), pairs(options.step)
    chance, added = random.Random(options.seed), {}
    for capture in captures:
        name, first, last = capture.name, capture.packets[0][0], capture.packets[-1][0]
        by, ppm, jump = int(shift.get(name, 0)), drift.get(name, 0), int(step.get(name, 0))
        for packet in capture.packets:
            late = jump if packet[0] > (first + last) // 2 else 0
            packet[0] += by + int((packet[0] - first) * ppm / 1e6) + late
        added[name] = (first, last, lambda at, first=first, last=last, by=by, ppm=ppm, jump=jump:
                       by + int((at - first) * ppm / 1e6) + (jump if at > (first + last) // 2 else 0))
        if options.loss:
            capture.packets = [p for p in capture.packets if chance.random() * 100 >= options.loss]
    return added


def clocks(report, added):
    """How many offsets lie inside their band, at the start and at the end of each capture; the widest band."""
    rows, right, widest = [], 0, 0
    for row in report["captures"]:
        name = pathlib.Path(row["path"]).name
        rows.append((row, added[name]))
    known = [row for row in rows if row[0]["clock_band_ns"] is not None]
    if not known:
        return 0, len(rows), None
    reference = min(known, key=lambda row: (row[0]["clock_band_ns"], abs(row[0]["clock_offset_ns"])))
    for row, by in rows:
        if row["clock_band_ns"] is None:
            continue
        # One number for the whole file must hold at both ends; with drift and steps the end has its own.
        first, last, by = by
        off = [by(at) - reference[1][2](at) for at in (first, last)]
        whole = [row["clock_offset_ns"] + off - reference[0]["clock_offset_ns"] for off in off]
        fine = row["clock_offset_at_end_ns"] + off[1] - reference[0]["clock_offset_ns"]
        right += (max(map(abs, whole)) <= row["clock_band_ns"] + reference[0]["clock_band_ns"]
                  and abs(fine) <= row["clock_fine_band_ns"] + reference[0]["clock_fine_band_ns"])
        widest = max(widest, row["clock_fine_band_ns"])
    return right, len(rows), widest


def score(folder, options):
    paths = sorted(path for path in folder.glob("*.pcap") if path.name not in options.without)
    captures = [Capture(path) for path in paths]
    found = requests(captures)
    true_parent = parents(found)
    added = worsen(captures, options)
    if options.reverse:
        captures.reverse()
    frames = {capture.name: [s and s[:3] for s in map(capture.segment, capture.packets)] for capture in captures}
    with tempfile.TemporaryDirectory() as work:
        for capture in captures:
            mask(capture)
            capture.write(pathlib.Path(work) / capture.name)
        files = [str(pathlib.Path(work) / capture.name) for capture in captures]
        command = [options.hopscope, "report", "--format", "json", "--exchanges", *files]
        report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    key_of, claimed = {}, {}
    for exchange in report["exchanges"]:
        for place in exchange["request_frames"][:1]:
            key = frames[place["capture"]][place["first"] - 1]
            if key in found:
                key_of[exchange["id"]] = key
                claimed[key] = exchange
    return figures(report, found, true_parent, key_of, claimed, added, options)


def figures(report, found, true_parent, key_of, claimed, added, options):
    tally, shown = collections.Counter(), 0
    siblings = collections.defaultdict(list)
    for key in sorted(claimed, key=lambda key: found[key].time):
        exchange = claimed[key]
        true = true_parent.get(key)
        while true is not None and true != "unseen" and true not in claimed:
            true = true_parent.get(true)
        true = None if true == "unseen" else true
        if true:
            siblings[true, exchange["from"], exchange["to"]].append(key)
        level = exchange["parent_confidence"] if exchange["parent"] is not None else None
        named = key_of.get(exchange["parent"])
        if level and named is None:
            # Its first packet is lost in the capture that the report names: nothing says which request it is.
            continue
        tally["true"] += true is not None
        tally["claimed"] += level is not None
        is_right = level is not None and named == true
        tally["right"] += is_right
        if level:
            tally[level] += 1
            tally["right", level] += is_right
        if not is_right and (true or level) and level != "ambiguous" and shown < options.details:
            shown += 1
            print(f"   {key[0]} {found[key].line!r} {level} {exchange['parent_evidence']}: says {named}, is {true}")
    for (true, *_), keys in siblings.items():
        for number, key in enumerate(keys, 1):
            tally["retries"] += len(keys) > 1
            tally["attempts"] += 1
            tally["attempts right"] += claimed[key]["attempt"] == number
            tally["retries right"] += len(keys) > 1 and claimed[key]["attempt"] == number and (
                claimed[key]["parent"] is not None and key_of.get(claimed[key]["parent"]) == true)
    share = lambda part, whole: part / whole if whole else 1.0
    right, count, widest = clocks(report, added)
    sure = tally["certain"] + tally["likely"]
    return {
        "lanes": " ".join(lane["name"] for lane in report["lanes"]),
        "true": tally["true"],
        "recall": share(tally["right"] - tally["right", "ambiguous"], tally["true"] - tally["ambiguous"]),
        "precision": share(tally["right"], tally["claimed"]),
        "certain": share(tally["right", "certain"], tally["certain"]),
        "sure": share(tally["right", "certain"] + tally["right", "likely"], sure),
        "held back": share(tally["ambiguous"], tally["claimed"]),
        "attempts": share(tally["attempts right"], tally["attempts"]),
        "retries": f"{tally['retries right']}/{tally['retries']}",
        "clocks": share(right, count),
        "band µs": "?" if widest is None else f"{widest / 1000:.1f}",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("shift", "drift", "step", "without", "expect"):
        parser.add_argument("--" + name, action="append", default=[])
    parser.add_argument("--loss", type=float, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--details", type=int, default=0)
    parser.add_argument("--reverse", action="store_true")
    parser.add_argument("hopscope")
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    failed = False
    for folder in options.folders:
        row = score(folder, options)
        values = (f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items())
        print(f"{folder.name}: {' · '.join(values)}", flush=True)
        for name, least in pairs(options.expect).items():
            failed |= row[name] < least
    sys.exit(failed)


if __name__ == "__main__":
    main()
