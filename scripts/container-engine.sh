#!/usr/bin/env bash
# A container engine for tests/container: installs Docker and starts it if none answers, and makes the Dockerfile's
# base image from Debian's packages if no registry is reachable. Needs root; says why it gives up, and is no error.
set -euo pipefail
cd "$(dirname "$0")/.."

# An engine that does not answer by then will not.
seconds=30
base=$(sed -n 's/^FROM \([^ ]*\).*/\1/p' Dockerfile | head -1)

say() { printf '%s\n' "container-engine: $*" >&2; }
give_up() { say "$*: the tests of the image are skipped"; exit 0; }
install() { apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1; }

ensure_engine() {
    docker info >/dev/null 2>&1 && return
    [ "$(id -u)" = 0 ] || give_up "no engine answers, and only root can start one"
    command -v dockerd >/dev/null || { apt-get update -qq && install docker.io iptables; } || give_up "no engine can be installed"
    # Without rules of its own it starts where it may not change the machine's firewall; the tests use the host's network.
    dockerd --iptables=false >/var/log/dockerd.log 2>&1 &
    timeout $seconds sh -c 'until docker info >/dev/null 2>&1; do sleep 0.2; done' || give_up "dockerd does not answer"
}

# What the Dockerfile needs of the official image: Python with its headers and venv, under the name `python`.
make_base() {
    command -v debootstrap >/dev/null || install debootstrap || give_up "$base cannot be made: no debootstrap"
    local root
    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    say "making $base from Debian's packages (a minute or two)"
    debootstrap --variant=minbase --include=ca-certificates,python3-dev,python3-venv,python-is-python3 \
        bookworm "$root" >/dev/null || give_up "debootstrap failed"
    # Authorities that this machine trusts beside Debian's, and packages from where it gets its own.
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    rm -f "$root"/var/cache/apt/archives/*.deb
    tar -C "$root" -cf - . | docker import - "$base" >/dev/null
}

ensure_engine
docker image inspect "$base" >/dev/null 2>&1 || timeout 120 docker pull -q "$base" >/dev/null 2>&1 || make_base
