# SPDX-License-Identifier: GPL-2.0-or-later
"""A stock libvirt drives a domain of type kvm, in a first level that has KVM, and a libvirtd for this test only."""

import nested
from vmtest import BOOT, Skip, kvm_only, lodge_only, needs

DOMAIN = """
<domain type='kvm'>
  <name>inner</name><memory unit='MiB'>192</memory><vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>/var/lib/libvirt/vmlinuz</kernel><initrd>/var/lib/libvirt/initrd</initrd>
    <cmdline>console=ttyS0 quiet quiet-init script=plugged</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='host-passthrough'/>
  <devices>
    <emulator>/disk1/bin/lodge</emulator>
    <controller type='usb' model='none'/>
    <serial type='pty'><log file='/var/lib/libvirt/serial' append='on'/></serial>
    <memballoon model='virtio'/>
    <video><model type='none'/></video>
  </devices>
</domain>
"""

# What a package's installation and the boot of a normal host have done.
PREPARE = """
set -e
export LIBVIRT_DRIVER_DIR=/disk0/lib/libvirt/connection-driver
echo 'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/bin/false' >>/etc/passwd
printf 'libvirt-qemu:x:64055:\\nkvm:x:104:\\n' >>/etc/group
mkdir -p /etc/libvirt /run/libvirt /var/cache/libvirt /var/log/libvirt /var/lib/libvirt /usr/lib/libvirt
ln -sfn /disk0/bin/libvirt_iohelper /usr/lib/libvirt
ln -sfn /run /var/run
chmod 666 /dev/kvm
printf 'security_driver = "none"\\nstdio_handler = "logd"\\n' >/etc/libvirt/qemu.conf
: >/etc/libvirt/libvirtd.conf
: >/etc/libvirt/virtlogd.conf
cp /disk0/cloud/vmlinuz /disk0/cloud/initrd /var/lib/libvirt
cat >/var/lib/libvirt/inner.xml <<'END'
{domain}
END
virtlogd >/tmp/virtlogd.log 2>&1 &
libvirtd >/tmp/libvirtd.log 2>&1 &
n=0
until [ -S /run/libvirt/libvirt-sock ]; do sleep 0.2; n=$((n + 1)); [ $n -lt 150 ]; done
"""

JOURNEY = """
set -e
virsh() {{ command virsh -q -c qemu:///system "$@"; }}
trap 'virsh destroy inner >/dev/null 2>&1 || :; kill $(pidof libvirtd virtlogd)' EXIT
await() {{ n=0; until eval "$1"; do sleep 0.5; n=$((n + 1)); [ $n -lt {halves} ] || {{ echo "no $1"; exit 1; }}; done; }}
expect() {{ text=$1; shift; virsh "$@" | grep -q "$text" || {{ echo "no '$text': $*"; exit 1; }}; }}
virsh define /var/lib/libvirt/inner.xml
virsh start --paused inner
expect 'paused (user)' domstate inner --reason
expect '"enabled":true' qemu-monitor-command inner '{{"execute": "query-kvm"}}'
virsh resume inner
await 'grep -q @@ready /var/lib/libvirt/serial'
expect 'State:          running' dominfo inner
expect 'vcpu.0.exits.sum=' domstats inner --vcpu
virsh suspend inner
expect 'paused (user)' domstate inner --reason
virsh resume inner
virsh save inner /var/lib/libvirt/inner.save
expect 'shut off (saved)' domstate inner --reason
virsh restore /var/lib/libvirt/inner.save
expect 'running (restored)' domstate inner --reason
rm /var/lib/libvirt/inner.save
virsh managedsave inner
virsh start inner
expect 'running (restored)' domstate inner --reason
echo content-kvm >/var/lib/libvirt/disk
truncate -s 1M /var/lib/libvirt/disk
virsh attach-disk inner /var/lib/libvirt/disk vda --driver qemu --subdriver raw --targetbus virtio --serial card
await 'grep -q disk=card:content-kvm /var/lib/libvirt/serial'
virsh detach-disk inner vda
await '! virsh domblklist inner | grep -q vda'
[ "$(grep -c @@ready /var/lib/libvirt/serial)" = 1 ]
virsh destroy inner
virsh undefine inner
[ -z "$(virsh list --name)" ]
"""


@needs("cloud", "libvirt")
@lodge_only
@kvm_only
def test_libvirt_drives_a_domain_of_type_kvm(vm):
    if not isinstance(vm.place, nested.Nested):
        raise Skip("it starts a libvirtd in a first level, of which this host has no need")
    vm.shell(PREPARE.format(domain=DOMAIN), BOOT)
    vm.shell(JOURNEY.format(halves=2 * BOOT), 3 * BOOT)
