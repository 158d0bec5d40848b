# SPDX-License-Identifier: GPL-2.0-or-later
"""A stock libvirt drives a domain of type kvm, in a first level that has KVM, and libvirtds for this test only: one,
and one in a mount namespace with a host's UUID of its own, to which the domain moves by unix sockets."""

import nested
from vmtest import BOOT, QUIET, Skip, kvm_only, lodge_only, needs, takes_long

DOMAIN = """
<domain type='kvm'>
  <name>inner</name><memory unit='MiB'>192</memory><vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>/guest/vmlinuz</kernel><initrd>/guest/initrd</initrd>
    <cmdline>{quiet} script=plugged</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='host-passthrough'/>
  <devices>
    <emulator>/disk1/bin/lodge</emulator>
    <controller type='usb' model='none'/>
    <serial type='pty'><log file='/guest/serial' append='on'/></serial>
    <memballoon model='virtio'/>
    <video><model type='none'/></video>
  </devices>
</domain>
"""

# What a package's installation and the boot of a normal host have done, and a second host.
PREPARE = """
set -e
export LIBVIRT_DRIVER_DIR=/disk0/lib/libvirt/connection-driver
echo 'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/bin/false' >>/etc/passwd
printf 'libvirt-qemu:x:64055:\\nkvm:x:104:\\n' >>/etc/group
folders="/etc/libvirt /run/libvirt /var/cache/libvirt /var/log/libvirt /var/lib/libvirt"
mkdir -p $folders /usr/lib/libvirt /guest/here
mkdir -m 777 /guest/sockets
mount --bind /run/libvirt /guest/here
ln -sfn /disk0/bin/libvirt_iohelper /usr/lib/libvirt
ln -sfn /run /var/run
chmod 666 /dev/kvm
printf 'security_driver = "none"\\nstdio_handler = "logd"\\n' >/etc/libvirt/qemu.conf
: >/etc/libvirt/virtlogd.conf
for folder in $folders; do
    mkdir -p /other$folder
    cp -a $folder/. /other$folder
done
echo 'host_uuid = "2f1d8c0e-6a4b-4e0f-9d53-7c1be0a5e901"' >/etc/libvirt/libvirtd.conf
echo 'host_uuid = "2f1d8c0e-6a4b-4e0f-9d53-7c1be0a5e902"' >/other/etc/libvirt/libvirtd.conf
cp /disk0/cloud/vmlinuz /disk0/cloud/initrd /guest
cat >/guest/inner.xml <<'END'
{domain}
END
virtlogd >/tmp/virtlogd.log 2>&1 &
libvirtd >/tmp/libvirtd.log 2>&1 &
unshare -m sh -ec '
for folder; do
    mount --bind /other$folder $folder
done
virtlogd --pid-file /run/libvirt/log.pid >/tmp/other-virtlogd.log 2>&1 &
exec libvirtd --pid-file /run/libvirt/d.pid >/tmp/other-libvirtd.log 2>&1' sh $folders &
n=0
until [ -S /run/libvirt/libvirt-sock ] && [ -S /other/run/libvirt/libvirt-sock ]; do
    sleep 0.2
    n=$((n + 1))
    [ $n -lt 150 ]
done
"""

JOURNEY = """
set -e
here=qemu+unix:///system?socket=/run/libvirt/libvirt-sock
other=qemu+unix:///system?socket=/other/run/libvirt/libvirt-sock
virsh() {{ command virsh -q -c $here "$@"; }}
end() {{
    virsh destroy inner
    command virsh -c $other destroy inner
    kill $(pidof libvirtd virtlogd)
}}
trap 'end >/dev/null 2>&1 || :' EXIT
migrate() {{ command virsh -q -c $1 migrate --live --unsafe --migrateuri unix:///guest/sockets/$3 inner $2 $4; }}
await() {{ n=0; until eval "$1"; do sleep 0.5; n=$((n + 1)); [ $n -lt {halves} ] || {{ echo "no $1"; exit 1; }}; done; }}
expect() {{ text=$1; shift; virsh "$@" | grep -q "$text" || {{ echo "no '$text': $*"; exit 1; }}; }}
virsh define /guest/inner.xml
virsh start --paused inner
expect 'paused (user)' domstate inner --reason
expect '"enabled":true' qemu-monitor-command inner '{{"execute": "query-kvm"}}'
virsh resume inner
await 'grep -q @@ready /guest/serial'
expect 'State:          running' dominfo inner
expect 'vcpu.0.exits.sum=' domstats inner --vcpu
virsh suspend inner
expect 'paused (user)' domstate inner --reason
virsh resume inner
virsh save inner /guest/inner.save
expect 'shut off (saved)' domstate inner --reason
virsh restore /guest/inner.save
expect 'running (restored)' domstate inner --reason
rm /guest/inner.save
virsh managedsave inner
virsh start inner
expect 'running (restored)' domstate inner --reason
migrate $here $other there
[ "$(command virsh -q -c $other list --name)" = inner ]
migrate $other "qemu+unix:///system?socket=/guest/here/libvirt-sock" back --p2p
[ -z "$(command virsh -q -c $other list --name)" ]
expect 'running (migrated)' domstate inner --reason
echo content-kvm >/guest/disk
truncate -s 1M /guest/disk
virsh attach-disk inner /guest/disk vda --driver qemu --subdriver raw --targetbus virtio --serial card
await 'grep -q disk=card:content-kvm /guest/serial'
virsh detach-disk inner vda
await '! virsh domblklist inner | grep -q vda'
[ "$(grep -c @@ready /guest/serial)" = 1 ]
virsh destroy inner
virsh undefine inner
[ -z "$(virsh list --name)" ]
"""


@takes_long
@needs("cloud", "libvirt")
@lodge_only
@kvm_only
def test_libvirt_drives_a_domain_of_type_kvm(vm):
    if not isinstance(vm.place, nested.Nested):
        raise Skip("it starts a libvirtd in a first level, of which this host has no need")
    vm.shell(PREPARE.format(domain=DOMAIN.format(quiet=QUIET)), BOOT)
    vm.shell(JOURNEY.format(halves=2 * BOOT), 3 * BOOT)
