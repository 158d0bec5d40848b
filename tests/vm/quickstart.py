# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of ./quickstart after the build: a stock Debian kernel, an initramfs, and a guest that shows itself."""

import os
import re
import shlex
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import direct  # noqa: E402
from images import cache, disks, initramfs, kernels  # noqa: E402
from jobs import Died, Timeout, interact  # noqa: E402

LODGE = cache.TOP / "build" / "lodge"
TCG_WORDS = """\
      This machine has no hardware virtualization that a guest could use{why}.
      So lodge runs the guest on a processor of its own, in software: a few tens of times slower than on hardware."""


def say(text):
    print(text, flush=True)


class Screen:
    """The guest's console, without the marks that its /init sets for tests; they may come in pieces."""

    def __init__(self):
        self._held = ""

    def show(self, text):
        text = re.sub(r"@@(ready|exit \d+)\r?\n", "", self._held + text)
        start = text.rfind("\n") + 1
        self._held = text[start:] if text[start:].startswith("@") else ""
        sys.stdout.write(text[:start] if self._held else text)
        sys.stdout.flush()


def why_no_kvm():
    flags = Path("/proc/cpuinfo").read_text()
    if " vmx" not in flags and " svm" not in flags:
        return " (neither vmx nor svm in /proc/cpuinfo)"
    if not os.path.exists("/dev/kvm"):
        return " (no /dev/kvm; the module kvm_intel or kvm_amd may not be loaded)"
    return " (/dev/kvm cannot be opened; join the group kvm, or run this as root)"


def main():
    shell = "--shell" in sys.argv
    peer = "--peer" in sys.argv
    began = float(os.environ.get("QUICKSTART_BEGAN", time.time()))

    say("[3/4] A stock Debian kernel and an initramfs with busybox")
    kernel = kernels.get("cloud")
    initrd = initramfs.hello(kernel)
    say(f"      {kernel.release}, {initrd.stat().st_size >> 10} KiB of initramfs")
    images = disks.Tree()
    images.add("vmlinuz", kernel.vmlinuz)
    images.add("initrd", initrd)

    on_hardware = direct.usable_kvm()
    accel = ["-accel", "kvm", "-cpu", "host"] if on_hardware else ["-accel", "tcg", "-cpu", "max"]
    vmm = "qemu-system-x86_64" if peer else "lodge"
    say(f"[4/4] Booting it with {vmm} {shlex.join(accel[:2])}")
    if not on_hardware:
        say(TCG_WORDS.format(why=why_no_kvm()))
    with direct.Direct(images, disks.Tree()) as place:
        options = [*accel, "-M", "q35", "-m", "512M", "-nographic", "-no-reboot",
                   "-kernel", place.path("vmlinuz"), "-initrd", place.path("initrd"),
                   "-append", "console=ttyS0" + (" shell" if shell else "")]
        say(f"\n$ {shlex.join([vmm, *options])}\n")
        guest_began = time.monotonic()
        job = place.start(f"exec {shlex.join([vmm if peer else str(LODGE), *options])}")
        if shell:
            result = interact(job)
            if result is None:
                return 0
        else:
            job.echo = Screen().show
            result = job.wait(600)
        seconds = time.monotonic() - guest_began
    # A shell may end by 'exit' or by 'poweroff -f'.
    mark = "reboot: Power down" if shell else "@@exit 0"
    if result.status or mark not in result.output:
        say(f"\nThe guest did not get to its end; {vmm} exited with status {result.status}.")
        return 1
    say(f"\nThe guest powered off {seconds:.1f} s after its start; quickstart took {time.time() - began:.0f} s in all.")
    if not shell:
        say("""
Go on with:
  ./quickstart --shell          a shell in this guest, on its serial console
  build/lodge -help             every option; 'man lodge' says more
  ./check                       the tests""")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (cache.Unavailable, Died, Timeout) as e:
        say(f"\nquickstart: {e}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
