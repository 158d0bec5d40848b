# SPDX-License-Identifier: GPL-2.0-or-later
"""Stock kernels of the distribution, fetched by package name through apt and unpacked into the cache.

Nothing is installed on the host. A kernel is a directory with `vmlinuz`, `config` and `modules/` (whose modules.dep
depmod makes), and a name by which tests ask for it.
"""

import contextlib
import lzma
import re
import shutil
import struct
import subprocess
import tarfile
from pathlib import Path

from . import cache

# Name -> the package that stands for "the newest of this kind"; it depends on the one that holds the kernel.
PACKAGES = {
    "cloud": "linux-image-cloud-amd64",
    "generic": "linux-image-amd64",
    "cloud-6.12": "linux-image-6.12-cloud-amd64",
    "pae": "linux-image-686-pae",
}

# Kernels of another architecture than the host's; they bring a busybox of theirs.
ARCHITECTURES = {"pae": "i386"}

# Parts of a generic kernel that no virtual machine of ours uses, and that are most of its size.
_SKIPPED = re.compile(r"/kernel/(sound|drivers/(gpu|media|staging|infiniband|bluetooth|isdn|"
                      r"net/(wireless|ethernet(?!/intel/e1000e?/))|"
                      r"iio|hid|usb|input/(joystick|touchscreen|tablet)|scsi/(qla|lpfc|bfa)))")


class Kernel:
    """An unpacked kernel package."""

    def __init__(self, name, path):
        self.name = name
        self.path = path
        self.vmlinuz = path / "vmlinuz"
        self.config = path / "config"
        self.busybox = path / "busybox" if name in ARCHITECTURES else None
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
    entry = f"kernels/{name}-{cache.digest(_SKIPPED.pattern)}"
    marker = cache.root() / entry
    if not (marker / "release").exists():
        architecture = ARCHITECTURES.get(name)
        package = _real_package(PACKAGES[name], architecture)
        cache.entry(entry, lambda path: _fetch(package, architecture, path))
    return Kernel(name, marker)


def unpacked(kernel):
    """The ELF image in a bzImage that is packed with xz (Documentation/arch/x86/boot.rst): to unpack it takes a software CPU
    longer than all that follows."""
    def build(path):
        image = kernel.vmlinuz.read_bytes()
        setup_sectors = image[0x1f1]
        offset, length = struct.unpack_from("<II", image, 0x248)
        packed = image[(1 + setup_sectors) * 512 + offset:][:length]
        try:
            path.write_bytes(lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(packed))
        except lzma.LZMAError as e:
            raise cache.Unavailable(f"kernel {kernel.release} is not packed with xz: {e}") from e
    return cache.entry(f"kernels/{kernel.path.name}-{kernel.release}.elf", build)


def _apt(architecture):
    """Options that make apt speak of packages of another architecture, by lists of its own. None: the host's."""
    if not architecture:
        return []
    place = cache.root() / f"apt-{architecture}"
    options = [f"-oAPT::Architecture={architecture}", f"-oAPT::Architectures={architecture}",
               f"-oDir::State={place}/state", "-oDir::State::status=/dev/null", f"-oDir::Cache={place}/cache",
               "-oAPT::Sandbox::User=root"]

    def update(path):
        for part in ("state/lists/partial", "cache/archives/partial"):
            (path / part).mkdir(parents=True)
        moved = [o.replace(str(place), str(path)) for o in options]
        with contextlib.suppress(cache.Unavailable):  # of one list; the package may be in another
            cache.run("apt-get", "-q", *moved, "update")

    cache.entry(place.name, update)
    return options


def _module_name(path):
    return Path(path).name.split(".ko")[0].replace("-", "_")


def _real_package(meta, architecture):
    listing = cache.run("apt-cache", *_apt(architecture), "depends", "--important", meta)
    found = re.search(r"Depends: (linux-image-\d\S+)", listing)
    if not found:
        raise cache.Unavailable(f"apt offers no package {meta}")
    return found.group(1)


def package_file(package, name):
    """One file of a package of the host's architecture."""
    def fetch(path):
        place = path.with_name(path.name + ".files")
        place.mkdir()
        try:
            _unpack(package, None, place, lambda member: member == f"./{name}")
            shutil.move(place / name, path)
        finally:
            shutil.rmtree(place)
    return cache.entry(f"programs/{Path(name).name}", fetch)


def _unpack(package, architecture, path, wanted):
    """The package's files whose member `wanted` accepts, under path."""
    cache.run("apt-get", "-q", *_apt(architecture), "-oAPT::Sandbox::User=root", "download", package, cwd=path)
    deb = next(path.glob("*.deb"))
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as unpack:
        with tarfile.open(fileobj=unpack.stdout, mode="r|") as tar:
            for member in tar:
                if member.isfile() and wanted(member.name):
                    member.name = member.name.replace("./usr/lib/", "./lib/")
                    tar.extract(member, path)
    deb.unlink()


def _fetch(package, architecture, path):
    path.mkdir()
    _unpack(package, architecture, path,
            lambda name: ("/lib/modules/" in name or "/boot/" in name) and not _SKIPPED.search(name))
    if architecture:
        _unpack("busybox-static", architecture, path, lambda name: name.endswith("/busybox"))
        shutil.move(next(path.glob("**/bin/busybox")), path / "busybox")
    release = next((path / "lib/modules").iterdir()).name
    (path / "release").write_text(release + "\n")
    shutil.move(path / "boot" / f"vmlinuz-{release}", path / "vmlinuz")
    shutil.move(path / "boot" / f"config-{release}", path / "config")
    shutil.rmtree(path / "boot")
    cache.run("depmod", "-b", path, release)
