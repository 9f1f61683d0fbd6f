#!/usr/bin/env python3
"""Scores the tree of requests that hopscope finds against a truth that it cannot see.

    score.py [OPTIONS] HOPSCOPE FOLDER…

Every server of a recording names, in a header X-Truth of what it sends on, the request that made it ask:
`address:port/ordinal` of that request's client connection (record.sh with TRUTH_HEADER=on), and behind it a letter where it
asks for another purpose than to answer, such as m for a copy sent aside: such are no attempts of each other. Before hopscope reads the
captures those values are overwritten by as many `x`. FOLDER holds the classic pcap files of one recording, all by one
clock. The options make them worse, as captures from several machines are:

    --shift FILE=NS     adds to a file's timestamps, e.g. uwsgi.pcap=-86400000000000
    --drift FILE=PPM    lets a file's clock run faster
    --step FILE=NS      sets a file's clock forward halfway through
    --loss PERCENT      drops packets of every file at random (--seed N)
    --rewrite FILE=STEP,…  puts a file into a tunnel and the like: steps of rewrite.py that keep each packet
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
import hashlib
import ipaddress
import json
import pathlib
import random
import re
import string
import struct
import subprocess
import sys
import tempfile

TRUTH = re.compile(rb"X[-_]TRUTH(?:: ?|..)([0-9a-fA-F.:\[\]]+/(?:\d+|-)[a-z]?)", re.I | re.S)
REQUEST = re.compile(rb"[A-Z]{3,10} \S+ HTTP/1\.[01]\r\n|\0..\0..(?=[A-Z_]{6,}..)", re.S)
LINK_HEADERS = {1: 14, 101: 0, 113: 16, 276: 20}
VXLAN_PORTS = {(4789).to_bytes(2, "big"), (8472).to_bytes(2, "big")}


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
        """The TCP segment of a packet, also in VLAN tags and in VXLAN; or None."""
        data, at = packet[1], LINK_HEADERS[self.link]
        while self.link == 1 and data[at - 2:at] in (b"\x81\0", b"\x88\xa8"):
            at += 4
        for _ in range(3):
            if len(data) < at + 40:
                return None
            if data[at] >> 4 == 4:
                protocol, after = data[at + 9], at + (data[at] & 15) * 4
                ends = bytes(data[at + 12:at + 16]), bytes(data[at + 16:at + 20])
                total = at + int.from_bytes(data[at + 2:at + 4], "big")
            elif data[at] >> 4 == 6:
                protocol, after = data[at + 6], at + 40
                ends = bytes(data[at + 8:at + 24]), bytes(data[at + 24:at + 40])
                total = after + int.from_bytes(data[at + 4:at + 6], "big")
            else:
                return None
            if protocol == 6 and len(data) >= after + 20:
                source, target, seq = struct.unpack_from(">HHI", data, after)
                payload = after + (data[after + 12] >> 4) * 4
                return Segment(text(ends[0], source), text(ends[1], target), seq, data[after + 13], after, payload, total, ends)
            if protocol != 17 or data[after + 2:after + 4] not in VXLAN_PORTS:
                return None
            at = after + 8 + 8 + 14
        return None


Segment = collections.namedtuple("Segment", "source target seq flags tcp payload total ends")


def text(address, port):
    if len(address) == 4:
        return f"{'.'.join(map(str, address))}:{port}"
    return f"[{ipaddress.ip_address(address)}]:{port}"


class Request:
    """A request, whatever addresses it has on its way: a translator keeps sequence numbers and bytes."""

    def __init__(self, key, time, truth, line):
        self.key, self.time, self.truth, self.line = key, time, truth, line
        self.clients = set()  # (address:port, ordinal on its connection, 0 where its start was not seen)

    def __repr__(self):
        return f"{min(self.clients, default='?')} {self.line!r}"


def streams(capture):
    """Of each connection and direction: its ends, the sequence number of its first byte, its bytes with their times by
    their place, and whether its start was seen."""
    open_now, all_streams = {}, []
    for time, data, _ in capture.packets:
        segment = capture.segment((time, data))
        if not segment:
            continue
        ends = segment.source, segment.target
        if segment.flags & 2:
            base = segment.seq + 1 & 0xFFFFFFFF
            if ends not in open_now or open_now[ends][1] != base:
                open_now[ends] = (ends, base, {}, True)
                all_streams.append(open_now[ends])
        body = bytes(data[segment.payload:segment.total])
        if not body:
            continue
        if ends not in open_now:
            open_now[ends] = (ends, segment.seq, {}, False)
            all_streams.append(open_now[ends])
        _, base, parts, _ = open_now[ends]
        at = (segment.seq - base + 2**31) % 2**32 - 2**31
        if len(body) > len(parts.get(at, (b"",))[0]):
            parts[at] = (body, min(time, parts.get(at, (b"", time))[1]))
    return all_streams


def body_length(head, stream, at):
    """Bytes of the body that follows a head, of which as many are there as `stream` holds."""
    if re.search(rb"\r\ntransfer-encoding: *chunked", head, re.I):
        start = at
        while match := re.compile(rb"([0-9a-fA-F]+)[^\r\n]*\r\n").match(stream, at):
            at = match.end() + int(match[1], 16) + 2
            if not int(match[1], 16):
                break
        return at - start
    match = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
    return int(match[1]) if match else 0


def requests_of(stream):
    """Where each request of a direction begins, with its head: pipelined ones and split ones too."""
    parts = stream[2]
    whole, end = bytearray(), 0
    starts = sorted(start for start in parts if start >= 0)
    for at in starts:
        body = parts[at][0]
        whole += bytes(max(at - end, 0))  # a hole
        whole[at:at + len(body)] = body
        end = max(end, at + len(body))
    whole, at, found = bytes(whole), 0, []
    proxied = re.match(rb"PROXY [^\r\n]*\r\n", whole)
    if proxied:
        at = proxied.end()
    elif whole.startswith(b"\r\n\r\n\0\r\nQUIT\n"):
        at = 16 + int.from_bytes(whole[14:16], "big")
    while at < len(whole):
        if not REQUEST.match(whole, at):
            later = [start for start in starts if start > at and REQUEST.match(whole, start)]
            if not later:
                break
            at = later[0]
            continue
        if whole[at] == 0:
            head_end = at + 4 + int.from_bytes(whole[at + 1:at + 3], "little")
            length = re.search(rb"CONTENT_LENGTH..(\d+)", whole[at:head_end], re.S)
            length = int(length[1]) if length else 0
        else:
            head_end = whole.find(b"\r\n\r\n", at) + 4
            if head_end < 4:
                head_end = len(whole)
            length = body_length(whole[at:head_end], whole, head_end)
        time = min(parts[start][1] for start in starts if start <= at < start + len(parts[start][0]))
        found.append((at, whole[at:head_end], time))
        at = head_end + length
    return found


def requests(captures):
    """All requests by key, and by connection and direction where each begins: (sequence number, key)."""
    found, places = {}, {}
    for capture in captures:
        for stream in streams(capture):
            (client, server), base, _, is_whole = stream
            for ordinal, (at, head, time) in enumerate(requests_of(stream), 1):
                seq = base + at & 0xFFFFFFFF
                key = f"{seq}-{hashlib.sha1(head[:400]).hexdigest()[:8]}"
                truth = TRUTH.search(head)
                made = Request(key, time, truth and truth[1].decode(), head[:60].split(b"\r")[0])
                request = found.setdefault(key, made)
                request.time = min(request.time, time)
                request.clients.add((client, ordinal if is_whole else 0))
                places.setdefault((client, server), []).append((seq, key))
    for request in found.values():
        known = {client for client, ordinal in request.clients if ordinal}
        request.clients = {(client, ordinal) for client, ordinal in request.clients if ordinal or client not in known}
    return found, places


def parents(found):
    """The request that caused each, where it is among those found."""
    by_client = collections.defaultdict(list)
    for request in found.values():
        for client, ordinal in request.clients:
            by_client[client].append((request.time, ordinal, request.key))
    answer = {}
    for request in found.values():
        if not request.truth:
            continue
        client, _, ordinal = request.truth.rstrip(string.ascii_letters).rpartition("/")
        address, _, port = client.rpartition(":")
        if ":" in address:
            client = f"[{ipaddress.ip_address(address.strip('[]'))}]:{port}"
        before = [(time, key) for time, n, key in by_client[client]
                  if time <= request.time and key != request.key and (n == 0 or ordinal in ("-", str(n)))]
        answer[request.key] = max(before)[1] if before else "unseen"
    return answer


def checksum(data, segment):
    tcp = segment.tcp
    data[tcp + 16:tcp + 18] = b"\0\0"
    body = bytes(data[tcp:segment.total])
    whole = segment.ends[0] + segment.ends[1] + struct.pack(">HH", 6, len(body)) + body + b"\0" * (len(body) % 2)
    value = sum(struct.unpack(f">{len(whole) // 2}H", whole))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    data[tcp + 16:tcp + 18] = struct.pack(">H", ~value & 0xFFFF)


def mask(capture):
    for packet in capture.packets:
        segment = capture.segment(packet)
        matches = list(TRUTH.finditer(packet[1], segment.payload)) if segment else []
        for match in matches:
            packet[1][match.start(1):match.end(1)] = b"x" * (match.end(1) - match.start(1))
        if matches and segment.total <= len(packet[1]):
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
    """How many offsets lie inside their band, at the start and at the end of each capture; how many are known, how many
    there are; the widest band."""
    rows, right, widest = [], 0, 0
    for row in report["captures"]:
        name = pathlib.Path(row["path"]).name
        rows.append((row, added[name]))
    known = [row for row in rows if row[0]["clock_band_ns"] is not None]
    if not known:
        return 0, 0, len(rows), None
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
    return right, len(known), len(rows), widest


def score(folder, options):
    everything = [Capture(path) for path in sorted(folder.glob("*.pcap"))]
    # Also of hops that hopscope is not shown: only so is it known what was asked for what.
    found, places = requests(everything)
    true_parent = parents(found)
    captures = [capture for capture in everything if capture.name not in options.without]
    added = worsen(captures, options)
    if options.reverse:
        captures.reverse()
    held = {capture.name: [keys_in(capture, packet, places) for packet in capture.packets] for capture in captures}
    with tempfile.TemporaryDirectory() as work:
        for capture in captures:
            mask(capture)
            capture.write(pathlib.Path(work) / capture.name)
            rewrite(pathlib.Path(work) / capture.name, options)
        files = [str(pathlib.Path(work) / capture.name) for capture in captures]
        command = [options.hopscope, "report", "--format", "json", "--exchanges", *files]
        report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    key_of, claimed = {}, {}
    for exchange in sorted(report["exchanges"], key=lambda one: (one["connection"], one["ordinal"])):
        for place in exchange["request_frames"][:1]:
            # Of several requests that begin in one packet, those before are of exchanges met before.
            key = next((key for key in held[place["capture"]][place["first"] - 1] if key not in claimed), None)
            if key:
                key_of[exchange["id"]] = key
                claimed[key] = exchange
    return figures(report, found, true_parent, key_of, claimed, added, options)


def keys_in(capture, packet, places):
    """The requests that begin in a packet."""
    segment = capture.segment(packet)
    if not segment or segment.total <= segment.payload:
        return []
    first, count = segment.seq, segment.total - segment.payload
    starts = places.get((segment.source, segment.target), ())
    return [key for seq, key in starts if (seq - first) % 2**32 < count]


def rewrite(path, options):
    """Puts a masked capture into tunnels and the like, which leave its packets in number and order."""
    for name, _, steps in (value.partition("=") for value in options.rewrite):
        if path.name == name:
            tool = pathlib.Path(__file__).with_name("rewrite.py")
            subprocess.run([sys.executable, tool, path, path, *steps.split(",")], check=True)


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
            purpose = found[key].truth[-1] if found[key].truth[-1:].isalpha() else ""
            siblings[true, exchange["from"], exchange["to"], purpose, found[key].line].append(key)
        level = exchange["parent_confidence"] if exchange["parent"] is not None else None
        named = key_of.get(exchange["parent"])
        if level and named is None:
            # Its first packet is lost in the capture that the report names: nothing says which request it is.
            continue
        tally["true"] += true is not None
        tally["true, ambiguous"] += true is not None and level == "ambiguous"
        tally["claimed"] += level is not None
        is_right = level is not None and named == true
        tally["right"] += is_right
        if level:
            tally[level] += 1
            tally["right", level] += is_right
        if not is_right and (true or level) and level != "ambiguous" and shown < options.details:
            shown += 1
            print(f"   {found[key]} {level} {exchange['parent_evidence']}: says {found.get(named)}, is {found.get(true)}")
    for (true, *_), keys in siblings.items():
        for number, key in enumerate(keys, 1):
            tally["retries"] += len(keys) > 1
            tally["attempts"] += 1
            tally["attempts right"] += claimed[key]["attempt"] == number
            tally["retries right"] += len(keys) > 1 and claimed[key]["attempt"] == number and (
                claimed[key]["parent"] is not None and key_of.get(claimed[key]["parent"]) == true)
    share = lambda part, whole: part / whole if whole else 1.0
    right, known, count, widest = clocks(report, added)
    sure = tally["certain"] + tally["likely"]
    return {
        "lanes": " ".join(lane["name"] for lane in report["lanes"]),
        "true": tally["true"],
        "recall": share(tally["right"] - tally["right", "ambiguous"], tally["true"] - tally["true, ambiguous"]),
        "precision": share(tally["right"], tally["claimed"]),
        "certain": share(tally["right", "certain"], tally["certain"]),
        "sure": share(tally["right", "certain"] + tally["right", "likely"], sure),
        "held back": share(tally["ambiguous"], tally["claimed"]),
        "attempts": share(tally["attempts right"], tally["attempts"]),
        "retries": f"{tally['retries right']}/{tally['retries']}",
        "clocks": share(right, count),
        "wrong clocks": known - right,
        "band µs": "?" if widest is None else f"{widest / 1000:.1f}",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("shift", "drift", "step", "rewrite", "without", "expect"):
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
