"""Rewrites captures as another place or tool would have taken them. Reads classic pcap of Ethernet, writes the same kind.

    rewrite.py IN OUT STEP…      steps, in order:
        loss=PERCENT[:SEED]      leave out packets at random, as a capture does that cannot keep up
        snap=BYTES               cut packets
        shift=SECONDS            set the clock otherwise (also 0.137, -2.5)
        drift=PPM                let it run otherwise
        vlan=ID  qinq=ID         802.1Q tag; 802.1ad and a second tag
        pppoe                    PPPoE session between the Ethernet and the IP header
        mpls=LABEL
        gre=A:B  gretap=A:B  erspan=A:B  ipip=A:B  vxlan=A:B  geneve=A:B  gtpu=A:B     in IPv4 from A to B
        fragment=BYTES           IPv4 packets larger than that come in fragments
        swap=PERCENT[:SEED]      neighbours change places, their times do not
        twice=PERCENT[:SEED]     as two devices of one host show a packet
        blank-ids                request ids overwritten, as long as they were: nothing but time tells requests apart
        raw                      link type raw IP instead of Ethernet
"""

import ipaddress
import random
import re
import struct
import sys

ETHERNET, RAW = 1, 101


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(source, destination, protocol, payload, ident=0, flags=0, options=b""):
    words = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH4s4s", 0x40 | words, 0, 4 * words + len(payload), ident, flags, 64, protocol, 0,
                       source, destination) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp(port, payload):
    return struct.pack("!HHHH", 49152, port, 8 + len(payload), 0) + payload


def is_ip(frame):
    return frame[12:14] in (b"\x08\x00", b"\x86\xdd")


def tunnel(kind, outer, frame, number):
    """The frame, in an outer IPv4 packet of the frame's own Ethernet header."""
    a, b = (ipaddress.ip_address(text).packed for text in outer.split(":"))
    # The side of the inner sender is the side of the outer one.
    a, b = (a, b) if frame[26:30] < frame[30:34] else (b, a)
    ethertype, inner = frame[12:14], frame[14:]
    protocol, payload = {
        "gre": lambda: (47, struct.pack("!H", 0x2000) + ethertype + struct.pack("!I", 7) + inner),
        "gretap": lambda: (47, b"\0\0\x65\x58" + frame),
        "erspan": lambda: (47, struct.pack("!HHIHHI", 0x1000, 0x88BE, number, 0x1000, 5, 0) + frame),
        "ipip": lambda: (4 if ethertype == b"\x08\0" else 41, inner),
        "vxlan": lambda: (17, udp(4789, b"\x08\0\0\0\0\0\x2a\0" + frame)),
        "geneve": lambda: (17, udp(6081, b"\0\0\x65\x58\0\0\x2a\0" + frame)),
        "gtpu": lambda: (17, udp(2152, struct.pack("!BBHI", 0x30, 0xFF, len(inner), 99) + inner)),
    }[kind]()
    return frame[:12] + b"\x08\0" + ipv4(a, b, protocol, payload, number & 0xFFFF)


def fragments(frame, most):
    if frame[12:14] != b"\x08\0" or len(frame) - 14 <= most:
        return [frame]
    size = (most - 20) // 8 * 8
    total, ident = struct.unpack("!HH", frame[16:20])
    head, payload = frame[14:34], frame[34:14 + total]
    return [frame[:14] + ipv4(head[12:16], head[16:20], head[9], payload[at:at + size], ident or at,
                              at // 8 | (0x2000 if at + size < len(payload) else 0))
            for at in range(0, len(payload), size)]


def tagged(kind, value, frame):
    tag = struct.pack("!H", int(value))
    if kind == "vlan":
        return frame[:12] + b"\x81\0" + tag + frame[12:]
    return frame[:12] + b"\x88\xa8" + tag + b"\x81\0\0\x07" + frame[12:]


def chosen(value, count):
    percent, _, seed = value.partition(":")
    chance = random.Random(int(seed or 1))
    return [chance.random() * 100 < float(percent) for _ in range(count)]


def apply(step, packets, link):
    """The packets (time in ns, bytes, length on the wire) after one step, and their link type."""
    kind, _, value = step.partition("=")
    if kind == "loss":
        packets = [p for p, out in zip(packets, chosen(value, len(packets))) if not out]
    elif kind == "twice":
        packets = [q for p, again in zip(packets, chosen(value, len(packets)))
                   for q in ([p, (p[0] + 1500, *p[1:])] if again else [p])]
    elif kind == "swap":
        at, swaps = 0, chosen(value, len(packets))
        while at + 1 < len(packets):
            if swaps[at]:
                (t1, *one), (t2, *two) = packets[at:at + 2]
                packets[at:at + 2] = [(t1, *two), (t2, *one)]
                at += 1
            at += 1
    elif kind == "snap":
        packets = [(t, d[:int(value)], n) for t, d, n in packets]
    elif kind == "shift":
        packets = [(t + round(float(value) * 1e9), d, n) for t, d, n in packets]
    elif kind == "drift":
        first = packets[0][0]
        packets = [(t + round((t - first) * float(value) / 1e6), d, n) for t, d, n in packets]
    elif kind == "raw":
        packets, link = [(t, d[14:], n - 14) for t, d, n in packets if is_ip(d)], RAW
    elif kind == "blank-ids":
        packets = [(t, re.sub(rb"(?i)x-request-id: ([^\r]+)", lambda found: b"X-Nothing-At: " + b"0" * len(found[1]), d), n)
                   for t, d, n in packets]
    elif kind == "fragment":
        packets = [(t, f, len(f)) for t, d, n in packets for f in fragments(d, int(value))]
    else:
        def one(number, frame):
            if not is_ip(frame):
                return frame
            if kind in ("vlan", "qinq"):
                return tagged(kind, value, frame)
            if kind == "pppoe":
                protocol = b"\0\x21" if frame[12:14] == b"\x08\0" else b"\0\x57"
                return frame[:12] + b"\x88\x64\x11\0\0\x09" + struct.pack("!H", len(frame) - 12) + protocol + frame[14:]
            if kind == "mpls":
                return frame[:12] + b"\x88\x47" + struct.pack("!I", int(value) << 12 | 0x1FF) + frame[14:]
            return tunnel(kind, value, frame, number)
        new = [(t, one(i, d), d, n) for i, (t, d, n) in enumerate(packets)]
        packets = [(t, d, n + len(d) - len(old)) for t, d, old, n in new]
    return packets, link


def read(path):
    data = open(path, "rb").read()
    scale = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}[struct.unpack("<I", data[:4])[0]]
    packets, at = [], 24
    while at + 16 <= len(data):
        seconds, fraction, held, length = struct.unpack("<IIII", data[at:at + 16])
        packets.append((seconds * 10**9 + fraction * scale, data[at + 16:at + 16 + held], length))
        at += 16 + held
    return packets, struct.unpack("<I", data[20:24])[0], scale


def write(path, packets, link, scale):
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4 if scale == 1000 else 0xA1B23C4D, 2, 4, 0, 0, 262144, link))
        for time, data, length in packets:
            out.write(struct.pack("<IIII", time // 10**9, time % 10**9 // scale, len(data), length) + data)


def rewrite(source, target, steps):
    packets, link, scale = read(source)
    if link != ETHERNET:
        sys.exit(f"no Ethernet capture: {source}")
    for step in steps:
        packets, link = apply(step, packets, link)
    write(target, packets, link, scale)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    rewrite(sys.argv[1], sys.argv[2], sys.argv[3:])
