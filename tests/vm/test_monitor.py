# SPDX-License-Identifier: GPL-2.0-or-later
"""A stock kernel under the monitor's hand: it is stopped, looked at, reset, dumped, and gives memory back."""

import re
import time

from qmp import Qmp
from vmtest import BOOT, device_only, lodge_only, needs

MIB = 1 << 20


class Controlled:
    """A guest that counts on its console, and its monitor."""

    def __init__(self, vm, options="", loop="i=0; while :; do i=$((i + 1)); echo count $i; sleep 1; done"):
        self.vm = vm
        self.console = vm.console()
        self.job = vm.start(
            f"-accel {vm.accel} -cpu {vm.cpu()} -M q35 -m 256M -nodefaults -display none -serial file:{self.console} "
            f"-qmp stdio {options} {vm.boot(loop)}")
        self.qmp = Qmp(self.job, BOOT)

    def count(self):
        return int(self.vm.shell(f"grep -ac '^count' {self.console} || true"))

    def wait_for_counts(self, more):
        wanted = self.count() + more
        self.vm.shell(f"i=0; until [ $(grep -ac '^count' {self.console}) -ge {wanted} ]; do i=$((i + 1)); "
                      f"[ $i -lt {BOOT * 5} ] || exit 1; sleep 0.2; done", BOOT + 30)

    def hmp(self, line, cpu=0):
        arguments = {"command-line": line, "cpu-index": cpu}
        return self.qmp.execute("human-monitor-command", arguments).replace("\r\n", "\n")

    def end(self):
        self.qmp.execute("quit")
        assert self.job.wait(60).status == 0


@lodge_only
@needs("cloud")
def test_a_guest_stops_goes_on_and_is_reset(vm):
    guest = Controlled(vm)
    qmp = guest.qmp
    guest.wait_for_counts(2)
    qmp.execute("stop")
    qmp.event("STOP", 10)
    assert guest.hmp("info status") == "VM status: paused\n"
    before = guest.count()
    time.sleep(3)
    assert guest.count() == before
    assert guest.hmp("x /2i $pc").count("\n") == 2 and guest.hmp("p $cr3").startswith("0x")
    qmp.execute("cont")
    qmp.event("RESUME", 10)
    guest.wait_for_counts(2)
    qmp.execute("system_reset")
    assert qmp.event("RESET", 10)["data"] == {"guest": False, "reason": "host-qmp-system-reset"}
    guest.wait_for_counts(1)
    assert int(guest.vm.shell(f"grep -ac '^count 1\r*$' {guest.console}")) == 2
    qmp.execute("quit")
    assert qmp.event("SHUTDOWN", 10)["data"] == {"guest": False, "reason": "host-qmp-quit"}
    assert guest.job.wait(60).status == 0


@lodge_only
@needs("cloud")
def test_people_see_what_a_kernel_has_set_up(vm):
    """Page tables, interrupt controllers and registers of either accelerator, each vCPU's own."""
    guest = Controlled(vm, "-smp 2")
    guest.wait_for_counts(1)
    guest.qmp.execute("stop")
    chips = guest.hmp("info pic")
    assert "pic0: irr=" in chips and "imr=ff" in chips and "  pin 9  " in chips
    assert re.search(r"^  pin 4 .*active-hi edge +fixed", chips, re.M), chips  # the serial port's, which Linux has enabled
    for cpu in range(2):
        apic = guest.hmp("info lapic", cpu)
        assert apic.startswith(f"dumping local APIC state for CPU {cpu:<2}\n") and "APIC enabled" in apic, apic
    # The kernel's own text is there for nobody but it.
    pages = re.findall(r"^([0-9a-f]{16}): ([0-9a-f]{16}) ([-XGPDACTUW]{9})$", guest.hmp("info tlb"), re.M)
    text = [flags for linear, _, flags in pages if linear.startswith("ffffffff")]
    assert len(pages) > 500 and text and not any("U" in flags for flags in text)
    ranges = re.findall(r"^([0-9a-f]{16})-([0-9a-f]{16}) ([0-9a-f]{16}) ([u-]r[w-])$", guest.hmp("info mem"), re.M)
    assert all(int(begin, 16) + int(size, 16) == int(end, 16) or int(end, 16) == 0 for begin, end, size, _ in ranges)
    assert len(ranges) > 10 and len(ranges) < len(pages)
    linear, physical, _ = next(page for page in pages if page[0].startswith("ffffffff"))
    assert guest.hmp(f"gva2gpa 0x{linear}") == f"gpa: 0x{int(physical, 16):x}\n"
    assert guest.hmp(f"x /2xg 0x{linear}").split(":")[1] == guest.hmp(f"xp /2xg 0x{physical}").split(":")[1]
    guest.end()


@device_only
@lodge_only
@needs("cloud")
def test_a_guest_that_powers_off_leaves_the_monitor(vm):
    guest = Controlled(vm, "-no-shutdown", loop="true")
    assert guest.qmp.event("SHUTDOWN", BOOT)["data"] == {"guest": True, "reason": "guest-shutdown"}
    assert guest.qmp.execute("query-status")["status"] == "shutdown"
    assert "Reset it first" in guest.qmp.refused("cont")
    guest.qmp.execute("system_reset")
    guest.qmp.execute("cont")
    guest.qmp.event("SHUTDOWN", BOOT, reason="guest-shutdown")
    guest.end()


@lodge_only
@needs("cloud")
def test_a_balloon_takes_and_gives_memory(vm):
    guest = Controlled(vm, "-device virtio-balloon-pci,id=balloon0,guest-stats-polling-interval=1")
    qmp = guest.qmp
    guest.wait_for_counts(1)
    assert qmp.execute("query-balloon") == {"actual": 256 * MIB}
    qmp.execute("balloon", {"value": 160 * MIB})
    qmp.event("BALLOON_CHANGE", 60, actual=160 * MIB)
    guest.wait_for_counts(3)
    stats = qmp.execute("qom-get", {"path": "/machine/peripheral/balloon0", "property": "guest-stats"})
    assert 0 < stats["stats"]["stat-total-memory"] < 160 * MIB and time.time() - stats["last-update"] < 60
    qmp.execute("balloon", {"value": 1 << 40})
    qmp.event("BALLOON_CHANGE", 60, actual=256 * MIB)
    guest.end()


@device_only
@lodge_only
@needs("cloud")
def test_a_dump_has_the_kernel_in_it(vm):
    guest = Controlled(vm)
    path = vm.scratch() + "/dump"
    guest.wait_for_counts(1)
    guest.qmp.execute("dump-guest-memory", {"paging": False, "protocol": f"file:{path}", "detach": True})
    result = guest.qmp.event("DUMP_COMPLETED", 120)["data"]["result"]
    assert result["status"] == "completed" and result["completed"] == result["total"] > 255 * MIB
    assert int(guest.vm.shell(f"grep -ac 'Linux version 6' {path}")) > 0
    assert guest.vm.shell(f"head -c 4 {path}")[1:] == "ELF"
    guest.vm.shell(f"rm {path}")
    guest.wait_for_counts(1)
    guest.end()
