# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices that come and go while a stock kernel runs: PCI Express hot plug, by ACPI as is the default and by the ports
themselves, and ports of virtio-serial."""

import re

from qmp import Qmp
from vmtest import BOOT, QUIET, device_only, lodge_only, needs

ROUNDS = {"tcg": 5, "kvm": 1}      # where KVM is emulated, a round takes long
NATIVE = "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"
PORT = "-device pcie-root-port,id=rp{0},chassis=1,slot={0} "
SEEN = 60       # seconds that a guest may take to see a card: a second for the link, the rest is a host under load
GONE = 90       # ... to let go of it: 5 s of blinking, a second without power


class Plugged:
    """A guest that says what is plugged into it, and its monitor."""

    def __init__(self, vm, options="", append=""):
        self.console = vm.console()
        self.vm = vm
        self.job = vm.start(
            f"-accel {vm.accel} -cpu {vm.cpu()} -M q35 -m 256M -nodefaults -display none -serial file:{self.console} "
            f"-qmp stdio {''.join(PORT.format(n) for n in (1, 2, 3))} -device virtio-serial-pci,id=vs {options} "
            f"-kernel {vm.path('cloud/vmlinuz')} -initrd {vm.path('cloud/initrd')} "
            f"-append '{QUIET} script=plugged {append}'")
        self.qmp = Qmp(self.job, BOOT)

    def have(self):
        """What it said last; None: nothing yet."""
        said = re.findall(r"@@have(.*)\.\r?\n", self.vm.shell(f"cat {self.console}"))
        return said[-1].split() if said else None

    def wait_for(self, *wanted, timeout=SEEN):
        self.vm.shell(f"i=0; until grep -a '^@@have' {self.console} | tail -n 1 | tr -d '\\r' | "
                      f"grep -qx '@@have{''.join(' ' + w for w in wanted)}[.]'; "
                      f"do i=$((i + 1)); [ $i -lt {timeout * 5} ] || {{ tail -n 5 {self.console}; exit 1; }}; sleep 0.2; done",
                      timeout + 30)

    def wait_until_up(self):
        self.vm.hear(self.console, "@@ready")

    def add_disk(self, number, bus):
        image = self.vm.blank(f"plugged{number}", 8)
        self.vm.shell(f"echo content-{number} | dd of={image} conv=notrunc 2>/dev/null")
        self.qmp.execute("blockdev-add", {"driver": "file", "filename": image, "node-name": f"storage{number}"})
        self.qmp.execute("blockdev-add", {"driver": "raw", "file": f"storage{number}", "node-name": f"format{number}"})
        self.qmp.execute("device_add", {"driver": "virtio-blk-pci", "id": f"disk{number}", "bus": bus,
                                        "drive": f"format{number}", "serial": f"number-{number}"})
        return f"disk=number-{number}:content-{number}"

    def remove_nodes(self, number):
        self.qmp.execute("blockdev-del", {"node-name": f"format{number}"})
        self.qmp.execute("blockdev-del", {"node-name": f"storage{number}"})

    def end(self):
        self.qmp.execute("quit")
        assert self.job.wait(60).status == 0


def come_and_go(vm, options, rounds):
    guest = Plugged(vm, options)
    qmp = guest.qmp
    guest.wait_until_up()
    for n in range(rounds):
        disk = guest.add_disk(n, "rp1")
        qmp.execute("object-add", {"qom-type": "rng-builtin", "id": "random"})
        qmp.execute("device_add", {"driver": "virtio-rng-pci", "id": "rng", "bus": "rp2", "rng": "random"})
        guest.wait_for(disk, "rng=32")
        assert [e["event"] for e in qmp.events] == []
        stats = [s for s in qmp.execute("query-blockstats") if s["qdev"] == f"/machine/peripheral/disk{n}/virtio-backend"]
        assert stats[0]["stats"]["rd_bytes"] >= 512
        qmp.execute("device_del", {"id": f"disk{n}"})
        qmp.execute("device_del", {"id": "rng"})
        if options == NATIVE:   # the lights blink for seconds; by ACPI they may be gone already
            assert "in the process of unplug" in qmp.refused("device_del", {"id": "rng"})
            assert "is in use" in qmp.refused("blockdev-del", {"node-name": f"format{n}"})
        qmp.event("DEVICE_DELETED", GONE, device=f"disk{n}", path=f"/machine/peripheral/disk{n}")
        qmp.event("DEVICE_DELETED", GONE, device="rng")
        guest.remove_nodes(n)
        qmp.execute("object-del", {"id": "random"})
        guest.wait_for()
        qmp.events.clear()
    guest.end()


@lodge_only
@needs("cloud")
def test_disk_and_rng_come_and_go_many_times(vm):
    come_and_go(vm, "", ROUNDS[vm.accel])


@lodge_only
@needs("cloud")
def test_disk_and_rng_come_and_go_by_the_ports_themselves(vm):
    come_and_go(vm, NATIVE, ROUNDS[vm.accel])


@device_only
@lodge_only
@needs("cloud")
def test_card_that_comes_while_paused_is_seen_afterwards(vm):
    guest = Plugged(vm)
    guest.wait_until_up()
    guest.qmp.execute("stop")
    disk = guest.add_disk(1, "rp1")
    guest.qmp.execute("cont")
    guest.wait_for(disk)
    guest.qmp.execute("stop")
    guest.qmp.execute("device_del", {"id": "disk1"})
    guest.qmp.execute("cont")
    guest.qmp.event("DEVICE_DELETED", GONE, device="disk1")
    guest.end()


@device_only
@lodge_only
@needs("cloud")
def test_card_that_comes_before_the_start_is_there(vm):
    guest = Plugged(vm, f"-S {NATIVE}")
    disk = guest.add_disk(1, "rp1")
    guest.qmp.execute("cont")
    guest.wait_until_up()
    guest.wait_for(disk)
    guest.qmp.execute("device_del", {"id": "disk1"})
    guest.qmp.event("DEVICE_DELETED", GONE, device="disk1")
    guest.end()


@device_only
@lodge_only
@needs("cloud")
def test_reset_completes_an_unplug(vm):
    guest = Plugged(vm, NATIVE, append="pcie_ports=compat")     # nobody hears the button
    guest.wait_until_up()
    disk = guest.add_disk(1, "rp1")
    guest.qmp.execute("system_reset")
    guest.wait_for(disk)
    guest.qmp.execute("device_del", {"id": "disk1"})
    guest.qmp.execute("system_reset")
    guest.qmp.event("DEVICE_DELETED", 10, device="disk1")
    guest.remove_nodes(1)
    guest.end()


@device_only
@lodge_only
@needs("cloud")
def test_serial_port_comes_and_goes(vm):
    guest = Plugged(vm)
    guest.wait_until_up()
    guest.qmp.execute("chardev-add", {"id": "c", "backend": {"type": "ringbuf", "data": {}}})
    guest.qmp.execute("device_add", {"driver": "virtserialport", "bus": "vs.0", "id": "channel0", "chardev": "c",
                                     "name": "org.example"})
    guest.wait_for("port=org.example")
    assert "is in use" in guest.qmp.refused("chardev-remove", {"id": "c"})
    guest.qmp.execute("device_del", {"id": "channel0"})
    guest.qmp.event("DEVICE_DELETED", 10, device="channel0")
    guest.qmp.execute("chardev-remove", {"id": "c"})
    guest.wait_for()
    guest.end()


@device_only
@lodge_only
@needs("cloud")
def test_what_cannot_be_plugged_leaves_nothing_behind(vm):
    guest = Plugged(vm, "-S")
    qmp = guest.qmp
    qmp.execute("blockdev-add", {"driver": "null-co", "node-name": "n"})
    disk = {"driver": "virtio-blk-pci", "id": "d", "drive": "n"}
    attempts = [
        (disk | {"driver": "virtio-blk-pic", "bus": "rp1"}, "Did you mean 'virtio-blk-pci'?"),
        (disk, "Bus 'pcie.0' does not support hotplugging. Start the domain with a pcie-root-port"),
        (disk | {"bus": "rp11"}, "Bus 'rp11' not found"),
        (disk | {"bus": "rp1", "addr": "3"}, "has only slot 0"),
        (disk | {"bus": "rp1", "seriall": "x"}, "Did you mean 'serial'?"),
        (disk | {"bus": "rp1", "drive": "m"}, "there is no drive or block node 'm'"),
        (disk | {"bus": "rp1", "queue-size": 100}, "is not a power of two"),
        (disk | {"bus": "rp1", "vectors": 4000}, "vectors"),
        (disk | {"bus": "rp1", "num-queues": "many"}, "num-queues"),
        ({"driver": "virtio-blk-pci", "id": "d", "bus": "rp1"}, "needs property 'drive'"),
        ({"driver": "virtio-rng-pci", "id": "9", "bus": "rp1"}, "is no device id"),
        ({"driver": "pcie-root-port", "id": "rp9", "bus": "pcie.0"}, "does not support hotplugging"),
        ({}, "Parameter 'driver' is missing"),
    ]
    for arguments, text in attempts:
        error = qmp.refused("device_add", arguments)
        assert text in error, f"{arguments}: {error}"
    qmp.execute("device_add", disk | {"bus": "rp1"})
    assert "Duplicate device id 'd'" in qmp.refused("device_add", disk | {"bus": "rp2"})
    assert "is used by d" in qmp.refused("device_add", disk | {"bus": "rp2", "id": "e"})
    assert "has no free slot" in qmp.refused("device_add", {"driver": "virtio-rng-pci", "bus": "rp1"})
    assert "Device 'e' not found" == qmp.refused("device_del", {"id": "e"})
    assert "does not support hotplugging" in qmp.refused("device_del", {"id": "rp1"})
    assert not qmp.events
    qmp.execute("device_add", {"driver": "virtio-rng-pci", "id": "e", "bus": "rp2"})
    guest.end()
