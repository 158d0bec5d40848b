# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian with programs of many kinds, a disk of scripts that run them (guest/programs), and what they print here.

The host's answers come from the same tree of files, in a chroot: any difference is the guest's processor. The tree
stays in the cache, so that a changed script needs no new Debian.
"""

import os
from pathlib import Path

from . import cache, disks

SCRIPTS = Path(__file__).parent / "guest" / "programs"
PACKAGES = disks.DEBIAN_PACKAGES + ["bc", "bzip2", "gcc", "libc6-dev", "nodejs", "openssl", "perl", "python3",
                                    "sqlite3", "xz-utils"]
SIZE = 1100 * disks.MIB


class Programs:
    """A Debian, the disk of scripts for it, and the file with what they must print."""

    def __init__(self, debian, path):
        self.debian = debian
        self.scripts = path / "scripts.raw"
        self.answers = path / "answers"


def programs():
    debian = disks.debian(PACKAGES, SIZE, keep_tree=True)
    scripts = [p.read_bytes() for p in sorted(SCRIPTS.iterdir())]
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")][0]
    recipe = cache.digest(debian.tree, cpu, Path(__file__).read_bytes(), *scripts)
    return Programs(debian, cache.entry(f"disks/programs-{recipe}", lambda path: _build(path, debian.tree)))


def _build(path, tree):
    if os.geteuid():
        raise cache.Unavailable("only root can run the programs of another Debian")
    path.mkdir()
    disks.make_ext4(path / "scripts.raw", SCRIPTS, 4 * disks.MIB)
    answers = cache.run("unshare", "--mount", "--pid", "--fork", "sh", "-ec",
                        'mount --bind "$1" "$2/mnt"; mount -t proc proc "$2/proc"; mount --bind /dev "$2/dev"; '
                        'exec chroot "$2" env -i PATH="$PATH" sh /mnt/run.sh /mnt', "-", SCRIPTS, tree)
    if not answers.endswith("== end\n"):
        raise cache.Unavailable(f"the programs ended early on this host: {answers[-200:]}")
    (path / "answers").write_text(answers)
