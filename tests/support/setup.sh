#!/bin/sh
# setup.sh VENV: makes the Python environment of the tests and the demo, and on a
# Debian machine, as root, installs what they need and miss. What cannot be had
# is no failure here: the tests that need it are skipped and say so.
set -eu
venv=$1
python=${PYTHON:-python3}
here=$(dirname "$0")

install_packages() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1 ||
        { apt-get update -q >/dev/null 2>&1 && apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1; }
}

command -v valgrind >/dev/null || install_packages valgrind || echo "note: valgrind is missing, its tests will be skipped"
command -v openssl >/dev/null || install_packages openssl || echo "note: openssl is missing, tests with real servers will be skipped"
echo '#include <uv.h>' | "${CC:-cc}" -E -x c - >/dev/null 2>&1 || install_packages libuv1-dev ||
    echo "note: libuv is missing, its test will be skipped"
PATH="$PATH:/usr/sbin" command -v opendkim >/dev/null || install_packages opendkim ||
    echo "note: opendkim is missing, tests with it will be skipped"
command -v redis-server >/dev/null || install_packages redis-server || echo "note: redis-server is missing, the test of the Celery worker will be skipped"
for proxy in microsocks tinyproxy danted:dante-server; do
    # A daemon may be where only root's path leads.
    PATH="$PATH:/usr/sbin" command -v "${proxy%:*}" >/dev/null || install_packages "${proxy#*:}" ||
        echo "note: ${proxy%:*} is missing, tests with this proxy will be skipped"
done

rm -rf "$venv"
mkdir -p "$(dirname "$venv")"
"$python" -m venv "$venv" >/dev/null 2>&1 || {
    install_packages python3-venv && "$python" -m venv "$venv"
} || {
    echo "error: '$python -m venv' does not work here (on Debian: apt-get install python3-venv)" >&2
    exit 1
}
"$venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt"
: > "$venv/.ready"
