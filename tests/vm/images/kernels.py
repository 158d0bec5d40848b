# SPDX-License-Identifier: GPL-2.0-or-later
"""Stock kernels of the distribution, fetched by package name through apt and unpacked into the cache.

Nothing is installed on the host. A kernel is a directory with `vmlinuz`, `config` and `modules/` (whose modules.dep
depmod makes), and a name by which tests ask for it.
"""

import lzma
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from . import cache

# Name -> the package that stands for "the newest of this kind"; it depends on the one that holds the kernel.
PACKAGES = {
    "cloud": "linux-image-cloud-amd64",
    "generic": "linux-image-amd64",
    "cloud-6.12": "linux-image-6.12-cloud-amd64",
}

# Parts of a generic kernel that no virtual machine of ours uses, and that are most of its size.
_SKIPPED = re.compile(r"/kernel/(sound|drivers/(gpu|media|staging|infiniband|bluetooth|isdn|net/(wireless|ethernet)|"
                      r"iio|hid|usb|input/(joystick|touchscreen|tablet)|scsi/(qla|lpfc|bfa)))")


class Kernel:
    """An unpacked kernel package."""

    def __init__(self, name, path):
        self.name = name
        self.path = path
        self.vmlinuz = path / "vmlinuz"
        self.config = path / "config"
        self.release = (path / "release").read_text().strip()
        self._tree = path / "lib/modules" / self.release
        self._by_name = {}
        self._needs = {}
        for line in (self._tree / "modules.dep").read_text().splitlines():
            module, _, needs = line.partition(":")
            self._by_name[_module_name(module)] = module
            self._needs[module] = needs.split()
        self._builtin = {_module_name(m) for m in (self._tree / "modules.builtin").read_text().split()}

    def module_files(self, names):
        """Files of the named modules and of all they need, in the order in which they can be loaded.

        What is built into this kernel, or is not part of it, is left out: the guest finds out what it lacks."""
        order = []

        def add(module):
            if module in order:
                return
            for needed in reversed(self._needs[module]):
                add(needed)
            order.append(module)

        for name in names:
            module = self._by_name.get(name.replace("-", "_"))
            if module:
                add(module)
        return [self._tree / m for m in order]

    def has(self, name):
        name = name.replace("-", "_")
        return name in self._by_name or name in self._builtin


def module_bytes(path):
    """The module as insmod wants it, uncompressed. Returns (file name, contents)."""
    data = path.read_bytes()
    if path.suffix == ".xz":
        return path.stem, lzma.decompress(data)
    if path.suffix == ".zst":
        return path.stem, subprocess.run(["zstd", "-dcq", str(path)], check=True, stdout=subprocess.PIPE).stdout
    return path.name, data


def get(name):
    """The kernel called `name`, fetched on first use. Raises Unavailable where apt does not offer it."""
    marker = cache.root() / "kernels" / name
    if not (marker / "release").exists():
        package = _real_package(PACKAGES[name])
        cache.entry(f"kernels/{name}", lambda path: _fetch(package, path))
    return Kernel(name, marker)


def _module_name(path):
    return Path(path).name.split(".ko")[0].replace("-", "_")


def _real_package(meta):
    listing = cache.run("apt-cache", "depends", "--important", meta)
    found = re.search(r"Depends: (linux-image-\d\S+)", listing)
    if not found:
        raise cache.Unavailable(f"apt offers no package {meta}")
    return found.group(1)


def _fetch(package, path):
    path.mkdir()
    cache.run("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package, cwd=path)
    deb = next(path.glob("*.deb"))
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as unpack:
        with tarfile.open(fileobj=unpack.stdout, mode="r|") as tar:
            for member in tar:
                if member.isfile() and not _SKIPPED.search(member.name):
                    if "/lib/modules/" in member.name or "/boot/" in member.name:
                        member.name = member.name.replace("./usr/lib/", "./lib/")
                        tar.extract(member, path)
    deb.unlink()
    release = next((path / "lib/modules").iterdir()).name
    (path / "release").write_text(release + "\n")
    shutil.move(path / "boot" / f"vmlinuz-{release}", path / "vmlinuz")
    shutil.move(path / "boot" / f"config-{release}", path / "config")
    shutil.rmtree(path / "boot")
    cache.run("depmod", "-b", path, release)
