#!/bin/sh
# What Debian is asked for when a fresh machine lacks it: "python" (venv), "postgres" (server 15 with its
# extensions, whose package is kept from making and starting a cluster of its own), "mariadb" (the server's programs
# alone, which start nothing), "npm", "gdb", "pgbouncer" (which is kept from being started), or "pgloader".
set -eu

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "$0: needs root on Debian" >&2
    exit 1
fi

case "${1:-}" in
python)
    set -- python3 python3-venv
    ;;
postgres)
    set -- postgresql-15 postgresql-contrib
    ;;
mariadb)
    set -- mariadb-server-core mariadb-client-core
    ;;
npm)
    set -- npm
    ;;
gdb)
    set -- gdb
    ;;
pgbouncer)
    set -- pgbouncer
    ;;
pgloader)
    set -- pgloader
    ;;
*)
    echo "usage: $0 python|postgres|mariadb|npm|gdb|pgbouncer|pgloader" >&2
    exit 2
    ;;
esac

export DEBIAN_FRONTEND=noninteractive
install() {
    apt-get -q -y -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=300 -o Acquire::Retries=5 \
        install --no-install-recommends "$@" >&2
}

apt-get -q -o Acquire::Retries=5 update >&2
if [ "$1" = postgresql-15 ]; then
    # The server's package asks this configuration whether to make a cluster; only for this installation.
    install postgresql-common
    directory=/etc/postgresql-common/createcluster.d
    mkdir -p "$directory"
    trap 'rm -f "$directory/cdcd.conf"' EXIT
    echo "create_main_cluster = false" >"$directory/cdcd.conf"
fi
if [ "$1" = pgbouncer ] && [ ! -e /usr/sbin/policy-rc.d ]; then
    # Asked by what would start a service ("policy-rc.d" in Debian's policy): only for this installation.
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
fi
install "$@"
