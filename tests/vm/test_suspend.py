# SPDX-License-Identifier: GPL-2.0-or-later
"""ACPI S3: a stock kernel sleeps, is woken, and goes on."""

import time

from qmp import Qmp
from vmtest import BOOT, BRIEF, QUIET, device_only, ended_well, lodge_only, needs

SLEEPS = {"tcg": 5, "kvm": 2}      # where KVM is emulated, each takes long
ALARM = {"tcg": 4, "kvm": 12}      # seconds in which it falls asleep on a host under load
ASLEEP = 60     # seconds that a guest may take to fall asleep in an emulated host under load
AWAKE = 90      # ... to wake and to look around


class Sleeper:
    """A guest that sleeps as script=sleeping does, and its monitor. With `before` it is that guest, which comes from
    another process."""

    def __init__(self, vm, kernel="cloud", sleeps=1, before=None, incoming=None):
        self.vm = vm
        self.consoles = [*(before.consoles if before else []), vm.console()]
        self.ports = [*(before.ports if before else []), vm.blank("port")]
        self.disk = before.disk if before else vm.blank("disk", 4)
        if not before:
            vm.shell(f"dd if=/dev/urandom of={self.disk} bs=1M count=4 conv=notrunc 2>/dev/null")
        self.job = vm.start(
            f"-accel {vm.accel} -cpu {vm.cpu()} -M q35 -m 256M -smp 2 -nodefaults -display none "
            f"-serial file:{self.consoles[-1]} -qmp stdio -drive if=virtio,file={self.disk},format=raw "
            f"-device pcie-root-port,id=rp -device virtio-rng-pci,bus=rp -device virtio-serial-pci "
            f"-chardev file,id=port,path={self.ports[-1]} -device virtserialport,chardev=port,name=port "
            f"-kernel {vm.path(kernel)}/vmlinuz -initrd {vm.path(kernel)}/initrd "
            f"-append '{QUIET} script=sleeping sleeps={sleeps} alarm={ALARM[vm.accel]}' "
            + (f"-incoming {incoming}" if incoming else ""))
        self.qmp = Qmp(self.job, BOOT)

    def said(self):
        return self.vm.shell(f"cat {' '.join(self.consoles)}")

    def status(self):
        return self.qmp.execute("query-status")["status"]

    def falls_asleep(self, timeout=BOOT):
        self.qmp.event("SUSPEND", timeout)

    def wakes(self):
        self.qmp.event("WAKEUP", ASLEEP)

    def ends_well(self, sleeps):
        self.qmp.event("SHUTDOWN", AWAKE, guest=True, reason="guest-shutdown")
        assert self.job.wait(60).status == 0
        said = self.said()
        assert "@@bad" not in said, said
        assert f"@@awake {sleeps}" in said, said
        heard = self.vm.shell(f"cat {' '.join(self.ports)}").split("\n")
        assert heard[:-1] == [f"awake {n}" for n in range(1, sleeps + 1)], heard

    def end(self):
        self.qmp.execute("quit")
        assert self.job.wait(60).status == 0


    def goes_to(self, uri):
        self.qmp.execute("migrate", {"uri": uri})
        deadline = time.monotonic() + BOOT
        while (info := self.qmp.execute("query-migrate"))["status"] != "completed":
            assert info["status"] != "failed" and time.monotonic() < deadline, info
            time.sleep(0.02)
        assert self.status() == "postmigrate"


def press_the_power_button(qmp):
    qmp.execute("system_powerdown")
    qmp.event("POWERDOWN")


def ask_to_wake(qmp):
    qmp.execute("system_wakeup")


def sleep_and_wake(vm, kernel, sleeps, wake):
    guest = Sleeper(vm, kernel, sleeps)
    assert guest.qmp.execute("query-current-machine") == {"wakeup-suspend-support": True}
    assert "not in suspended state" in guest.qmp.refused("system_wakeup")
    guest.falls_asleep()
    guest.qmp.execute("stop")
    guest.qmp.execute("cont")   # neither means anything to who sleeps
    assert guest.qmp.execute("query-status") == {"running": False, "singlestep": False, "status": "suspended"}
    assert guest.qmp.events == []
    time.sleep(1.5)     # the guest finds that it slept
    wake(guest.qmp)
    guest.wakes()
    for _ in range(1, sleeps):
        guest.falls_asleep(AWAKE)
        guest.wakes()   # by itself
    guest.ends_well(sleeps)


@lodge_only
@needs("cloud")
def test_it_sleeps_and_wakes_with_all_that_it_has(vm):
    sleep_and_wake(vm, "cloud", SLEEPS[vm.accel], ask_to_wake)


@lodge_only
@device_only
@needs("cloud")
def test_the_power_button_wakes(vm):
    sleep_and_wake(vm, "cloud", 1, press_the_power_button)


@lodge_only
@device_only
@needs("cloud-6.12")
def test_a_new_kernel_sleeps(vm):
    sleep_and_wake(vm, "cloud-6.12", 1, ask_to_wake)


def is_suspended(guest):
    deadline = time.monotonic() + BOOT
    while guest.status() == "inmigrate":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert guest.qmp.execute("query-status") == {"running": False, "singlestep": False, "status": "suspended"}


@lodge_only
@device_only
@needs("cloud")
def test_it_sleeps_on_where_it_is_restored_or_moved_to(vm):
    """It is woken in a third process, and wakes by its alarm in a fourth."""
    file, there, further = vm.blank("saved"), f"{vm.scratch()}/asleep.move", f"{vm.scratch()}/asleep-more.move"
    first = Sleeper(vm, sleeps=2)
    first.falls_asleep()
    time.sleep(1.5)     # the guest finds that it slept
    first.goes_to(f"file:{file}")
    first.end()
    second = Sleeper(vm, sleeps=2, before=first, incoming=f"file:{file}")
    is_suspended(second)
    third = Sleeper(vm, sleeps=2, before=second, incoming=f"unix:{there}")
    second.goes_to(f"unix:{there}")
    second.end()
    is_suspended(third)
    ask_to_wake(third.qmp)
    third.wakes()
    assert third.status() == "running"
    fourth = Sleeper(vm, sleeps=2, before=third, incoming=f"unix:{further}")
    third.falls_asleep(AWAKE)
    third.goes_to(f"unix:{further}")
    third.end()
    fourth.wakes()
    fourth.ends_well(2)


@lodge_only
@device_only
@needs("cloud")
def test_a_reset_wakes_and_quit_ends_sleep(vm):
    guest = Sleeper(vm)
    guest.falls_asleep()
    guest.qmp.execute("system_reset")
    guest.qmp.event("RESET")
    assert guest.status() == "running"
    guest.falls_asleep()    # once more, after it has booted anew
    guest.end()


@lodge_only
@device_only
@needs("cloud")
def test_a_machine_may_be_unable_to_sleep(vm):
    output = ended_well(vm.guest("-M q35 -m 256M -global ICH9-LPC.disable_s3=1 -global ICH9-LPC.disable_s4=1",
                                 append=f"console=ttyS0 quiet-init {BRIEF}", run="cat /sys/power/mem_sleep /sys/power/disk"))
    assert "[s2idle]" in output and "deep" not in output, output
    assert "platform" not in output, output
