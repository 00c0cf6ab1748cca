#!/bin/bash
# The guest's first process: a writable root over the read-only image, the network, the
# host's share on /host, then the agent; when the agent ends, the guest ends.
export PATH=/usr/sbin:/usr/bin HOME=/root TERM=linux LC_ALL=C
mount -t proc proc /proc
word() { # the value of vm.$1 on the kernel's command line
  local w
  for w in $(</proc/cmdline); do [[ $w == vm.$1=* ]] && echo "${w#*=}"; done
}

if [ -z "${VM_OVERLAID-}" ]; then
  mount -t tmpfs -o size=75% overlay /overlay
  mkdir /overlay/{upper,work,root}
  modprobe overlay
  mount -t overlay -o lowerdir=/,upperdir=/overlay/upper,workdir=/overlay/work root /overlay/root
  cd /overlay/root && export VM_OVERLAID=1 && umount /proc && pivot_root . overlay && exec chroot . /init
fi

mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs run /run
mkdir -p /run/lock
mount -t tmpfs tmp /tmp
ln -sfn /proc/self/fd /dev/fd
dmesg -n 1
hostname guest
ip link set lo up
ip link set vec0 up
ip addr add "$(word address)/24" dev vec0
mount -t hostfs -o "$(word share)" none /host
cd /tmp
TARGATE_VM_AGENT=$(word agent) /host/agent
exec busybox poweroff -f # one system call: a shell would lose its root disk first
