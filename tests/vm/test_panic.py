# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest's panic does, by -action panic=."""

from vmtest import BOOT, BRIEF, device_only, needs

CRASH = "echo c >/proc/sysrq-trigger"


@needs("cloud")
def test_action_shutdown_ends_the_vmm(vm):
    result = vm.guest("-M q35 -m 256M -device pvpanic -action panic=shutdown", run=CRASH).wait(BOOT)
    assert "@@ready" in result.output
    assert result.status == 0, f"exit status {result.status}"


@device_only
@needs("cloud")
def test_action_exit_failure_ends_the_vmm_with_status_1(vm):
    result = vm.guest("-M q35 -m 256M -device pvpanic -action panic=exit-failure", run=CRASH).wait(BOOT)
    assert "@@ready" in result.output
    assert result.status == 1, f"exit status {result.status}"


@device_only
@needs("cloud")
def test_action_none_lets_the_kernel_restart_itself(vm):
    result = vm.guest("-M q35 -m 256M -device pvpanic -action panic=none -no-reboot",
                      append=f"console=ttyS0 panic=1 {BRIEF}", run=CRASH).wait(BOOT)
    assert "@@ready" in result.output
    assert result.status == 0, f"exit status {result.status}"
