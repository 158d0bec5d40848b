# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest test is given, and how it says what it needs.

A test is a function `test_...(vm)` in a file test_*.py; its name says the behaviour. Decorators declare what it needs:
images by name (`@needs("debian")`), the VMM under test rather than the peer (`@lodge_only`), one accelerator
(`@kvm_only`, `@tcg_only`), this host's own /dev/kvm (`@on_host`), that no accelerator matters (`@device_only`), that
only one such test may run at a time (`@one_at_a_time`), or that it goes first, since it takes long (`@takes_long`). A test
that cannot run raises Skip with the reason.
"""

import shlex
import sys
from pathlib import Path

from images import cache, disks, initramfs, kernels, programs

BOOT = 100          # seconds that a small guest may take from start to end in an emulated host under load
# Without what half of a small guest's boot goes into, ciphers that test themselves and a search for a mouse: for all guests
# but some of test_boot's and whole Debians. And a line that leaves the console to what the test says.
BRIEF = "cryptomgr.notests i8042.noaux"
QUIET = f"console=ttyS0 quiet quiet-init {BRIEF}"


class Skip(Exception):
    """This test cannot run here; the message says why."""


def needs(*images):
    def mark(function):
        function.needs = images
        return function
    return mark


def lodge_only(function):
    """The test is about what only the VMM under test promises, such as its error sentences."""
    function.lodge_only = True
    return function


def kvm_only(function):
    """The test is about /dev/kvm."""
    function.kvm_only = True
    return function


def tcg_only(function):
    """The test is about the software CPU."""
    function.tcg_only = True
    return function


def device_only(function):
    """The test is about what every accelerator leaves alike: where KVM is emulated, it runs on the software CPU only."""
    function.device_only = True
    return function


def one_at_a_time(function):
    """The test uses something that the host has once, such as names of domains; others may run beside it."""
    function.one_at_a_time = True
    return function


def takes_long(function):
    """The test takes minutes in an emulated host, or most of one on the software CPU. It goes first: short ones fill the
    time until the last of them ends."""
    function.takes_long = True
    return function


def on_host(function):
    """The test uses this host's /dev/kvm directly, whatever it can do."""
    function.on_host = True
    function.kvm_only = True
    return function


# Image name -> what adds it to the tree that appears as disk 0.
def _kernel_image(name):
    def add(tree):
        kernel = kernels.get(name)
        tree.add(f"{name}/vmlinuz", kernel.vmlinuz)
        tree.add(f"{name}/initrd", initramfs.hello(kernel))
        if kernel.busybox:
            tree.add(f"{name}/busybox", kernel.busybox)
    return add


def _generic_elf_image(tree):
    """The generic kernel as it is once it has unpacked itself, and its initramfs."""
    kernel = kernels.get("generic")
    tree.add("generic-elf/vmlinuz", kernels.unpacked(kernel))
    tree.add("generic-elf/initrd", initramfs.hello(kernel))


def _agent_image(tree):
    kernel = kernels.get("cloud")
    tree.add("agent/vmlinuz", kernel.vmlinuz)
    tree.add("agent/initrd", initramfs.agent(kernel))


def _clocks_image(tree):
    kernel = kernels.get("cloud")
    tree.add("clocks/vmlinuz", kernel.vmlinuz)
    tree.add("clocks/initrd", initramfs.clocks(kernel))


def _debian_image(tree):
    debian = disks.debian()
    tree.add("debian/vmlinuz", debian.vmlinuz)
    tree.add("debian/initrd", debian.initrd)
    tree.add("debian/disk.raw", debian.disk)
    from direct import program_path
    tree.program(program_path("e2fsck"))


def _programs_image(tree):
    made = programs.programs()
    tree.add("programs/vmlinuz", made.debian.vmlinuz)
    tree.add("programs/initrd", made.debian.initrd)
    tree.add("programs/disk.raw", made.debian.disk)
    tree.add("programs/scripts.raw", made.scripts)
    tree.add("programs/answers", made.answers)


def _tools_image(tree):
    """fio and strace with their libraries, on a disk for guests: too much for an initramfs."""
    from direct import program_path
    tools = disks.Tree()
    for name in ("fio", "strace"):
        tools.program(program_path(name))
    tree.add("tools.raw", tools.disk("tools"))
    tree.program(program_path("strace"))


def _iperf_image(tree):
    """iperf3, on a disk for guests, and where the VMM runs."""
    from direct import program_path
    tools = disks.Tree()
    tools.program(program_path("iperf3"))
    tree.add("iperf.raw", tools.disk("iperf"))
    tree.program(program_path("iperf3"))


def _libvirt_image(tree):
    """libvirt's daemons, its driver for QEMU and what it knows of processors, for a first level."""
    from direct import program_path
    for name in ("libvirtd", "virtlogd", "virsh"):
        tree.program(program_path(name))
    tree.program("/usr/lib/libvirt/libvirt_iohelper")
    tree.module(Path("/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so"),
                "lib/libvirt/connection-driver")
    for file in Path("/usr/share/libvirt/cpu_map").iterdir():
        tree.add(f"share/libvirt/cpu_map/{file.name}", file)


def modes_guest():
    """The bare-metal guest of tests/guest/modes, built where it is needed: a compiler is all that it takes."""
    sys.path.insert(0, str(cache.TOP / "tests" / "guest" / "modes"))
    import build
    recipe = cache.digest(*(path.read_bytes() for path in build.inputs()))
    return cache.entry(f"modes/{recipe}.elf", build.build)


def _modes_image(tree):
    tree.add("modes/modes.elf", modes_guest())


IMAGES = {name: _kernel_image(name) for name in kernels.PACKAGES} | {
    "agent": _agent_image, "clocks": _clocks_image, "debian": _debian_image, "generic-elf": _generic_elf_image,
    "iperf": _iperf_image, "libvirt": _libvirt_image, "modes": _modes_image, "programs": _programs_image,
    "tools": _tools_image}


class Vm:
    """The VMM under test in its place. `path` names an image there; `start` and `run` take QEMU-dialect options."""

    def __init__(self, place, new_place, program, accel, peer, program_here):
        self.place = place
        self._new_place = new_place
        self.program_here = program_here    # the same program on this host
        self.program = program
        self.accel = accel
        self.peer = peer
        self.jobs = []              # of this test, for its report and its end
        self.commands = []
        self._made = []             # files and folders that go with the test

    def path(self, name):
        return self.place.path(name)

    def writable(self, name):
        return self.place.writable(name)

    def blank(self, name, size_mib=0):
        """A new sparse file of zeros, where the VMM runs. It is removed at the test's end."""
        return self._make(f"f=$(mktemp -p {self.scratch()} {name}.XXXXXX); truncate -s {size_mib}M $f; echo $f")

    def console(self):
        """A new empty file for what a guest says at a serial port."""
        return self.blank("console")

    def hear(self, console, text, timeout=BOOT):
        """Wait until the text has been said there; all that has."""
        self.shell(f"i=0; until grep -qaF '{text}' {console}; do i=$((i + 1)); "
                   f"[ $i -lt {timeout * 5} ] || {{ tail -c 800 {console}; exit 1; }}; sleep 0.2; done", timeout + 30)
        return self.shell(f"cat {console}")

    def folder(self):
        """A new folder where the VMM runs, its path short enough for sockets, which any user can get to once its mode
        lets it. It is removed at the test's end."""
        return self._make("mktemp -d /tmp/lodge-vm-XXXXXX")

    def _make(self, script):
        self._made.append(self.shell(script).strip())
        return self._made[-1]

    def scratch(self):
        """A directory on a real disk for files that the VMM writes."""
        return self.path("scratch")

    def shell(self, script, timeout=60):
        """Output of a shell script that must succeed, where the VMM runs."""
        result = self.place.run(script, timeout)
        assert result.status == 0, f"'{script}' failed with status {result.status}: {result.output}"
        return result.output

    def start(self, options):
        """Start the VMM with these options (one string, as typed in a shell); the Job."""
        command = f"{self.program} {options}"
        self.commands.append(command)
        job = self.place.start(f"exec {command}")
        self.jobs.append(job)
        return job

    def run(self, options, timeout=60):
        """Run it to its end; the Result."""
        return self.start(options).wait(timeout)

    def guest(self, options="", kernel="cloud", append=f"console=ttyS0 {BRIEF}", run="true"):
        """Start a guest: that kernel with its small initramfs, which runs the shell commands `run` and powers off."""
        append = shlex.quote(f'{append} quiet run="{run}"')
        return self.start(f"-accel {self.accel} -cpu {self.cpu()} -nodefaults -nographic -serial stdio {options} "
                          f"-kernel {self.path(kernel)}/vmlinuz -initrd {self.path(kernel)}/initrd -append {append}")

    def boot(self, run, kernel="cloud"):
        """Options of a guest that runs these shell commands, where its console does not lead to the job's output."""
        return (f"-kernel {self.path(kernel)}/vmlinuz -initrd {self.path(kernel)}/initrd "
                f"-append '{QUIET} run=\"{run}\"'")

    def cpu(self):
        return "host" if self.accel == "kvm" else "max"

    def give_up_place(self):
        """Go on in a new place, where this one is stuck. What the test wrote in the old one is lost."""
        self.jobs.clear()
        self._made.clear()
        self.place = self._new_place()

    def finish(self):
        for job in self.jobs:
            job.kill()
        if self._made:
            self.place.run(shlex.join(["rm", "-rf", *self._made]))


def ended_well(job, timeout=BOOT):
    """Wait for a guest that runs its commands and powers off: they succeed, and so does the VMM. The output."""
    result = job.wait(timeout)
    assert "@@ready" in result.output, "the guest did not get to its /init"
    assert "@@exit 0" in result.output, f"the guest's commands failed, and its VMM ended with status {result.status}"
    assert result.status == 0, f"exit status {result.status}"
    return result.output


def trees_for(names, available):
    """The tree for disk 0 with these images. `available` collects name -> None, or why it cannot be had."""
    tree = disks.Tree()
    tree.directory("bin")
    tree.directory("scratch")
    for name in sorted(set(names)):
        try:
            IMAGES[name](tree)
            available[name] = None
        except cache.Unavailable as e:
            available[name] = str(e)
    return tree
