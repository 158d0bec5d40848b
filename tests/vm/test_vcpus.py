# SPDX-License-Identifier: GPL-2.0-or-later
"""vCPUs that come and go while a stock kernel runs."""

import re

from qmp import Qmp
from vmtest import BOOT, QUIET, device_only, lodge_only, needs

SEEN = 60       # seconds that a guest may take to use a CPU that came, or to let go of one


class Guest:
    """A guest that brings CPUs online and says which it has, and its monitor."""

    def __init__(self, vm, options="-smp 1,maxcpus=4", append=""):
        self.vm = vm
        self.console = vm.console()
        self.job = vm.start(
            f"-accel {vm.accel} -cpu {vm.cpu()} -M q35 -m 256M -nodefaults -display none -serial file:{self.console} "
            f"-qmp stdio {options} -kernel {vm.path('cloud/vmlinuz')} -initrd {vm.path('cloud/initrd')} "
            f"-append '{QUIET} script=vcpus {append}'")
        self.qmp = Qmp(self.job, BOOT)
        self.places = self.qmp.execute("query-hotpluggable-cpus")[::-1]

    def said(self):
        return self.vm.shell(f"cat {self.console}")

    def wait_for(self, *cpus, timeout=SEEN):
        """Until the guest has just these, and has run something on each."""
        want = "".join(f" {n}" for n in cpus)
        self.vm.shell(f"i=0; until grep -a '^@@cpus' {self.console} | tail -n 1 | tr -d '\\r' | grep -qx '@@cpus{want}[.]'; "
                      f"do i=$((i + 1)); [ $i -lt {timeout * 5} ] || {{ tail -n 9 {self.console}; exit 1; }}; sleep 0.2; done",
                      timeout + 30)

    def plug(self, number, **more):
        place = self.places[number]
        self.qmp.execute("device_add", {"driver": place["type"], "id": f"cpu{number}"} | place["props"] | more)

    def unplug(self, number):
        self.qmp.execute("device_del", {"id": f"cpu{number}"})

    def wait_until_gone(self, number):
        """It answers by _OST that it is about to let go, and after that that it has: then there is no such device."""
        self.qmp.event("DEVICE_DELETED", SEEN, device=f"cpu{number}", path=f"/machine/peripheral/cpu{number}")
        said = [e["data"]["info"] for e in self.reports(number) if e["data"]["info"]["source"] in (3, 0x103)]
        assert {"device": f"cpu{number}", "slot": str(number), "slot-type": "CPU", "source": 3, "status": 132} in said, said

    def reports(self, number):
        return [e for e in self.qmp.events if e["event"] == "ACPI_DEVICE_OST" and e["data"]["info"]["slot"] == str(number)]

    def present(self):
        return [c["cpu-index"] for c in self.qmp.execute("query-cpus-fast")]

    def threads(self):
        """The host's names of the vCPUs' threads."""
        names = [self.vm.shell(f"cat /proc/[0-9]*/task/{c['thread-id']}/comm").strip()
                 for c in self.qmp.execute("query-cpus-fast")]
        return [n.split("/")[0] for n in names]

    def end(self):
        assert "@@tsc" not in self.said(), self.said()
        self.qmp.execute("quit")
        assert self.job.wait(60).status == 0


@lodge_only
@needs("cloud")
def test_vcpus_come_work_and_go(vm):
    guest = Guest(vm)
    guest.wait_for(0, timeout=BOOT)
    for n in (1, 2, 3):
        guest.plug(n)
    guest.wait_for(0, 1, 2, 3)
    report = guest.qmp.event("ACPI_DEVICE_OST", SEEN)["data"]["info"]
    assert report["slot-type"] == "CPU" and report["source"] == 1 and report["status"] == 0, report
    assert guest.present() == [0, 1, 2, 3] and guest.threads() == ["CPU 0", "CPU 1", "CPU 2", "CPU 3"]
    assert guest.qmp.execute("query-hotpluggable-cpus")[0]["qom-path"] == "/machine/peripheral/cpu3"
    assert "exists" in guest.qmp.refused("device_add", {"driver": guest.places[2]["type"]} | guest.places[2]["props"])
    guest.unplug(2)
    assert "in the process of unplug" in guest.qmp.refused("device_del", {"id": "cpu2"}) or 2 not in guest.present()
    guest.wait_until_gone(2)
    guest.wait_for(0, 1, 3)
    assert guest.present() == [0, 1, 3]
    assert "qom-path" not in guest.qmp.execute("query-hotpluggable-cpus")[1]
    guest.plug(2)
    guest.wait_for(0, 1, 2, 3)
    assert guest.present() == [0, 1, 3, 2]
    assert len(guest.qmp.execute("query-acpi-ospm-status")) == 4
    guest.end()


@device_only
@lodge_only
@needs("cloud")
def test_vcpu_that_comes_while_paused_waits_with_the_others(vm):
    guest = Guest(vm)
    guest.wait_for(0, timeout=BOOT)
    guest.qmp.execute("stop")
    guest.plug(1)
    assert guest.present() == [0, 1] and guest.qmp.execute("query-status")["status"] == "paused"
    guest.qmp.execute("cont")
    guest.wait_for(0, 1)
    guest.qmp.execute("stop")
    guest.unplug(1)
    assert guest.present() == [0, 1]
    guest.qmp.execute("cont")
    guest.wait_until_gone(1)
    guest.end()


@device_only
@lodge_only
@needs("cloud")
def test_vcpus_that_come_before_the_start_are_there_at_boot(vm):
    place = "socket-id=0,core-id=3,thread-id=0"
    guest = Guest(vm, f"-smp 1,maxcpus=4 -device {vm.cpu()}-x86_64-cpu,id=cpu3,{place} -S")
    guest.plug(1)
    guest.plug(2)
    guest.unplug(2)
    guest.qmp.event("DEVICE_DELETED", 10, device="cpu2")
    guest.qmp.execute("cont")
    # Linux counts those that are there at boot in the order of the tables.
    guest.wait_for(0, 1, 2, timeout=BOOT)
    assert not guest.reports(1) and guest.present() == [0, 3, 1]
    guest.end()


@device_only
@lodge_only
@needs("cloud")
def test_vcpus_stay_over_a_reset_but_for_one_that_is_to_go(vm):
    guest = Guest(vm, "-smp 2,maxcpus=4", append="nap")
    guest.wait_for(0, 1, timeout=BOOT)
    guest.plug(2)
    guest.plug(3)
    guest.qmp.event("ACPI_DEVICE_OST", SEEN)
    guest.qmp.execute("stop")
    guest.unplug(3)
    guest.qmp.execute("system_reset")
    guest.qmp.event("DEVICE_DELETED", 10, device="cpu3")
    guest.qmp.execute("cont")
    guest.wait_for(0, 1, 2, timeout=BOOT)
    assert guest.present() == [0, 1, 2]
    guest.qmp.execute("device_del", {"id": "/machine/cpu[1]"})      # one of -smp may go, too
    guest.qmp.event("DEVICE_DELETED", SEEN, path="/machine/cpu[1]")
    guest.wait_for(0, 2)
    assert "boot CPU" in guest.qmp.refused("device_del", {"id": "/machine/cpu[0]"})
    guest.end()


@device_only
@lodge_only
@needs("cloud")
def test_vcpus_come_and_go_many_times_under_load(vm):
    guest = Guest(vm, "-smp 1,maxcpus=8,sockets=2,dies=2,cores=2,threads=1 "
                  "-object memory-backend-ram,id=m0,size=128M -object memory-backend-ram,id=m1,size=128M "
                  "-numa node,cpus=0-3,memdev=m0 -numa node,cpus=4-7,memdev=m1")
    guest.wait_for(0, timeout=BOOT)
    assert guest.places[7]["props"] == {"socket-id": 1, "die-id": 1, "core-id": 1, "thread-id": 0, "node-id": 1}
    for n in range(3):
        for cpu in (3, 7, 5):
            guest.plug(cpu)
        # Linux numbers CPUs in the order in which they came first.
        guest.wait_for(0, 1, 2, 3)
        for cpu in (7, 3, 5):
            guest.unplug(cpu)
        for cpu in (3, 5, 7):
            guest.wait_until_gone(cpu)
        guest.wait_for(0)
        guest.qmp.events.clear()
    assert re.findall("@@cpus[^.]*", guest.said())
    guest.end()
