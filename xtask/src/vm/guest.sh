#!/bin/bash
# The first and only process of a test machine: starts servers and the agent, makes the calls of
# the matrix once for each way of capture, and writes what came of it to the second serial line.
# The host judges.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t securityfs security /sys/kernel/security
mount -t tmpfs tmp /tmp
ip link set lo up
echo 3 >/proc/sys/net/ipv4/tcp_fastopen
exec 9>/dev/ttyS1
section() { printf '\n@@ %s\n' "$1" >&9; }

# One request on a connection that is already open.
ask() {
    printf 'GET %s HTTP/1.1\r\nHost: guest\r\n\r\n' "$1" >&5
    while read -r -t 10 line <&5 && [ "$line" != $'\r' ]; do :; done
}

section modules
for module in /modules/*.ko; do
    insmod $module >&9 2>&1 || echo "$module does not load" >&9
done
nginx -c /etc/nginx.conf

for sockets in auto functions kprobes; do
    exec 5<>/dev/tcp/127.0.0.1/80
    ask /before/agent
    printf '[capture]\nsockets = "%s"\nexclude_ports = [81]\n' $sockets >/tmp/observer.toml
    section "doctor $sockets"
    # With what turns clients away, which nobody else asks for.
    { cat /tmp/observer.toml; printf '[block]\nenabled = true\ndry_run = false\n'; } >/tmp/doctor.toml
    observer doctor --json --config /tmp/doctor.toml >&9
    observer run --config /tmp/observer.toml --format jsonl --metrics 127.0.0.1:9464 \
        --state-dir /tmp/state >/tmp/calls 2>/tmp/said &
    agent=$!
    for _ in {1..600}; do
        curl -sf -m 2 -o /dev/null http://127.0.0.1:9464/healthz && break
        kill -0 $agent || break
        sleep 0.2
    done 2>/dev/null

    section "ways $sockets"
    if kill -0 $agent 2>/dev/null; then
        ask /before/opened
        curl -s -m 10 -o /dev/null http://127.0.0.1/http
        curl -s -m 10 -o /dev/null -g 'http://[::1]/ipv6'
        curl -s -m 10 -o /dev/null http://127.0.0.1/sendfile
        curl -s -m 10 -o /dev/null -d "a body of some bytes" http://127.0.0.1/post
        curl -sk -m 20 -o /dev/null https://127.0.0.1/https
        curl -sk -m 20 -o /dev/null -o /dev/null https://127.0.0.1/https/first https://127.0.0.1/https/again
        curl -s -m 10 -o /dev/null http://127.0.0.1:81/left/out
        curl -s -m 10 -o /dev/null --unix-socket /tmp/nginx.sock http://guest/unix
        for way in $(ways list); do
            printf '%s\t' $way >&9
            said=$(timeout 30 ways $way </dev/null 2>&1)
            printf '%s\n' "${said//$'\n'/; }" >&9
        done
        # Threads that stop each other inside the probes.
        for loop in 1 2 3 4; do
            curl -s -m 120 --unix-socket /tmp/nginx.sock "http://guest/crowd/unix/[1-100]" &
            curl -s -m 120 "http://127.0.0.1/crowd/tcp/[1-100]" &
        done >/dev/null
        # Not `wait` alone, which would wait for the agent too.
        wait $(jobs -p | grep -v "^$agent$")
        sleep 1
    fi
    section "metrics $sockets"
    curl -s -m 10 http://127.0.0.1:9464/metrics | grep '^observer_capture' >&9
    kill $agent 2>/dev/null
    wait $agent
    section "calls $sockets"
    cat /tmp/calls >&9
    section "said $sockets"
    cat /tmp/said >&9
    exec 5>&-
done
section end
sync
echo b >/proc/sysrq-trigger
sleep 60
