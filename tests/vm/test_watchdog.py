# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that no longer feeds its watchdog, under the stock driver of the generic kernel."""

from vmtest import BOOT, device_only, needs

MACHINE = "-M q35 -m 256M -device i6300esb -action watchdog={action}"
START = ("while read -r m; do insmod /modules/$m heartbeat=2 2>/dev/null || insmod /modules/$m; done </modules/watchdog; "
         "exec 9>/dev/watchdog; ")


@needs("generic")
@device_only
def test_a_guest_that_starves_it_is_powered_off(vm):
    result = vm.guest(MACHINE.format(action="poweroff"), kernel="generic", run=START + "sleep 300").wait(2 * BOOT)
    assert "@@ready" in result.output and "@@exit" not in result.output
    assert result.status == 0, f"exit status {result.status}"


@needs("generic")
@device_only
def test_a_guest_that_feeds_it_goes_on(vm):
    feeding = "for i in 1 2 3 4 5; do echo >&9; sleep 1; done; printf V >&9; exec 9>&-; sleep 3; echo still here"
    result = vm.guest(MACHINE.format(action="poweroff"), kernel="generic", run=START + feeding).wait(2 * BOOT)
    assert "still here" in result.output and "@@exit 0" in result.output
