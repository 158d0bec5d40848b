# SPDX-License-Identifier: GPL-2.0-or-later
"""A stock libvirt drives domains of type qemu, with the VMM under test as their emulator."""

import contextlib
import os
import pty
import subprocess
import time
from pathlib import Path
from xml.sax.saxutils import escape

from libvirt import Failed, Libvirtd, lacking
from vmtest import BOOT, Skip, lodge_only, needs, one_at_a_time, tcg_only

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
  <vcpu>2</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel><initrd>{initrd}</initrd><cmdline>console=ttyS0 quiet quiet-init run="{run}"</cmdline>
  </os>
  <features><acpi/></features>
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
  </devices>
</domain>
"""


@contextlib.contextmanager
def libvirt(vm):
    """A libvirtd with copies of what its domains need."""
    reason = lacking()
    if reason:
        raise Skip(reason)
    with Libvirtd(vm.program_here) as daemon:
        daemon.kernel = daemon.copy(vm.path("cloud/vmlinuz"), "vmlinuz")
        daemon.initrd = daemon.copy(vm.path("cloud/initrd"), "initrd")
        daemon.serial = daemon.top / "serial.log"
        yield daemon


def domain(daemon, name, uuid=UUID, **values):
    """A file with the XML of a domain that has a disk of its own."""
    disk = daemon.top / f"{name}.img"
    with open(disk, "wb") as f:
        f.truncate(16 << 20)
    values = {"run": RUN, "cpu": "maximum", "serial": SERIAL_PTY, "more": "", "driver": "",
              "kernel": daemon.kernel} | values
    values["serial"] = values["serial"].format(log=daemon.serial)
    values["run"] = escape(values["run"])
    return daemon.file(f"{name}.xml", DOMAIN.format(name=name, uuid=uuid, disk=disk, initrd=daemon.initrd,
                                                    emulator=daemon.emulator, **values))


def wait_until(condition, what, seconds=BOOT):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"in {seconds} s there was no {what}"
        time.sleep(0.1)


def wait_for_serial(daemon, text, count=1):
    def said():
        return daemon.serial.exists() and daemon.serial.read_text(errors="replace").count(text) >= count
    wait_until(said, f"'{text}' from the guest")


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


@needs("cloud")
@lodge_only
@tcg_only
@one_at_a_time
def test_libvirt_runs_a_domain_from_its_definition_to_its_end(vm):
    with libvirt(vm) as daemon, events(daemon) as heard:
        virsh = daemon.virsh
        capabilities = virsh("domcapabilities", "--emulatorbin", str(daemon.emulator), "--virttype", "qemu",
                             "--arch", "x86_64")
        assert "<machine>pc-q35-7.2</machine>" in capabilities
        assert "<mode name='maximum' supported='yes'>" in capabilities
        virsh("define", domain(daemon, "journey"))
        virsh("start", "journey", "--paused")
        wait_for_state(daemon, "journey", "paused (user)")
        virsh("resume", "journey")
        wait_for_serial(daemon, "@@ready")
        type_at_console(daemon, "journey", b"ahoy")

        assert "State:          running" in virsh("dominfo", "journey")
        assert virsh("vcpuinfo", "journey").count("State:          running") == 2
        stats = virsh("domstats", "journey")
        assert "vcpu.1.state=1" in stats and "block.0.rd.reqs=" in stats and "vcpu.0.instructions.sum=" in stats, stats
        assert f'"{UUID}"' in virsh("qemu-monitor-command", "journey", '{"execute": "query-uuid"}')
        virsh("suspend", "journey")
        wait_for_state(daemon, "journey", "paused (user)")
        virsh("resume", "journey")
        wait_for_state(daemon, "journey", "running (unpaused)")
        assert "migrate" in fails(daemon, "managedsave", "journey")
        wait_for_state(daemon, "journey", "running (save canceled)")
        assert "VM status: running" in virsh("qemu-monitor-command", "journey", "--hmp", "info status")
        virsh("dump", "journey", "--memory-only", "/var/lib/libvirt/journey.dump")
        virsh("setmem", "journey", "160M")
        wait_until(lambda: "actual 163840" in virsh("dommemstat", "journey"), "smaller balloon", 30)
        second = daemon.top / "second.img"
        second.write_bytes(bytes(1 << 20))
        virsh("attach-disk", "journey", str(second), "vdb", "--driver", "qemu", "--subdriver", "raw", "--targetbus",
              "virtio")
        time.sleep(2)   # until the guest has it
        virsh("detach-disk", "journey", "vdb")
        wait_until(lambda: "vdb" not in virsh("domblklist", "journey"), "end of the second disk", 30)

        daemon.stop("libvirtd")
        daemon.start("libvirtd")
        assert "journey   running" in virsh("list")
        virsh("reset", "journey")
        wait_for_serial(daemon, "@@ready", 2)
        type_at_console(daemon, "journey", b"again")
        time.sleep(1)   # until the guest listens to its power button
        virsh("shutdown", "journey", "--mode", "acpi")
        wait_for_state(daemon, "journey", "shut off (shutdown)")
        happened = heard.read_text()
        for event in ("Defined Added", "Resumed Unpaused", "Started Booted", "Suspended Paused"):
            assert f"event 'lifecycle' for domain 'journey': {event}" in happened, f"{event} is not in: {happened}"

        virsh("start", "journey", "--paused")
        virsh("destroy", "journey")
        wait_for_state(daemon, "journey", "shut off (destroyed)")
        virsh("undefine", "journey")


@needs("cloud")
@lodge_only
@tcg_only
@one_at_a_time
def test_libvirt_gives_memory_iothreads_and_files_to_a_domain(vm):
    with libvirt(vm) as daemon:
        memory = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"
        daemon.virsh("create", "--paused", domain(
            daemon, "parts", serial=SERIAL_FILE, cpu="host-model", more=memory + "<iothreads>1</iothreads>",
            driver=" iothread='1' cache='none' io='io_uring'"))
        assert "1" in daemon.virsh("iothreadinfo", "parts").split()
        daemon.virsh("iothreadadd", "parts", "2")
        daemon.virsh("iothreadset", "parts", "2", "--poll-max-ns", "1000")
        assert "iothread.2.poll-max-ns=1000" in daemon.virsh("domstats", "--iothread", "parts")
        daemon.virsh("iothreaddel", "parts", "2")
        assert "check='full'" in daemon.virsh("dumpxml", "parts")   # it has asked for every feature
        daemon.virsh("destroy", "parts")


@needs("cloud")
@lodge_only
@tcg_only
@one_at_a_time
def test_libvirt_tells_why_a_domain_does_not_start(vm):
    with libvirt(vm) as daemon:
        nothing = daemon.file("nothing", "no kernel")
        Path(nothing).chmod(0o644)
        broken = domain(daemon, "broken", kernel=nothing)
        assert "is not a kernel that Lodge can boot" in fails(daemon, "create", broken)
        assert not daemon.virsh("list", "--all")
