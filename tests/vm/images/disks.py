# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk images: trees of host files for the first level, and a full Debian with systemd. All are raw ext4 without a
partition table, made by `mke2fs -d`, so that no loop mount and no privilege beyond reading the sources is needed."""

import os
import shutil
from pathlib import Path

from . import cache, initramfs

MIB = 1 << 20


class Tree:
    """Host files under the names that they shall have on a disk."""

    def __init__(self):
        self._files = {}
        self._empty = []

    def add(self, name, source):
        self._files[name] = os.path.realpath(source)

    def directory(self, name):
        self._empty.append(name)

    def program(self, source, name=None):
        """A program under bin/, its libraries under lib/."""
        source = Path(source)
        self.add(f"bin/{name or source.name}", source)
        for library, path in initramfs.libraries(source):
            self.add(f"lib/{library}", path)

    def module(self, source, directory):
        """A module that a program loads by itself, and its libraries under lib/."""
        self.add(f"{directory}/{source.name}", source)
        for library, path in initramfs.libraries(source):
            self.add(f"lib/{library}", path)

    def disk(self, kind, free=64 * MIB):
        """Path of an ext4 image with this tree, made where the cache has none; `free` bytes stay for the guest."""
        recipe = [f"{n} {cache.file_identity(s)}" for n, s in sorted(self._files.items())]
        path = cache.entry(f"disks/{kind}-{cache.digest(free, *self._empty, *recipe)}.raw",
                           lambda partial: self._build(partial, free))
        os.utime(path)
        cache.prune(f"disks/{kind}-*.raw", keep=3)
        return path

    def link_into(self, directory):
        """The same names as symbolic links, for use on this host."""
        directory.mkdir()
        for name in self._empty:
            (directory / name).mkdir(parents=True)
        for name, source in self._files.items():
            if not name.startswith(("lib/", "share/")):
                (directory / name).parent.mkdir(parents=True, exist_ok=True)
                (directory / name).symlink_to(source)

    def _build(self, path, free):
        staging = path.with_name(path.name + ".tree")
        shutil.rmtree(staging, ignore_errors=True)
        try:
            total = 0
            for name in self._empty:
                (staging / name).mkdir(parents=True)
            staging.mkdir(parents=True, exist_ok=True)
            for name, source in self._files.items():
                target = staging / name
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(source, target)
                except OSError:
                    cache.run("cp", "--sparse=always", "-p", source, target)
                total += os.stat(source).st_blocks * 512
            make_ext4(path, staging, total * 9 // 8 + free + 16 * MIB)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def make_ext4(path, tree, size):
    """A sparse ext4 image of `size` bytes that holds the directory `tree`."""
    cache.run("mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-E", "root_owner=0:0",
              "-d", tree, path, f"{(size + MIB - 1) // MIB}M")


def blank(name, size):
    """A sparse file of zeros."""
    def build(path):
        with open(path, "wb") as f:
            f.truncate(size)
    return cache.entry(f"disks/blank-{name}-{size}.raw", build)


# The full Debian. A change of anything here makes a new image.
DEBIAN_PACKAGES = ["systemd-sysv", "udev", "dbus", "kmod", "iproute2", "procps", "pciutils", "e2fsprogs",
                   "initramfs-tools", "zstd", "linux-image-cloud-amd64"]
DEBIAN_SIZE = 700 * MIB
DEBIAN_FILES = {
    "etc/hostname": "guest\n",
    "etc/hosts": "127.0.0.1 localhost guest\n",
    "etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
    # Tests type at a root shell on whichever serial or virtio console the kernel was given.
    "etc/systemd/system/serial-getty@.service.d/autologin.conf":
        "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200 - $TERM\n",
    # An emulated guest is slow; its units are not at fault.
    "etc/systemd/system.conf.d/patience.conf": "[Manager]\nDefaultTimeoutStartSec=600\nDefaultTimeoutStopSec=300\n",
    "root/.profile": "PS1='guest# '\nexport TERM=dumb\n",
}


class Debian:
    """The directory of a built Debian: its disk, the kernel and the initrd that its own packages made, its files."""

    def __init__(self, path):
        self.disk = path / "disk.raw"
        self.vmlinuz = path / "vmlinuz"
        self.initrd = path / "initrd.img"
        self.tree = path / "tree"       # only where it was asked for


def debian(packages=DEBIAN_PACKAGES, size=DEBIAN_SIZE, keep_tree=False):
    """A full Debian of the host's release with systemd, root without a password, a shell on the serial console."""
    suite = _suite()
    recipe = cache.digest(suite, packages, size, keep_tree, sorted(DEBIAN_FILES.items()), Path(__file__).read_bytes())
    return Debian(cache.entry(f"debian/{suite}-{recipe}",
                              lambda path: _build_debian(path, suite, packages, size, keep_tree)))


def _suite():
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    raise cache.Unavailable("/etc/os-release names no release of Debian")


def _build_debian(path, suite, packages, size, keep_tree):
    path.mkdir()
    tree = path / "tree"
    quiet = [f"--dpkgopt=path-exclude=/usr/share/{d}/*" for d in ("man", "doc", "locale", "info", "i18n", "zoneinfo")]
    cache.run("mmdebstrap", "--quiet", "--variant=minbase", "--mode=root" if os.geteuid() == 0 else "--mode=unshare",
              *quiet, "--aptopt=Apt::Install-Recommends false", f"--include={','.join(packages)}", suite, tree)
    for name, text in DEBIAN_FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    cache.run("chroot", tree, "passwd", "-d", "root")
    cache.run("chroot", tree, "systemctl", "enable", "serial-getty@ttyS0.service")
    for name in ("vmlinuz", "initrd.img"):
        kernel = next((tree / "boot").glob(name + "-*"))
        shutil.copy(kernel, path / name)
    for clutter in list((tree / "var/cache/apt").glob("*.bin")) + list((tree / "var/lib/apt/lists").glob("*_*")):
        clutter.unlink()
    cache.run("mke2fs", "-q", "-F", "-t", "ext4", "-m", "1", "-L", "debian", "-d", tree, path / "disk.raw",
              f"{size // MIB}M")
    if not keep_tree:
        shutil.rmtree(tree)
