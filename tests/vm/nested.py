#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Real KVM where the host has none: a stock Debian kernel as first-level guest, with a /dev/kvm of its own.

The distribution's QEMU emulates an AMD processor with SVM and nested paging in its software CPU. In a first-level
guest on it kvm-amd works, and a VMM run there with `-accel kvm` boots stock kernels. It proves correctness, never
speed: everything runs as translated code, some tens of times slower than on hardware.

As a library: `Nested` boots the first level once and runs any number of jobs in it; a job is a shell script whose
standard streams are a virtio-serial port, so that a test can also talk with it (`Job.expect`, `Job.send`). Several
jobs may run at a time, one per port.

As a program:

    tests/vm/nested.py -- lodge -accel kvm -m 256M -kernel /disk0/cloud/vmlinuz ...   run that in the first level
    tests/vm/nested.py --shell                                                      a shell in the first level

Disk 0 (/disk0) holds the kernels, archives and tools, disk 1 (/disk1) the VMM under test; bin/ of both is in PATH.
"""

import argparse
import base64
import contextlib
import fcntl
import os
import re
import select
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from images import cache, disks, initramfs, kernels  # noqa: E402
from jobs import Died, Job, Result, Timeout, interact  # noqa: E402

PORTS = 5           # one of them is for killing the others' jobs
KILL = 20           # seconds that a first level in good health takes for it
# More first-level guests than processors would push each other past every time limit.
LOCK = "/tmp/lodge-guest-{}.lock"
# What QEMU as the VMM inside needs of its data files, and where the distribution's packages put them.
PEER_DATA = {
    "/usr/share/seabios": ["bios-256k.bin", "bios-microvm.bin", "vgabios-stdvga.bin"],
    "/usr/lib/ipxe/qemu": ["efi-e1000e.rom"],
    "/usr/share/qemu": ["kvmvapic.bin", "linuxboot.bin", "linuxboot_dma.bin", "pvh.bin", "multiboot_dma.bin"],
}


class _PortJob(Job):
    """A job in the first-level guest. The end marker that its agent prints is kept out of the output."""

    def __init__(self, port, number, script, kill, free_ports):
        super().__init__(kill)
        self._free_ports = free_ports
        self.port = port
        self.number = number
        self._raw = b""
        self._done = re.compile(rb"\n@@done %d (\d+) (\d+)\n" % number)
        self._write(b"@@job %d %s\n" % (number, base64.b64encode(script.encode())))

    def fileno(self):
        return self.port.fileno()

    def _write(self, data):
        try:
            self.port.sendall(data)
        except OSError as e:
            raise Died("the first-level guest is gone") from e

    def _read(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.port], [], [], left)[0]:
            return False
        try:
            data = self.port.recv(65536)
        except OSError:
            data = b""
        if not data:
            raise Died("the first-level guest is gone")
        self._raw += data
        m = self._done.search(self._raw)
        if m:
            self._heard(self._raw[:m.start()].decode(errors="replace"))
            self._result = Result(int(m.group(1)), self.output, int(m.group(2)) / 100)
            self._free_ports.append(self.port)
        else:
            # Hold back what may be the beginning of the marker.
            keep = self._raw.rfind(b"\n")
            cut = keep if keep >= 0 and b"\n@@done "[:len(self._raw) - keep] == self._raw[keep:keep + 8] else len(self._raw)
            text, self._raw = self._raw[:cut], self._raw[cut:]
            self._heard(text.decode(errors="replace"))
        return True


class Nested:
    """A first-level guest. A context manager: entering boots it, leaving ends it."""

    def __init__(self, images, program, smp=1, memory_mib=2048, log=None, boot_timeout=240):
        """`images` and `program` are trees (disks.Tree) that appear at /disk0 and /disk1.

        One CPU is the default: with two, QEMU 7.2 lost the whole first level or hung it in one of three runs of a
        guest with two CPUs under disk load; with one, in none of many."""
        self._images = images
        self._program = program
        self._smp = smp
        self._memory_mib = memory_mib
        self._boot_timeout = boot_timeout
        self._log = log or (lambda text: None)
        self._stack = contextlib.ExitStack()
        self._free_ports = []
        self._control = None            # the port of _kill
        self._number = 0
        self.console = None             # path of the console's log
        self.boot_seconds = None

    def __enter__(self):
        try:
            self._boot()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc):
        self._stack.close()

    @staticmethod
    def path(name):
        """Where the file `name` of the tree `images` is for the jobs."""
        return f"/disk0/{name}"

    def writable(self, name):
        """Such a file, for a test that writes to it. What it writes lasts as long as this first level."""
        return self.path(name)

    def start(self, script):
        """Start a shell script; returns the Job."""
        if not self._free_ports:
            raise Died("every port of the first-level guest is busy")
        return self._start(self._free_ports, script)

    def _start(self, ports, script):
        self._number += 1
        return _PortJob(ports.pop(), self._number, script, self._kill, ports)

    def run(self, script, timeout=60):
        """Run a shell script to its end."""
        return self.start(script).wait(timeout)

    def _kill(self, job):
        """What does not answer to this is stuck as a whole, and its control port is never free again."""
        if not self._control:
            raise Died("the first-level guest is stuck")
        killer = self._start(self._control, f"kill -9 -$(cat /tmp/job-{job.number}.pid)")
        if not killer.ends_within(KILL):
            raise Died("the first-level guest is stuck")

    def _boot(self):
        qemu = shutil.which("qemu-system-x86_64")
        if not qemu:
            raise cache.Unavailable("the package qemu-system-x86 is not installed")
        kernel = kernels.get("cloud")
        initrd = initramfs.first_level(kernel)
        drives = []
        for n, (tree, free) in enumerate(((self._images, 4 << 30), (self._program, 64 << 20))):
            path = tree.disk(("images", "program")[n], free)
            drives += ["-drive", f"file={path},format=raw,if=none,id=d{n},snapshot=on,cache=unsafe",
                       "-device", f"virtio-blk-pci,drive=d{n}"]
        self._take_processor()
        work = self._work = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="lodge-nested-")))
        self.console = work / "console"
        ports = []
        for n in range(PORTS):
            ports += ["-chardev", f"socket,id=p{n},path={work}/p{n},server=on,wait=off",
                      "-device", f"virtserialport,chardev=p{n},nr={n + 1},name=job{n}"]
        began = time.monotonic()
        self._qemu = subprocess.Popen(
            [qemu, "-accel", "tcg,thread=multi", "-cpu", "EPYC,+svm,+npt", "-M", "q35", "-m", str(self._memory_mib),
             "-smp", str(self._smp), "-nodefaults", "-display", "none", "-no-reboot",
             "-serial", f"file:{self.console}", "-kernel", kernel.vmlinuz, "-initrd", initrd,
             "-append", "console=ttyS0 quiet mitigations=off tsc=reliable cryptomgr.notests panic=-1",
             *drives, "-device", "virtio-serial-pci,max_ports=16", *ports],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(work / "stderr", "w"),
            env={**os.environ, "TMPDIR": str(cache.root())})
        self._stack.callback(self._end)
        deadline = began + self._boot_timeout
        while "@@level1" not in self._console_text():
            if self._qemu.poll() is not None:
                raise Died(f"the first-level guest ended:\n{self.console_tail()}")
            if time.monotonic() > deadline:
                raise Timeout(f"the first level did not boot in {self._boot_timeout} s:\n{self.console_tail()}")
            time.sleep(0.1)
        for n in range(PORTS):
            port = self._stack.enter_context(socket.socket(socket.AF_UNIX))
            port.connect(f"{work}/p{n}")
            self._free_ports.append(port)
        self._control = [self._free_ports.pop()]
        self.boot_seconds = time.monotonic() - began
        if "@@level1 kvm" not in self._console_text():
            raise Died(f"the first level has no /dev/kvm:\n{self.console_tail()}")

    def _take_processor(self):
        """Hold one of as many locks as there are processors until the end."""
        locks = [self._stack.enter_context(open(LOCK.format(n), "w")) for n in range(os.cpu_count())]
        for lock in locks:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
        self._log("waiting for another first-level guest on this machine to end")
        fcntl.flock(locks[0], fcntl.LOCK_EX)

    def _console_text(self):
        return self.console.read_text(errors="replace") if self.console and self.console.exists() else ""

    def console_tail(self, lines=30):
        """The last lines of the first level's own console and of its QEMU, for a failure's report."""
        said = (self._work / "stderr").read_text(errors="replace") + self._console_text()
        ended = self._qemu.poll()
        if ended is not None:
            said += f"\n(its QEMU ended with status {ended})"
        return "\n".join(said.splitlines()[-lines:])

    def _end(self):
        self._qemu.kill()
        self._qemu.wait()


def peer_tree(tree):
    """Add the distribution's QEMU with its data files, to stand in for the VMM under test."""
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu:
        raise cache.Unavailable("the package qemu-system-x86 is not installed")
    tree.program(qemu)
    for directory, names in PEER_DATA.items():
        for name in names:
            if os.path.exists(f"{directory}/{name}"):
                tree.add(f"share/qemu/{name}", f"{directory}/{name}")
    return tree


def default_images():
    """The stock cloud kernel and its small initramfs as cloud/vmlinuz and cloud/initrd."""
    tree = disks.Tree()
    kernel = kernels.get("cloud")
    tree.add("cloud/vmlinuz", kernel.vmlinuz)
    tree.add("cloud/initrd", initramfs.hello(kernel))
    return tree


def main():
    parser = argparse.ArgumentParser(description="Run a VMM with -accel kvm inside an emulated host that has KVM.")
    parser.add_argument("--lodge", metavar="FILE", help="the VMM under test (default: build/lodge, if it is there)")
    parser.add_argument("--peer", action="store_true", help="carry the distribution's QEMU too")
    parser.add_argument("--add", metavar="NAME=FILE", action="append", default=[], help="carry FILE as /disk1/NAME")
    parser.add_argument("--program", metavar="FILE", action="append", default=[], help="carry a program and its libraries")
    parser.add_argument("--shell", action="store_true", help="an interactive shell in the first level")
    parser.add_argument("--smp", type=int, default=1, help="CPUs of the first level")
    parser.add_argument("--memory", metavar="MIB", type=int, default=2048)
    parser.add_argument("--timeout", metavar="S", type=float, default=600)
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- and a command line")
    args = parser.parse_args()
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command and not args.shell:
        parser.error("give '-- COMMAND' or --shell")

    tree = disks.Tree()
    tree.directory("bin")
    lodge = args.lodge or cache.TOP / "build" / "lodge"
    if os.path.exists(lodge):
        tree.program(lodge, "lodge")
    elif args.lodge:
        parser.error(f"there is no {lodge}")
    for program in args.program:
        tree.program(shutil.which(program) or program)
    if args.peer:
        peer_tree(tree)
    for item in args.add:
        name, _, path = item.partition("=")
        tree.add(name, path)

    def say(text):
        print(f"nested: {text}", file=sys.stderr)

    try:
        say("booting the first level")
        with Nested(default_images(), tree, args.smp, args.memory, say) as nested:
            say(f"up after {nested.boot_seconds:.1f} s")
            if args.shell:
                say("Ctrl-] leaves")
                interact(nested.start("exec setsid sh -i 2>&1" if not command else shlex.join(command)))
                return 0
            job = nested.start(shlex.join(command))
            job.echo = lambda text: (sys.stdout.write(text), sys.stdout.flush())
            result = job.wait(args.timeout)
            say(f"exit status {result.status} after {result.seconds:.1f} s")
            return result.status
    except (cache.Unavailable, Died, Timeout) as e:
        say(e)
        return 1


if __name__ == "__main__":
    sys.exit(main())
