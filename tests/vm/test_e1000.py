# SPDX-License-Identifier: GPL-2.0-or-later
"""Intel's NICs under the stock drivers of the generic kernel, e1000 and e1000e: the cloud kernel has neither."""

import re
import time

from qmp import Qmp
from test_net import NET, arrived, some_port, transfer, web_server
from vmtest import BOOT, device_only, ended_well, lodge_only, needs, takes_long

MACHINE = "-M q35 -m 256M "
SAVED = 120     # seconds that saving and restoring may take on a host under load
PORT = 7777     # of the guests' own


def copy_both_ways(vm, model, afterwards):
    """A file goes to the guest and comes back, which uses large segments on the way; the guest's output."""
    port = some_port()
    digest = web_server(vm, port, 8)
    output = ended_well(vm.guest(MACHINE + f"-nic user,model={model}", kernel="generic-elf",
                                 run=NET + f"lease eth0 && {transfer(f'10.0.2.2:{port}')} && {afterwards}"), 2 * BOOT)
    arrived(output, digest)
    return output


def interrupts(output, name):
    """How many interrupts of that name a guest with one CPU has had."""
    found = re.search(rf"^ *\d+: +(\d+) .*[ ,]{name}\r?$", output, re.MULTILINE)
    assert found, f"no interrupt is called {name}"
    return int(found.group(1))


@needs("generic-elf")
@device_only
def test_e1000_gets_a_lease_and_carries_files_both_ways(vm):
    output = copy_both_ways(vm, "e1000", "cat /proc/interrupts")
    assert interrupts(output, "eth0") > 100


@needs("generic-elf")
@device_only
def test_e1000_works_behind_a_bridge_to_conventional_pci_and_after_a_reset_of_that_bus(vm):
    """Its interrupt goes through two bridges.  The driver is bound anew, since it knows nothing of such a reset."""
    port = some_port()
    digest = web_server(vm, port, 1)
    reset = ("cd /sys/bus/pci/devices/0000:02:01.0 && echo 0000:02:01.0 >driver/unbind && echo bus >reset_method && "
             "echo 1 >reset && echo 0000:02:01.0 >/sys/bus/pci/drivers/e1000/bind && cd / && ")
    output = ended_well(vm.guest(
        MACHINE + "-device pcie-root-port,id=port,addr=2 -device pcie-pci-bridge,id=pci.2,bus=port "
        "-netdev user,id=n -device e1000,netdev=n,bus=pci.2", kernel="generic-elf",
        run=NET + f"{reset}lease eth0 && {transfer(f'10.0.2.2:{port}')} && cat /proc/interrupts"), 2 * BOOT)
    assert "0000:01:00.0 0x060400 0x1b36 0x000e" in output
    arrived(output, digest)
    assert interrupts(output, "eth0") > 20


@needs("generic-elf")
@device_only
def test_e1000e_gets_a_lease_and_carries_files_both_ways_with_a_vector_for_each_queue(vm):
    output = copy_both_ways(vm, "e1000e", "cat /proc/interrupts")
    assert "PCI-MSI" in output
    assert interrupts(output, "eth0-rx-0") > 100
    assert interrupts(output, "eth0-tx-0") > 10
    assert interrupts(output, "eth0") > 0


CARRIER = "until grep -q {0} /sys/class/net/eth0/carrier; do sleep 1; done; echo carrier={0}; "


def see_the_cable(vm, model):
    console = vm.console()
    run = (NET + "lease eth0; " + CARRIER.format(1) + CARRIER.format(0) + CARRIER.format(1) +
           "ping -c 1 -w 20 10.0.2.2 && echo answered")
    job = vm.start(
        f"-accel {vm.accel} -cpu {vm.cpu()} -nodefaults -display none -serial file:{console} -qmp stdio {MACHINE} "
        f"-netdev user,id=n -device {model},netdev=n,id=nic {vm.boot(run, 'generic-elf')}")
    qmp = Qmp(job, BOOT)
    vm.hear(console, "carrier=1")
    qmp.execute("set_link", {"name": "nic", "up": False})
    vm.hear(console, "carrier=0")
    qmp.execute("set_link", {"name": "nic", "up": True})
    vm.hear(console, "answered")
    assert job.wait(BOOT).status == 0


@needs("generic-elf")
@device_only
def test_e1000_sees_its_cable_pulled_and_plugged(vm):
    see_the_cable(vm, "e1000")


@needs("generic-elf")
@device_only
def test_e1000e_sees_its_cable_pulled_and_plugged(vm):
    see_the_cable(vm, "e1000e")


def wire(ports, here, there):
    """A netdev that is one end of a wire between two processes, which either may leave and come back to."""
    return (f"dgram,id=n,local.type=inet,local.host=127.0.0.1,local.port={ports[here]},"
            f"remote.type=inet,remote.host=127.0.0.1,remote.port={ports[there]}")


@needs("generic-elf")
@device_only
def test_both_carry_jumbo_frames_in_a_vlan(vm):
    """The e1000e's driver splits received frames over several buffers then."""
    ports = (port := some_port(), port + 1)
    up = (NET + "ip link set eth0 mtu 9000 up; ip link add link eth0 name v5 type vlan id 5; ip link set v5 up; "
                "ip addr add 10.7.7.{0}/24 dev v5; ")
    first = vm.guest(MACHINE + f"-netdev {wire(ports, 0, 1)} -device e1000e,netdev=n,mac=52:54:00:00:00:01",
                     kernel="generic-elf",
                     run=up.format(1) + f"echo listens; nc -l -p {PORT} >/tmp/heard; "
                                          "echo heard=$(sha256sum </tmp/heard)")
    first.expect("listens", BOOT)
    second = vm.guest(
        MACHINE + f"-netdev {wire(ports, 1, 0)} -device e1000,netdev=n,mac=52:54:00:00:00:02", kernel="generic-elf",
        run=up.format(2) + "until ping -c 1 -W 1 10.7.7.1 >/dev/null; do sleep 1; done; " # the cables are plugged in
                           "ping -c 3 -s 8000 -w 30 10.7.7.1 && dd if=/dev/urandom of=/tmp/file bs=64k count=32 && "
                           f"echo sum=$(sha256sum </tmp/file) && nc -w 30 10.7.7.1 {PORT} </tmp/file")
    output = ended_well(second, 2 * BOOT)
    assert "3 packets transmitted, 3 packets received" in output
    assert "heard=" + re.search(r"^sum=(\w+)", output, re.MULTILINE).group(1) in ended_well(first, BOOT)


class Sender:
    """A guest that sends a file while it is saved and restored; its console is a file."""

    def __init__(self, vm, model, netdev, incoming=None):
        self.vm = vm
        self.console = vm.console()
        run = (NET + "ip link set eth0 up; ip addr add 10.7.7.2/24 dev eth0; "
               "dd if=/dev/urandom of=/tmp/part bs=64k count=512; file() { cat /tmp/part /tmp/part; }; "
               "echo sum=$(file | sha256sum); "    # so long that it is not over when the guest is saved again
               "until ping -c 1 -W 1 10.7.7.1; do sleep 1; done; echo begins; "
               f"file | nc 10.7.7.1 {PORT}; echo sent")
        self.job = vm.start(
            f"-accel {vm.accel} -cpu {vm.cpu()} -nodefaults -display none -serial file:{self.console} -qmp stdio "
            f"{MACHINE} -netdev {netdev} -device {model},netdev=n,mac=52:54:00:00:00:02 "
            f"{vm.boot(run, 'generic-elf')}" + (f" -incoming {incoming}" if incoming else ""))
        self.qmp = Qmp(self.job, BOOT)

    def save(self, file):
        self.qmp.execute("migrate", {"uri": f"file:{file}"})
        deadline = time.monotonic() + SAVED
        while (status := self.qmp.execute("query-migrate")["status"]) != "completed":
            assert status != "failed" and time.monotonic() < deadline, status
            time.sleep(0.05)
        self.qmp.execute("quit")
        assert self.job.wait(60).status == 0


def move_in_mid_transfer(vm, model):
    ports = (port := some_port(), port + 1)
    receiver = vm.guest(MACHINE + f"-netdev {wire(ports, 0, 1)} -device {model},netdev=n,mac=52:54:00:00:00:01",
                        kernel="generic-elf",
                        run=NET + "ip link set eth0 up; ip addr add 10.7.7.1/24 dev eth0; echo listens; "
                                  f"echo heard=$(nc -l -p {PORT} | sha256sum)")
    receiver.expect("listens", BOOT)
    sender = Sender(vm, model, wire(ports, 1, 0))
    shown = vm.hear(sender.console, "begins", 2 * BOOT)
    for _ in range(2):
        time.sleep(0.3)
        file = vm.blank("saved")
        sender.save(file)
        assert "sent" not in vm.shell(f"cat {sender.console}"), "it was over before it was saved"
        sender = Sender(vm, model, wire(ports, 1, 0), incoming=f"file:{file}")
    digest = re.search(r"^sum=(\w+)", shown, re.MULTILINE).group(1)
    assert f"heard={digest}" in ended_well(receiver, 2 * BOOT)
    vm.hear(sender.console, "sent")


@takes_long
@needs("generic-elf")
@device_only
@lodge_only
def test_e1000_keeps_a_connection_when_its_guest_is_saved_in_mid_transfer(vm):
    move_in_mid_transfer(vm, "e1000")


@takes_long
@needs("generic-elf")
@device_only
@lodge_only
def test_e1000e_keeps_a_connection_when_its_guest_is_saved_in_mid_transfer(vm):
    move_in_mid_transfer(vm, "e1000e")


@needs("generic-elf")
@device_only
def test_e1000e_comes_and_goes_while_the_guest_runs(vm):
    console = vm.console()
    run = (NET + "echo waits; until [ -e /sys/class/net/eth0 ]; do sleep 1; done; lease eth0; echo plugged; "
           "while [ -e /sys/class/net/eth0 ]; do sleep 1; done; echo gone")
    job = vm.start(
        f"-accel {vm.accel} -cpu {vm.cpu()} -nodefaults -display none -serial file:{console} -qmp stdio {MACHINE} "
        f"-device pcie-root-port,id=rp,chassis=1 {vm.boot(run, 'generic-elf')}")
    qmp = Qmp(job, BOOT)
    vm.hear(console, "waits")
    qmp.execute("netdev_add", {"type": "user", "id": "n"})
    qmp.execute("device_add", {"driver": "e1000e", "netdev": "n", "id": "nic", "bus": "rp"})
    assert "lease: address=10.0.2.15/24" in vm.hear(console, "plugged")
    qmp.execute("device_del", {"id": "nic"})
    qmp.event("DEVICE_DELETED", BOOT, device="nic")
    qmp.execute("netdev_del", {"id": "n"})
    vm.hear(console, "gone")
    assert job.wait(BOOT).status == 0
