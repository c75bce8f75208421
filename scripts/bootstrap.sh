#!/usr/bin/env bash
# Installs what is missing to build and test: a virtual environment, the packages, a C compiler, the servers.
# Each step looks first and does nothing when it is done; packages come from pip and apt only.
#
#   scripts/bootstrap.sh venv      .venv with this project and its development tools
#   scripts/bootstrap.sh servers   PostgreSQL 15 (the environment brings 18), MySQL 9, MariaDB 10.11 and 11.8;
#                                  Chromium for the tests of the page; valgrind, which counts instructions
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
stamp=$venv/.bootstrapped

say() { printf '%s\n' "bootstrap: $*" >&2; }

# Runs a command as root, or says that it can't.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

apt_updated=
apt_updated_once() {
    if [ -z "$apt_updated" ]; then
        as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq || return 1
        apt_updated=yes
    fi
}

apt_install() {
    command -v apt-get >/dev/null || return 1
    apt_updated_once || return 1
    say "installing $* with apt"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))'
}

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ] && ! is_new_enough "$PYTHON"; then
        say "$PYTHON is $("$PYTHON" -V 2>&1): Python 3.11 or newer is needed, for example: make PYTHON=python3.11"
        return 1
    fi
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null && is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    say "no Python 3.11 or newer was found; install one, or name it: make PYTHON=/path/to/python3"
    return 1
}

# What the environment was made from: a change there, and it is brought up to date.
fingerprint() {
    {
        "$venv/bin/python" -V
        cat pyproject.toml setup.py
        find cdc connectors \( -name '*.pyx' -o -name '*.pxd' \) -print0 | sort -z | xargs -0 -r cat
    } | cksum
}

ensure_compiler() {
    if ! command -v cc >/dev/null && ! command -v gcc >/dev/null; then
        apt_install gcc libc6-dev || say "no C compiler: the decoders run as pure Python, slower"
    fi
    if ! "$venv/bin/python" -c 'import pathlib, sys, sysconfig
sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").exists())'; then
        apt_install python3-dev || say "no Python.h: the decoders run as pure Python, slower"
    fi
}

ensure_venv() {
    local python
    if [ ! -x "$venv/bin/python" ] || ! is_new_enough "$venv/bin/python" ||
        ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        python=$(find_python) || exit 1
        say "making $venv with $python"
        if ! "$python" -m venv --clear "$venv" 2>/dev/null; then
            apt_install python3-venv
            "$python" -m venv --clear "$venv"
        fi
    fi
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint)" ]; then
        return
    fi
    ensure_compiler
    say "installing the packages (a minute or two the first time)"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check 'setuptools>=80' 'Cython>=3.3'
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-build-isolation -e '.[dev]'
    fingerprint >"$stamp"
}

ensure_servers() {
    ensure_postgres
    # A test makes the German locale from its definition.
    if [ ! -e /usr/share/i18n/locales/de_DE ]; then
        apt_install locales || say "no locale definitions: the test of a German server fails"
    fi
    command -v chromium >/dev/null || apt_install chromium || say "no chromium: the tests of the page fail"
    command -v valgrind >/dev/null || apt_install valgrind || say "no valgrind: instructions are not counted"
    ensure_prometheus || say "no promtool and Prometheus: the tests of the alerts are skipped"
    scripts/mysql-servers.sh mysql9 mariadb10 mariadb11
}

# The programs alone: Debian's package would start a Prometheus.
ensure_prometheus() {
    [ -x .servers/promtool ] && [ -x .servers/prometheus ] && return
    command -v promtool >/dev/null && command -v prometheus >/dev/null && return
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
    local folder
    folder=$(mktemp -d)
    say "unpacking promtool and prometheus of Debian's package prometheus"
    mkdir -p .servers && chmod 755 "$folder" &&
        (cd "$folder" && apt_updated_once && apt-get download -qq prometheus) >/dev/null 2>&1 &&
        dpkg-deb --fsys-tarfile "$folder"/prometheus_*.deb |
        tar -x -C "$folder" --strip-components=3 ./usr/bin/promtool ./usr/bin/prometheus &&
        mv "$folder/promtool" "$folder/prometheus" .servers/
    local code=$?
    rm -rf "$folder"
    return $code
}

ensure_postgres() {
    if compgen -G '/usr/lib/postgresql/15/bin/initdb' >/dev/null || compgen -G '.servers/15/*/initdb' >/dev/null; then
        return
    fi
    # The programs are all we want: no cluster of the distribution's own may start and take memory and the port.
    if apt_install postgresql-common; then
        as_root sed -i -E 's/^#? *create_main_cluster.*/create_main_cluster = false/' \
            /etc/postgresql-common/createcluster.conf
        if apt_install postgresql-15; then
            return
        fi
    fi
    if command -v npm >/dev/null; then
        scripts/more-servers.sh 15
        return
    fi
    say "PostgreSQL 15 is missing and neither apt nor npm can install it here; its tests will fail and say so"
}

case "${1:-}" in
    venv) ensure_venv ;;
    servers) ensure_servers ;;
    *)
        say "usage: $0 venv|servers"
        exit 2
        ;;
esac
