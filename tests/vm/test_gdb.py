# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's gdb in a guest that KVM runs as on hardware: registers, memory, steps, threads.

gdb runs on this host, where the symbols are, and the server's bytes come through the standard streams of the VMM. Its
breakpoints are not set: QEMU's software CPU, below an emulated host, knows none in a guest of SVM. tests/guest/debug.py
sets them, on the software CPU and on this host's own /dev/kvm.
"""

import contextlib
import select
import shutil
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

from vmtest import Skip, kvm_only, lodge_only, needs

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "guest"))
import debug  # noqa: E402

PATIENCE = 300

# (command, what its output must contain)
SESSION = [
    ("target remote {socket}", r"pvh_entry"),
    ("info registers cr0 cs", r"cr0 +0x[0-9a-f]*1 .*PE"),
    ("info threads", r"CPU#0 \[running\][\s\S]*CPU#1 \[halted\]"),
    ("stepi 10", r"enable_long_mode|rdmsr"),
    ("print/x $efer", r"= 0x0\b"),
    ("stepi 30", r"0x[0-9a-f]+|return"),
    ("print $efer", r"LMA"),
    ("print/x $cs", r"= 0x8\b"),
    ("backtrace", r"console_init[\s\S]*guest_main"),
    ("print $rbx = 0x1122334455667788", r"= 1234605616436508552"),
    ("print $xmm1.v2_int64[1] = 7", r"= 7\b"),
    ("stepi", r""),
    ("print $xmm1.v2_int64[1]", r"= 7\b"),
    ("print/x $rbx", r"= 0x1122334455667788"),
    ("print cpus_wanted = 77", r"= 77\b"),
    ("print cpus_wanted", r"= 77\b"),
    ("print cpus_wanted = 1", r"= 1\b"),
    ("thread 2", r"Switching to thread 2"),
    ("print/x $cs", r"= 0xf000\b"),
    ("monitor info status", r"paused"),
    ("thread 1", r"Switching to thread 1"),
    ("print *(int *)0xffff800000000000", r"Cannot access memory"),
    ("continue", r"exited with code 041"),  # what isa-debug-exit makes of the guest's 0x10
]


class Bridge(threading.Thread):
    """Joins the first client of a socket and a job's streams, until the job ends."""

    def __init__(self, path, job):
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.job = job
        self.start()

    def run(self):
        client, _ = self.listener.accept()
        self.job.echo = lambda text: client.sendall(text.encode())
        wanted = [self.job, client]
        with contextlib.suppress(OSError):
            while not self.job._result:
                for ready in select.select(wanted, [], [], 1)[0]:
                    if ready is self.job:
                        self.job._read(time.monotonic() + 1)
                    else:
                        typed = client.recv(4096)
                        self.job.send(typed)
                        wanted = wanted if typed else [self.job]
        client.close()
        self.listener.close()


@needs()
@lodge_only
@kvm_only
def test_gdb_debugs_a_guest_on_kvm(vm):
    if not shutil.which("gdb"):
        raise Skip("this host has no gdb")
    guest = Path(vm.program_here).parent / "tests/guest/guest.elf"
    if not guest.exists() or vm.place.run("command -v guest.elf").status != 0:
        raise Skip("guest.elf is not built; it stands beside a lodge that is built with tests")
    job = vm.start("-accel kvm -M q35 -cpu qemu64 -m 128M -smp 2 -nodefaults -display none -kernel $(command -v guest.elf) "
                   "-append cpus=2 -device virtio-rng-pci -device isa-debug-exit,iobase=0xf4,iosize=4 -S -gdb stdio "
                   "2>/dev/null")
    with tempfile.TemporaryDirectory(prefix="lodge-gdb-") as directory:
        bridge = Bridge(f"{directory}/gdb", job)
        output = debug.talk(str(guest), SESSION, f"{directory}/gdb", PATIENCE)
        bridge.join(60)
    assert debug.check(SESSION, output), output
    assert job.wait(60).status == 0x21
