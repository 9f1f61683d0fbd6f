"""The chains that chains.py records: what differs from the default chain, user → nginx → nginx → uwsgi."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Chain:
    """One chain; the defaults are the story's fault."""

    about: str
    healthy: bool = False            # nothing in it deserves a finding of severity error
    # Hops
    edge: str = "nginx"              # nginx | haproxy | "" (users reach the ingress)
    ingress: str = "nginx"           # nginx | haproxy
    ingresses: int = 1
    ingress_listens: int = 2         # addresses of one ingress, so that the edge has a second to try
    app: str = "uwsgi:http-socket"   # uwsgi:OPTION | gunicorn:KEEP-ALIVE-SECONDS | node:KEEP-ALIVE-MS
    app_options: tuple = ()          # further lines of uwsgi's .ini
    apps: int = 1
    app_workers: int = 8
    work_ms: float = 2
    version: str = "1.1"             # proxy_http_version at the ingress
    keepalive: int = 64              # connections that a proxy's pool keeps
    edge_next: str = "error timeout http_502"
    ingress_next: str = "off"
    haproxy_retries: int = 1
    request_id: bool = True
    # Load
    requests: int = 300
    concurrency: int = 32
    post_percent: int = 40
    think_ms: float = 15
    pauses_ms: tuple = ()            # one of these before each request, instead of think_ms
    targets: str = "mixed"           # mixed | same | unique
    retries: int = 0                 # of the user
    host_header: str = "shop.example"
    seed: int = 1
    min_rejected: int = 0            # error-log lines of the ingress without which a recording is of no use
    tries: int = 12
    # Network
    net: str = "10.88.1."            # an address up to its last part; with ":" IPv6
    lasts: tuple = (10, 20, 30, 40, 50, 60)  # last parts, of user, edge, ingresses, applications
    edge_port: int = 80
    ingress_port: int = 8080
    app_port: int = 8000
    single_host: bool = False
    offloads: bool = False           # segments larger than the MTU in the captures
    delay_ms: float = 0              # one way, between the bridge and the application
    nat: str = ""                    # dnat | masquerade: the ingress asks service:service_port
    nat_net: str = "10.96.7."
    service: str = "172.20.0.10"
    service_port: int = 80
    vxlan: int = 0                   # UDP port: ingress and application speak through a tunnel
    # Captures
    captures: tuple = ("edge", "ingress", "app")
    any_at: tuple = ()               # hops captured with -i any
    any_link: tuple = ()             # ("-y", "LINUX_SLL") for version 1
    snaplen: int = 0
    precision: str = "micro"
    filter: str = ""
    pcapng: bool = False
    rewrite: dict = dataclasses.field(default_factory=dict)  # captures that start so: steps of rewrite.py


FAULTY = {"min_rejected": 6}
SOUND = {"healthy": True, "tries": 4}

CHAINS = {
    "ports": Chain("the fault on unusual ports", edge_port=18080, ingress_port=5060, app_port=22, net="192.168.77.", **FAULTY),
    "ipv6": Chain("the fault over IPv6, no request ids", net="fd12:34::", request_id=False, edge_port=8888, ingress_port=3000,
                  app_port=5000, **FAULTY),
    "sound-1.0": Chain("http-socket behind HTTP/1.0", version="1.0", app_port=9000, **SOUND),
    "sound-gunicorn": Chain("gunicorn that keeps connections longer than its proxy", app="gunicorn:75", app_workers=4,
                            app_port=8001, **SOUND),
    "sound-node": Chain("node that keeps connections longer than its proxy", app="node:90000", app_port=3000, **SOUND),
    "sound-uwsgi-pass": Chain("nginx speaks uwsgi's own protocol", app="uwsgi:socket", app_port=3031, **SOUND),
    "sound-haproxy": Chain("HAProxy as ingress, gunicorn", ingress="haproxy", app="gunicorn:75", app_workers=4, **SOUND),
    "haproxy-edge": Chain("HAProxy in front, the fault behind", edge="haproxy", app_port=8123, **FAULTY),
    "replicas": Chain("two ingresses, two applications, the ingress retries", ingresses=2, apps=2, ingress_listens=1,
                      ingress_next="error timeout", requests=500, concurrency=64, **FAULTY),
    "same-target": Chain("all requests alike, no ids, every user at once", request_id=False, targets="same", concurrency=64,
                         post_percent=30, **FAULTY),
    "unique": Chain("every target different, no ids, 8 users", request_id=False, targets="unique", concurrency=8, think_ms=1,
                    requests=500, **FAULTY),
    "any-sll2": Chain("-i any at every hop, SLL2, pcapng", any_at=("edge", "ingress", "app"), pcapng=True, **FAULTY),
    "any-sll": Chain("-i any at the ingress, SLL, nanoseconds", any_at=("ingress",), any_link=("-y", "LINUX_SLL"),
                     precision="nano", **FAULTY),
    "single-host": Chain("all on 127.0.0.1", single_host=True, edge_port=7000, ingress_port=7100, app_port=7200, **FAULTY),
    "single-replicas": Chain("all on 127.0.0.1, two ingresses and two applications", single_host=True, edge_port=7000,
                             ingress_port=7100, app_port=7200, ingresses=2, apps=2, ingress_next="error timeout", **FAULTY),
    "vxlan": Chain("ingress and application speak through VXLAN", vxlan=4789, **FAULTY),
    "dnat": Chain("a service address before two applications, as kube-proxy does it", nat="dnat", apps=2, **FAULTY),
    "masquerade": Chain("a service address, and the application sees another client", nat="masquerade", **FAULTY),
    "clocks": Chain("clocks apart", rewrite={"edge": ("shift=-2.637",), "app": ("shift=0.137", "drift=20")}, **FAULTY),
    "clocks-no-ids": Chain("clocks far apart, no ids", request_id=False, rewrite={"edge": ("shift=3600",), "app": ("shift=-86",)},
                           **FAULTY),
    "loss": Chain("1 % of the packets lost in each capture, healthy", version="1.0",
                  rewrite={"edge": ("loss=1:1",), "ingress": ("loss=1:2",), "app": ("loss=1:3",)}, **SOUND),
    "loss-faulty": Chain("1 % of the packets lost in each capture", rewrite={
        "edge": ("loss=1:1",), "ingress": ("loss=1:2",), "app": ("loss=1:3",)}, **FAULTY),
    "loss-kept": Chain("1 % of the packets lost, kept connections, one capture", app="gunicorn:75", app_workers=4,
                       captures=("ingress",), rewrite={"ingress": ("loss=1:5",)}, requests=600, **SOUND),
    "only-ingress": Chain("a capture at the ingress alone", captures=("ingress",), **FAULTY),
    "only-edge": Chain("a capture at the edge alone: the fault is out of sight", captures=("edge",), **FAULTY),
    "no-ingress": Chain("captures at the edge and at the application", captures=("edge", "app"), **FAULTY),
    "no-edge": Chain("users reach the ingress, which retries", edge="", ingress_next="error timeout", **FAULTY),
    "snap96": Chain("96 bytes of each packet", snaplen=96, **FAULTY),
    "snap256": Chain("256 bytes of each packet", snaplen=256, **FAULTY),
    "vlan": Chain("tagged frames", rewrite={"": ("vlan=42",)}, **FAULTY),
    "qinq": Chain("frames with two tags at the application", rewrite={"app": ("qinq=100",)}, **FAULTY),
    "gre": Chain("the ingress' capture from a GRE tunnel", rewrite={"ingress": ("gre=172.31.0.1:172.31.0.2",)}, **FAULTY),
    "erspan": Chain("a mirror port, ERSPAN", rewrite={"ingress": ("erspan=172.31.0.1:172.31.0.2",)}, **FAULTY),
    "offloads": Chain("segments larger than the MTU", offloads=True, **FAULTY),
    "router": Chain("uwsgi's http router", app="uwsgi:http", tries=3),
    "http11": Chain("http11-socket with workers enough", app="uwsgi:http11-socket", app_workers=40, concurrency=12,
                    keepalive=16, tries=3),
    "gunicorn-2": Chain("gunicorn closes after 2 s, users pause as long", app="gunicorn:2", delay_ms=4, concurrency=6,
                        requests=120, pauses_ms=(1990, 1996, 2000, 2004, 2010), min_rejected=1, tries=4),
    "node-1": Chain("node closes after 1 s and its second more, users pause as long", app="node:1000", delay_ms=4, concurrency=6,
                    requests=120, pauses_ms=(1980, 1985, 1990, 1995, 2000, 2005), min_rejected=1, tries=4),
    "delay": Chain("the application 3 ms away", delay_ms=3, **FAULTY),
    "haproxy-ingress": Chain("HAProxy in front of http-socket", ingress="haproxy", tries=2),
    "haproxy-no-retry": Chain("HAProxy in front of http-socket, without retries", ingress="haproxy", haproxy_retries=0, tries=2),
    "user-retries": Chain("users repeat what failed", retries=2, edge_next="off", ingress_listens=1,
                          captures=("user", "edge", "ingress", "app"), **FAULTY),
    "both-retry": Chain("both proxies retry", ingress_next="error timeout", edge_next="error timeout http_502", apps=2, **FAULTY),
    "non-idempotent": Chain("the ingress retries POSTs too", ingress_next="error timeout non_idempotent", **FAULTY),
    "one-user": Chain("one user, no pauses", concurrency=1, think_ms=0, requests=200, tries=2),
}
