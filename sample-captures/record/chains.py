"""Records chains of many kinds, each with its servers' logs and truth.json: what record.sh does, in more shapes.

    chains.py FOLDER [NAME…]     records these of the table CHAINS (all, if none is named) into FOLDER/NAME/
    chains.py --list

A hop is a network namespace of its own with one address on a common bridge, and a capture of it sees both sides of that
hop, as in a pod. Needs root and what record.sh needs; also haproxy, node, gunicorn and nftables for chains that use them.
Nothing leaves the namespaces. The captures are checked for packets that the kernel dropped; one with loss is not kept.
"""

import collections
import dataclasses
import fcntl
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

import servers
import truth
from chain_table import CHAINS

HERE = pathlib.Path(__file__).parent
PREFIX = f"hc{os.getpid()}"


def run(*command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more).stdout


class Lab:
    """The namespaces, processes and captures of one recording."""

    def __init__(self, chain):
        self.chain = chain
        self.work = tempfile.mkdtemp(prefix="chain-")
        os.chmod(self.work, 0o755)
        self.processes, self.captures, self.spaces, self.threads = {}, {}, [], []
        self.address = {}
        logs = pathlib.Path(self.work, "logs")
        logs.mkdir()
        shutil.chown(logs, "www-data", "www-data")
        for name in ("app.py", "app.js"):
            shutil.copy(HERE / name, self.work)

    # --- network --------------------------------------------------------------------------------
    def space(self, name):
        return f"{PREFIX}-{name}"

    def add_space(self, name):
        run("ip", "netns", "add", self.space(name))
        self.spaces.append(name)
        run("ip", "netns", "exec", self.space(name), "sh", "-c",
            "echo 0 > /proc/sys/net/ipv6/conf/default/router_solicitations; echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad; "
            "echo 0 > /proc/sys/net/ipv6/conf/all/accept_dad; "
            "echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start")  # uwsgi binds after it has given up root
        run("ip", "-n", self.space(name), "link", "set", "lo", "up")
        if not self.chain.offloads:
            self.no_offloads(name, "lo")

    def no_offloads(self, name, device):
        subprocess.run(["ip", "netns", "exec", self.space(name), "ethtool", "-K", device, "tso", "off", "gso", "off", "gro", "off",
                        "tx", "off", "rx", "off"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

    def plug(self, name, net, last, bridge="br0", device="eth0"):
        """Joins a namespace to a bridge of the switch; its address is net + last."""
        port = f"{name}-{device}"[:15]
        run("ip", "link", "add", device, "netns", self.space(name), "type", "veth", "peer", "name", port, "netns",
            self.space("switch"))
        run("ip", "-n", self.space("switch"), "link", "set", port, "master", bridge, "up")
        self.address_of(name, device, net, last)
        if not self.chain.offloads:
            self.no_offloads(name, device)
            self.no_offloads("switch", port)

    def address_of(self, name, device, net, last):
        six = ":" in net
        run("ip", "-n", self.space(name), "addr", "add", f"{net}{last}/{64 if six else 24}", "dev", device,
            *(["nodad"] if six else []))
        run("ip", "-n", self.space(name), "link", "set", device, "up")
        self.address[name] = f"[{net}{last}]" if six else f"{net}{last}"

    def delayed(self, name, net, last):
        """As plug, but through two TAP devices and a process that passes frames on after chain.delay_ms."""
        ends = []
        for device in ("tap-a", "tap-b"):
            end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(end, 0x400454CA, struct.pack("16sH", f"{device}{os.getpid() % 10000}".encode(), 0x1002))
            ends.append(end)
        a, b = (f"{device}{os.getpid() % 10000}" for device in ("tap-a", "tap-b"))
        run("ip", "link", "set", a, "netns", self.space("switch"))
        run("ip", "-n", self.space("switch"), "link", "set", a, "master", "br0", "up")
        run("ip", "link", "set", b, "netns", self.space(name), "name", "eth0")
        self.address_of(name, "eth0", net, last)
        relay = subprocess.Popen([sys.executable, HERE / "relay.py", *map(str, ends), str(self.chain.delay_ms)], pass_fds=ends)
        self.processes["relay"] = relay
        for end in ends:
            os.close(end)

    def make_network(self):
        chain = self.chain
        hops = ["user", *(f"edge{i}" for i in range(bool(chain.edge))), *(f"ingress{i}" for i in range(chain.ingresses)),
                *(f"app{i}" for i in range(chain.apps))]
        if chain.single_host:
            self.add_space("host")
            for hop in hops:
                self.address[hop] = "127.0.0.1"
            return
        self.add_space("switch")
        bridges = ["br0", "br1"] if chain.nat else ["br0"]
        for bridge in bridges:
            run("ip", "-n", self.space("switch"), "link", "add", bridge, "type", "bridge")
            run("ip", "-n", self.space("switch"), "link", "set", bridge, "up")
        lasts = iter(chain.lasts)
        for hop in hops:
            self.add_space(hop)
            behind_nat = chain.nat and hop.startswith("app")
            if chain.delay_ms and hop.startswith("app"):
                self.delayed(hop, chain.net, next(lasts))
            else:
                self.plug(hop, chain.nat_net if behind_nat else chain.net, next(lasts), "br1" if behind_nat else "br0")
        if chain.nat:
            self.translate(hops)
        if chain.vxlan:
            self.overlay(hops)

    def translate(self, hops):
        """The switch routes between its bridges; what goes to the service's address goes to an application in turn."""
        chain, switch = self.chain, self.space("switch")
        for bridge, net in (("br0", chain.net), ("br1", chain.nat_net)):
            run("ip", "-n", switch, "addr", "add", f"{net}254/24", "dev", bridge)
        run("ip", "netns", "exec", switch, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for hop in hops:
            run("ip", "-n", self.space(hop), "route", "add", "default", "via",
                f"{chain.nat_net if hop.startswith('app') else chain.net}254")
        apps = [self.address[hop] for hop in hops if hop.startswith("app")]
        choice = ", ".join(f"{i} : {address}" for i, address in enumerate(apps))
        rules = (f"table ip t {{ chain pre {{ type nat hook prerouting priority -100; ip daddr {chain.service} tcp dport "
                 f"{chain.service_port} dnat to numgen inc mod {len(apps)} map {{ {choice} }} : {chain.app_port}; }}\n")
        if chain.nat == "masquerade":
            rules += f"chain post {{ type nat hook postrouting priority 100; oifname \"br1\" masquerade; }}\n"
        subprocess.run(["ip", "netns", "exec", switch, "nft", "-f", "-"], input=rules + "}", text=True, check=True)

    def overlay(self, hops):
        """Pods of two nodes: the application and the ingress speak over VXLAN, whose outer addresses are the plugged ones."""
        chain = self.chain
        pair = ["ingress0", "app0"]
        for number, (here, there) in enumerate((pair, pair[::-1]), 1):
            run("ip", "-n", self.space(here), "link", "add", "vx0", "type", "vxlan", "id", "42", "dstport", str(chain.vxlan),
                "local", self.address[here].strip("[]"), "remote", self.outer(there))
            run("ip", "-n", self.space(here), "link", "set", "vx0", "mtu", "1400")
            run("ip", "-n", self.space(here), "addr", "add", f"10.244.{number}.7/16", "dev", "vx0")
            run("ip", "-n", self.space(here), "link", "set", "vx0", "up")
            if not chain.offloads:
                self.no_offloads(here, "vx0")
        self.address["app0"] = "10.244.2.7"

    def outer(self, hop):
        return self.address[hop].strip("[]")

    # --- processes ------------------------------------------------------------------------------
    def start(self, hop, *command, output=None, env=None):
        space = self.space("host" if self.chain.single_host else hop)
        with open(output or f"{self.work}/{hop}.out", "ab") as out:
            process = subprocess.Popen(["ip", "netns", "exec", space, *map(str, command)], stdout=out, stderr=subprocess.STDOUT,
                                       env={**os.environ, **(env or {})})
        self.processes[hop] = process

    def listening(self, hop, port):
        space = self.space("host" if self.chain.single_host else hop)
        for _ in range(200):
            if run("ip", "netns", "exec", space, "ss", "-Hltn", f"sport = :{port}"):
                return
            time.sleep(0.05)
        raise RuntimeError(f"{hop} does not listen on {port}: {pathlib.Path(self.work, hop + '.out').read_text()[-800:]}")

    def start_apps(self):
        chain = self.chain
        for i in range(chain.apps):
            hop = f"app{i}"
            port = chain.app_port + (i if chain.single_host else 0)
            address = f"{self.address[hop]}:{port}"
            env = {"APP_WORK_MS": str(chain.work_ms)}
            kind, _, option = chain.app.partition(":")
            if kind == "uwsgi":
                ini = pathlib.Path(self.work, f"{hop}.ini")
                ini.write_text(servers.uwsgi(self.work, hop, option, address, chain.app_workers, chain.app_options))
                self.start(hop, "uwsgi", "--ini", ini, env={**env, "APP_CHUNKS": "none" if option == "socket" else "by-hand"})
            elif kind == "gunicorn":
                self.start(hop, *servers.gunicorn(self.work, hop, address, chain.app_workers, option or 2),
                           env={**env, "APP_CHUNKS": "server"})
            elif kind == "node":
                log = f"{self.work}/logs/{hop}-access.log"
                self.start(hop, "node", f"{self.work}/app.js", self.address[hop].strip("[]"), port, option or 5000, log, env=env)
            else:
                raise ValueError(f"unknown app: {chain.app}")
            self.listening(hop, port)
        time.sleep(0.5)  # the socket listens before the workers run

    def app_targets(self):
        chain = self.chain
        if chain.nat:
            return [f"{chain.service}:{chain.service_port}"]
        return [f"{self.address[f'app{i}']}:{chain.app_port + (i if chain.single_host else 0)}" for i in range(chain.apps)]

    def ingress_listens(self, i):
        port = self.chain.ingress_port + (10 * i if self.chain.single_host else 0)
        return [f"{self.address[f'ingress{i}']}:{port + n}" for n in range(self.chain.ingress_listens)]

    def start_proxy(self, hop, kind, listens, upstreams, edge):
        chain = self.chain
        if kind == "haproxy":
            path = pathlib.Path(self.work, f"{hop}.cfg")
            path.write_text(servers.haproxy(listens, upstreams, retries=chain.haproxy_retries, request_id=chain.request_id))
            self.start(hop, "haproxy", "-db", "-f", path, output=f"{self.work}/logs/{hop}-access.log")
        else:
            path = pathlib.Path(self.work, f"{hop}.conf")
            more = {} if edge else {"speaks": "uwsgi" if chain.app == "uwsgi:socket" else "http", "version": chain.version}
            path.write_text(servers.nginx(
                self.work, hop, listens, upstreams, edge=edge, request_id=chain.request_id, keepalive=chain.keepalive,
                next_upstream=chain.edge_next if edge else chain.ingress_next, **more))
            self.start(hop, "nginx", "-c", path, "-e", f"{self.work}/logs/{hop}-error.log")
        self.listening(hop, listens[0].rsplit(":", 1)[1])

    def start_proxies(self):
        chain = self.chain
        for i in range(chain.ingresses):
            self.start_proxy(f"ingress{i}", chain.ingress, self.ingress_listens(i), self.app_targets(), edge=not chain.edge)
        if chain.edge:
            upstreams = [listen for i in range(chain.ingresses) for listen in self.ingress_listens(i)]
            self.start_proxy("edge0", chain.edge, [f"{self.address['edge0']}:{chain.edge_port}"], upstreams, edge=True)

    # --- captures -------------------------------------------------------------------------------
    def capture(self, hop, name, device="eth0", extra=()):
        space = self.space("host" if self.chain.single_host else hop)
        snap = self.chain.snaplen or (8192 if self.chain.single_host or self.chain.offloads else 2048)
        report = open(f"{self.work}/{name}.tcpdump", "wb")
        process = subprocess.Popen(
            ["ip", "netns", "exec", space, "tcpdump", "-i", device, "-Z", "root", "-n", "-s", str(snap), "-U", "--immediate-mode",
             "-B", "65536", "-w", f"{self.work}/{name}.pcap", f"--time-stamp-precision={self.chain.precision}", *extra,
             *self.chain.filter.split()], stderr=report)
        self.captures[name] = process
        for _ in range(100):
            if "listening on" in pathlib.Path(report.name).read_text():
                return
            time.sleep(0.05)
        raise RuntimeError("tcpdump did not start: " + pathlib.Path(report.name).read_text())

    def start_captures(self):
        chain = self.chain
        if chain.single_host:
            self.capture("host", "host", "any", chain.any_link)
            return
        for hop in [name for name in self.spaces if name != "switch"]:
            if hop.rstrip("0123456789") in chain.captures:
                anywhere = hop.rstrip("0123456789") in chain.any_at
                self.capture(hop, hop, "any" if anywhere else "eth0", chain.any_link if anywhere else ())

    def end(self, process, how=signal.SIGTERM):
        process.send_signal(how)
        try:
            process.wait(6)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def end_hop(self, hop):
        """Ends servers as their operators would, so that idle connections close inside the captures."""
        if hop not in self.processes:
            return
        kind = {"edge": self.chain.edge, "ingress": self.chain.ingress, "app": self.chain.app.split(":")[0]}[hop.rstrip("0123456789")]
        self.end(self.processes.pop(hop), {"nginx": signal.SIGQUIT, "uwsgi": signal.SIGINT, "haproxy": signal.SIGUSR1}.get(
            kind, signal.SIGTERM))
        time.sleep(0.2)

    def record(self):
        chain = self.chain
        self.make_network()
        self.start_apps()
        self.start_proxies()
        self.start_captures()
        entry = ("edge0", chain.edge_port) if chain.edge else ("ingress0", chain.ingress_port)
        settings = {"host": self.address[entry[0]].strip("[]"), "port": entry[1], "host_header": chain.host_header,
                    **{name: getattr(chain, name) for name in ("requests", "concurrency", "post_percent", "think_ms", "pauses_ms",
                                                               "targets", "retries", "seed")}}
        space = self.space("host" if chain.single_host else "user")
        done = subprocess.run(["ip", "netns", "exec", space, sys.executable, HERE / "users.py", json.dumps(settings)],
                              capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError("the users failed: " + done.stderr[-600:])
        pathlib.Path(self.work, "logs/user.log").write_text(done.stdout)
        time.sleep(0.2)
        for prefix in ("edge", "ingress", "app"):
            for hop in [name for name in self.address if name.startswith(prefix)]:
                self.end_hop(hop)
        time.sleep(0.3)
        for name, process in self.captures.items():
            self.end(process, signal.SIGINT)
            text = pathlib.Path(self.work, f"{name}.tcpdump").read_text()
            if "\n0 packets dropped by kernel" not in text:
                raise RuntimeError(f"{name} lost packets: {text}")

    def close(self):
        for process in [*self.captures.values(), *self.processes.values()]:
            if process.poll() is None:
                self.end(process)
        for name in self.spaces:
            subprocess.run(["ip", "netns", "del", self.space(name)], check=False)
        shutil.rmtree(self.work, ignore_errors=True)


# --- truth ----------------------------------------------------------------------------------------
CLOSED = ("upstream prematurely closed connection while reading response header", "failed (104: ", "failed (32: ")


def haproxy_attempts(path):
    """The same entries as nginx's, from HAProxy's line: of its attempts only the last one's status is logged."""
    entries = []
    for line in path.read_text().splitlines():
        head, found, tail = line.rpartition(" rc=")
        match = truth.ACCESS.match(head) if found else None
        if match:
            retries, state = tail.split(" ts=")
            entry = match.groupdict()
            entry["attempts"] = ["none"] * int(retries.lstrip("+")) + [entry["got"]]
            entry["state"] = state
            entries.append(entry)
    return entries


def proxies(logs, kind, hops):
    """What all replicas of a hop logged together."""
    entries, closed, other = [], 0, []
    for hop in hops:
        path = logs / f"{hop}-access.log"
        if kind == "haproxy":
            entries += haproxy_attempts(path)
            continue
        found = truth.access_entries(path)
        for entry in found:
            # "no live upstreams" is logged as an attempt at the group's name; no packet was sent.
            entry["attempts"] = [got for got, to in zip(entry["attempts"], entry["to"].split(", ")) if ":" in to]
        entries += found
        lines = truth.errors(logs / f"{hop}-error.log")
        closed += sum(any(text in line for text in CLOSED) for line in lines)
        other += [line for line in lines if not any(text in line for text in CLOSED)]
    result = truth.proxy(entries)
    del result["connections"]
    return {**result, "kind": kind, "rejected": closed if kind == "nginx" else None, "other_errors": len(other)}


def app_truth(logs, hops):
    status, requests = collections.defaultdict(collections.Counter), 0
    for hop in hops:
        path = logs / f"{hop}-access.log"
        for line in path.read_text().splitlines() if path.exists() else []:
            if match := truth.APP.search(line):
                requests += 1
                status[match["method"]][match["status"]] += 1
    return {"requests": requests, "status": {m: dict(sorted(c.items())) for m, c in sorted(status.items())}}


def user_truth(path):
    status, retried = collections.defaultdict(collections.Counter), 0
    for entry in map(json.loads, path.read_text().splitlines()):
        retried += len(entry["got"]) > 1
        for got in entry["got"]:
            status[entry["method"]][got] += 1
    return {"status": {m: dict(sorted(c.items())) for m, c in sorted(status.items())}, "retried": retried}


def truth_of(lab):
    chain, logs = lab.chain, pathlib.Path(lab.work, "logs")
    hops = {role: [name for name in lab.address if name.startswith(role)] for role in ("edge", "ingress", "app")}
    result = {"chain": dataclasses.asdict(chain), "addresses": dict(lab.address),
              "servers": {"ingress": [listen for i in range(chain.ingresses) for listen in lab.ingress_listens(i)],
                          "app": lab.app_targets()},
              "user": user_truth(logs / "user.log")}
    if chain.edge:
        result["servers"]["edge"] = [f"{lab.address['edge0']}:{chain.edge_port}"]
        result["edge"] = proxies(logs, chain.edge, hops["edge"])
    result["ingress"] = proxies(logs, chain.ingress, hops["ingress"])
    result["app"] = app_truth(logs, hops["app"])
    result["healthy"] = chain.healthy
    return result


def publish(lab, folder, found):
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "logs").mkdir(parents=True)
    for path in pathlib.Path(lab.work, "logs").iterdir():
        (folder / "logs" / path.name).write_text(path.read_text(errors="replace").replace(lab.work, "."))
    for name in lab.captures:
        made = pathlib.Path(lab.work, f"{name}.pcap")
        for pattern, steps in lab.chain.rewrite.items():
            if name.startswith(pattern):
                run(sys.executable, HERE / "rewrite.py", made, made, *steps)
        if lab.chain.pcapng:
            run("editcap", "-F", "pcapng", made, folder / f"{name}.pcapng")
        else:
            shutil.copy(made, folder / f"{name}.pcap")
    (folder / "truth.json").write_text(json.dumps(found, indent=2) + "\n")
    run("chmod", "-R", "a+rX", folder)


def record(name, folder):
    """Records until the logs show what the chain is for."""
    for attempt in range(CHAINS[name].tries):
        chain = dataclasses.replace(CHAINS[name], seed=CHAINS[name].seed + attempt)
        lab = Lab(chain)
        try:
            lab.record()
            found = truth_of(lab)
            rejected = found["ingress"]["rejected"] or 0
            line = (f"{name}: {found['user']['status']}, rejected by the ingress' error log: {rejected}, "
                    f"retried {found['ingress']['retried']} {found.get('edge', {}).get('retried', '')}")
            if rejected >= chain.min_rejected:
                publish(lab, folder / name, found)
                print(line, flush=True)
                return True
            print(f"{line}: too few, again", file=sys.stderr, flush=True)
        except (RuntimeError, subprocess.SubprocessError) as problem:
            print(f"{name}: {problem} {getattr(problem, 'output', '') or ''}", file=sys.stderr, flush=True)
        finally:
            lab.close()
    return False


def main():
    arguments = sys.argv[1:]
    if arguments == ["--list"]:
        for name, chain in CHAINS.items():
            print(f"{name:22} {chain.about}")
        return
    if not arguments or arguments[0].startswith("-"):
        sys.exit(__doc__)
    if os.getuid():
        sys.exit("chains.py needs root: network namespaces and tcpdump")
    os.nice(5)
    folder = pathlib.Path(arguments[0])
    missing = [name for name in arguments[1:] or CHAINS if not record(name, folder)]
    if missing:
        sys.exit("not recorded: " + ", ".join(missing))


if __name__ == "__main__":
    main()
