# SPDX-License-Identifier: GPL-2.0-or-later
"""Initramfs archives: static busybox, modules in loading order, programs with their libraries, and an /init.

The archive is written here (cpio "newc", as Documentation/driver-api/early-userspace/buffer-format describes it),
uncompressed, since unpacking costs more than reading in an emulated guest, and with fixed times, so that equal
contents make equal files.
"""

import os
import re
import stat
import subprocess
from pathlib import Path

from . import cache, kernels

GUEST = Path(__file__).parent / "guest"
BUSYBOX = Path("/bin/busybox")

# What a guest of any of our machines may want; a kernel that lacks one goes without.
GUEST_MODULES = ["virtio_pci", "virtio_mmio", "virtio_blk", "virtio-rng", "virtio_console", "virtio_balloon", "ext4",
                 "crc32c_generic", "pvpanic-mmio", "pvpanic-pci", "evdev", "button", "rtc-cmos"]
# What tests with a NIC load: others do not pay for it.
NETWORK_MODULES = ["virtio_net", "e1000", "e1000e", "8021q", "af_packet"]
# What the first level needs besides: KVM on an emulated AMD processor, and network backends.
HOST_MODULES = ["irqbypass", "ccp", "kvm", "kvm-amd", "kvm-intel", "tun", "vhost_net", "virtio_net"]


class Initramfs:
    """Collects entries; `write` makes the archive."""

    def __init__(self):
        self._entries = {}
        for d in ("dev", "proc", "sys", "tmp", "run", "mnt", "etc", "root"):
            self.directory(d)
        self._add("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1))

    def _add(self, name, mode, data, rdev=(0, 0)):
        name = name.strip("/")
        parent = os.path.dirname(name)
        if parent and parent not in self._entries:
            self.directory(parent)
        self._entries[name] = (mode, data, rdev)

    def directory(self, name):
        self._add(name, stat.S_IFDIR | 0o755, b"")

    def text(self, name, text, mode=0o644):
        self._add(name, stat.S_IFREG | mode, text.encode())

    def file(self, name, source, mode=None):
        source = Path(source)
        self._add(name, stat.S_IFREG | (mode or stat.S_IMODE(source.stat().st_mode)), source.read_bytes())

    def link(self, name, target):
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def busybox(self, program=None):
        """Static busybox, the host's if no other is given, and all its commands."""
        if not BUSYBOX.exists():
            raise cache.Unavailable("the package busybox-static is not installed")
        self.file("bin/busybox", program or BUSYBOX, 0o755)
        for applet in cache.run(BUSYBOX, "--list").split():
            if applet != "busybox":
                self.link(f"bin/{applet}", "busybox")
        self.link("sbin", "bin")

    def modules(self, kernel, names, order_file="order"):
        """The named modules and what they need, and the list that they are loaded by; /init's is "order"."""
        order = []
        for path in kernel.module_files(names):
            name, data = kernels.module_bytes(path)
            self._add(f"modules/{name}", stat.S_IFREG | 0o644, data)
            order.append(name)
        self.text(f"modules/{order_file}", "".join(f"{m}\n" for m in order))

    def identity(self):
        """The hash of the contents."""
        return cache.digest(*(f"{n} {m:o} {r} ".encode() + d for n, (m, d, r) in sorted(self._entries.items())))

    def write(self, path):
        with open(path, "wb") as out:
            for inode, (name, (mode, data, rdev)) in enumerate(sorted(self._entries.items()), 1):
                _write_entry(out, inode, name, mode, data, rdev)
            _write_entry(out, 0, "TRAILER!!!", 0, b"", (0, 0))

    def cached(self, name):
        """Path of this archive in the cache."""
        return cache.entry(f"initramfs/{name}-{self.identity()}.cpio", self.write)


def _write_entry(out, inode, name, mode, data, rdev):
    raw = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, rdev[0], rdev[1], len(raw), 0)
    header = b"070701" + b"".join(b"%08X" % f for f in fields) + raw
    out.write(header + bytes(-len(header) % 4) + data + bytes(-len(data) % 4))


def libraries(program):
    """Shared libraries of a program, as a list of (name it asks for, file on the host); loader included."""
    done = subprocess.run(["ldd", str(program)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        if "not a dynamic executable" in done.stdout:
            return []
        raise cache.Unavailable(f"ldd {program}: {done.stdout.strip()}")
    found = []
    for line in done.stdout.splitlines():
        if "not found" in line:
            raise cache.Unavailable(f"{program} needs a library that is not installed:{line.rstrip()}")
        m = re.match(r"\s*(?:(\S+) => )?(/\S+) \(0x", line)
        if m:
            found.append((os.path.basename(m.group(1) or m.group(2)), os.path.realpath(m.group(2))))
    return found


def _hello(kernel):
    image = Initramfs()
    image.busybox(kernel.busybox)
    image.modules(kernel, GUEST_MODULES)
    image.modules(kernel, NETWORK_MODULES, "network")
    image.modules(kernel, ["pktgen"], "pktgen")
    image.modules(kernel, ["i6300esb"], "watchdog")
    image.file("init", GUEST / "init-hello", 0o755)
    for script in sorted((GUEST / "scripts").glob("*.sh")):
        image.file(f"scripts/{script.stem}", script, 0o755)
    return image


def hello(kernel):
    """The guest that most tests boot: loads virtio modules, says that it is ready, runs what it is told, powers off.

    guest/init-hello describes its command line."""
    return _hello(kernel).cached(f"hello-{kernel.name}")


def agent(kernel):
    """The same with the stock guest agent, which script=agent starts."""
    image = _hello(kernel)
    program = kernels.package_file("qemu-guest-agent", "usr/sbin/qemu-ga")
    image.file("bin/qemu-ga", program, 0o755)
    for library, path in libraries(program):
        image.file(f"lib64/{library}" if library.startswith("ld-linux") else f"lib/{library}", path, 0o755)
    return image.cached(f"agent-{kernel.name}")


def clocks(kernel):
    """The same with a program that watches clocks, which script=clocks starts."""
    image = _hello(kernel)
    source = GUEST / "clocks.c"
    program = cache.entry(f"clocks/{cache.digest(source.read_bytes())}",
                          lambda path: cache.run("gcc", "-O2", "-static", "-o", path, source))
    image.file("bin/clocks", program, 0o755)
    return image.cached(f"clocks-{kernel.name}")


def first_level(kernel):
    """The first level of nesting: KVM, disks with programs and images, and a shell per port for the test."""
    image = Initramfs()
    image.busybox()
    image.modules(kernel, ["pktgen"], "pktgen")
    image.modules(kernel, ["i6300esb"], "watchdog")
    image.modules(kernel, GUEST_MODULES + HOST_MODULES)
    image.file("init", GUEST / "init-nested", 0o755)
    image.file("bin/job-agent", GUEST / "job-agent", 0o755)
    return image.cached(f"nested-{kernel.name}")
