#!/usr/bin/env bash
# Builds the guest of the vm tests: an ext4 image with a Debian userland that holds the
# real Linux clients, and a user-mode-linux kernel. Everything comes from Debian packages
# as the sources of this machine's apt name them; nothing is installed, no root, no mounts,
# no maintainer scripts. Prints the directory of the result.
#
# The cache is ${XDG_CACHE_HOME:-~/.cache}/targate/vm; a result is kept there under a hash
# of these scripts, so that a change of them builds a new one.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/targate/vm
key=$(cat "$here"/image.sh "$here"/init.sh "$here"/umlshim.c | sha256sum | cut -c1-16)
out=$cache/$key
if [ -e "$out/complete" ]; then echo "$out"; exit 0; fi

packages=(
  bash dash coreutils util-linux mount grep sed mawk kmod iproute2 procps libc-bin
  findutils diffutils hostname tar gzip busybox-static
  open-iscsi sg3-utils lsscsi                         # the initiator, raw commands
  e2fsprogs xfsprogs                                  # file systems
  dmsetup fio                                         # multipath, verified I/O
  mt-st mtx stenc                                     # tapes, changers, encryption keys
  bacula-director bacula-director-sqlite3 bacula-sd bacula-fd bacula-console sqlite3
)
# What they depend on and nothing in the guest needs; apt is told that it is there.
absent=(adduser bsd-mailx dbconfig-no-thanks debconf file init-system-helpers perl python3 sysvinit-utils ucf)
say() { echo "image.sh: $*" >&2; }

mkdir -p "$cache"
exec 9>"$cache/lock"; flock 9
if [ -e "$out/complete" ]; then echo "$out"; exit 0; fi

# apt with a state of its own: nothing is installed there, so it resolves every dependency.
debs=$cache/debs
mkdir -p "$debs/archives/partial" "$debs/state/lists/partial"
for p in "${absent[@]}"; do
  printf 'Package: %s\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: allowed\nVersion: 99\nMaintainer: none\nDescription: none\n\n' "$p"
done >"$debs/state/status"
apt() {
  apt-get -qq -y -o Dir::State="$debs/state" -o Dir::State::status="$debs/state/status" \
    -o Dir::Cache="$debs" -o Dir::Cache::archives="$debs/archives" \
    -o APT::Install-Recommends=0 -o APT::Sandbox::User=root -o Debug::NoLocking=1 "$@"
}
say "downloading packages"
apt update
apt --download-only install "${packages[@]}" >&2
uml=$debs/user-mode-linux
if [ ! -d "$uml" ]; then
  (cd "$debs" && apt download user-mode-linux >&2 && dpkg-deb -x user-mode-linux_*.deb "$uml.new")
  mv "$uml.new" "$uml"
fi

say "unpacking"
work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root"/{proc,sys,dev,run,tmp,etc,var,root,mnt,host,overlay}
for d in bin sbin lib lib64; do ln -s "usr/$d" "$root/$d"; done
for p in $(apt -s install "${packages[@]}" | awk '/^Inst/{print $2}'); do
  deb=$(find "$debs/archives" -name "${p%%:*}_*.deb" -printf '%T@ %p\n' | sort -rn | head -n 1 | cut -d' ' -f2)
  dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --keep-directory-symlink \
    --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' \
    --exclude='./usr/share/info/*' --exclude='./usr/lib/systemd/*' --exclude='./usr/share/zoneinfo/*' \
    --exclude='./usr/lib/x86_64-linux-gnu/gconv/*'
done
# What maintainer scripts would have done.
ln -sfn mawk "$root/usr/bin/awk"
ln -sfn mt-st "$root/usr/bin/mt"
ln -sfn "$(basename "$root"/usr/lib/bacula/libbaccats-sqlite3-*.so)" "$root/usr/lib/bacula/$(cd "$root/usr/lib/bacula" && ls libbaccats-sqlite3-*.so | sed s/-sqlite3//)"
echo 'root:x:0:0:root:/root:/bin/bash' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
echo '127.0.0.1 localhost guest' >"$root/etc/hosts"
ln -sfn /proc/mounts "$root/etc/mtab"
mkdir -p "$root/etc/iscsi" "$root/var/lib/iscsi" "$root/var/log"
echo 'InitiatorName=iqn.1993-08.org.debian:01:guest' >"$root/etc/iscsi/initiatorname.iscsi"
ldconfig -r "$root"
install -m 755 "$here/init.sh" "$root/init"

# The kernel's modules that a storage client can use.
version=$(ls "$uml/usr/lib/uml/modules")
from=$uml/usr/lib/uml/modules/$version
to=$root/usr/lib/modules/$version
mkdir -p "$to/kernel"
for d in lib crypto fs block net/core net/packet net/unix drivers/{scsi,target,block,cdrom,md,uio,net}; do
  [ -e "$from/kernel/$d" ] || continue
  mkdir -p "$to/kernel/$(dirname "$d")"
  cp -a "$from/kernel/$d" "$to/kernel/$(dirname "$d")/"
done
(cd "$to/kernel/fs" && rm -rf ocfs2 ceph cifs smb ksmbd nfs nfsd gfs2 jfs reiserfs ubifs jffs2 coda afs orangefs lockd dlm quota ntfs3 ntfs nilfs2 f2fs btrfs hfsplus)
cp "$from"/modules.{builtin,builtin.modinfo,order} "$to/"
(exec -a depmod "$root/usr/bin/kmod" -b "$root" "$version")

say "making the image"
mkdir "$work/out"
size=$(($(du -sm "$root" | cut -f1) + 40))
truncate -s "${size}M" "$work/out/root.img"
mke2fs -q -t ext4 -O ^has_journal,^metadata_csum,^resize_inode -m 0 -E root_owner=0:0 -d "$root" "$work/out/root.img"
cp "$uml/usr/bin/linux.uml" "$work/out/linux.uml"
gcc -O2 -Wall -fPIC -shared -o "$work/out/umlshim.so" "$here/umlshim.c"
touch "$work/out/complete"
rm -rf "$out"
mv "$work/out" "$out"
say "done: $(du -sh "$out/root.img" | cut -f1) in $out"
echo "$out"
