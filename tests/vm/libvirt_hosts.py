# SPDX-License-Identifier: GPL-2.0-or-later
"""Two hosts, as far as libvirt can tell: each has a libvirtd, a network stack and a UUID of its own, and they see the
same files in /tmp. A cable joins them. Neither has cgroups: those of a domain that moves are named after it on both.
"""

import contextlib
import shutil
import subprocess

from libvirt import QEMU_CONF, Libvirtd, lacking
from vmtest import Skip

UUID = "2f1d8c0e-6a4b-4e0f-9d53-7c1be0a5e90{n}"
ADDRESS = "198.18.53.{n}"       # for tests between networks (RFC 2544)


def lacking_hosts():
    """Why there cannot be two; None: there can."""
    reason = lacking()
    if reason:
        return reason
    if not shutil.which("ip"):
        return "there is no 'ip' (package iproute2)"
    trial = subprocess.run(["unshare", "--net", "ip", "link", "add", "cable", "type", "veth"],
                           capture_output=True, text=True)
    return f"no network namespaces: {trial.stderr.strip()}" if trial.returncode else None


class Host(Libvirtd):
    NAMESPACES = ("--mount", "--pid", "--net")
    LIBVIRTD = ("--listen",)
    PREPARE = "ip link set lo up\numount --recursive --lazy /sys/fs/cgroup"

    def __init__(self, emulator, n):
        super().__init__(emulator)
        self.n = n
        self.address = ADDRESS.format(n=n)

    def settings(self):
        return super().settings() | {
            "qemu": QEMU_CONF + f'migration_host = "{self.address}"\n',
            "libvirtd": f"""
log_outputs="3:stderr"
host_uuid="{UUID.format(n=self.n)}"
listen_tls=0
listen_tcp=1
auth_tcp="none"
"""}

    def uri(self, kind):
        """By which the other reaches it."""
        if kind == "unix":
            return f"qemu+unix:///system?socket={self.socket('libvirtd')}"
        return f"qemu+tcp://{self.address}/system"


@contextlib.contextmanager
def hosts(vm):
    reason = lacking_hosts()
    if reason:
        raise Skip(reason)
    with Host(vm.program_here, 1) as one, Host(vm.program_here, 2) as other:
        join(one, other)
        one.kernel = one.copy(vm.path("cloud/vmlinuz"), "vmlinuz")
        one.initrd = one.copy(vm.path("cloud/initrd"), "initrd")
        one.serial = other.serial = one.top / "serial.log"
        yield one, other


def join(one, other):
    def ip(host, *words):
        subprocess.run(["nsenter", "--target", host.first, "--net", "ip", *words], check=True)
    ip(one, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", other.first)
    for host in (one, other):
        ip(host, "address", "add", f"{host.address}/24", "dev", "cable")
        ip(host, "link", "set", "cable", "up")
