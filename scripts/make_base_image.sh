#!/bin/sh
# Make a base image for tests/test_images.py, a Debian with Python: scripts/make_base_image.sh FOLDER
# Needs buildah and mmdebstrap, which it installs if it is root on a Debian; packages come from apt's own sources.
set -eu
folder=$1

missing=
for tool in buildah mmdebstrap; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "missing:$missing; as root: apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q=2
    # shellcheck disable=SC2086 # one word for each tool
    apt-get install -q=2 --yes --no-install-recommends $missing >/dev/null
fi

. /etc/os-release
mkdir -p "$folder"
mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates "$VERSION_CODENAME" "$folder/base.tar"
printf 'FROM scratch\nADD base.tar /\nCMD ["python3"]\n' >"$folder/Dockerfile"
