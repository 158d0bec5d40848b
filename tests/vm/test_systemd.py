# SPDX-License-Identifier: GPL-2.0-or-later
"""lodge and lodgectl on a host with systemd and cgroup v2, which is a full Debian in a guest: the unit lodge@NAME starts
a domain in a group that systemd delegates, and schedinfo divides it."""

from pathlib import Path

from images import disks
from vmtest import lodge_only, needs, takes_long, tcg_only

SET_UP = """set +H; stty cols 200; mkdir /t; mount -o ro /dev/vdb /t; cp /t/lodge@.service /etc/systemd/system/
ln -s /t/bin/* /usr/local/bin; echo /t/lib >/etc/ld.so.conf.d/lodge.conf; ldconfig; systemctl daemon-reload
printf '[machine]\\ntype = "none"\\n[accel]\\naccel = "tcg"\\n[object "io"]\\nqom-type = "iothread"\\n' >/root/d.conf
lodgectl define /root/d.conf; lodgectl autostart d
"""
GROUP = "/sys/fs/cgroup/system.slice/system-lodge.slice/lodge@d.service"


def host_disk(vm):
    """A disk with the programs, their libraries and the unit."""
    tree = disks.Tree()
    built = Path(vm.program_here).parent
    tree.program(vm.program_here, "lodge")
    tree.program(built / "lodgectl")
    tree.add("lodge@.service", built / "tools/lodgectl/lodge@-system.service")
    return tree.disk("host")


@takes_long
@needs("debian")
@lodge_only
@tcg_only
def test_systemd_delegates_a_group_that_schedinfo_divides(vm):
    job = vm.start(
        f"-accel {vm.accel} -cpu {vm.cpu()} -M q35 -m 512M -kernel {vm.path('debian/vmlinuz')} "
        f"-initrd {vm.path('debian/initrd')} -append 'console=ttyS0 root=/dev/vda quiet systemd.show_status=no' "
        "-nodefaults -nographic -serial stdio "
        f"-drive file={vm.writable('debian/disk.raw')},format=raw,if=virtio "
        f"-drive file={host_disk(vm)},format=raw,if=virtio,readonly=on")
    job.expect("guest# ", 500)

    def typed(line, *wanted):
        job.send(line + "\n")
        for text in wanted:
            job.expect(text, 100)
    for line in SET_UP.splitlines():
        typed(line, "guest# ")
    typed("systemctl is-enabled lodge@d", r"^enabled\r?$")
    typed("lodgectl schedinfo d --config cpu_shares=77 iothread_quota=50000", r"iothread_quota : 50000")
    typed("systemctl start lodge@d; lodgectl schedinfo d", f"Means +: cgroup v2, {GROUP}\r?\n", r"cpu_shares     : 77\r?\n",
          r"iothread_quota : 50000")
    typed("lodgectl schedinfo d emulator_quota=20000 global_quota=150000 cpu_shares=200", r"emulator_quota : 20000",
          r"global_quota   : 150000")
    typed(f"cd {GROUP}; cat cpu.weight cpu.max iothread-io/cpu.max emulator/cpu.max",
          r"^200\r?\n150000 100000\r?\n50000 100000\r?\n20000 100000\r?\n")
    typed("cd; lodgectl destroy d; sleep 1; systemctl is-active lodge@d", r"^inactive\r?$")
    typed(f"ls {GROUP}; systemctl poweroff", "No such file")
    assert job.wait(300).status == 0
