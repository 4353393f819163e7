#!/bin/sh
# sid.sh DIRECTORY PACKAGE...: unpack packages of Debian sid, and all that they depend on, into a directory. The system
# is not touched: apt works on a state of its own, in which nothing is installed.
set -eu

prefix=$1
shift
# The mirror that this machine uses itself, in either form of its list.
mirror=$(sed -n -e 's/^URIs: *\([^ ]*\).*/\1/p' -e 's/^deb \(\[[^]]*\] *\)*\([^ ]*\) .*/\2/p' \
    /etc/apt/sources.list.d/*.sources /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | head -n 1)
if [ -z "$mirror" ]; then
    echo "$0: this machine names no mirror of Debian" >&2
    exit 1
fi
apt=$(mktemp -d)
trap 'rm -rf "$apt"' EXIT

mkdir -p "$apt/etc" "$apt/lists/partial" "$apt/archives/partial"
: >"$apt/status"
key=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$key] $mirror sid main" >"$apt/etc/sources.list"
get() {
    apt-get -q -o Dir::Etc="$apt/etc" -o Dir::State="$apt" -o Dir::State::status="$apt/status" \
        -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt" -o Dir::Cache::archives="$apt/archives" \
        -o APT::Sandbox::User=root -o Acquire::Retries=5 -o Dir::Etc::sourceparts=/dev/null "$@" >&2
}
get update
get -y --no-install-recommends --download-only install "$@"
mkdir -p "$prefix"
for package in "$apt"/archives/*.deb; do
    dpkg -x "$package" "$prefix"
done
