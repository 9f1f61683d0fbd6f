#!/usr/bin/env bash
# Records the chain user -> nginx -> nginx with ingress-nginx's upstream settings -> uwsgi.
#
#   record.sh SCENARIO OUTDIR        SCENARIO: paas-502 | paas-fixed | single-host | custom
#
# Each hop is a network namespace of its own, joined to the next by a veth pair, so that tcpdump at
# one hop sees that hop's two sides and nothing else. `single-host` puts all on 127.0.0.1 of one
# namespace. Everything happens inside these namespaces and ends with the script.
#
# Needs root and, from Debian: nginx uwsgi-core uwsgi-plugin-python3 tcpdump wrk ethtool iproute2
# tshark (for mergecap, editcap and check.py).
#
# What may be set by environment variables is listed below with its default.
set -euo pipefail

scenario=${1:?usage: record.sh SCENARIO OUTDIR}
out=${2:?usage: record.sh SCENARIO OUTDIR}
here=$(cd "$(dirname "$0")" && pwd)

# --- what differs between the scenarios -------------------------------------------------------
: "${DESCRIPTION:=}"                 # for the README; set by the named scenarios
: "${SINGLE_HOST:=off}"              # all four on one loopback
: "${INGRESS_HTTP_VERSION:=1.1}"     # ingress-nginx: proxy-http-version
: "${MIN_REJECTED:=0}" "${MIN_RETRIED:=0}" "${MAX_ERRORS:=-1}"
case $scenario in
    paas-502)
        MIN_REJECTED=8 MIN_RETRIED=3
        DESCRIPTION="uwsgi's http-socket behind a proxy that keeps HTTP/1.1 connections: users get 502 for POSTs, \
nginx retries the GETs. uwsgi closes each connection after one response without saying so; what the ingress sends \
on such a connection is lost."
        ;;
    paas-fixed)
        INGRESS_HTTP_VERSION=1.0 MAX_ERRORS=0
        DESCRIPTION="The same chain and load as paas-502 with \`proxy_http_version 1.0\` at the ingress (annotation \
\`nginx.ingress.kubernetes.io/proxy-http-version\`): each connection to uwsgi carries one request, and there is \
not one fault."
        ;;
    single-host)
        # One capture instead of three leaves room for more requests.
        : "${REQUESTS:=640}"
        SINGLE_HOST=on MIN_REJECTED=8 MIN_RETRIED=3
        DESCRIPTION="The chain of paas-502 with all four on 127.0.0.1, told apart by their ports only, in one \
capture of \`-i any\`."
        ;;
    custom) ;;
    *) echo "unknown scenario: $scenario" >&2; exit 2 ;;
esac

# --- load ---------------------------------------------------------------------------------------
: "${REQUESTS:=440}"                 # exactly so many by the user
: "${CONCURRENCY:=64}"               # kept connections of the user
: "${POST_PERCENT:=40}"
: "${THINK_MS:=20}"                  # mean pause of a user between two requests
: "${SAME_TARGET:=off}"              # on: every GET asks for the same
: "${SEED:=1}"
: "${LOAD_HOST:=shop.example}"
: "${TRIES:=20}"                     # recordings until MIN_… and MAX_ERRORS hold
# --- proxies and application ----------------------------------------------------------------------
: "${EDGE_WORKERS:=1}" "${INGRESS_WORKERS:=1}"
: "${INGRESS_KEEPALIVE:=320}"        # upstream-keepalive-connections
: "${EDGE_NEXT_UPSTREAM:=error timeout http_502}"
# ingress-nginx's own default is "error timeout". Off, its 502s reach the nginx in front.
: "${INGRESS_NEXT_UPSTREAM:=off}"
: "${REQUEST_ID:=on}"                # X-Request-ID, set by the edge and passed on by the ingress
: "${TRUTH_HEADER:=off}"            # X-Truth for score.py: the request that made a proxy ask
: "${BACKEND:=uwsgi}"                # uwsgi | gunicorn
: "${GUNICORN_KEEPALIVE:=75}"        # seconds; longer than the proxy's 60 is sound, 2 is gunicorn's default
: "${APP_SOCKET_OPTION:=http-socket}" # of uwsgi: http-socket | http11-socket
: "${APP_WORKERS:=8}"
: "${APP_WORK_MS:=2}"                # mean time that the application takes
# --- addresses --------------------------------------------------------------------------------------
# Of each link, everything up to the last part: 10.88.1. or fd00:88:1::
: "${NET_USER:=10.88.1.}" "${NET_MIDDLE:=10.88.2.}" "${NET_APP:=10.88.3.}"
: "${EDGE_PORT:=80}" "${INGRESS_PORT_1:=8080}" "${INGRESS_PORT_2:=8081}" "${APP_PORT:=8000}"
if [ "$SINGLE_HOST" = on ] && [ "$EDGE_PORT" = 80 ]; then EDGE_PORT=8088; fi
# Nanoseconds in ingress.pcap, or everywhere with "on".
: "${NANO:=ingress}"
: "${CAPTURE_USER:=off}"             # user.pcap too, the user's side of the first link

[ "$(id -u)" = 0 ] || { echo "record.sh needs root: network namespaces and tcpdump" >&2; exit 1; }

prefix=hs$$
work=$(mktemp -d)
pids=()

end_process() { # PID SIGNAL: ask, wait up to 5 s, then kill
    kill -s "$2" "$1" 2>/dev/null || return 0
    for _ in $(seq 100); do kill -0 "$1" 2>/dev/null || { wait "$1" 2>/dev/null || true; return 0; }; sleep 0.05; done
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

tear_down() {
    local pid ns
    for pid in "${pids[@]:-}"; do [ -z "$pid" ] || end_process "$pid" TERM; done
    pids=()
    for ns in user edge ingress app; do
        if [ -e "/run/netns/$prefix-$ns" ]; then ip netns del "$prefix-$ns"; fi
    done
}
trap 'tear_down; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# 10.88.1. + 2 -> 10.88.1.2; an IPv6 address comes in brackets, as nginx and uwsgi want it.
address() { case $1 in *:) echo "[$1$2]" ;; *) echo "$1$2" ;; esac }
plain() { local a=${1#[}; echo "${a%]}"; }

if [ "$SINGLE_HOST" = on ]; then
    user_host=127.0.0.1 edge_host=127.0.0.1 ingress_host=127.0.0.1 app_host=127.0.0.1
    snaplen=8192
    user_ns=$prefix-app edge_ns=$prefix-app ingress_ns=$prefix-app app_ns=$prefix-app
else
    snaplen=2048
    user_host=$(address "$NET_USER" 1) edge_host=$(address "$NET_USER" 2)
    ingress_host=$(address "$NET_MIDDLE" 2) app_host=$(address "$NET_APP" 2)
    user_ns=$prefix-user edge_ns=$prefix-edge ingress_ns=$prefix-ingress app_ns=$prefix-app
fi

# Segmentation offloads let a capture hold "packets" larger than the MTU, which no wire ever saw.
no_offloads() { # NAMESPACE DEVICE
    ip netns exec "$1" ethtool -K "$2" tso off gso off gro off tx off rx off >/dev/null 2>&1 || true
}

join() { # NS-A DEV-A NS-B DEV-B NET: A gets .1, B gets .2
    local bits=24 nodad=
    case $5 in *:) bits=64 nodad=nodad ;; esac
    ip link add "$2" netns "$1" type veth peer name "$4" netns "$3"
    ip -n "$1" addr add "${5}1/$bits" dev "$2" $nodad
    ip -n "$3" addr add "${5}2/$bits" dev "$4" $nodad
    ip -n "$1" link set "$2" up
    ip -n "$3" link set "$4" up
    no_offloads "$1" "$2"
    no_offloads "$3" "$4"
}

make_network() {
    local ns
    for ns in $(printf '%s\n' "$user_ns" "$edge_ns" "$ingress_ns" "$app_ns" | sort -u); do
        ip netns add "$ns"
        # Before a veth comes up: neighbour and router discovery is no part of the story.
        ip netns exec "$ns" sh -c 'echo 0 > /proc/sys/net/ipv6/conf/default/router_solicitations' || true
        ip -n "$ns" link set lo up
        no_offloads "$ns" lo
    done
    [ "$SINGLE_HOST" = on ] && return
    join "$user_ns" user0 "$edge_ns" edge0 "$NET_USER"
    join "$edge_ns" edge1 "$ingress_ns" ingress0 "$NET_MIDDLE"
    join "$ingress_ns" ingress1 "$app_ns" app0 "$NET_APP"
}

render() { # TEMPLATE: to stdout, @NAME@ replaced
    local edge_id='' ingress_id=''
    if [ "$REQUEST_ID" = on ]; then
        edge_id='proxy_set_header X-Request-ID $request_id;'
        ingress_id='proxy_set_header X-Request-ID $req_id;'
    fi
    if [ "$TRUTH_HEADER" = on ]; then
        local truth='proxy_set_header X-Truth $remote_addr:$remote_port/$connection_requests;'
        edge_id="$edge_id $truth" ingress_id="$ingress_id $truth"
    fi
    sed -e "s|@WORK@|$work|g" -e "s|@LOGS@|$work/logs|g" \
        -e "s|@EDGE_WORKERS@|$EDGE_WORKERS|" -e "s|@INGRESS_WORKERS@|$INGRESS_WORKERS|" \
        -e "s|@EDGE_HOST@|$edge_host|" -e "s|@EDGE_PORT@|$EDGE_PORT|" \
        -e "s|@INGRESS_HOST@|$ingress_host|" \
        -e "s|@INGRESS_PORT_1@|$INGRESS_PORT_1|" -e "s|@INGRESS_PORT_2@|$INGRESS_PORT_2|" \
        -e "s|@APP_HOST@|$app_host|" -e "s|@APP_PORT@|$APP_PORT|" \
        -e "s|@APP_SOCKET_OPTION@|$APP_SOCKET_OPTION|" -e "s|@APP_WORKERS@|$APP_WORKERS|" \
        -e "s|@INGRESS_KEEPALIVE@|$INGRESS_KEEPALIVE|" -e "s|@INGRESS_HTTP_VERSION@|$INGRESS_HTTP_VERSION|" \
        -e "s|@EDGE_NEXT_UPSTREAM@|$EDGE_NEXT_UPSTREAM|" -e "s|@INGRESS_NEXT_UPSTREAM@|$INGRESS_NEXT_UPSTREAM|" \
        -e "s|@EDGE_REQUEST_ID@|$edge_id|" -e "s|@INGRESS_REQUEST_ID@|$ingress_id|" "$here/$1"
}

listening() { # NAMESPACE PORT: asks the kernel, since a probe would be a connection in the capture
    for _ in $(seq 200); do
        if ip netns exec "$1" ss -Hltn "sport = :$2" | grep -q .; then return 0; fi
        sleep 0.05
    done
    echo "nothing listens on port $2" >&2
    return 1
}

start() { # NAMESPACE NAME COMMAND...: in the background; its output, if any, is for finding out why it ended
    local ns=$1 name=$2
    shift 2
    ip netns exec "$ns" "$@" >>"$work/$name.out" 2>&1 &
    pids+=($!)
    started=$!
}

start_app() {
    export APP_WORK_MS
    cp "$here/app.py" "$work/"
    case $BACKEND in
        uwsgi)
            render uwsgi.ini.in >"$work/uwsgi.ini"
            start "$app_ns" app uwsgi --ini "$work/uwsgi.ini"
            ;;
        gunicorn)
            APP_CHUNKS=server start "$app_ns" app gunicorn --chdir "$work" --bind "$app_host:$APP_PORT" \
                --workers "$APP_WORKERS" --worker-class gthread --threads 8 --keep-alive "$GUNICORN_KEEPALIVE" \
                --user www-data --group www-data \
                --log-file "$work/logs/app.log" --access-logfile "$work/logs/app-access.log" \
                --access-logformat '%(t)s %(h)s "%(r)s" %(s)s %(B)s %(D)sus id=%({x-request-id}i)s' app:application
            ;;
        *) echo "unknown BACKEND: $BACKEND" >&2; return 2 ;;
    esac
    app_pid=$started
    listening "$app_ns" "$APP_PORT"
    sleep 0.5 # the socket listens before the workers run
}

start_proxies() {
    render nginx-ingress.conf.in >"$work/ingress.conf"
    render nginx-edge.conf.in >"$work/edge.conf"
    start "$ingress_ns" ingress nginx -c "$work/ingress.conf" -e "$work/logs/ingress-error.log"
    ingress_pid=$started
    start "$edge_ns" edge nginx -c "$work/edge.conf" -e "$work/logs/nginx-error.log"
    edge_pid=$started
    listening "$ingress_ns" "$INGRESS_PORT_2"
    listening "$edge_ns" "$EDGE_PORT"
}

captures=()
capture() { # NAMESPACE DEVICE FILE [micro|nano]
    # Without --immediate-mode and -U the end of a short capture stays in a buffer. In that mode the
    # kernel's ring has slots of the snapshot length, so that with -s0 even 64 MiB hold but 250
    # packets of `-i any` and it drops some; $snaplen is more than any packet here has.
    # -Z root, or tcpdump may not write to the work directory.
    ip netns exec "$1" tcpdump -i "$2" -Z root -n -s "$snaplen" -U --immediate-mode -B 65536 \
        --time-stamp-precision="${4:-micro}" -w "$work/$3" 2>"$work/$3.tcpdump" &
    pids+=($!)
    captures+=("$!:$3")
    for _ in $(seq 100); do grep -q 'listening on' "$work/$3.tcpdump" && return; sleep 0.05; done
    echo "tcpdump did not start: $(cat "$work/$3.tcpdump")" >&2
    return 1
}

start_captures() {
    local fine=micro
    [ "$NANO" = on ] && fine=nano
    captures=()
    if [ "$SINGLE_HOST" = on ]; then
        capture "$app_ns" any any.pcap nano
    else
        if [ "$CAPTURE_USER" = on ]; then capture "$user_ns" user0 user.pcap "$fine"; fi
        capture "$edge_ns" any nginx.pcap "$fine"
        # Two plain Ethernet captures instead of one of -i any; both have the same clock.
        capture "$ingress_ns" ingress0 ingress-0.pcap nano
        capture "$ingress_ns" ingress1 ingress-1.pcap nano
        capture "$app_ns" app0 "$app_file" "$fine"
    fi
}

end_captures() {
    local entry
    for entry in "${captures[@]}"; do
        end_process "${entry%%:*}" INT
        if ! grep -q '^0 packets dropped by kernel' "$work/${entry#*:}.tcpdump"; then
            echo "lost packets in ${entry#*:}: $(tr '\n' ' ' <"$work/${entry#*:}.tcpdump")" >&2
            return 1
        fi
    done
}

record_once() {
    rm -rf "$work"/logs "$work"/ready "$work"/*.pcap "$work"/*.tcpdump "$work"/tmp-*
    mkdir -p "$work/logs"
    chmod 755 "$work"
    chown www-data: "$work/logs"
    make_network
    start_app
    start_proxies
    start_captures

    local user_load=0
    export REQUESTS POST_PERCENT THINK_MS SAME_TARGET SEED LOAD_HOST
    ip netns exec "$user_ns" timeout 60 wrk -t1 -c"$CONCURRENCY" -d50s -s "$here/load.lua" \
        "http://$edge_host:$EDGE_PORT" >"$work/load.out" 2>&1 || user_load=$?
    if [ $user_load != 0 ] || ! grep -q "^$REQUESTS requests answered" "$work/load.out"; then
        echo "the load did not end as planned ($user_load): $(tail -3 "$work/load.out")" >&2
        return 1
    fi

    # From the user inwards, each with its idle connections closed before the captures end.
    sleep 0.2
    end_process "$edge_pid" QUIT
    sleep 0.2
    end_process "$ingress_pid" QUIT
    sleep 0.2
    case $BACKEND in uwsgi) end_process "$app_pid" INT ;; *) end_process "$app_pid" TERM ;; esac
    sleep 0.3
    end_captures
    tear_down
}

publish() {
    local ready=$work/ready log
    mkdir -p "$ready/logs"
    # What names the machine and not the case stays out.
    for log in "$work"/logs/*.log; do
        grep -vE '^(nodename|os|machine): |: OS: |^(current working|detected binary|chdir|your |detected max)|getrlimit' \
            "$log" | sed "s|$work|.|g" >"$ready/logs/${log##*/}" || true
    done
    if [ "$SINGLE_HOST" = on ]; then
        editcap -F pcapng "$work/any.pcap" "$ready/any.pcapng"
    else
        cp "$work/nginx.pcap" "$work/$app_file" "$ready/"
        if [ "$CAPTURE_USER" = on ]; then cp "$work/user.pcap" "$ready/"; fi
        mergecap -F nsecpcap -w "$ready/ingress.pcap" "$work/ingress-0.pcap" "$work/ingress-1.pcap"
    fi
    cp "$work/truth.json" "$ready/"
    python3 "$here/check.py" "$ready"
    python3 "$here/readme.py" "$ready" "$(basename "$out")" >"$ready/README.md"

    mkdir -p "$out"
    rm -rf "$out"/logs "$out"/*.pcap "$out"/*.pcapng
    cp -r "$ready"/. "$out/"
    chmod -R u+rw,go+r "$out"
}

app_file=$BACKEND.pcap
export SCENARIO=$scenario SINGLE_HOST BACKEND EDGE_PORT INGRESS_PORT_1 INGRESS_PORT_2 APP_PORT
export USER_HOST=$user_host EDGE_HOST=$edge_host INGRESS_HOST=$ingress_host APP_HOST=$app_host
export INGRESS_HTTP_VERSION APP_SOCKET_OPTION INGRESS_NEXT_UPSTREAM EDGE_NEXT_UPSTREAM REQUEST_ID
export APP_WORK_MS CONCURRENCY INGRESS_WORKERS EDGE_WORKERS APP_WORKERS GUNICORN_KEEPALIVE INGRESS_KEEPALIVE
export MIN_REJECTED MIN_RETRIED MAX_ERRORS DESCRIPTION

for try in $(seq "$TRIES"); do
    [ "$try" = 1 ] || SEED=$((SEED + 1))
    record_once
    if python3 "$here/truth.py" "$work/logs" >"$work/truth.json" 2>"$work/truth.out"; then
        echo "recording $try: $(cat "$work/truth.out")"
        publish
        exit 0
    fi
    echo "recording $try does not serve: $(tail -1 "$work/truth.out")" >&2
done
exit 1
