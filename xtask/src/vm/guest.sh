#!/bin/bash
# The first and only process of a test machine: starts servers and the agent, makes the calls of
# the matrix, and writes what came of it to the second serial line. The host judges.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t securityfs security /sys/kernel/security
mount -t tmpfs tmp /tmp
ip link set lo up
exec 9>/dev/ttyS1
section() { printf '\n@@ %s\n' "$1" >&9; }

# One request on a connection that is already open.
ask() {
    printf 'GET %s HTTP/1.1\r\nHost: guest\r\n\r\n' "$1" >&5
    while read -r -t 10 line <&5 && [ "$line" != $'\r' ]; do :; done
}

nginx -c /etc/nginx.conf
exec 5<>/dev/tcp/127.0.0.1/80
ask /before/agent

section doctor
observer doctor --json >&9

observer run --format jsonl --metrics 127.0.0.1:9464 >/tmp/calls 2>/tmp/said &
agent=$!
for _ in {1..100}; do
    curl -sf -m 2 -o /dev/null http://127.0.0.1:9464/healthz && break
    kill -0 $agent || break
    sleep 0.2
done

ask /before/opened
curl -s -m 10 -o /dev/null http://127.0.0.1/http
curl -s -m 10 -o /dev/null -g 'http://[::1]/ipv6'
curl -s -m 10 -o /dev/null http://127.0.0.1/sendfile
curl -s -m 10 -o /dev/null -d "a body of some bytes" http://127.0.0.1/post
curl -sk -m 20 -o /dev/null https://127.0.0.1/https
curl -sk -m 20 -o /dev/null -o /dev/null https://127.0.0.1/https/first https://127.0.0.1/https/again
curl -s -m 10 -o /dev/null --unix-socket /tmp/nginx.sock http://guest/unix
sleep 1

section metrics
curl -s -m 10 http://127.0.0.1:9464/metrics | grep '^observer_capture' >&9
kill $agent
wait $agent
section calls
cat /tmp/calls >&9
section said
cat /tmp/said >&9
section end
sync
echo b >/proc/sysrq-trigger
sleep 60
