#!/bin/bash
# The first and only process of a machine whose clock counts instructions: makes the same calls
# without the agent and with each way of capture, and writes how long each took.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
ip link set lo up
exec 9>/dev/ttyS1
section() { printf '\n@@ %s\n' "$1" >&9; }
calls() { curl -s -o /dev/null "http://127.0.0.1/http?n=[1-$1]"; }

# From the kernel's command line.
for word in $(</proc/cmdline); do
    case $word in calls=*) calls=${word#calls=} ;; rounds=*) rounds=${word#rounds=} ;; esac
done
nginx -c /etc/nginx.conf
# So that no first run finds pages that are not there yet.
calls 100
for ((round = 1; round <= rounds; round++)); do
    for sockets in off packets functions kprobes; do
        agent=
        if [ $sockets != off ]; then
            printf '[capture]\nsockets = "%s"\ntls = false\n' $sockets >/tmp/observer.toml
            observer run --config /tmp/observer.toml --format none --metrics 127.0.0.1:9464 \
                --state-dir /tmp/state 2>/tmp/said &
            agent=$!
            for _ in {1..600}; do
                curl -sf -m 2 -o /dev/null http://127.0.0.1:9464/healthz && break
                kill -0 $agent || break
                sleep 0.2
            done 2>/dev/null
        fi
        calls 100
        before=$EPOCHREALTIME
        calls $calls
        after=$EPOCHREALTIME
        section "$sockets $round"
        echo "$before $after" >&9
        if [ -n "$agent" ]; then
            sleep 1
            curl -s -m 10 http://127.0.0.1:9464/metrics | grep '^observer_calls_total' >&9
            kill $agent 2>/dev/null
            wait $agent
            cat /tmp/said >&9
        fi
    done
done
section end
sync
echo b >/proc/sysrq-trigger
sleep 60
