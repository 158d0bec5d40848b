# SPDX-License-Identifier: GPL-2.0-or-later
"""A stock kernel that is saved, restored and moved: what it counts goes on without a gap, its memory and its disk are
what they were, and whoever gives up leaves it running."""

import re
import time

from qmp import Qmp
from vmtest import BOOT, device_only, lodge_only, needs

MOVED = 120     # seconds that a migration may take on a host under load
ROUNDS = 6


def boot(vm):
    """The kernel is there for a later reset, too, so whoever restores or receives the guest needs it."""
    return (f"-kernel {vm.path('cloud/vmlinuz')} -initrd {vm.path('cloud/initrd')} "
            "-append 'console=ttyS0 quiet quiet-init script=moving'")


class Moving:
    """One process: a guest that counts, on a console of its own, and its monitor."""

    def __init__(self, vm, disk=None, incoming=None, options="-m 192M"):
        self.vm = vm
        self.console = vm.shell(f"mktemp -p {vm.scratch()} console.XXXXXX").strip()
        drive = f"-drive file={disk},format=raw,if=virtio" if disk else ""
        self.job = vm.start(
            f"-accel {vm.accel} -cpu {vm.cpu()} -M q35 -nodefaults -display none "
            f"-serial file:{self.console} -qmp stdio {options} -device virtio-rng-pci {drive} {boot(vm)} "
            + (f"-incoming {incoming}" if incoming else ""))
        self.qmp = Qmp(self.job, BOOT)

    def text(self):
        return self.vm.shell(f"cat {self.console}")

    def counted(self):
        return [int(n) for n in re.findall(r"@@n (\d+) ", self.text())]

    def goes_on(self, rounds=3):
        """Waits until it has counted on."""
        deadline = time.monotonic() + BOOT
        seen = len(self.counted())
        while len(self.counted()) < seen + rounds:
            assert time.monotonic() < deadline, f"it does not count: {self.text()[-500:]}"
            time.sleep(0.1)

    def migrate(self, uri, *statuses):
        self.qmp.execute("migrate", {"uri": uri})
        return self.wait(*statuses or ("completed",))

    def wait(self, *statuses):
        deadline = time.monotonic() + MOVED
        while time.monotonic() < deadline:
            info = self.qmp.execute("query-migrate")
            if info["status"] in statuses:
                return info
            assert info["status"] != "failed", info
            time.sleep(0.02)
        raise AssertionError(f"the migration does not end: {info}")

    def state(self):
        return self.qmp.execute("query-status")["status"]

    def quit(self):
        self.qmp.execute("quit")
        assert self.job.wait(60).status == 0


def check(guests):
    """Nothing is lost, doubled or reordered, whoever wrote it; time goes on."""
    lines = re.findall(r"^@@n (\d+) ([\d.]+) (\w+)\r?$", "".join(g.text() for g in guests), re.MULTILINE)
    assert [int(n) for n, _, _ in lines] == list(range(1, len(lines) + 1)), lines
    assert {state for _, _, state in lines} == {"good"}, lines
    uptimes = [float(u) for _, u, _ in lines]
    assert uptimes == sorted(uptimes), uptimes


@needs("cloud")
@device_only
@lodge_only
def test_a_guest_saved_to_a_file_goes_on_from_there(vm):
    disk = vm.blank("disk", 8)
    file = vm.blank("saved", 0)
    first = Moving(vm, disk)
    first.goes_on()
    first.migrate(f"file:{file}")
    assert first.state() == "postmigrate"
    first.quit()
    second = Moving(vm, disk, incoming=f"file:{file}")
    second.goes_on()
    assert "is the memory of a domain that runs" in second.qmp.refused("migrate", {"uri": f"file:{file}"})
    again = vm.blank("saved", 0)
    second.migrate(f"file:{again}")
    second.quit()
    third = Moving(vm, disk, incoming=f"file:{again},lazy=off")
    third.goes_on()
    third.quit()
    check([first, second, third])


@needs("cloud")
@device_only
@lodge_only
def test_a_guest_moves_from_process_to_process(vm):
    disk = vm.blank("disk", 8)
    guests = [Moving(vm, disk)]
    guests[0].goes_on()
    for n in range(ROUNDS):
        source = guests[-1]
        source.qmp.execute("migrate-set-parameters", {"max-bandwidth": 0})
        where = f"unix:{vm.scratch()}/{n}.move" if n % 2 else f"tcp:127.0.0.1:{20000 + n}"
        guests.append(Moving(vm, disk, incoming=where))
        info = source.migrate(where)
        assert info["ram"]["remaining"] == 0
        assert info["ram"]["normal"] + info["ram"]["duplicate"] >= info["ram"]["total"] // 4096
        assert (source.state(), guests[-1].state()) == ("postmigrate", "running")
        source.quit()
        guests[-1].goes_on()
    guests[-1].quit()
    check(guests)


@needs("cloud")
@device_only
@lodge_only
def test_a_move_that_is_given_up_leaves_the_guest_running(vm):
    where = f"unix:{vm.scratch()}/given-up.move"
    disk = vm.blank("disk", 8)
    guest = Moving(vm, disk)
    guest.goes_on()
    guest.qmp.execute("migrate-set-parameters", {"max-bandwidth": 8 << 20})
    other = Moving(vm, disk, incoming=where)
    guest.migrate(where, "active")
    guest.qmp.execute("migrate_cancel")
    guest.wait("cancelled")
    result = other.job.wait(60)
    assert result.status == 1
    guest.goes_on()
    guest.qmp.execute("migrate-set-capabilities",
                      {"capabilities": [{"capability": "pause-before-switchover", "state": True}]})
    guest.qmp.execute("migrate-set-parameters", {"max-bandwidth": 0})
    other = Moving(vm, disk, incoming=where)
    guest.migrate(where, "pre-switchover")
    assert guest.state() == "finish-migrate"
    assert "cannot go on while" in guest.qmp.refused("cont")
    other.job.kill()
    guest.qmp.execute("migrate-continue", {"state": "pre-switchover"})
    deadline = time.monotonic() + MOVED
    while guest.qmp.execute("query-migrate")["status"] != "failed" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert guest.state() == "running"
    guest.goes_on()
    guest.quit()
    check([guest])


@needs("cloud")
@device_only
@lodge_only
def test_what_does_not_fit_is_refused_before_anything_is_touched(vm):
    file = vm.blank("saved", 0)
    guest = Moving(vm)
    guest.goes_on(1)
    guest.migrate(f"file:{file}")
    guest.qmp.execute("cont")
    guest.goes_on(1)
    guest.quit()
    check([guest])
    for options, sentence in (
            ("-m 256M", "its memory 'pc.ram' has 192 MiB, that of this domain 256 MiB"),
            ("-m 192M -smp 2", "it has 1 CPUs, this domain 2"),
            ("-m 192M -device virtio-balloon-pci,id=b", "this domain has '/machine/peripheral/b"),
            ("-m 192M -M microvm", "its machine is 'pc-q35-7.2'")):
        rng = "device" if "microvm" in options else "pci"
        result = vm.run(f"-accel {vm.accel} -cpu {vm.cpu()} -M q35 -nodefaults -display none -serial null {boot(vm)} "
                        f"-device virtio-rng-{rng} {options} -incoming file:{file}")
        assert result.status == 1 and sentence in result.output, result.output
    vm.shell(f"truncate -s 100M {file}")
    result = vm.run(f"-accel {vm.accel} -cpu {vm.cpu()} -M q35 -nodefaults -display none -serial null {boot(vm)} "
                    f"-device virtio-rng-pci -m 192M -incoming file:{file}")
    assert result.status == 1 and "cut off" in result.output, result.output
