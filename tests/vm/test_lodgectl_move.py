# SPDX-License-Identifier: GPL-2.0-or-later
"""lodgectl moves a domain between two hosts, which are two pairs of folders and something that stands for ssh, and has
it go on from a managed save: its guest counts on, on a disk that it takes along."""

import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from vmtest import BOOT, QUIET, lodge_only, needs, tcg_only

# It is the line of a kernel, which knows at most 32 words that are none of its own.
COUNT = "i=0; while :; do i=$((i + 1)); echo $i >/dev/vda; echo count=$i=; sleep 0.1; done"

DEFINITION = """
[machine]
  type = "q35"
  kernel = "{kernel}/vmlinuz"
  initrd = "{kernel}/initrd"
  append = "{quiet} run={run}"
[accel]
  accel = "tcg"
[memory]
  size = "192M"
[drive]
  if = "virtio"
  format = "raw"
  file = "{folder}/disk"
[chardev "serial"]
  backend = "file"
  path = "{folder}/serial"
  append = "on"
[device]
  driver = "isa-serial"
  chardev = "serial"
"""

SSH = """#!/bin/sh
# ssh HOST lodgectl migrate-receive
shift
export LODGE_RUNTIME_DIR={folder}/$OTHER/run LODGE_CONFIG_DIR={folder}/$OTHER
exec {program} "$2"
"""


class Host:
    def __init__(self, folder, lodge, name, other):
        self.program = str(Path(lodge).parent / "lodgectl")
        self.environment = os.environ | {"LODGE": lodge, "LODGE_SSH": f"{folder}/ssh", "OTHER": other,
                                         "LODGE_RUNTIME_DIR": f"{folder}/{name}/run",
                                         "LODGE_CONFIG_DIR": f"{folder}/{name}"}

    def ctl(self, *words):
        result = subprocess.run([self.program, *words], env=self.environment, capture_output=True, text=True,
                                stdin=subprocess.DEVNULL, timeout=BOOT)
        assert result.returncode == 0, f"lodgectl {' '.join(words)}: {result.stderr}"
        return result.stdout


def counted(serial, least):
    """The numbers so far, of which there are to be at least so many."""
    end = time.monotonic() + BOOT
    while True:
        said = serial.read_text() if serial.exists() else ""
        numbers = [int(n) for n in re.findall("count=([0-9]+)=", said)]
        if len(numbers) >= least:
            return numbers
        assert time.monotonic() < end, f"the guest said only {said}"
        time.sleep(0.1)


@needs("cloud")
@lodge_only
@tcg_only
def test_lodgectl_moves_a_guest_there_and_back_and_goes_on_from_a_managed_save(vm):
    with tempfile.TemporaryDirectory(prefix="lodge-") as name:
        folder = Path(name)
        one, other = (Host(folder, vm.program_here, *pair) for pair in (("one", "other"), ("other", "one")))
        ssh, serial, definition = folder / "ssh", folder / "serial", folder / "guest.conf"
        ssh.write_text(SSH.format(folder=folder, program=one.program))
        ssh.chmod(0o755)
        (folder / "disk").write_bytes(bytes(1 << 20))
        definition.write_text(DEFINITION.format(folder=folder, kernel=vm.path("cloud"), quiet=QUIET, run=COUNT))
        try:
            one.ctl("define", str(definition))
            one.ctl("start", "guest")
            seen = len(counted(serial, 3))
            for source, target in ((one, other), (other, one)):
                assert "could move" in source.ctl("migrate", "guest", "ssh://host", "--check")
                source.ctl("migrate", "guest", "ssh://host", "--persistent", "--undefinesource")
                assert not source.ctl("list", "--all", "--name").strip()
                seen = len(counted(serial, seen + 3))
            one.ctl("managedsave", "guest")
            one.ctl("start", "guest")
            numbers = counted(serial, seen + 3)
            assert numbers == list(range(1, len(numbers) + 1)), f"the guest counted {numbers}"
        finally:
            for host in one, other:
                for running in host.ctl("list", "--name").split():
                    host.ctl("destroy", running)
