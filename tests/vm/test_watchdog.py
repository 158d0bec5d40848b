# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that feeds its watchdog, and one that no longer does, under the stock driver of the generic kernel."""

from vmtest import BOOT, device_only, needs

MACHINE = "-M q35 -m 256M -device i6300esb -action watchdog=poweroff"
OPEN = "exec 9>/dev/watchdog; "     # from then on it wants to be fed
START = ("while read -r m; do insmod /modules/$m heartbeat=2 2>/dev/null || insmod /modules/$m; done "
         "</modules/watchdog; " + OPEN)


@needs("generic-elf")
@device_only
def test_a_guest_that_feeds_it_goes_on_and_is_powered_off_when_it_starves_it(vm):
    feeding = "for i in 1 2 3 4 5; do echo >&9; sleep 1; done; printf V >&9; exec 9>&-; sleep 3; echo still here; "
    result = vm.guest(MACHINE, kernel="generic-elf", run=START + feeding + OPEN + "sleep 300").wait(2 * BOOT)
    assert "@@ready" in result.output and "still here" in result.output
    assert "@@exit" not in result.output
    assert result.status == 0, f"exit status {result.status}"
