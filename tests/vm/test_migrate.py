# SPDX-License-Identifier: GPL-2.0-or-later
"""A stock kernel that is saved, restored and moved: what it counts goes on without a gap, its memory and its disk are
what they were, and whoever gives up leaves it running."""

import os
import re
import time

from qmp import Qmp
from vmtest import BOOT, QUIET, Skip, device_only, kvm_only, lodge_only, needs, takes_long

MOVED = 120     # seconds that a migration may take on a host under load
ROUNDS = 6
SLOW = 400      # seconds for a few rounds on a software CPU on an emulated host


def boot(vm, image="cloud", script="moving"):
    """The kernel is there for a later reset, too, so whoever restores or receives the guest needs it."""
    return (f"-kernel {vm.path(image)}/vmlinuz -initrd {vm.path(image)}/initrd "
            f"-append '{QUIET} script={script}'")


class Moving:
    """One process: a guest that counts, on a console of its own, and its monitor."""

    def __init__(self, vm, disk=None, incoming=None, options="-m 192M", kernel=None,
                 accel=None, cpu=None):
        self.vm = vm
        self.console = vm.console()
        drive = f"-drive file={disk},format=raw,if=virtio" if disk else ""
        self.job = vm.start(
            f"-accel {accel or vm.accel} -cpu {cpu or vm.cpu()} -M q35 -nodefaults -display none "
            f"-serial file:{self.console} -qmp stdio {options} -device virtio-rng-pci {drive} {kernel or boot(vm)} "
            + (f"-incoming {incoming}" if incoming else ""))
        self.qmp = Qmp(self.job, BOOT)

    def text(self):
        return self.vm.shell(f"cat {self.console}")

    def counted(self):
        return [int(n) for n in re.findall(r"@@n (\d+) ", self.text())]

    def goes_on(self, rounds=3, patience=BOOT):
        """Waits until it has counted on."""
        deadline = time.monotonic() + patience
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


@takes_long
@needs("cloud")
@kvm_only
@lodge_only
def test_a_guest_goes_from_kvm_to_the_software_cpu_and_back(vm):
    """On a portable CPU model, and without a word to the guest."""
    disk = vm.blank("disk", 8)
    guests = [Moving(vm, disk, accel="kvm", cpu="x86-64-v2,enforce")]
    guests[0].goes_on(patience=SLOW)
    for n, accel in enumerate(("tcg", "kvm")):
        where = f"unix:{vm.scratch()}/cross{n}.move"
        guests.append(Moving(vm, disk, incoming=where, accel=accel, cpu="x86-64-v2,enforce"))
        guests[-2].qmp.execute("migrate-set-parameters", {"max-bandwidth": 0})
        guests[-2].migrate(where)
        guests[-2].quit()
        guests[-1].goes_on(2, patience=SLOW)
    guests[-1].quit()
    check(guests)


# ---- clocks ----

AWAY = 60 if os.environ.get("LODGE_LONG") else 2    # seconds between saving and restoring
WALL = 0.05                                         # that the guest's wall clock may be wrong by
LATE = 0.3                                          # a line may be seen so late on a host under load


class Watched(Moving):
    """A guest that tells its clocks ten times a second; each line is dated as it comes."""

    def __init__(self, vm, source, incoming=None):
        self.lines = []     # (when it was seen, monotonic, raw, real, back), all in seconds
        self.read = 0
        super().__init__(vm, incoming=incoming,
                         kernel=boot(vm, "clocks", f"clocks source={source}"))

    def watch(self, lines):
        """Waits for so many more."""
        wanted = len(self.lines) + lines
        deadline = time.monotonic() + BOOT
        while len(self.lines) < wanted:
            assert time.monotonic() < deadline, f"it does not tell the time: {self.text()[-500:]}"
            with open(self.console, errors="replace") as f:
                f.seek(self.read)
                text = f.read()
            now = time.time()
            whole, newline, _ = text.rpartition("\n")
            self.read += len(whole + newline)
            for m, raw, real, back in re.findall(r"^@@t (\d+) (\d+) (\d+) (\d+)\r?$", whole, re.MULTILINE):
                self.lines.append((now, int(m) / 1e9, int(raw) / 1e9, int(real) / 1e9, int(back)))
            time.sleep(0.002)

    def wall_error(self, last=15):
        """By how much the wall clock is wrong: lines are seen too late, never too early, so the best of them counts."""
        return max(real - seen for seen, _, _, real, _ in self.lines[-last:])


def check_clocks(before, after):
    """What the guest's clocks did between its last line there and its first one here."""
    seen, mono, raw, _, _ = before.lines[-1]
    seen_here, mono_here, raw_here, _, _ = after.lines[0]
    passed = seen_here - seen
    assert after.lines[-1][4] == 0, "a clock went back"
    assert 0 < mono_here - mono < passed + LATE, f"monotonic: {mono_here - mono:.3f} s in {passed:.3f} s"
    assert abs((raw_here - raw) - (mono_here - mono)) < 0.02, "raw and monotonic time disagree"
    wrong = after.wall_error() - before.wall_error()    # a kernel that boots reads its RTC to a part of a second
    assert abs(wrong) < WALL, f"the wall clock is wrong by {wrong:.3f} s, and was by {before.wall_error():.3f} s"
    return wrong


def keep_time(vm, source, away=AWAY):
    """It is away for a while, and then moves to another process."""
    file = vm.blank("saved", 0)
    first = Watched(vm, source)
    first.watch(20)
    name = re.search(r"@@source (\S+)", first.text()).group(1)
    assert source == name, f"this guest's clock source is {name}"
    first.migrate(f"file:{file}")
    first.quit()
    time.sleep(away)
    second = Watched(vm, source, incoming=f"file:{file}")
    second.watch(15)
    wrong = [check_clocks(first, second)]
    where = f"unix:{vm.scratch()}/clocks-{source}.move"
    third = Watched(vm, source, incoming=where)
    second.migrate(where)
    second.quit()
    third.watch(15)
    wrong.append(check_clocks(second, third))
    third.quit()
    print(f"      {name}: the wall clock has changed by {', '.join(f'{1000 * w:.1f}' for w in wrong)} ms")


@needs("clocks")
@device_only
@lodge_only
def test_a_guest_on_kvmclock_keeps_the_time(vm):
    keep_time(vm, "kvm-clock")


@needs("clocks")
@device_only
@lodge_only
def test_a_guest_on_its_tsc_keeps_the_time(vm):
    keep_time(vm, "tsc")


@needs("clocks")
@device_only
@lodge_only
def test_a_guest_on_its_hpet_keeps_the_time(vm):
    if not os.environ.get("LODGE_LONG"):
        raise Skip("as on kvmclock; LODGE_LONG=1 lets it run")
    keep_time(vm, "hpet", away=20)  # it wraps after 43 s, and Linux cannot see how often
