# SPDX-License-Identifier: GPL-2.0-or-later
"""Domains for a libvirtd of our own: their definition, and what tests wait for."""

import contextlib
import os
import pty
import subprocess
import time
from xml.sax.saxutils import escape

from libvirt import Failed, Libvirtd, lacking
from vmtest import BOOT, QUIET, Skip

UUID = "e7bb2f3d-aefb-40eb-816e-c4d0de27cd09"

# Reads a line from the console, then waits for the power button, which may be any of the input devices.
RUN = ("read line; echo heard $line; for e in /dev/input/event*; do (head -c 1 $e >/dev/null; touch /tmp/k) & done; "
       "while [ ! -e /tmp/k ]; do sleep 0.2; done")

SERIAL_PTY = "<serial type='pty'><log file='{log}'/></serial>"
SERIAL_FILE = "<serial type='file'><source path='{log}'/></serial>"

DOMAIN = """
<domain type='qemu'>
  <name>{name}</name><uuid>{uuid}</uuid>
  <memory unit='MiB'>192</memory>
  {more}
  <vcpu>{vcpus}</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel><initrd>{initrd}</initrd><cmdline>{quiet} {what}</cmdline>
  </os>
  <features>{features}</features>
  <cpu mode='{cpu}'/>
  <devices>
    <emulator>{emulator}</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'{driver}/><source file='{disk}'/><target dev='vda' bus='virtio'/>
    </disk>
    <controller type='usb' model='none'/>
    {serial}
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <memballoon model='virtio'/>
    <video><model type='none'/></video>
    {devices}
  </devices>
</domain>
"""


@contextlib.contextmanager
def libvirt(vm, image="cloud", network=False):
    """A libvirtd with copies of what its domains need."""
    reason = lacking()
    if reason:
        raise Skip(reason)
    with Libvirtd(vm.program_here, network) as daemon:
        daemon.kernel = daemon.copy(vm.path(f"{image}/vmlinuz"), "vmlinuz")
        daemon.initrd = daemon.copy(vm.path(f"{image}/initrd"), "initrd")
        daemon.serial = daemon.top / "serial.log"
        yield daemon


def domain(daemon, name, uuid=UUID, **values):
    """A file with the XML of a domain that has a disk of its own."""
    disk = daemon.top / f"{name}.img"
    with open(disk, "wb") as f:
        f.truncate(16 << 20)
    values = {"run": RUN, "cpu": "maximum", "serial": SERIAL_PTY, "more": "", "driver": "", "features": "<acpi/>",
              "vcpus": 2, "devices": "", "kernel": daemon.kernel} | values
    values["serial"] = values["serial"].format(log=daemon.serial)
    values.setdefault("what", f'run="{values["run"]}"')
    values["what"] = escape(values["what"])
    return daemon.file(f"{name}.xml", DOMAIN.format(name=name, uuid=uuid, disk=disk, initrd=daemon.initrd,
                                                    emulator=daemon.emulator, quiet=QUIET, **values))


def wait_until(condition, what, seconds=BOOT):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"in {seconds} s there was no {what}"
        time.sleep(0.1)


def wait_for_serial(daemon, text, count=1):
    def said():
        return daemon.serial.exists() and daemon.serial.read_text(errors="replace").count(text) >= count
    wait_until(said, f"'{text}' from the guest")


def next_count(daemon):
    """The guest counts on its serial port ("count=1="), and goes on: the number that it reaches next but one."""
    said = daemon.serial.read_text(errors="replace")
    number = int(said.rpartition("count=")[2].partition("=")[0]) if "count=" in said else 0
    wait_for_serial(daemon, f"count={number + 2}=")
    return number + 2


def wait_for_state(daemon, name, state):
    def is_in_state():
        is_in_state.seen = daemon.virsh("domstate", name, "--reason")
        return is_in_state.seen == state
    try:
        wait_until(is_in_state, f"state '{state}'", 30)
    except AssertionError as e:
        raise AssertionError(f"{e}, but '{is_in_state.seen}'") from e


@contextlib.contextmanager
def events(daemon):
    """Collects what virsh hears into a file."""
    path = daemon.top / "events"
    with open(path, "w") as out:
        watcher = subprocess.Popen(daemon.virsh_command("event", "--all", "--loop"), stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=subprocess.STDOUT)
        try:
            yield path
        finally:
            watcher.kill()
            watcher.wait()


def type_at_console(daemon, name, line):
    """`virsh console` wants a terminal."""
    ours, theirs = pty.openpty()
    console = subprocess.Popen(daemon.virsh_command("console", name), stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        heard = b""
        os.set_blocking(ours, False)
        for tenth in range(300):    # it does not say when it is connected
            if tenth % 30 == 5:
                os.write(ours, line + b"\n")
            with contextlib.suppress(BlockingIOError):
                heard += os.read(ours, 65536)
            if b"heard " + line in heard:
                return
            time.sleep(0.1)
        raise AssertionError(f"on the console there was only {heard}")
    finally:
        console.kill()
        console.wait()
        os.close(ours)


def fails(daemon, *arguments):
    """What virsh says when it fails, which it must."""
    try:
        daemon.virsh(*arguments)
    except Failed as e:
        return str(e)
    raise AssertionError(f"virsh {' '.join(arguments)} succeeded")
