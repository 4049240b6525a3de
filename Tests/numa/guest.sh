#!/bin/busybox sh
# The first and only process of a guest: runs /steps.sh, tells what came of it over the second serial line, and switches off.
#
# A line on that serial line is "STEP name status output", the output being the last line that the step wrote; "END" comes last.
/bin/busybox --install -s /bin
export PATH=/bin

mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mkdir -p /tmp /dev/shm
stty -F /dev/ttyS1 raw -echo
exec 3>/dev/ttyS1

# Runs a command as a step of the given name.
step() {
    name=$1
    shift
    "$@" >/tmp/output 2>/tmp/errors </dev/null
    status=$?
    [ ! -s /tmp/errors ] || { echo "$name wrote:"; cat /tmp/errors; } >/dev/console
    echo "STEP $name $status $(tail -n 1 /tmp/output)" >&3
}

# A group with limits of its own, and a step whose process is in it: in_group NAME STEP COMMAND...
in_group() {
    group=/sys/fs/cgroup/$1
    shift
    step "$1" sh -c "echo \$\$ >$group/cgroup.procs && shift && exec \"\$@\"" sh "$@"
}

echo "STEP boot 0 $(cut -d ' ' -f 1 /proc/uptime)" >&3
. /steps.sh
# What the kernel had to say about processes that it ended.
echo "STEP kernel 0 $(dmesg | grep -iE 'out of memory|oom-kill|killed process|segfault|general protection|BUG:' | tr '\n' ' ')" >&3
echo END >&3
poweroff -f
