"""Compares hopscope with tshark, message by message.

    compare.py [--program PATH] [--verbose] CAPTURE-OR-FOLDER…

Every capture is read by itself with `hopscope report --exchanges` and with `tshark -2` under full reassembly (segments out
of order, bodies, any port). Requests are compared by connection, method, target and the frame that completes them,
responses by status and that frame. A difference is explained by a category of DIFFERENCES, found from the packets and not
from what either program says of itself, or it is unexplained. Ends with 1 if one is.

Needs Python 3 and tshark (4.0 or later); PATH is target/release/hopscope unless given.
"""

import argparse
import collections
import difflib
import functools
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

# Who is right, and why.
DIFFERENCES = {
    "other-protocol": "hopscope: tshark took the port for another protocol's and dissected no HTTP",
    "cut-body": "hopscope: the message's head was seen, its body not wholly; tshark lists whole messages only",
    "cut-head": "hopscope: a head that the snapshot length or the file's end cut; enough is left to tell what it was",
    "after-hole": "hopscope: tshark is silent about a direction after bytes that the capture lost",
    "mid-message": "hopscope: the capture begins in the middle of a message of that side; tshark takes all that follows for the rest of it",
    "binary": "hopscope: uwsgi or FastCGI request, which tshark 4.0 has no dissector for, and what answers it",
    "empty-lines": "hopscope: empty lines before a message, which peers skip and tshark does not",
    "quoted": "hopscope: a packet quoted inside an ICMP error or a flow sample is no packet of the connection",
    "no-version": "hopscope: a request line without a version (HTTP/0.9), or with a broken one, which a server has to refuse",
    "unfinished": "hopscope: a head that its sender never finished; the known method and path tell what it was to be",
    "other-link": "tshark: a link type or tunnel that hopscope does not read (AYIYA, ARCNET, encrypted or aggregated 802.11); link types are reported as such",
    "broken-status": "hopscope: a status line that breaks the grammar; a status is three digits (RFC 9112, section 4), tshark takes any number",
    "no-target": "hopscope: a request line without a target; tshark takes the version for one",
    "folded": "hopscope: a header field that goes on in the next line (RFC 9112, section 5.2); tshark reads its first line only",
    "lengths-differ": "neither: Content-Lengths that differ, which servers refuse; hopscope takes the first and reports it, tshark the last",
    "roles": "hopscope: whoever answers a SYN is no client; tshark tells no roles",
    "unknown-method": "hopscope: a method that tshark's list does not hold",
    "beyond-length": "hopscope: bytes inside a body by its declared length (one of 2^63 or more, which tshark gives up on) are no message",
    "transfer-coding": "hopscope: chunked is not the last transfer coding, so the end is unknown (RFC 9112, 6.3); tshark looks for the word",
    "blank-in-target": "hopscope: tshark ends a target at its first blank",
    "interim": "both: a 1xx; hopscope counts final responses",
    "repeated": "hopscope: the same bytes sent again, or one packet captured twice; tshark dissected them again",
    "until-close": "both: the body ends with the connection; tshark names the FIN's frame, hopscope the last byte's",
    "order": "both: the segment that fills the gap came later; one names the frame that completes, the other the last byte's",
    "tunnel": "both: after CONNECT or Upgrade tshark goes on to look for HTTP, or stops at another place",
    "not-http": "hopscope: bytes that are no HTTP message, which tshark's HTTP dissector takes for one",
    "proxied": "hopscope: a request behind the header of the PROXY protocol, which tshark 4.0 does not pass",
    "padding": "neither: padding that counts as payload by the IP length stands before the request; the first copy of bytes is taken",
    "fragment-overlap": "neither: IP fragments of one datagram that overlap; hosts differ in which copy they take, hopscope takes the first",
    "given-up": "hopscope: the message lies in one packet, where tshark finds it too; under full reassembly it drops it (damaged numbers around it)",
    "other-tuple": "both: hopscope shows a connection that was translated (NAT) or seen at several devices once",
}

# Of the methods seen with HTTP/1, those of tshark 4.0's list.
METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE",
           "LOCK", "UNLOCK", "SEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE", "REPORT", "MERGE", "CHECKOUT", "PURGE"}

FIELDS = ("frame.number", "tcp.stream", "ip.src", "ipv6.src", "tcp.srcport", "ip.dst", "ipv6.dst", "tcp.dstport", "tcp.len",
          "http.request.method", "http.request.uri", "http.response.code", "frame.protocols",
          "tcp.analysis.lost_segment", "tcp.analysis.ack_lost_segment", "tcp.analysis.retransmission",
          "tcp.analysis.out_of_order", "tcp.flags.fin", "frame.len", "frame.cap_len", "http.content_length_header",
          "http.transfer_encoding", "tcp.flags.syn", "tcp.flags.ack", "tcp.seq_raw")
SEPARATOR, AGGREGATOR = "\x1d", "\x1e"

Message = collections.namedtuple("Message", "key frame first exchange", defaults=(None, None))


class Capture:
    """What tshark says of one capture."""

    def __init__(self, path, ports):
        self.path = path
        self.frames = {}
        self.ports = ports
        self.whole = self.run(ports, bodies=True)

    @functools.cached_property
    def heads(self):
        """As `whole`, also the messages of which but the head is whole."""
        return self.run(self.ports, bodies=False)

    @functools.cached_property
    def payloads(self):
        """The innermost TCP payload of each frame, as hexadecimal digits: one run of tshark for all of them, once a difference asks."""
        command = ["tshark", "-n", "-r", str(self.path), "-Y", "tcp.payload", "-T", "fields", "-e", "frame.number", "-e", "tcp.payload",
                   "-E", "occurrence=l"]
        lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
        return dict(line.split("\t", 1) for line in lines if "\t" in line)

    def payload(self, frame):
        """The bytes of a frame's innermost TCP payload."""
        return bytes.fromhex(self.payloads.get(str(frame), "").strip())

    @functools.cached_property
    def by_ends(self):
        """The frames between each two ends, in order."""
        rows = collections.defaultdict(list)
        for _, row in sorted(self.frames.items()):
            rows[frozenset((row["source"], row["target"]))].append(row)
        return rows

    @functools.cache
    def filtered(self, condition, *options):
        """Numbers of the frames that tshark finds to fulfil a condition, reading each by itself."""
        command = ["tshark", "-n", "-r", str(self.path), "-Y", condition, "-T", "fields", "-e", "frame.number", *options]
        return set(map(int, subprocess.run(command, capture_output=True, text=True).stdout.split()))

    @functools.cached_property
    def overlapping_fragments(self):
        return self.filtered("ip.fragment.overlap or ipv6.fragment.overlap")

    def run(self, ports, bodies):
        """(requests, responses) by connection (client, server) of the messages tshark dissected."""
        command = ["tshark", "-2", "-n", "-r", str(self.path), "-T", "fields", "-E", f"separator={SEPARATOR}",
                   "-E", f"aggregator={AGGREGATOR}", "-o", "tcp.reassemble_out_of_order:TRUE", "-o", "tcp.desegment_tcp_streams:TRUE",
                   "-o", f"http.desegment_body:{str(bodies).upper()}", "-o", "http.desegment_headers:TRUE",
                   "-o", "tcp.try_heuristic_first:TRUE", "-o", "tcp.check_checksum:FALSE", "-Y", "tcp"]
        for port in ports:
            command += ["-d", f"tcp.port=={port},http"]
        for field in FIELDS:
            command += ["-e", field]
        output = subprocess.run(command, capture_output=True).stdout.decode("utf-8", "surrogateescape")
        requests, responses = collections.defaultdict(list), collections.defaultdict(list)
        for line in output.split("\n"):
            values = line.split(SEPARATOR)
            if len(values) != len(FIELDS):
                continue
            row = dict(zip(FIELDS, values))
            # A tunnel's headers come first: the innermost are the last.
            last = {name: row[name].rpartition(AGGREGATOR)[2] for name in FIELDS}
            # The later of IPv4 and IPv6 in the packet is the inner one.
            six = row["frame.protocols"].rfind(":ipv6") > row["frame.protocols"].rfind(":ip:")
            source = address(last["ipv6.src" if six else "ip.src"], last["tcp.srcport"])
            target = address(last["ipv6.dst" if six else "ip.dst"], last["tcp.dstport"])
            frame = int(last["frame.number"])
            row.update(source=source, target=target, stream=last["tcp.stream"], length=int(last["tcp.len"] or 0), seq=last["tcp.seq_raw"])
            self.frames[frame] = row
            methods, uris = split(row["http.request.method"]), split(row["http.request.uri"])
            for number, method in enumerate(methods):
                uri = uris[number] if number < len(uris) else ""
                requests[source, target].append(Message((method, uri), frame))
            for code in split(row["http.response.code"]):
                responses[target, source].append(Message(code, frame))
        return requests, responses


def split(text):
    return text.split(AGGREGATOR) if text else []


def address(ip, port):
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def of_hopscope(program, path):
    """(requests, responses) by connection, and all exchanges."""
    done = subprocess.run([program, "report", "--format", "json", "--exchanges", str(path)], capture_output=True)
    if done.returncode == 2:
        return None, done.stderr.decode(errors="replace").strip()
    report = json.loads(done.stdout)
    requests, responses = collections.defaultdict(list), collections.defaultdict(list)
    for exchange in report["exchanges"]:
        pair = exchange["client"], exchange["server"]
        for frames, into, key in ((exchange["request_frames"], requests, (exchange["method"], exchange["target"])),
                                  (exchange["response_frames"], responses, str(exchange["status"]))):
            if frames and key not in ("None", (None, None)):
                into[pair].append(Message(key, frames[-1]["last"], frames[0]["first"], exchange))
    for messages in (requests, responses):
        for sequence in messages.values():
            sequence.sort(key=lambda m: (m.exchange["started"] or "", m.frame))
    return (requests, responses), report


class Comparison:
    def __init__(self, capture, ours, report):
        self.capture = capture
        self.ours = ours
        self.problems = {problem["kind"] for problem in report["captures"][0]["problems"]}
        self.protocols = {(link["from"], link["to"]): set(link["protocols"]) for link in report["links"]}
        self.equal = collections.Counter()
        self.differences = collections.defaultdict(list)

    def note(self, category, kind, pair, mine, theirs):
        self.differences[category].append((kind, pair, mine, theirs))

    def run(self):
        for kind, mine, whole in zip(("request", "response"), self.ours, self.capture.whole):
            for pair in sorted(set(mine) | set(whole)):
                self.compare(kind, pair, mine.get(pair, []), whole.get(pair, []))

    def compare(self, kind, pair, mine, theirs):
        blocks = difflib.SequenceMatcher(None, [m.key for m in mine], [t.key for t in theirs], autojunk=False).get_opcodes()
        for tag, a, b, c, d in blocks:
            if tag == "equal":
                for one, other in zip(mine[a:b], theirs[c:d]):
                    self.equal[kind] += 1
                    if one.frame != other.frame:
                        self.note(self.why_elsewhere(kind, pair, one, other), f"{kind} frame", pair, one, other)
                continue
            left, right = list(mine[a:b]), list(theirs[c:d])
            if kind == "request":
                for one in list(left):
                    target = one.key[1] or ""
                    alike = [t for t in right if t.key[0] == one.key[0] and (
                        target.startswith(t.key[1]) and (" " in target or not t.key[1]) or not target and t.key[1].startswith("HTTP/"))]
                    # Of those the one in the same frame; others are that request sent again.
                    other = next((t for t in alike if t.frame == one.frame), alike[0] if alike else None)
                    if other:
                        self.note("blank-in-target" if target else "no-target", kind, pair, one, other)
                        left.remove(one)
                        right.remove(other)
            for one in left:
                self.note(self.why_only_ours(kind, pair, one), kind, pair, one, None)
            for other in right:
                self.note(self.why_only_theirs(kind, pair, other), kind, pair, None, other)

    # --- why ------------------------------------------------------------------------------------
    def rows(self, pair):
        return self.capture.by_ends[frozenset(pair)]

    def sender(self, kind, pair):
        return pair[0] if kind == "request" else pair[1]

    def hole_before(self, kind, pair, frame):
        """Bytes of this direction that the capture lost before the frame (or acknowledgements of such)."""
        side = self.sender(kind, pair)
        return any(row["tcp.analysis.lost_segment"] and row["source"] == side or row["tcp.analysis.ack_lost_segment"] and row["source"] != side
                   for row in self.rows(pair) if int(row["frame.number"]) <= frame)

    def why_elsewhere(self, kind, pair, one, other):
        rows = self.rows(pair)
        last = self.capture.frames.get(other.frame, {})
        if kind == "response" and last.get("tcp.flags.fin") in ("1", "True") and other.frame > one.frame:
            return "until-close"
        between = [row for row in rows if min(one.first or one.frame, one.frame) <= int(row["frame.number"]) <= max(one.frame, other.frame)]
        if any(row["tcp.analysis.out_of_order"] or row["tcp.analysis.retransmission"] or row["tcp.analysis.lost_segment"] for row in between):
            return "order"
        if self.hole_before(kind, pair, max(one.frame, other.frame)):
            return "after-hole"
        if self.cut(pair):
            return "cut-body"
        return "unexplained"

    def sent(self, side, pair, before):
        """The payloads of a side up to a frame, in the order of the capture."""
        rows = [row for row in self.rows(pair) if row["source"] == side and row["length"] and int(row["frame.number"]) <= before]
        return b"".join(self.capture.payload(int(row["frame.number"])) for row in rows[-8:])

    def framed_twice(self, pair, before):
        """What an earlier head of the client held that readers take differently."""
        sent = self.sent(pair[0], pair, before)
        if len(set(re.findall(rb"(?im)^content-length:[ \t]*(\d+)", sent))) > 1:
            return "lengths-differ"
        if re.search(rb"(?im)^transfer-encoding:[^\n]*\n[ \t]", sent):
            return "folded"
        return None

    def cut(self, pair):
        return any(row["frame.len"] != row["frame.cap_len"] for row in self.rows(pair))

    def why_only_ours(self, kind, pair, one):
        if {"uwsgi", "fastcgi"} & self.protocols.get((one.exchange["from"], one.exchange["to"]), set()):
            return "binary"
        rows = self.rows(pair)
        if not rows:
            return "other-tuple"
        heads = self.capture.heads[kind == "response"].get(pair, [])
        if any(head.key == one.key and one.first <= head.frame <= one.frame for head in heads):
            return "cut-body"
        if self.cut(pair):
            return "cut-head"
        payload = self.capture.payload(one.first)
        if kind == "request" and payload.startswith((b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n")):
            return "proxied"
        before = [row for row in rows if row["source"] == pair[0] and 0 < row["length"] <= 6 and int(row["frame.number"]) <= one.first]
        if kind == "request" and any(not self.capture.payload(int(row["frame.number"])).strip(b"\0") for row in before):
            return "padding"
        # The rest of it may be lost right behind: then its sender goes on farther, or the receiver acknowledges what the capture
        # does not hold.
        behind = [row for row in rows if int(row["frame.number"]) > one.frame][:3]
        side = self.sender(kind, pair)
        if any(row["tcp.analysis.ack_lost_segment"] and row["source"] != side or row["tcp.analysis.lost_segment"] and row["source"] == side
               for row in behind):
            return "cut-body"
        if self.hole_before(kind, pair, one.frame):
            return "after-hole"
        if self.is_http(kind, one) and self.begins_amid(kind, pair, one):
            return "mid-message"
        if self.is_http(kind, one):
            if self.capture.payload(one.first)[:1] in b"\r\n":
                return "empty-lines"
            if not any("http" in row["frame.protocols"].split(":") for row in rows):
                return "other-protocol"
            if kind == "request" and one.key[0] not in METHODS:
                return "unknown-method"
            if not re.search(rb"\r?\n\r?\n", self.sent(self.sender(kind, pair), pair, one.frame)):
                return "unfinished"
            if kind == "response" and not re.match(rb"HTTP/\d\.\d [1-9]\d\d[ \r\n]", self.capture.payload(one.first)):
                return "broken-status"
            if kind == "request" and self.framed_twice(pair, one.frame):
                return self.framed_twice(pair, one.frame)
        elif kind == "response" and self.capture.payload(one.first).startswith(b"HTTP/"):
            return "broken-status"
        elif kind == "request" and self.framed_twice(pair, one.frame):
            return self.framed_twice(pair, one.frame)
        elif kind == "request":
            line, ended, rest = self.capture.payload(one.first).partition(b"\n")
            if line.rstrip() == " ".join(one.key).encode("utf-8", "surrogateescape"):
                return "no-version" if ended and not rest.strip() else "unfinished" if not ended else "unexplained"
            if line.startswith(one.key[0].encode() + b" ") and b"HTTP" in line and not re.search(rb"HTTP/\d\.\d\r?$", line):
                return "no-version"
        if self.capture.overlapping_fragments:
            return "fragment-overlap"
        return "given-up" if self.seen_alone(kind, one) else "unexplained"

    def begins_amid(self, kind, pair, one):
        """Whether this side's SYN is missing, and the first bytes seen of it start no message."""
        rows = [row for row in self.rows(pair) if row["source"] == self.sender(kind, pair)]
        if any(row["tcp.flags.syn"] in ("1", "True") for row in rows):
            return False
        first = next((int(row["frame.number"]) for row in rows if row["length"]), one.first)
        line = rb"HTTP/\d" if kind == "response" else rb"[A-Z]+ \S+ HTTP/\d"
        return first < one.first and not re.match(line, self.capture.payload(first))

    def seen_alone(self, kind, one):
        """Whether tshark finds the message in its packet when it joins none."""
        field = "http.request" if kind == "request" else "http.response"
        return one.first == one.frame and one.frame in self.capture.filtered(field, "-o", "tcp.desegment_tcp_streams:FALSE")

    def is_http(self, kind, one):
        """Whether the message's first line says so itself; of a request without a version one cannot know."""
        if kind == "request":
            line = rb"(?m)^" + re.escape(one.key[0].encode("utf-8", "surrogateescape")) + rb"[ \t].*HTTP/\d\.\d"
        else:
            line = rb"HTTP/\d\.\d +\d\d\d"
        return bool(re.search(line, self.capture.payload(one.first)))

    def why_only_theirs(self, kind, pair, other):
        if "unsupported-link-type" in self.problems and not any(pair in messages for messages in self.ours):
            return "other-link"
        if kind == "response" and other.key.startswith("1"):
            return "interim"
        row = self.capture.frames[other.frame]
        protocols = set(row["frame.protocols"].split(":"))
        if protocols & {"icmp", "icmpv6", "sflow"}:
            return "quoted"
        if protocols & {"wlan", "ayiya"}:
            return "other-link"
        line = self.capture.payload(other.frame)
        if kind == "response" and line.startswith(b"HTTP/") and not re.match(rb"HTTP/\d\.\d [1-9]\d\d[ \r\n]", line):
            return "broken-status"
        opened = next((r for r in self.rows(pair) if r["tcp.flags.syn"] in ("1", "True")), None)
        if opened and opened["source"] != pair[0] and opened["tcp.flags.ack"] not in ("1", "True") or row["tcp.flags.syn"] in ("1", "True"):
            return "roles"
        if kind == "request" and self.framed_twice(pair, other.frame):
            return self.framed_twice(pair, other.frame)
        again = [t for t in self.capture.whole[kind == "response"].get(pair, []) if t.key == other.key]
        if any(self.capture.frames[t.frame]["tcp.analysis.retransmission"] or self.capture.frames[t.frame]["tcp.analysis.out_of_order"]
               for t in again):
            return "repeated"
        # Another connection of ours may be this one under other addresses: translated bytes keep their numbers.
        elsewhere = (m for ends, messages in self.ours[kind == "response"].items() if ends != pair for m in messages)
        if any(self.capture.frames.get(frame, {}).get("seq") == row["seq"] for m in elsewhere for frame in {m.first, m.frame}):
            return "other-tuple"
        messages = self.ours[0].get(pair, [])
        if any((m.exchange["method"] == "CONNECT" or m.exchange["status"] == 101) and m.frame < other.frame for m in messages):
            return "tunnel"
        if any(length.isdigit() and int(length) >= 2**63 for r in self.rows(pair) for length in split(r["http.content_length_header"])):
            return "beyond-length"
        if kind == "request" and any(not coding.strip().lower().endswith("chunked") for r in self.rows(pair) if r["source"] == pair[0]
                                     for coding in split(r["http.transfer_encoding"])):
            return "transfer-coding"
        return "unexplained"


def captures(paths):
    for path in map(pathlib.Path, paths):
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.is_file() and {".pcap", ".pcapng", ".cap", ".trace"} & set(p.suffixes))
        else:
            yield path


def told(message):
    return "–" if message is None else f"{' '.join(message.key) if isinstance(message.key, tuple) else message.key} (frame {message.frame})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "target/release/hopscope"))
    parser.add_argument("--verbose", action="store_true", help="list the explained differences too")
    parser.add_argument("paths", nargs="+")
    arguments = parser.parse_args()
    total, equal, unread = collections.Counter(), collections.Counter(), 0
    files = 0
    for path in captures(arguments.paths):
        ours, report = of_hopscope(arguments.program, path)
        if ours is None:
            print(f"{path}: hopscope: {report}")
            unread += 1
            continue
        files += 1
        ports = sorted({pair[1].rsplit(":", 1)[1] for messages in ours for pair in messages})[:64]
        comparison = Comparison(Capture(path, ports), ours, report)
        comparison.run()
        counts = {category: len(found) for category, found in sorted(comparison.differences.items())}
        equal.update(comparison.equal)
        total.update(counts)
        print(f"{path}: {comparison.equal['request']} requests and {comparison.equal['response']} responses equal"
              + "".join(f", {count} {category}" for category, count in counts.items()), flush=True)
        for category, found in sorted(comparison.differences.items()):
            if category == "unexplained" or arguments.verbose:
                for kind, pair, mine, theirs in found[:20]:
                    print(f"    {category}: {kind} {' → '.join(pair)}: hopscope {told(mine)}, tshark {told(theirs)}")
    print(f"\n{files} captures, {equal['request']} requests and {equal['response']} responses equal; {unread} not read by hopscope")
    for category, count in sorted(total.items()):
        print(f"{count:6} {category}: {DIFFERENCES.get(category, 'who is right is not known')}")
    sys.exit(1 if total["unexplained"] else 0)


if __name__ == "__main__":
    main()
