"""Makes the small captures of this folder anew: make.py [NAME…]

Each is a conversation told by hand below, byte for byte the same every time. tests/captures.rs holds what hopscope reads
from each against NAME.txt beside it (`UPDATE_GOLDENS=1 cargo test --test captures` renews those; read the diff).
"""

import gzip
import ipaddress
import pathlib
import struct
import sys
import zlib

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "sample-captures/record"))
import rewrite  # noqa: E402

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
START = 1_700_000_000 * 10**9
MAC = bytes.fromhex("020000000002020000000001")


class Talk:
    """One TCP connection; each call is one packet, 100 µs after the one before."""

    def __init__(self, client="10.0.0.1:40000", server="10.0.0.2:80", isn=1000, at=START, packets=None):
        self.ends = [self.address(client), self.address(server)]
        self.next = [isn, isn + 5000]
        self.at = at
        self.packets = [] if packets is None else packets

    @staticmethod
    def address(text):
        host, _, port = text.rpartition(":")
        return ipaddress.ip_address(host.strip("[]")), int(port)

    def packet(self, side, flags, data=b"", seq=None, ack=None, window=64000):
        """Sends as side 0 (client) or 1; sequence and acknowledgement follow unless given."""
        seq = self.next[side] if seq is None else seq
        ack = self.next[1 - side] if ack is None else ack
        (source, sport), (target, dport) = self.ends[side], self.ends[1 - side]
        segment = struct.pack("!HHIIBBHHH", sport, dport, seq % 2**32, ack % 2**32 if flags & ACK else 0, 0x50, flags, window, 0, 0) + data
        if source.version == 4:
            frame = MAC + b"\x08\0" + rewrite.ipv4(source.packed, target.packed, 6, segment, len(self.packets) + 1, 0x4000)
        else:
            frame = MAC + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(segment), 6, 64) + source.packed + target.packed + segment
        self.packets.append((self.at, frame, len(frame)))
        self.at += 100_000
        end = seq + len(data) + bool(flags & (SYN | FIN))
        self.next[side] = max(self.next[side], end)
        return self

    def open(self):
        return self.packet(0, SYN).packet(1, SYN | ACK).packet(0, ACK)

    def ask(self, data):
        return self.packet(0, PSH | ACK, data)

    def answer(self, data):
        return self.packet(1, PSH | ACK, data)

    def skip(self, side, count):
        """Bytes that were sent, in a packet that the capture does not hold."""
        self.next[side] += count
        return self

    def close(self, first=1):
        return self.packet(first, FIN | ACK).packet(1 - first, FIN | ACK).packet(first, ACK)


def get(target="/", *headers):
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: shop.example", *headers, "", ""]).encode()


def post(target, body, *headers):
    return "\r\n".join([f"POST {target} HTTP/1.1", "Host: shop.example", *headers, "", ""]).encode() + body


def ok(body=b"hello", *headers, status="200 OK"):
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]).encode() + body


def head(status, *headers):
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode()


def plain(**more):
    """Two requests on one connection."""
    return Talk(**more).open().ask(get("/a")).answer(ok()).ask(get("/b")).answer(ok(b"second")).close().packets


def long(size=3000):
    return bytes(b"abcdefghijklmnopqrstuvwxyz"[i % 26] for i in range(size))


# --- containers ----------------------------------------------------------------------------------

def pcap(packets, link=1, nano=False, big=False, magic=None, extra=b""):
    order, scale = ">" if big else "<", 1 if nano else 1000
    out = struct.pack(order + "IHHiIII", magic or (0xA1B23C4D if nano else 0xA1B2C3D4), 2, 4, 0, 0, 65535, link)
    for time, data, length in packets:
        out += struct.pack(order + "IIII", time // 10**9, time % 10**9 // scale, len(data), length) + extra + data
    return out


class PcapNg:
    def __init__(self, big=False):
        self.order = ">" if big else "<"
        self.out = b""

    def block(self, kind, body, *options):
        body += b"\0" * (-len(body) % 4)
        if options:
            for code, value in (*options, (0, b"")):
                body += struct.pack(self.order + "HH", code, len(value)) + value + b"\0" * (-len(value) % 4)
        size = struct.pack(self.order + "I", 12 + len(body))
        self.out += struct.pack(self.order + "I", kind) + size + body + size
        return self

    def section(self):
        return self.block(0x0A0D0D0A, struct.pack(self.order + "IHHq", 0x1A2B3C4D, 1, 0, -1))

    def interface(self, link=1, *options):
        return self.block(1, struct.pack(self.order + "HHI", link, 0, 65535), *options)

    def packet(self, packet, interface=0, units=1000, *options):
        time, data, length = packet
        stamp = time // units
        return self.block(6, struct.pack(self.order + "IIIII", interface, stamp >> 32, stamp & 0xFFFFFFFF, len(data), length) + data,
                          *options)


def pcapng_all():
    packets = plain()
    out = PcapNg().section().interface(1, (2, b"eth0"), (9, b"\x09")).interface(1, (2, b"eth1"), (9, b"\x06"), (14, struct.pack("<q", 1000)))
    out.block(4, struct.pack("<HH", 1, 18) + bytes([10, 0, 0, 2]) + b"shop.internal\0" + b"\0\0" + struct.pack("<HH", 0, 0))
    for number, packet in enumerate(packets):
        if number % 2:
            out.packet((packet[0] - 1000 * 10**9, *packet[1:]), 1, 1000)
        else:
            out.packet(packet, 0, 1, *([(1, b"pod shop-7d9f, nginx[12]")] if number == 0 else []))
    out.block(0x80000001, b"nobody knows this block")  # a number for local use
    out.block(5, struct.pack("<III", 0, 0, 0), (5, struct.pack("<Q", 7)))
    out.section().interface(101)
    for time, data, length in plain(client="10.0.0.1:40001", at=START + 10**9):
        out.packet((time, data[14:], length - 14))
    return out.out


def pcapng_simple():
    out = PcapNg(big=True).section().interface(1)
    for _, data, length in plain():
        out.block(3, struct.pack(">I", length) + data)
    return out.out


# --- links -----------------------------------------------------------------------------------------

def wrapped(*steps, packets=None):
    packets, link = packets or plain(), 1
    for step in steps:
        packets, link = rewrite.apply(step, packets, link)
    return pcap(packets, link)


def sll(version, packets=None, twice=False):
    """As -i any writes it: each packet on two devices if asked, first in, then out."""
    out = []
    for time, data, length in packets or plain():
        kind, ip = data[12:14], data[14:]
        for again in range(1 + twice):
            way = 0 if not again else 4
            if version == 1:
                header = struct.pack("!HHH", way, 1, 6) + data[6:12] + b"\0\0" + kind
            else:
                header = kind + struct.pack("!HIHBB", 0, 2 + again, 1, way, 6) + data[6:12] + b"\0\0"
            out.append((time + again * 3000, header + ip, len(header) + len(ip)))
    return pcap(out, 113 if version == 1 else 276)


def loopback():
    return pcap([(t, struct.pack("<I", 2) + d[14:], n - 10) for t, d, n in plain()], 0)


def six(packets=None):
    return plain(client="[fd00::1]:40000", server="[fd00::2]:80")


def six_options():
    """Hop-by-hop and destination options before TCP."""
    out = []
    for time, frame, length in six():
        option = bytes([60, 0, 1, 4, 0, 0, 0, 0]) + bytes([6, 0, 1, 4, 0, 0, 0, 0])
        size = struct.unpack("!H", frame[18:20])[0] + 16
        frame = frame[:18] + struct.pack("!H", size) + b"\0" + frame[21:54] + option + frame[54:]
        out.append((time, frame, length + 16))
    return out


def ip_options():
    out = []
    for time, frame, length in plain():
        total = struct.unpack("!H", frame[16:18])[0] + 4
        frame = frame[:14] + b"\x46" + frame[15:16] + struct.pack("!H", total) + frame[18:34] + b"\x94\x04\0\0" + frame[34:]
        out.append((time, frame, length + 4))
    return out


# --- TCP -------------------------------------------------------------------------------------------

def out_of_order():
    body = long()
    data = ok(body)
    talk = Talk().open().ask(get("/big"))
    base = talk.next[1]
    for at in (1400, 0, 2800):
        talk.packet(1, ACK, data[at:at + 1400], seq=base + at)
    return talk.close().packets


def overlap():
    """The server repeats bytes, once with others in their place: what came first counts."""
    talk = Talk().open().ask(get("/a"))
    data, base = ok(b"0123456789"), talk.next[1]
    talk.answer(data[:-4])
    talk.packet(1, PSH | ACK, b"456789"[:-4] + b"6789", seq=base + len(data) - 6)
    talk.packet(1, PSH | ACK, b"XXXX", seq=base + len(data) - 4)
    return talk.close().packets


def probes():
    talk = Talk().open().ask(get("/a")).answer(ok())
    talk.at += 30 * 10**9
    talk.packet(0, ACK, b"\0", seq=talk.next[0] - 1).packet(1, ACK)
    talk.packet(1, ACK, seq=talk.next[1] - 1).packet(0, ACK)
    return talk.ask(get("/b")).answer(ok()).close().packets


def wrap():
    return Talk(isn=2**32 - 60).open().ask(get("/a")).answer(ok(long(200))).ask(get("/b")).answer(ok()).close().packets


def tuple_reuse():
    first = Talk().open().ask(get("/first")).answer(ok()).close()
    return Talk(isn=900000, at=first.at + 10**9, packets=first.packets).open().ask(get("/second")).answer(ok()).close().packets


def midstream():
    talk = Talk()
    talk.packet(1, PSH | ACK, b"the end of a response\n")
    return talk.ask(get("/seen")).answer(ok()).packets


def hole_acknowledged():
    """The response to /a is not in the capture, but the client had it."""
    talk = Talk().open().ask(get("/a")).skip(1, 44)
    return talk.packet(0, ACK).ask(get("/b")).answer(ok(b"for b")).close().packets


def hole_open():
    """The middle of a response never came."""
    talk = Talk().open().ask(get("/a"))
    data, base = ok(long()), talk.next[1]
    talk.answer(data[:1000]).packet(0, ACK)
    talk.packet(1, ACK, data[2000:], seq=base + 2000).packet(0, ACK, ack=base + 1000)
    return talk.packet(0, RST).packets


def jump():
    """A segment 600 MB ahead: nothing may be filled up."""
    talk = Talk().open().ask(get("/a")).answer(ok())
    talk.packet(1, PSH | ACK, b"far away", seq=talk.next[1] + 600_000_000)
    return talk.ask(get("/b")).packets


def half_open():
    talk = Talk()
    for _ in range(3):
        talk.next[0] = 1000
        talk.packet(0, SYN)
        talk.at += 10**9
    return Talk(client="10.0.0.1:40001", at=talk.at, packets=talk.packets).packet(0, SYN).packet(1, RST | ACK).packets


def simultaneous_open():
    talk = Talk(client="10.0.0.1:40000", server="10.0.0.2:41000")
    talk.packet(0, SYN).packet(1, SYN)
    talk.packet(0, SYN | ACK, seq=talk.next[0] - 1).packet(1, SYN | ACK, seq=talk.next[1] - 1)
    return talk.ask(get("/a")).answer(ok()).close(0).packets


def data_after_fin():
    talk = Talk().open().ask(get("/a")).answer(ok()).packet(1, FIN | ACK)
    return talk.answer(b"more").packet(0, RST).packets


def zero_window():
    talk = Talk().open().ask(get("/a")).answer(ok(long(1000))[:500]).packet(0, ACK, window=0)
    talk.at += 2 * 10**9
    return talk.packet(0, ACK).answer(ok(long(1000))[500:]).close().packets


def translated():
    """The same connection before and behind a NAT, in one capture."""
    before, behind = plain(), plain(client="192.168.9.9:61000", server="10.9.9.2:8000", at=START + 30_000)
    return sorted(before + behind)


# --- the story's forms of rejection ---------------------------------------------------------------

def stale_pick():
    talk = Talk(server="10.0.0.2:8000").open().ask(get("/a")).answer(ok()).packet(1, FIN | ACK).packet(0, ACK)
    return talk.ask(post("/order", b"abc", "Content-Length: 3")).packet(1, RST, seq=talk.next[1]).packets


def fin_in_flight():
    talk = Talk(server="10.0.0.2:8000").open().ask(get("/a")).answer(ok()).packet(1, FIN | ACK)
    return talk.packet(0, PSH | ACK, get("/b"), ack=talk.next[1] - 1).packet(1, RST).packets


def queued_reset():
    return Talk(server="10.0.0.2:8000").open().ask(get("/a")).answer(ok()).ask(get("/b")).packet(1, RST | ACK).packets


def swallowed():
    talk = Talk(server="10.0.0.2:8000").open().ask(get("/a")).answer(ok()).ask(get("/b")).packet(1, ACK)
    return talk.close().packets


# --- HTTP ------------------------------------------------------------------------------------------

def pipelined():
    return Talk().open().ask(get("/1") + get("/2") + get("/3")[:20]).ask(get("/3")[20:]).answer(
        ok(b"one") + ok(b"two")).answer(ok(b"three")).close().packets


def chunked():
    answer = head("200 OK", "Transfer-Encoding: chunked", "Trailer: X-Sum") + b'5;name="a;b"\r\nhello\r\n006\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n'
    talk = Talk().open().ask(post("/c", b"3\r\nabc\r\n0\r\n\r\n", "Transfer-Encoding: chunked"))
    for at in range(0, len(answer), 17):  # splits in awkward places
        talk.answer(answer[at:at + 17])
    return talk.ask(get("/next")).answer(ok()).close().packets


def until_close():
    return Talk().open().ask(get("/a")).answer(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nfirst ").answer(b"second").close().packets


def bodyless():
    return (Talk().open().ask(get("/h").replace(b"GET", b"HEAD")).answer(head("200 OK", "Content-Length: 5000"))
            .ask(get("/n")).answer(head("204 No Content")).ask(get("/m")).answer(head("304 Not Modified", "Content-Length: 77"))
            .ask(get("/last")).answer(ok()).close().packets)


def interim():
    talk = Talk().open().ask(post("/up", b"", "Content-Length: 4", "Expect: 100-continue")).answer(head("100 Continue")).ask(b"body")
    return talk.answer(head("103 Early Hints", "Link: </a.css>")).answer(ok()).close().packets


def websocket():
    talk = Talk().open().ask(get("/chat", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"))
    talk.answer(head("101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket"))
    frame = get("/no/request")
    return talk.ask(b"\x81" + bytes([len(frame)]) + frame).ask(frame).answer(b"\x81\x02ok").close().packets


def connect():
    talk = Talk(server="10.0.0.2:3128").open().ask(b"CONNECT db.example:443 HTTP/1.1\r\nHost: db.example:443\r\n\r\n")
    return talk.answer(head("200 Connection established")).ask(b"\x16\x03\x01\0\x05hello").answer(b"\x15\x03\x03\0\x02\x02\x28").close().packets


def smuggling():
    body = b"0\r\n\r\n"
    talk = Talk().open().ask(post("/both", body, "Content-Length: 60", "Transfer-Encoding: chunked")).answer(ok())
    return talk.ask(post("/twice", b"abc", "Content-Length: 3", "Content-Length: 5")).answer(ok(status="400 Bad Request")).close().packets


def compressed():
    body = gzip.compress(b"a page, " * 30, mtime=0)
    deflated = zlib.compress(b"another page, " * 30)
    return (Talk().open().ask(get("/g", "Accept-Encoding: gzip")).answer(ok(body, "Content-Encoding: gzip"))
            .ask(get("/d")).answer(ok(deflated, "Content-Encoding: deflate")).close().packets)


def zero_nine():
    return Talk().open().ask(b"GET /old\r\n").answer(b"<html>no status line</html>\n").close().packets


def lenient():
    """Bare LF, a folded header, blanks before the colon, empty lines before a request."""
    return (Talk().open().ask(b"GET /lf HTTP/1.1\nHost: shop.example\n\n").answer(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok")
            .ask(b"\r\n\r\nGET /fold HTTP/1.1\r\nHost: shop.example\r\nX-Long: a\r\n  b\r\n\r\n").answer(ok())
            .ask(b"GET /a b HTTP/1.1\r\nHost: shop.example\r\n\r\n").answer(ok(status="400 Bad Request")).close().packets)


def early_response():
    talk = Talk().open().ask(post("/big", long(800), "Content-Length: 4000"))
    return talk.answer(ok(b"too large", "Connection: close", status="413 Payload Too Large")).ask(long(1200)).packet(1, FIN | ACK).packet(
        1, RST).packets


def truncated():
    return Talk().open().ask(get("/a")).answer(ok(long(1000))[:700]).close().packets


def unsolicited():
    talk = Talk().open().ask(get("/a")).answer(ok())
    talk.at += 5 * 10**9
    return talk.answer(ok(b"", "Connection: close", status="408 Request Timeout")).close().packets


def proxy_v1():
    return Talk().open().ask(b"PROXY TCP4 203.0.113.7 198.51.100.1 51000 443\r\n" + get("/a")).answer(ok()).close().packets


def http2_unseen():
    """HTTP/2 behind bytes of the client's that the capture lacks: an upgrade, or a CONNECT, or neither."""
    talk = Talk().open().skip(0, 90)
    settings = b"\0\0\0\x04\0\0\0\0\0"
    return talk.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings).answer(settings).close().packets


def proxy_twice():
    """A proxy that sends its own header before the one it was sent, to a server that takes off one."""
    headers = b"PROXY TCP4 10.0.0.9 10.0.0.2 50000 80\r\nPROXY TCP4 192.0.2.1 10.0.0.9 51234 443\r\n"
    return Talk().open().ask(headers + get("/twice")).answer(ok(b"", status="400 Bad Request")).close().packets


def proxy_v2():
    addresses = bytes([203, 0, 113, 7, 198, 51, 100, 1]) + struct.pack("!HH", 51000, 443)
    return Talk().open().ask(b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", len(addresses)) + addresses).ask(get("/a")).answer(
        ok()).close().packets


def uwsgi_request(variables, body=b""):
    pairs = b"".join(struct.pack("<H", len(part)) + part for pair in variables for part in (pair[0].encode(), pair[1].encode()))
    return struct.pack("<BHB", 0, len(pairs), 0) + pairs + body


CGI = [("QUERY_STRING", "x=1"), ("REQUEST_METHOD", "POST"), ("CONTENT_LENGTH", "3"), ("REQUEST_URI", "/cgi?x=1"), ("PATH_INFO", "/cgi"),
       ("SERVER_PROTOCOL", "HTTP/1.1"), ("HTTP_HOST", "shop.example"), ("HTTP_X_REQUEST_ID", "0123456789abcdef")]


def uwsgi():
    return Talk(server="10.0.0.2:3031").open().ask(uwsgi_request(CGI)).ask(b"abc").answer(ok()).close().packets


def fastcgi():
    def record(kind, data, ident=1):
        return struct.pack("!BBHHBB", 1, kind, ident, len(data), 0, 0) + data
    pairs = b"".join(bytes([len(name), len(value)]) + name.encode() + value.encode() for name, value in CGI)
    talk = Talk(server="10.0.0.2:9000").open().ask(record(1, struct.pack("!HB5x", 1, 0)) + record(4, pairs) + record(4, b"") + record(5, b"abc")
                                                   + record(5, b""))
    return talk.answer(record(6, b"Status: 201 Created\r\nContent-Type: text/plain\r\n\r\nmade") + record(6, b"")
                       + record(3, struct.pack("!IB3x", 0, 0))).close().packets


def tls():
    name = b"shop.example"
    sni = struct.pack("!HHHBH", 0, len(name) + 5, len(name) + 3, 0, len(name)) + name
    alpn = struct.pack("!HHH", 16, 11, 9) + b"\x08http/1.1"
    hello = b"\x03\x03" + bytes(32) + b"\0" + struct.pack("!HH", 2, 0x1301) + b"\x01\0" + struct.pack("!H", len(sni + alpn)) + sni + alpn
    hello = b"\x01" + struct.pack("!I", len(hello))[1:] + hello
    talk = Talk(server="10.0.0.2:443").open().ask(b"\x16\x03\x01" + struct.pack("!H", len(hello)) + hello)
    return talk.answer(b"\x15\x03\x03\0\x02\x02\x28").close().packets


def not_http():
    ftp = Talk(server="10.0.0.2:21").open().answer(b"220 ready\r\n").ask(b"USER shop\r\n").answer(b"331 password\r\n").ask(
        b"GET nothing here\r\n").close()
    mail = Talk(client="10.0.0.1:40001", server="10.0.0.2:25", at=ftp.at, packets=ftp.packets).open().answer(b"220 mail ESMTP\r\n")
    return mail.ask(b"EHLO shop.example\r\n").answer(b"250 fine\r\n").close().packets


def lost_response():
    """Three answers, the second lost and acknowledged: the third must not be taken for it."""
    talk = Talk().open().ask(get("/1")).answer(ok(b"one")).ask(get("/2")).skip(1, len(ok(b"two")))
    return talk.packet(0, ACK).ask(get("/3")).answer(ok(b"three")).close().packets


def swapped_times():
    packets = plain()
    packets[4] = (packets[4][0] - 5 * 10**9, *packets[4][1:])
    packets[6] = (0, *packets[6][1:])
    return packets


CAPTURES = {
    "container-pcap.pcap": lambda: pcap(plain()),
    "container-pcap-nano-big.pcap": lambda: pcap(plain(), nano=True, big=True),
    "container-pcap-modified.pcap": lambda: pcap(plain(), magic=0xA1B2CD34, extra=bytes(8)),
    "container-pcapng.pcapng": pcapng_all,
    "container-pcapng-simple-big.pcapng": pcapng_simple,
    "container-gzip.pcap": lambda: gzip.compress(pcap(plain()), mtime=0),
    "container-cut.pcap": lambda: pcap(plain())[:-30],
    "container-times.pcap": lambda: pcap(swapped_times()),
    "link-vlan.pcap": lambda: wrapped("vlan=42"),
    "link-qinq.pcap": lambda: wrapped("qinq=42"),
    "link-sll.pcap": lambda: sll(1),
    "link-sll2-twice.pcap": lambda: sll(2, twice=True),
    "link-raw.pcap": lambda: wrapped("raw"),
    "link-null.pcap": loopback,
    "link-pppoe.pcap": lambda: wrapped("pppoe"),
    "link-mpls.pcap": lambda: wrapped("mpls=77"),
    "tunnel-gre.pcap": lambda: wrapped("gre=172.16.0.1:172.16.0.2"),
    "tunnel-gretap.pcap": lambda: wrapped("gretap=172.16.0.1:172.16.0.2"),
    "tunnel-erspan.pcap": lambda: wrapped("erspan=172.16.0.1:172.16.0.2"),
    "tunnel-vxlan.pcap": lambda: wrapped("vlan=7", packets=rewrite.apply("vxlan=172.16.0.1:172.16.0.2", plain(), 1)[0]),
    "tunnel-geneve.pcap": lambda: wrapped("geneve=172.16.0.1:172.16.0.2"),
    "tunnel-gtpu.pcap": lambda: wrapped("gtpu=172.16.0.1:172.16.0.2"),
    "tunnel-ipip.pcap": lambda: wrapped("ipip=172.16.0.1:172.16.0.2"),
    "tunnel-6in4.pcap": lambda: wrapped("ipip=172.16.0.1:172.16.0.2", packets=six()),
    "ip-fragments.pcap": lambda: wrapped("fragment=600", packets=Talk().open().ask(get("/a")).answer(ok(long(1300))).close().packets),
    "ip-options.pcap": lambda: pcap(ip_options()),
    "ip6-extensions.pcap": lambda: pcap(six_options()),
    "tcp-out-of-order.pcap": lambda: pcap(out_of_order()),
    "tcp-overlap.pcap": lambda: pcap(overlap()),
    "tcp-probes.pcap": lambda: pcap(probes()),
    "tcp-wrap.pcap": lambda: pcap(wrap()),
    "tcp-tuple-reuse.pcap": lambda: pcap(tuple_reuse()),
    "tcp-midstream.pcap": lambda: pcap(midstream()),
    "tcp-hole-acknowledged.pcap": lambda: pcap(hole_acknowledged()),
    "tcp-hole-open.pcap": lambda: pcap(hole_open()),
    "tcp-jump.pcap": lambda: pcap(jump()),
    "tcp-half-open.pcap": lambda: pcap(half_open()),
    "tcp-simultaneous-open.pcap": lambda: pcap(simultaneous_open()),
    "tcp-data-after-fin.pcap": lambda: pcap(data_after_fin()),
    "tcp-zero-window.pcap": lambda: pcap(zero_window()),
    "tcp-translated.pcap": lambda: pcap(translated()),
    "tcp-snaplen.pcap": lambda: wrapped("snap=100", packets=Talk().open().ask(get("/a")).answer(ok(long(500))).ask(get("/b")).answer(
        ok()).close().packets),
    "reject-stale-pick.pcap": lambda: pcap(stale_pick()),
    "reject-fin-in-flight.pcap": lambda: pcap(fin_in_flight()),
    "reject-queued-reset.pcap": lambda: pcap(queued_reset()),
    "reject-swallowed.pcap": lambda: pcap(swallowed()),
    "http-pipelined.pcap": lambda: pcap(pipelined()),
    "http-chunked.pcap": lambda: pcap(chunked()),
    "http-until-close.pcap": lambda: pcap(until_close()),
    "http-bodyless.pcap": lambda: pcap(bodyless()),
    "http-interim.pcap": lambda: pcap(interim()),
    "http-websocket.pcap": lambda: pcap(websocket()),
    "http-connect.pcap": lambda: pcap(connect()),
    "http-smuggling.pcap": lambda: pcap(smuggling()),
    "http-compressed.pcap": lambda: pcap(compressed()),
    "http-0.9.pcap": lambda: pcap(zero_nine()),
    "http-lenient.pcap": lambda: pcap(lenient()),
    "http-early-response.pcap": lambda: pcap(early_response()),
    "http-truncated.pcap": lambda: pcap(truncated()),
    "http-unsolicited.pcap": lambda: pcap(unsolicited()),
    "http-lost-response.pcap": lambda: pcap(lost_response()),
    "other-http2-unseen.pcap": lambda: pcap(http2_unseen()),
    "other-proxy-twice.pcap": lambda: pcap(proxy_twice()),
    "other-proxy-v1.pcap": lambda: pcap(proxy_v1()),
    "other-proxy-v2.pcap": lambda: pcap(proxy_v2()),
    "other-uwsgi.pcap": lambda: pcap(uwsgi()),
    "other-fastcgi.pcap": lambda: pcap(fastcgi()),
    "other-tls.pcap": lambda: pcap(tls()),
    "other-not-http.pcap": lambda: pcap(not_http()),
}


if __name__ == "__main__":
    for name in sys.argv[1:] or CAPTURES:
        (HERE / name).write_bytes(CAPTURES[name]())
