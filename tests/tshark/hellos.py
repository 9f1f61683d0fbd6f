"""Compares what hopscope tells of TLS handshakes with tshark, connection by connection.

    hellos.py [--program PATH] CAPTURE…

Server name and version, by the connection's ends, from `hopscope report --connections` and `tshark -2`. A
connection that begins in another protocol (STARTTLS, SOCKS, a ClientHello in the form of SSL 2.0) is none of TLS to hopscope:
it is listed as missing. Ends with 1 if a connection that both know differs.

Needs Python 3 and tshark (4.0 or later); PATH is target/release/hopscope unless given.
"""

import argparse
import ipaddress
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FIELDS = ["ip.src", "ipv6.src", "tcp.srcport", "ip.dst", "ipv6.dst", "tcp.dstport", "tls.handshake.type",
          "tls.handshake.extensions_server_name", "tls.handshake.extensions.supported_version", "tls.handshake.version"]
VERSIONS = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}


def end(four, six, port):
    return ipaddress.ip_address((four or six).split(",")[-1]), int(port)


def of_tshark(path):
    """By client and server: what their hellos say."""
    told = subprocess.run(["tshark", "-2", "-r", path, "-o", "tcp.reassemble_out_of_order:TRUE", "-Y",
                           "tls.handshake.type == 1 or tls.handshake.type == 2", "-T", "fields", "-E", "separator=|",
                           *(word for field in FIELDS for word in ("-e", field))], capture_output=True, text=True)
    found = {}
    for line in told.stdout.splitlines():
        fields = line.split("|")
        if len(fields) < len(FIELDS) or not fields[2]:
            continue
        ends = end(*fields[:3]), end(*fields[3:6])
        kinds = fields[6].split(",")
        if "1" in kinds:
            found.setdefault(ends, {})["server_name"] = fields[7].split(",")[0] or None
        elif "2" in kinds:
            # A hello with the version in an extension has that of TLS 1.2 in its old place.
            number = int(fields[8].split(",")[-1] or fields[9].split(",")[-1], 16)
            found.setdefault(ends[::-1], {})["version"] = VERSIONS.get(number)
    return found


def of_hopscope(program, path):
    told = subprocess.run([program, "report", "--format", "json", "--connections", path], capture_output=True, text=True)
    found = {}
    for connection in json.loads(told.stdout or "{}").get("connections", []):
        ends = (connection[side].rsplit(":", 1) for side in ("client", "server"))
        ends = tuple((ipaddress.ip_address(ip.strip("[]")), int(port)) for ip, port in ends)
        if "tls" in connection:
            found.setdefault(ends, []).append(connection["tls"])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "target/release/hopscope"))
    parser.add_argument("paths", nargs="+")
    arguments = parser.parse_args()
    equal, missing, differ = 0, 0, 0
    words = lambda ends: " → ".join(f"{ip} port {port}" for ip, port in ends)
    for path in arguments.paths:
        ours = of_hopscope(arguments.program, path)
        for ends, theirs in of_tshark(path).items():
            known = ours.get(ends) or ours.get(ends[::-1])
            # Drafts have names of their own.
            wanted = {name: value for name, value in theirs.items() if name != "version" or value}
            if not known:
                missing += 1
                print(f"{path}: missing: {words(ends)}: {theirs}")
            elif any(all(tls[name] == value for name, value in wanted.items()) for tls in known):
                equal += 1
            else:
                differ += 1
                print(f"{path}: differs: {words(ends)}: tshark {theirs}, hopscope {known}")
    print(f"{equal} handshakes equal, {missing} missing, {differ} differ")
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
