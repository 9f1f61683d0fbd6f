"""Records the captures `recorded-*.pcap` of this folder anew, from real servers: record.py [NAME…]

nginx with fastcgi_pass, haproxy with both versions of the PROXY protocol before nginx, a WebSocket through nginx, and a server
with TLS 1.2 and 1.3, each with a client that asks a few times. All run on the loopback interface of a network namespace of their own, so that nothing else is
recorded. Needs root, nginx, haproxy, openssl, tcpdump, unshare. Times and ephemeral ports differ from run to run: the texts beside the
captures are renewed with `UPDATE_GOLDENS=1 cargo test --test captures`; read the diff.
"""

import base64
import hashlib
import http.client
import os
import pathlib
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent

NGINX = """
daemon off; pid {dir}/nginx.pid; error_log {dir}/error.log; worker_processes 1;
events {{}}
http {{
  access_log off; client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir}; uwsgi_temp_path {dir}; scgi_temp_path {dir};
  upstream app {{ server 127.0.0.1:9000; keepalive 1; }}
  server {{
    listen 127.0.0.1:8000;
    location / {{
      fastcgi_pass app; fastcgi_keep_conn on;
      fastcgi_param REQUEST_METHOD $request_method; fastcgi_param REQUEST_URI $request_uri; fastcgi_param SERVER_PROTOCOL $server_protocol;
      fastcgi_param QUERY_STRING $query_string; fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param REMOTE_ADDR $remote_addr; fastcgi_param REMOTE_PORT $remote_port;
    }}
    location /chat {{
      proxy_pass http://127.0.0.1:9001; proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_set_header Host $host;
    }}
  }}
  server {{
    listen 127.0.0.1:8002 proxy_protocol; set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;
    location / {{ default_type application/json; return 200 '{{"client": "$remote_addr"}}'; }}
  }}
}}
"""

HAPROXY = """
defaults
  mode http
  timeout connect 2s
  timeout client 5s
  timeout server 5s
listen one
  bind 127.0.0.1:8011
  server nginx 127.0.0.1:8002 send-proxy
listen two
  bind 127.0.0.1:8012
  server nginx 127.0.0.1:8002 send-proxy-v2
"""


def exactly(stream, count):
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


class FastCgi(socketserver.BaseRequestHandler):
    """Answers with what it was asked, in records of odd lengths with padding."""

    def handle(self):
        params, stdin = b"", b""
        try:
            while True:
                _, kind, number, length, padding, _ = struct.unpack("!BBHHBB", exactly(self.request, 8))
                content = exactly(self.request, length)
                exactly(self.request, padding)
                if kind == 4:
                    params += content
                elif kind == 5 and length:
                    stdin += content
                elif kind == 5:
                    self.answer(number, params, stdin)
                    params, stdin = b"", b""
        except EOFError:
            pass

    def answer(self, number, params, stdin):
        # The protocol's status (FastCGI Specification, section 5.5), and no output.
        refusals = {b"/silent": 0, b"/multiplexed": 1, b"/overloaded": 2, b"/role": 3}
        for target, status in refusals.items():
            if b"REQUEST_URI" + target in params:
                note = struct.pack("!BBHHBB", 1, 7, number, 16, 0, 0) + b"no worker free\r\n"
                self.request.sendall(note + struct.pack("!BBHHBBIB3x", 1, 3, number, 8, 0, 0, 0, status))
                return
        body = b'{"got": %d}' % len(stdin)
        out = b"Status: 201 Created\r\nContent-Type: application/json\r\n\r\n" + body if stdin else b"Content-Type: text/plain\r\n\r\nhello"
        records = [(6, out[:21]), (6, out[21:]), (7, b"a note of the application"), (6, b""), (3, bytes(8))]
        self.request.sendall(b"".join(struct.pack("!BBHHBB", 1, kind, number, len(text), -len(text) % 8, 0) + text + bytes(-len(text) % 8)
                                      for kind, text in records))


class WebSocket(socketserver.BaseRequestHandler):
    """Shakes hands, and sends back each frame without its mask."""

    def handle(self):
        head = b""
        while b"\r\n\r\n" not in head:
            head += exactly(self.request, 1)
        key = next(line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        self.request.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
                             + accept + b"\r\n\r\n")
        try:
            while True:
                first, length = exactly(self.request, 2)
                mask = exactly(self.request, 4)
                text = bytes(byte ^ mask[at % 4] for at, byte in enumerate(exactly(self.request, length & 127)))
                self.request.sendall(bytes([first, len(text)]) + text)
        except EOFError:
            pass


def ask(port, requests):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    for method, target, body in requests:
        client.request(method, target, body, {"User-Agent": "x", "Accept-Encoding": ""})
        client.getresponse().read()
    client.close()


def chat():
    with socket.create_connection(("127.0.0.1", 8000), 5) as client:
        client.sendall(b"GET /chat HTTP/1.1\r\nHost: shop\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            head += exactly(client, 1)
        # The mask is none, so that the text stands on the wire as it is.
        for text in (b"hello", b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"):
            client.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
            exactly(client, 2 + len(text))


class Encrypted(socketserver.BaseRequestHandler):
    """Answers one request in TLS, and says goodbye."""

    context = None

    def handle(self):
        try:
            with self.context.wrap_socket(self.request, server_side=True) as stream:
                stream.recv(4096)
                stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + b"x" * 3000)
                stream.unwrap()
        except OSError:
            pass


def serve_tls(folder):
    names = [str(folder / "key.pem"), str(folder / "cert.pem")]
    subprocess.check_call(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", names[0], "-out", names[1], "-days", "9",
                           "-subj", "/CN=shop.example"], stderr=subprocess.DEVNULL)
    Encrypted.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    Encrypted.context.load_cert_chain(names[1], names[0])
    Encrypted.context.set_alpn_protocols(["http/1.1"])


def ask_encrypted(version, session=None, trusting=True, ciphers=None):
    context = ssl.create_default_context()
    context.minimum_version = context.maximum_version = version
    if trusting:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if ciphers:
        context.set_ciphers(ciphers)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if session:
        context = session[0]
    with socket.create_connection(("127.0.0.1", 9002), 5) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="shop.example", session=session and session[1]) as stream:
                stream.sendall(b"GET /secret HTTP/1.1\r\nHost: shop.example\r\n\r\n")
                while stream.recv(4096):
                    pass
                found = stream.session
                stream.unwrap()
                return context, found
        except OSError:
            return None


def tls():
    """TLS 1.3; TLS 1.2, and its session again; a server whose certificate is not trusted; no suite in common."""
    ask_encrypted(ssl.TLSVersion.TLSv1_3)
    session = ask_encrypted(ssl.TLSVersion.TLSv1_2)
    ask_encrypted(ssl.TLSVersion.TLSv1_2, session)
    ask_encrypted(ssl.TLSVersion.TLSv1_3, trusting=False)
    ask_encrypted(ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-ECDSA-AES128-SHA")


SCENES = {
    "fastcgi": ("tcp port 8000 or tcp port 9000", lambda: ask(8000, [("GET", "/a?b=c", None), ("POST", "/form", "x=1&y=2"), ("HEAD", "/a", None)])),
    "fastcgi-refused": ("tcp port 8000 or tcp port 9000", lambda: ask(8000, [("GET", "/silent", None), ("GET", "/overloaded", None), ("POST", "/overloaded", "x=1"),
                                                                     ("GET", "/role", None), ("GET", "/multiplexed", None), ("GET", "/a", None)])),
    "proxy-v1": ("tcp port 8002 or tcp port 8011", lambda: ask(8011, [("GET", "/one", None), ("GET", "/two", None)])),
    "proxy-v2": ("tcp port 8002 or tcp port 8012", lambda: ask(8012, [("GET", "/one", None), ("GET", "/two", None)])),
    "websocket": ("tcp port 8000 or tcp port 9001", chat),
    "tls": ("tcp port 9002", tls),
}


def main():
    if "--inside" not in sys.argv:
        sys.exit(subprocess.call(["unshare", "--net", sys.executable, __file__, "--inside", *sys.argv[1:]]))
    subprocess.check_call(["ip", "link", "set", "lo", "up"])
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        os.chmod(folder, 0o777)
        (folder / "nginx.conf").write_text(NGINX.format(dir=folder))
        (folder / "haproxy.cfg").write_text(HAPROXY)
        serve_tls(folder)
        socketserver.ThreadingTCPServer.daemon_threads = True
        for port, handler in ((9000, FastCgi), (9001, WebSocket), (9002, Encrypted)):
            server = socketserver.ThreadingTCPServer(("127.0.0.1", port), handler)
            threading.Thread(target=server.serve_forever, daemon=True).start()
        servers = [subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf")]),
                   subprocess.Popen(["haproxy", "-db", "-f", str(folder / "haproxy.cfg")])]
        try:
            time.sleep(1)
            wanted = sys.argv[2:] or SCENES
            for name, (ports, scene) in ((name, SCENES[name]) for name in wanted):
                path = HERE / f"recorded-{name}.pcap"
                tcpdump = subprocess.Popen(["tcpdump", "-i", "lo", "--immediate-mode", "-U", "-s0", "-Z", "root", "-w", str(path), ports])
                time.sleep(1)
                scene()
                time.sleep(1)
                tcpdump.terminate()
                tcpdump.wait()
        finally:
            for server in servers:
                server.terminate()
                server.wait()


if __name__ == "__main__":
    main()
