#!/bin/sh
# sid.sh DIRECTORY PACKAGE...: unpack packages of Debian sid, and all that they depend on, into a directory. The system
# is not touched: apt works on a state of its own, in which nothing is installed.
set -eu

prefix=$1
shift
mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
apt=$(mktemp -d)
trap 'rm -rf "$apt"' EXIT

mkdir -p "$apt/etc" "$apt/lists/partial" "$apt/archives/partial"
: >"$apt/status"
key=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$key] ${mirror:-http://deb.debian.org/debian} sid main" >"$apt/etc/sources.list"
get() {
    apt-get -q -o Dir::Etc="$apt/etc" -o Dir::State="$apt" -o Dir::State::status="$apt/status" \
        -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt" -o Dir::Cache::archives="$apt/archives" \
        -o APT::Sandbox::User=root -o Dir::Etc::sourceparts=/dev/null "$@" >&2
}
get update
get -y --no-install-recommends --download-only install "$@"
mkdir -p "$prefix"
for package in "$apt"/archives/*.deb; do
    dpkg -x "$package" "$prefix"
done
