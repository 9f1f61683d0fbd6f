"""Configurations and command lines of the servers that a chain of chains.py is made of."""

NGINX = """\
user www-data;
daemon off;
worker_processes 1;
pid {work}/{name}.pid;
error_log {logs}/{name}-error.log info;
events {{ worker_connections 4096; }}
http {{
    log_format lab '$msec $remote_addr:$remote_port $connection $connection_requests "$request" $status $body_bytes_sent '
                   'to="$upstream_addr" got="$upstream_status" took="$upstream_response_time" $request_time {id}';
    access_log {logs}/{name}-access.log lab;
    client_body_temp_path {work}/tmp-{name}-body;
    proxy_temp_path {work}/tmp-{name}-proxy;
    fastcgi_temp_path {work}/tmp-{name}-fcgi;
    uwsgi_temp_path {work}/tmp-{name}-uwsgi;
    scgi_temp_path {work}/tmp-{name}-scgi;
    default_type text/html;
    keepalive_timeout 75s;
    map $http_x_request_id $req_id {{ default $http_x_request_id; "" $request_id; }}
    upstream behind {{
{upstreams}
        keepalive {keepalive};
    }}
    server {{
{listens}
        location / {{
{location}
        }}
    }}
}}
"""

PROXY_PASS = """\
proxy_pass http://behind;
proxy_http_version {version};
proxy_set_header Connection "";
proxy_set_header Host $http_host;
proxy_set_header X-Real-IP $remote_addr;
proxy_set_header X-Forwarded-For {forwarded};
proxy_next_upstream {next_upstream};
proxy_next_upstream_tries 3;
proxy_buffering {buffering};
"""

UWSGI_PARAMS = ("QUERY_STRING $query_string", "REQUEST_METHOD $request_method", "CONTENT_TYPE $content_type",
                "CONTENT_LENGTH $content_length", "REQUEST_URI $request_uri", "PATH_INFO $document_uri",
                "DOCUMENT_ROOT $document_root", "SERVER_PROTOCOL $server_protocol", "REMOTE_ADDR $remote_addr",
                "REMOTE_PORT $remote_port", "SERVER_PORT $server_port", "SERVER_NAME $server_name")


def indented(lines, by):
    return "\n".join(" " * by + line for line in lines)


def nginx(work, name, listens, upstreams, *, version="1.1", next_upstream="error timeout", keepalive=32, request_id=True,
          speaks="http", edge=False):
    """The text of an nginx.conf; `edge` as users reach it, else with ingress-nginx's settings."""
    identity = "$request_id" if edge else "$req_id"
    if speaks == "uwsgi":
        location = ["uwsgi_pass behind;", f"uwsgi_next_upstream {next_upstream};",
                    *(f"uwsgi_param {param};" for param in UWSGI_PARAMS)]
        if request_id:
            location.append(f"uwsgi_param HTTP_X_REQUEST_ID {identity};")
    else:
        location = PROXY_PASS.format(
            version=version, next_upstream=next_upstream, buffering="on" if edge else "off",
            forwarded="$proxy_add_x_forwarded_for" if edge else "$remote_addr").splitlines()
        if request_id:
            location.append(f"proxy_set_header X-Request-ID {identity};")
    return NGINX.format(
        work=work, logs=f"{work}/logs", name=name, keepalive=keepalive, id=identity if request_id else "-",
        upstreams=indented((f"server {server} max_fails=0;" for server in upstreams), 8),
        listens=indented((f"listen {listen} backlog=1024;" for listen in listens), 8), location=indented(location, 12))


def haproxy(listens, upstreams, *, retries=1, request_id=True, retry_on="conn-failure empty-response response-timeout"):
    """The text of a haproxy.cfg. The log line is that of NGINX, with the number of retries at its end."""
    identity = "%[capture.req.hdr(0)]" if request_id else "-"
    lines = ["global", "    log stdout format raw local0 info", "    maxconn 2000", "    nbthread 1", "defaults", "    mode http",
             "    log global", "    option http-keep-alive", "    http-reuse safe", "    timeout connect 5s", "    timeout client 75s",
             "    timeout server 60s", "    timeout http-keep-alive 75s", f"    retries {retries}", f"    retry-on {retry_on}",
             "    option redispatch 1", "frontend front", *(f"    bind {listen}" for listen in listens)]
    if request_id:
        lines += ["    unique-id-format %{+X}o%ci%cp%Ts%rt", "    http-request set-header X-Request-ID %[unique-id] unless "
                  "{ req.hdr(X-Request-ID) -m found }", "    http-request capture req.hdr(X-Request-ID) len 64"]
    lines += ["    option forwardfor",
              '    log-format \'%Ts.%ms %ci:%cp 0 0 "%HM %HU %HV" %ST %B to="%si:%sp" got="%ST" took="%Tr" %Ta '
              + identity + " rc=%rc ts=%tsc'",
              "    default_backend behind", "backend behind",
              *(f"    server s{number} {server}" for number, server in enumerate(upstreams))]
    return "\n".join(lines) + "\n"


def uwsgi(work, name, kind, address, workers, options=()):
    """The text of an .ini file. `kind` is the option that opens the socket, http-socket, socket, …"""
    lines = ["[uwsgi]", "plugins = python3,logfile" + (",http" if kind == "http" else ""), f"{kind} = {address}", f"chdir = {work}",
             "module = app:application", "master = true", f"processes = {workers}", "listen = 100", "need-app = true",
             "uid = www-data", "gid = www-data", f"logger = file:{work}/logs/{name}.log",
             f"req-logger = file:{work}/logs/{name}-access.log",
             'log-format = %(tmsecs) %(addr) "%(method) %(uri) %(proto)" %(status) %(rsize) %(msecs)ms id=%(var.HTTP_X_REQUEST_ID)',
             *options]
    return "\n".join(lines) + "\n"


def gunicorn(work, name, address, workers, keep_alive, worker_class="gthread"):
    """The command line."""
    threads = ["--threads", "8"] if worker_class == "gthread" else []
    return ["gunicorn", "--chdir", work, "--bind", address, "--workers", str(workers), "--worker-class", worker_class, *threads,
            "--keep-alive", str(keep_alive), "--user", "www-data", "--group", "www-data", "--log-file", f"{work}/logs/{name}.log",
            "--access-logfile", f"{work}/logs/{name}-access.log",
            "--access-logformat", '%(t)s %(h)s "%(r)s" %(s)s %(B)s %(D)sus id=%({x-request-id}i)s', "app:application"]
