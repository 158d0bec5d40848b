# SPDX-License-Identifier: GPL-2.0-or-later
"""A stock libvirt changes how many vCPUs a domain has, with the VMM under test as its emulator."""

from libvirt_domains import SERIAL_FILE, domain, libvirt, wait_for_serial, wait_until
from vmtest import lodge_only, needs, one_at_a_time, tcg_only

SEVERAL = """<vcpu current='1'>4</vcpu>"""
# vCPU 2 is plugged in before the start, the others may be at any time.
CHOSEN = """<vcpu current='2'>4</vcpu><vcpus><vcpu id='0' enabled='yes' hotpluggable='no' order='1'/>
  <vcpu id='1' enabled='no' hotpluggable='yes'/><vcpu id='2' enabled='yes' hotpluggable='yes' order='2'/>
  <vcpu id='3' enabled='no' hotpluggable='yes'/></vcpus>"""


def boot(daemon, name, vcpus, append=""):
    """Starts a domain with these vCPUs, whose guest brings each that comes online and says which it has."""
    path = domain(daemon, name, serial=SERIAL_FILE, run="sh /scripts/vcpus " + append)
    with open(path) as f:
        xml = f.read()
    assert "<vcpu>2</vcpu>" in xml
    daemon.virsh("create", daemon.file(f"{name}-vcpus.xml", xml.replace("<vcpu>2</vcpu>", vcpus)))


def current(daemon, name):
    return int(daemon.virsh("vcpucount", name, "--current", "--live"))


@needs("cloud")
@lodge_only
@tcg_only
@one_at_a_time
def test_libvirt_plugs_and_unplugs_vcpus(vm):
    with libvirt(vm) as daemon:
        boot(daemon, "plug", SEVERAL)
        wait_for_serial(daemon, "@@cpus 0.")
        daemon.virsh("setvcpus", "plug", "4", "--live")
        wait_for_serial(daemon, "@@cpus 0 1 2 3.")
        assert current(daemon, "plug") == 4
        assert daemon.virsh("vcpuinfo", "plug").count("VCPU:") == 4
        assert "vcpu.3.state=1" in daemon.virsh("domstats", "--vcpu", "plug")
        daemon.virsh("vcpupin", "plug", "3", "0")
        daemon.virsh("setvcpus", "plug", "2", "--live", timeout=90)
        wait_until(lambda: current(daemon, "plug") == 2, "end of two vCPUs", 60)
        wait_for_serial(daemon, "@@cpus 0 1.")
        daemon.virsh("setvcpu", "plug", "3", "--enable", "--live")
        wait_for_serial(daemon, "@@cpus 0 1 3.")    # the number that Linux gave it when it came first
        assert "enabled='yes' hotpluggable='yes'" in daemon.virsh("dumpxml", "plug")
        daemon.stop("libvirtd")
        daemon.start("libvirtd")
        assert current(daemon, "plug") == 3
        daemon.virsh("destroy", "plug")


@needs("cloud")
@lodge_only
@tcg_only
@one_at_a_time
def test_libvirt_plugs_vcpus_before_the_start(vm):
    with libvirt(vm) as daemon:
        boot(daemon, "chosen", CHOSEN)
        wait_for_serial(daemon, "@@cpus 0 1.")
        assert '"/machine/peripheral/vcpu2"' in daemon.virsh("qemu-monitor-command", "chosen",
                                                              '{"execute": "query-cpus-fast"}')
        daemon.virsh("setvcpu", "chosen", "2", "--disable", "--live", timeout=90)
        wait_until(lambda: current(daemon, "chosen") == 1, "end of the vCPU", 60)
        daemon.virsh("destroy", "chosen")
