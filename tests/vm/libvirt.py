# SPDX-License-Identifier: GPL-2.0-or-later
"""A libvirtd of our own, started by hand: the distribution's program, without systemd and apart from the host's.

It has a mount namespace in which libvirt's directories are fresh ones, so it sees no domain, network or socket of the
host's libvirtd, and a process namespace, with which everything ends but libvirt's empty cgroup `machine`. It runs as
root, as on a normal host: the emulator runs as libvirt-qemu, in cgroups where the host lets libvirt make them. There is
no /dev/kvm: where its user may not open it libvirt finds that, but an emulator that it probes still has the capability
to, and libvirt believes neither.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DIRECTORIES = ("/etc/libvirt", "/run/libvirt", "/var/cache/libvirt", "/var/lib/libvirt", "/var/log/libvirt")

QEMU_CONF = """
security_driver = "none"
stdio_handler = "logd"
"""


def lacking():
    """Why there can be no libvirtd here; None: there can."""
    if os.geteuid() != 0:
        return "a libvirtd of our own needs root"
    for program in ("libvirtd", "virtlogd", "virsh"):
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin"):
            return f"there is no '{program}' (packages libvirt-daemon-system, libvirt-clients)"
    result = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True)
    return f"no namespaces: {result.stderr.strip()}" if result.returncode else None


# A /dev of our own, with what emulators use, but for kvm.
DEV = """
mkdir {dev}
mount -t tmpfs -o mode=755 dev {dev}
for node in full null ptmx random tty urandom zero; do cp -a /dev/$node {dev}; done
mkdir {dev}/net {dev}/pts {dev}/shm
cp -a /dev/net/tun {dev}/net || true
mount --rbind /dev/pts {dev}/pts
chmod 1777 {dev}/shm
umount --recursive --lazy /dev  # libvirt moves every mount that it finds there
mount --move {dev} /dev
"""

# The first process of the namespace: what nobody else waits for is gone at once when it has ended.
FIRST = """
import signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
while True:
    signal.pause()
"""


class Failed(Exception):
    """A virsh command failed; the message is what it said."""


def last_lines(file):
    return "\n".join(file.read_text(errors="replace").splitlines()[-20:])


class Libvirtd:
    NAMESPACES = ("--mount", "--pid")
    LIBVIRTD = ()               # its options
    PREPARE = ""                # shell commands in its namespaces

    def __init__(self, emulator, network=False):
        """network: with a network namespace of its own, so that it may make interfaces."""
        self.namespaces = [*self.NAMESPACES, *(["--net"] if network else [])]
        self.top = Path(tempfile.mkdtemp(prefix="lodge-libvirt-"))
        self.top.chmod(0o755)
        self.emulator = self.copy(emulator, "lodge")
        self.holder = self.first = None
        self.daemons = {}

    def copy(self, file, name=None):
        """A copy that the user of emulators can read."""
        to = self.top / (name or Path(file).name)
        shutil.copyfile(file, to)
        to.chmod(0o755)
        return to

    def __enter__(self):
        script = ["set -e"]
        for directory in DIRECTORIES:
            own = self.top / "root" / directory[1:]
            own.mkdir(parents=True)
            script += [f"mkdir -p {directory}", f"mount --bind {own} {directory}"]
        for name, text in self.settings().items():
            (self.top / f"root/etc/libvirt/{name}.conf").write_text(text)
        script += [DEV.format(dev=self.top / "root/dev"), self.PREPARE, f"exec {sys.executable} -c '{FIRST}'"]
        self.holder = subprocess.Popen(
            ["unshare", *self.namespaces, "--propagation", "private", "--fork", "--kill-child", "--mount-proc", "sh",
             "-c", "\n".join(script)], stdout=subprocess.PIPE)
        if self.holder.stdout.readline() != b"ready\n":
            self.__exit__()
            raise Failed("the namespaces could not be made")
        children = Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children").read_text().split()
        self.first = children[0]
        self.start("virtlogd")
        self.start("libvirtd")
        return self

    def __exit__(self, kind=None, error=None, trace=None):
        if error:
            error.add_note(self.logs())
        if self.daemons:
            for name in self.try_virsh("list", "--name").split():
                self.try_virsh("destroy", name)
        for name in list(self.daemons):
            self.stop(name)
        if self.holder:
            self.holder.kill()
            self.holder.wait()
            self.holder.stdout.close()
        shutil.rmtree(self.top, ignore_errors=True)

    def settings(self):
        """Name of a daemon -> its configuration."""
        return {"qemu": QEMU_CONF, "libvirtd": 'log_outputs="3:stderr"\n', "virtlogd": ""}

    def inside(self, *command):
        return ["nsenter", "--target", self.first, *self.namespaces, *command]

    def start(self, name):
        log = open(self.top / f"{name}.log", "ab")
        self.daemons[name] = subprocess.Popen(
            self.inside("env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", name, "--pid-file", str(self.top / f"{name}.pid"),
                        *(self.LIBVIRTD if name == "libvirtd" else ())),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        socket = self.socket(name)
        end = time.monotonic() + 20
        while not socket.exists():
            if time.monotonic() > end or self.daemons[name].poll() is not None:
                raise Failed(f"{name} does not start: {self.log(name)}")
            time.sleep(0.05)

    def stop(self, name, number=signal.SIGTERM):
        """Ends a daemon; by SIGKILL as if it had crashed. The signal is for itself, not for nsenter, its parent."""
        daemon = self.daemons.pop(name)
        pid = (self.top / f"{name}.pid").read_text().strip()
        subprocess.run(self.inside("kill", f"-{int(number)}", pid))
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
        self.socket(name).unlink(missing_ok=True)

    def kill_emulator(self, name, number=signal.SIGKILL):
        pid = (self.top / f"root/run/libvirt/qemu/{name}.pid").read_text().strip()
        subprocess.run(self.inside("kill", f"-{int(number)}", pid), check=True)

    def socket(self, name):
        return self.top / f"root/run/libvirt/{name.replace('libvirtd', 'libvirt')}-sock"

    def log(self, name):
        """The end of what a daemon said."""
        return last_lines(self.top / f"{name}.log")

    def logs(self):
        """The ends of what the daemons and the domains said."""
        files = [*self.top.glob("*.log"), *self.top.glob("root/var/log/libvirt/qemu/*.log")]
        return "\n".join(f"-- {file.name}:\n{last_lines(file)}" for file in files)

    def domain_log(self, name):
        return (self.top / f"root/var/log/libvirt/qemu/{name}.log").read_text(errors="replace")

    def virsh_command(self, *arguments):
        return self.inside("virsh", "-q", "-c", "qemu:///system", *arguments)

    def virsh(self, *arguments, timeout=30):
        """What it prints; Failed if it fails."""
        result = subprocess.run(self.virsh_command(*arguments), capture_output=True, text=True, timeout=timeout,
                                stdin=subprocess.DEVNULL, errors="replace")
        if result.returncode:
            raise Failed(f"virsh {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout.strip()

    def try_virsh(self, *arguments):
        try:
            return self.virsh(*arguments)
        except (Failed, subprocess.TimeoutExpired):
            return ""

    def file(self, name, text):
        path = self.top / name
        path.write_text(text)
        return str(path)
