# SPDX-License-Identifier: GPL-2.0-or-later
"""Both accelerators run every probe of the bare-metal guest in tests/guest/modes, and see the same.

Where KVM itself runs on QEMU's emulated SVM, its processor is QEMU's idea of one: what that lacks is in
tests/guest/modes/excuses.py, each with the manual that says so.
"""

import os
import sys

from images import cache
from jobs import Died, Ended, Timeout
from vmtest import Skip, kvm_only, lodge_only, modes_guest, needs

sys.path.insert(0, str(cache.TOP / "tests" / "guest" / "modes"))
import excuses  # noqa: E402
import transcript  # noqa: E402

QUIET = 15          # seconds without a line after which a probe hangs
CPU = "EPYC"


def collect_here(vm):
    """What the software CPU sees, on this host: in the first level its own processor would be QEMU's."""
    command = [vm.program_here, "-accel", "tcg", "-cpu", CPU, *transcript.OPTIONS.split(), "-kernel",
               modes_guest(), "-append"]
    return transcript.collect(lambda append: transcript.run_once([*command, append]),
                              keep=cache.root() / "modes-tcg.txt")


def collect_kvm(vm):
    """What KVM sees. A probe may hang the first level as a whole, and the next one runs in another."""
    def start(append):
        job = vm.start(f"-accel kvm -cpu {CPU} {transcript.OPTIONS} -kernel {vm.path('modes/modes.elf')} "
                       f"-append {append}")
        try:
            while job.expect(rf"\n|{transcript.CANNOT.pattern}", QUIET)[0] == "\n":
                pass
            how = "cannot be run"
        except Ended:
            how = "the machine ends"
        except (Died, Timeout):
            how = "hangs"
        try:
            job.kill()
        except (Died, Timeout):
            vm.give_up_place()
        return job.output.replace("\r", ""), how

    return transcript.collect(start, log=lambda text: print(f"      ({text})", flush=True),
                              keep=cache.root() / "modes-kvm.txt")


@needs("modes")
@lodge_only
@kvm_only
def test_both_accelerators_see_the_same_in_every_mode(vm):
    if not os.environ.get("LODGE_LONG"):
        raise Skip("it takes ten minutes; LODGE_LONG=1 lets it run")
    comparison = excuses.compare_nested(collect_here(vm).lines, collect_kvm(vm).lines)
    print(f"      ({comparison})", flush=True)
    assert not comparison.different, "\n".join([str(comparison), *comparison.different])
    assert not comparison.unused, "\n".join(["excuses that excuse nothing:", *comparison.unused])
