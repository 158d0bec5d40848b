# SPDX-License-Identifier: GPL-2.0-or-later
"""A full Debian with systemd on a raw disk: to its login prompt, and down again."""

from vmtest import needs, takes_long


@takes_long
@needs("debian")
def test_boots_to_login_and_shuts_down_clean(vm):
    disk = vm.writable("debian/disk.raw")
    job = vm.start(
        f"-accel {vm.accel} -cpu {vm.cpu()} -M q35 -m 768M -smp 2 -kernel {vm.path('debian/vmlinuz')} "
        f"-initrd {vm.path('debian/initrd')} -append 'console=ttyS0 root=/dev/vda' "
        f"-drive file={disk},format=raw,if=virtio -nodefaults -nographic -serial stdio")
    job.expect("guest login: ", 400)
    job.expect("guest# ", 100)
    job.send("systemctl is-system-running --wait; findmnt -n -o SOURCE,FSTYPE /\n")
    job.expect(r"^(running|degraded)\r?$", 200)
    job.expect("/dev/vda +ext4", 60)
    job.send("systemctl poweroff\n")
    result = job.wait(300)
    assert "reboot: Power down" in result.output
    assert result.status == 0, f"exit status {result.status}"
    vm.shell(f"e2fsck -fn {disk}", 120)
