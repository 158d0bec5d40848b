# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest time that is a count of instructions: the same guest runs the same way each time."""

from vmtest import BOOT, needs, takes_long, tcg_only


def console(vm, options):
    """All that a guest prints, with the kernel's times to the microsecond.

    It goes to a file, which takes every byte at once: what comes from outside, as a reader that is slow, is not repeated.
    """
    printed = vm.blank("console", 0)
    job = vm.start(
        f"-accel tcg -cpu {vm.cpu()} -M q35 -m 256M -rtc base=2020-02-02T20:02:20,clock=vm {options} "
        f"-kernel {vm.path('cloud/vmlinuz')} -initrd {vm.path('cloud/initrd')} -append "
        "'console=ttyS0 run=\"date; cat /proc/sys/kernel/random/uuid; sleep 1\"' -nodefaults -nographic "
        f"-serial file:{printed}")
    result = job.wait(2 * BOOT)
    assert result.status == 0, f"exit status {result.status}"
    return vm.shell(f"cat {printed}").splitlines()


def same_twice(vm, options):
    first, second = (console(vm, options) for _ in range(2))
    assert any("Feb  2 20:02:" in line for line in first), "the clock does not begin at its base"
    assert "reboot: Power down" in first[-1]
    for a, b in zip(first, second):
        assert a == b, f"{a!r} became {b!r}"
    assert len(first) == len(second)


@takes_long
@needs("cloud")
@tcg_only
def test_two_runs_print_the_same(vm):
    same_twice(vm, "-icount shift=3,sleep=off")


@takes_long
@needs("cloud")
@tcg_only
def test_a_guest_that_sleeps_takes_its_time(vm):
    same_twice(vm, "-icount shift=3")
