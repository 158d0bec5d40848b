# SPDX-License-Identifier: GPL-2.0-or-later
# A guest agent as a distribution runs it: on its port of virtio-serial, with a file system to freeze (the first disk,
# which is made for it) and the programs that it calls.

mkdir -p /usr /var/run
ln -s /bin /usr/bin
ln -s /bin /usr/sbin
cat >/bin/shutdown <<'END'
#!/bin/sh
case "$*" in
*-r*) reboot -f ;;
*-H*) halt -f ;;
*) poweroff -f ;;
esac
END
cat >/bin/chpasswd <<'END'
#!/bin/sh
while read -r line; do echo "password $line" >/dev/console; done
END
chmod +x /bin/shutdown /bin/chpasswd
mount -t ext4 /dev/vda /mnt
for port in /sys/class/virtio-ports/*; do
    [ "$(cat "$port/name")" = org.qemu.guest_agent.0 ] && exec qemu-ga -p "/dev/${port##*/}"
done
