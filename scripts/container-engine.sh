#!/usr/bin/env bash
# A container engine for tests/container: installs Docker and starts it if none answers, and makes the Dockerfile's
# base image from Debian's packages if no registry is reachable. Needs root. If it gives up, it says why and exits
# with 0: the tests are then skipped.
#
#   scripts/container-engine.sh start    an engine that answers, and the base image
#   scripts/container-engine.sh stop     ends the engine that `start` has started
set -euo pipefail
cd "$(dirname "$0")/.."

# An engine that does not answer by then will not.
answer_seconds=30
# Together at most five minutes: what takes longer has no network worth waiting for. Unpacking a base took 150 s beside
# other work on two cores.
install_seconds=60
pull_seconds=20
make_seconds=220
base=$(sed -n 's/^FROM \([^ ]*\).*/\1/p' Dockerfile | head -1)
pidfile=/run/cdc-tests-dockerd.pid
log=/var/log/cdc-tests-dockerd.log
root=
trap 'rm -rf "$root"' EXIT

say() { printf '%s\n' "container-engine: $*" >&2; }
give_up() { say "$*: the tests of the image are skipped"; exit 0; }
answers() { timeout 10 docker info >/dev/null 2>&1; }
install() {
    command -v apt-get >/dev/null && timeout $install_seconds env DEBIAN_FRONTEND=noninteractive sh -c \
        'apt-get update -qq; apt-get install -y -qq --no-install-recommends "$@"' - "$@" >/dev/null 2>&1
}

ensure_engine() {
    answers && return
    [ "$(id -u)" = 0 ] || give_up "no engine answers, and only root can start one"
    command -v dockerd >/dev/null || install docker.io iptables || give_up "no engine answers, and none can be installed"
    # The second try changes nothing of the machine's firewall: the tests use the host's network. The third needs no overlay.
    local options
    for options in "" "--iptables=false" "--iptables=false --bridge=none --storage-driver=vfs"; do
        # shellcheck disable=SC2086
        setsid dockerd $options --pidfile "$pidfile" >"$log" 2>&1 </dev/null &
        local engine=$!
        for _ in $(seq $((answer_seconds * 5))); do
            answers && return
            kill -0 "$engine" 2>/dev/null || break
            sleep 0.2
        done
        kill "$engine" 2>/dev/null && wait "$engine" 2>/dev/null || true
    done
    give_up "dockerd does not answer ($(tail -n 1 "$log" | cut -c1-200))"
}

# What the Dockerfile needs of the official image: Python with its headers and venv, under the name `python`.
make_base() {
    command -v debootstrap >/dev/null || install debootstrap || give_up "$base cannot be made: no debootstrap"
    root=$(mktemp -d)
    say "making $base from Debian's packages (a minute or two)"
    timeout $make_seconds debootstrap --variant=minbase \
        --include=ca-certificates,python3-dev,python3-venv,python-is-python3 bookworm "$root" >/dev/null ||
        give_up "$base cannot be pulled, and debootstrap failed"
    # Authorities that this machine trusts beside Debian's.
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    rm -f "$root"/var/cache/apt/archives/*.deb
    tar -C "$root" -cf - . | docker import - "$base" >/dev/null
}

stop() {
    local engine
    [ -f "$pidfile" ] && engine=$(cat "$pidfile") || return 0
    kill "$engine" 2>/dev/null || return 0
    timeout $answer_seconds sh -c "while kill -0 $engine 2>/dev/null; do sleep 0.2; done" || say "dockerd ($engine) has not ended"
}

case "${1:-start}" in
    start)
        ensure_engine
        docker image inspect "$base" >/dev/null 2>&1 || timeout $pull_seconds docker pull -q "$base" >/dev/null 2>&1 || make_base
        ;;
    stop) stop ;;
    *)
        say "usage: $0 start|stop"
        exit 2
        ;;
esac
