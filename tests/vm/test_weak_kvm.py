# SPDX-License-Identifier: GPL-2.0-or-later
"""A host whose /dev/kvm emulates ring 0: a Linux that was made for it still boots, directly on this host.

LODGE_WEAK_KVM_GUEST names a directory with `vmlinux` or `vmlinux.xz` (ELF with a PVH note) and `initrd-min.cpio`.
"""

import lzma
import os
from pathlib import Path

from images import cache
from vmtest import Skip, needs, on_host

APPEND = ("console=ttyS0 nokaslr no_timer_check tsc=reliable rodata=off random.trust_cpu=on loglevel=4 "
          "clearcpuid=smap,smep,cx16,xsave,fsgsbase,pcid,invpcid,popcnt,rdtscp,erms,fsrm")


@needs()
@on_host
def test_linux_made_for_it_reaches_user_space(vm):
    directory = os.environ.get("LODGE_WEAK_KVM_GUEST")
    if not directory:
        raise Skip("LODGE_WEAK_KVM_GUEST names no guest for a weak /dev/kvm")
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise Skip("this host has no usable /dev/kvm")
    kernel = Path(directory) / "vmlinux"
    if not kernel.exists():
        packed = Path(directory) / "vmlinux.xz"
        kernel = cache.entry(f"weak-kvm/vmlinux-{cache.digest(cache.file_identity(packed))}",
                             lambda path: path.write_bytes(lzma.decompress(packed.read_bytes())))
    job = vm.start(f"-accel kvm -cpu qemu64 -M q35 -m 256M -nodefaults -nographic -serial stdio -no-reboot "
                   f"-kernel {kernel} -initrd {directory}/initrd-min.cpio -append '{APPEND}'")
    job.expect("HELLO FROM GUEST", 400)
