#!/usr/bin/env bash
# Installs the Debian packages that the tests use. Quick when they are there.
set -euo pipefail

packages=(
  gcc libc6-dev                       # the load generator, the shim for user-mode-linux
  tgt                                 # the peer that we are measured against
  libiscsi-bin                        # iscsi-test-cu, iscsi-ls, iscsi-inq, iscsi-perf
  qemu-utils qemu-block-extra         # qemu-img, qemu-io, qemu-nbd with iscsi://
  fio                                 # verified I/O, through qemu-nbd
  e2fsprogs xz-utils                  # the image of the guest (mke2fs -d)
  iproute2 util-linux procps          # ip, taskset
)

missing=()
for p in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ]; then
  echo "missing packages; run: sudo apt-get install ${missing[*]}" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q -y --no-install-recommends install "${missing[@]}"

# The tests start a tgtd of their own; the packaged service would hold the iSCSI port.
if [[ " ${missing[*]} " == *" tgt "* ]] && [ -d /run/systemd/system ]; then
  systemctl disable --now tgt.service
fi
